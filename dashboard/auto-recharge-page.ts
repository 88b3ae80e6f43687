/** Auto-recharge: what it will do, with which card, and what it has done. Nothing is charged that was not agreed to in so many words. */
import { explainDecline } from '../billing/decline.ts'
import type { Micros } from '../billing/money.ts'
import { topUpTable } from './add-funds-page.ts'
import { csrfField, moneyField, textField, tickField, type Typed } from './form.ts'
import { html, type Html } from './html.ts'
import { page, type Frame } from './page.ts'
import { paths, places } from './places.ts'
import {
  brandName,
  cardName,
  rechargeSentence,
  type CardFace,
  type RechargeState,
} from './recharge-sentence.ts'
import type { TopUpLine } from './top-up-page.ts'
import { count, money, typedMoney } from './wording.ts'

export type AutoRechargeView = {
  state: RechargeState
  availableMicros: Micros
  settings: {
    enabled: boolean
    thresholdMicros: Micros
    topUpMicros: Micros
    dailyLimit: number
    monthlyCapMicros: Micros | null
  }
  mostADay: number
  /** Null where nothing was used, and there is nothing to go by. */
  suggestedMicros: Micros | null
  card: (CardFace & { savedCardId: string; isUsable: boolean }) | null
  /** After declines. */
  heldUp: { reason: string | null; isSuspended: boolean } | null
  needsEmail: boolean
  /** Saving this charges the card at once, and has to be agreed to. */
  chargesNow: boolean
  typed: Typed
  cardTyped: Typed
  attempts: readonly TopUpLine[]
  isConfigured: boolean
}

export function autoRechargePage(frame: Frame, view: AutoRechargeView): Html {
  const { state, settings } = view
  return page(
    frame,
    { live: true },
    html`<section class="card" aria-labelledby="state-title">
        <div data-live="state">
          <div class="head">
            <h2 id="state-title">${settings.enabled ? 'It is on' : 'It is off'}</h2>
            <span class="pill ${settings.enabled ? 'good' : ''}">${settings.enabled ? 'On' : 'Off'}</span>
          </div>
          <p>${rechargeSentence(state)}</p>
          ${view.heldUp === null || view.heldUp.reason === null ? null : html`<p class="soft">${explainDecline(view.heldUp.reason)}</p>`}
        </div>
        ${frame.mayChange ? stateButtons(frame, view) : null}
      </section>
      ${cardCard(frame, view)} ${frame.mayChange ? settingsForm(frame, view) : settingsList(view)}
      <section class="card" aria-labelledby="attempts-title">
        <header><h2 id="attempts-title">Recharges</h2></header>
        <div data-live="attempts">${topUpTable('Recharges, newest first', view.attempts)}</div>
      </section>`,
  )
}

function stateButtons(frame: Frame, { settings, heldUp }: AutoRechargeView): Html | null {
  if (!settings.enabled) return null
  return html`<div class="row">
    <form method="post" action="${paths.switchOff}">
      ${csrfField(frame)}<button type="submit">Switch it off</button>
    </form>
    ${
      heldUp === null
        ? null
        : html`<form method="post" action="${paths.resume}">
            ${csrfField(frame)}<button type="submit">Try the card again now</button>
          </form>`
    }
  </div>`
}

function cardCard(frame: Frame, view: AutoRechargeView): Html {
  const { card } = view
  return html`<section class="card stack" aria-labelledby="card-title">
    <h2 id="card-title">Card</h2>
    <div class="stack" ${liveUntilTyped('card', view.cardTyped)}>
      ${
        card === null
          ? html`<p class="soft">
              No card is saved. It is entered at Paddle, costs nothing to save, and is charged only as you say
              here.
            </p>`
          : html`<div class="plate">
              <strong
                >${brandName(card.brand)}${card.last4 === null ? null : html` ending in ${card.last4}`}</strong
              >
              ${
                card.expiryMonth === null || card.expiryYear === null
                  ? null
                  : html`<span class="soft"
                      >expires ${String(card.expiryMonth).padStart(2, '0')}/${card.expiryYear}</span
                    >`
              }
              ${card.isUsable ? null : html`<span class="pill warn">cannot be charged</span>`}
            </div>`
      }
      ${frame.mayChange && view.isConfigured ? cardButtons(frame, view) : null}
    </div>
  </section>`
}

function cardButtons(frame: Frame, { card, needsEmail, cardTyped, settings }: AutoRechargeView): Html {
  const problem = cardTyped.problems['form']
  const shown = problem === undefined ? null : html`<p class="problem" role="alert">${problem}</p>`
  if (card === null) {
    return html`<form class="stack" method="post" action="${paths.saveCard}">
      ${csrfField(frame)} ${shown}
      ${
        needsEmail
          ? textField({
              name: 'email',
              label: 'E-mail for receipts',
              type: 'email',
              autocomplete: 'email',
              hint: 'Paddle sends its receipts there. Asked once for this workspace.',
              required: true,
              typed: cardTyped,
            })
          : null
      }
      <div class="row"><button type="submit">Save a card</button></div>
    </form>`
  }
  const fields = html`${csrfField(frame)}<input type="hidden" name="card" value="${card.savedCardId}" />`
  return html`${shown}
    <div class="row">
      <form method="post" action="${paths.changeCard}">
        ${fields}<button type="submit">Change card</button>
      </form>
      ${
        settings.enabled
          ? html`<p class="hint">To remove the card, switch auto-recharge off first.</p>`
          : html`<form method="post" action="${paths.removeCard}">
              ${fields}<button type="submit">Remove card</button>
            </form>`
      }
    </div>`
}

function settingsForm(frame: Frame, view: AutoRechargeView): Html {
  const { settings, typed, card, suggestedMicros, chargesNow } = view
  const { enabled } = settings
  const typedTopUp = typed.values['topup_usd'] ?? typedMoney(settings.topUpMicros)
  return html`<form
    class="card stack"
    method="post"
    action="${places['auto-recharge'].path}"
    aria-labelledby="settings-title"
  >
    ${csrfField(frame)}
    <h2 id="settings-title">${enabled ? 'Settings' : 'Switch it on'}</h2>
    ${typed.problems['form'] === undefined ? null : html`<p class="problem" role="alert">${typed.problems['form']}</p>`}
    <div class="fields">
      ${moneyField({
        name: 'threshold_usd',
        label: 'When less than this is available',
        value: typedMoney(settings.thresholdMicros),
        hint:
          suggestedMicros === null
            ? 'About a tenth of what a week takes is a good start.'
            : `${money(suggestedMicros)} would fit: about a tenth of what the last week took.`,
        required: true,
        typed,
      })}
      ${moneyField({
        name: 'topup_usd',
        label: 'Charge the card',
        value: typedMoney(settings.topUpMicros),
        hint: 'Each time exactly this, and the tax that Paddle adds.',
        required: true,
        typed,
      })}
    </div>
    <div class="fields">
      ${textField({
        name: 'daily_limit',
        label: 'At most so often in 24 hours',
        inputmode: 'numeric',
        value: String(settings.dailyLimit),
        hint: `From 1 to ${view.mostADay}.`,
        required: true,
        typed,
      })}
      ${moneyField({
        name: 'monthly_cap_usd',
        label: 'At most so much in a month',
        value: settings.monthlyCapMicros === null ? '' : typedMoney(settings.monthlyCapMicros),
        placeholder: 'no cap',
        hint: 'Empty for no cap. Months begin on the 1st, UTC.',
        typed,
      })}
    </div>
    <div class="stack" ${liveUntilTyped('switch', typed)}>
      ${
        card === null
          ? html`<p class="soft">Save a card first, then switch it on.</p>`
          : html`${
                enabled
                  ? null
                  : tickField({
                      name: 'consent',
                      label: `I agree that ${cardName(card)} is charged without asking again, whenever less is available than I say here, until I switch it off.`,
                      typed,
                    })
              }
              ${chargesNow ? chargeNow(view, typedTopUp) : null}
              <div class="row">
                <button class="primary" type="submit">${enabled ? 'Save' : 'Switch auto-recharge on'}</button>
              </div>`
      }
    </div>
  </form>`
}

function chargeNow({ availableMicros, typed, settings }: AutoRechargeView, topUp: string): Html {
  const threshold = typed.values['threshold_usd'] ?? typedMoney(settings.thresholdMicros)
  return html`<div class="banner warn">
    <div>
      <h3>This charges the card $${topUp} now</h3>
      <p>${money(availableMicros)} is available, which is less than $${threshold} already.</p>
      ${tickField({ name: 'charge_now', label: `Charge $${topUp} now`, typed })}
    </div>
  </div>`
}

/** What was typed, and what is said of it, stays as it is while the wallet changes. */
function liveUntilTyped(name: string, { values, problems }: Typed): Html | null {
  const isUntouched = Object.keys(values).length === 0 && Object.keys(problems).length === 0
  return isUntouched ? html`data-live="${name}"` : null
}

function settingsList({ settings }: AutoRechargeView): Html {
  const { thresholdMicros, topUpMicros, dailyLimit, monthlyCapMicros } = settings
  return html`<section class="card" aria-labelledby="settings-title">
    <header><h2 id="settings-title">Settings</h2></header>
    <dl class="facts">
      <dt>When less than this is available</dt>
      <dd>${money(thresholdMicros)}</dd>
      <dt>The card is charged</dt>
      <dd>${money(topUpMicros)}</dd>
      <dt>In 24 hours at most</dt>
      <dd>${count(dailyLimit, 'time')}</dd>
      <dt>In a month at most</dt>
      <dd>${monthlyCapMicros === null ? 'No cap' : money(monthlyCapMicros)}</dd>
    </dl>
  </section>`
}
