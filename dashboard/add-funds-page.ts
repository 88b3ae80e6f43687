/** Adding funds: how much, what it comes to with tax, and how it is paid. */
import { leastTopUpMicros } from '../billing/top-up.ts'
import { micros, parseUsd, type Micros } from '../billing/money.ts'
import { countries } from './countries.ts'
import { csrfField, moneyField, selectField, textField, tickField, type Typed } from './form.ts'
import { flag, html, type Html } from './html.ts'
import { page, type Frame } from './page.ts'
import { paths, places, topUpPath } from './places.ts'
import { topUpPill, type TopUpLine } from './top-up-page.ts'
import { cardName, type CardFace } from './recharge-sentence.ts'
import { money, time, typedMoney } from './wording.ts'

export type AddFundsView = {
  balanceMicros: Micros
  mostMicros: Micros
  /** The card that can be charged at once. */
  card: CardFace | null
  /** Paddle does not know this workspace yet, and sends receipts by e-mail. */
  needsEmail: boolean
  /** The name of this wish: sent twice, it is done once. */
  attempt: string
  typed: Typed
  preview: TaxPreview
  recent: readonly TopUpLine[]
  /** Without a Paddle nothing can be paid. */
  isConfigured: boolean
}

/** What a top-up comes to. */
export type TaxPreview =
  | { is: 'known'; netMicros: Micros; taxMicros: Micros; totalMicros: Micros }
  /** Nobody has said where the customer is. */
  | { is: 'nowhere' }
  /** No amount, or none that can be paid. */
  | { is: 'no_amount' }
  | { is: 'unavailable' }

const presets = ['25', '50', '100', '250', '500', '1000'].map(parseUsd)

export function addFundsPage(frame: Frame, view: AddFundsView): Html {
  return page(
    frame,
    { live: true, scripts: ['add-funds.js'] },
    html`${!view.isConfigured ? html`<p class="card">Payments are not set up here yet.</p>` : null}
      ${
        frame.mayChange && view.isConfigured
          ? form(frame, view)
          : view.isConfigured
            ? html`<p class="card">Sign in with an admin key to add funds.</p>`
            : null
      }
      <section class="card" aria-labelledby="recent-title">
        <header>
          <h2 id="recent-title">Top-ups</h2>
          <span class="soft"
            >Balance <span class="number" data-balance>${money(view.balanceMicros)}</span></span
          >
        </header>
        <div data-live="recent">${topUpTable('Top-ups, newest first', view.recent)}</div>
      </section>`,
  )
}

/** What is to be paid, as a part of the page that is fetched anew when the amount changes. */
export function previewPart(preview: TaxPreview): Html {
  if (preview.is === 'no_amount') return html`<p class="soft">Choose an amount to see what it comes to.</p>`
  if (preview.is === 'nowhere') {
    return html`<p class="soft">
      Paddle adds the tax of the country that you pay from. Choose it to see how much that is.
    </p>`
  }
  if (preview.is === 'unavailable') {
    return html`<p class="soft">The tax cannot be worked out just now. You see it before you pay.</p>`
  }
  return html`<dl class="total">
    <dt>Credit to the wallet</dt>
    <dd>${money(preview.netMicros)}</dd>
    <dt>Tax</dt>
    <dd>${money(preview.taxMicros)}</dd>
    <dt class="sum">You pay</dt>
    <dd class="sum">${money(preview.totalMicros)}</dd>
  </dl>`
}

export function topUpTable(caption: string, lines: readonly TopUpLine[]): Html {
  if (lines.length === 0) return html`<p class="empty">None yet.</p>`
  return html`<div class="scroll" role="group" aria-label="${caption}" tabindex="0">
    <table>
      <caption class="hidden">
        ${caption}
      </caption>
      <thead>
        <tr>
          <th scope="col" class="wide">When</th>
          <th scope="col">What became of it</th>
          <th scope="col" class="number">Amount</th>
        </tr>
      </thead>
      <tbody>
        ${lines.map(
          (line) =>
            html`<tr>
              <td class="when wide">${time(line.createdAt)}</td>
              <th scope="row">
                <a href="${topUpPath(line.topUpId)}">${sourceTitles[line.source]}</a> ${topUpPill(line.state)}
                <small class="narrow">${time(line.createdAt)}</small>
                <small>${line.message}</small>
              </th>
              <td class="number">${money(line.amountMicros)}</td>
            </tr>`,
        )}
      </tbody>
    </table>
  </div>`
}

const sourceTitles: Record<TopUpLine['source'], string> = {
  checkout: 'Checkout',
  api: 'Card charged',
  auto_recharge: 'Auto-recharge',
}

function form(frame: Frame, view: AddFundsView): Html {
  const { typed, card, mostMicros } = view
  return html`<form
    class="split"
    method="post"
    action="${places['add-funds'].path}"
    data-preview-from="${paths.preview}"
  >
    <div class="card stack">
      ${csrfField(frame)}<input type="hidden" name="attempt" value="${view.attempt}" />
      ${typed.problems['form'] === undefined ? null : html`<p class="problem" role="alert">${typed.problems['form']}</p>`}
      ${moneyField({
        name: 'amount_usd',
        label: 'Amount',
        hint: `From ${money(micros(leastTopUpMicros))} to ${money(mostMicros)}, in US dollars.`,
        required: true,
        typed,
      })}
      <div class="chips" role="group" aria-label="Amounts to choose from">
        ${presets
          .filter((preset) => preset <= mostMicros)
          .map(
            (preset) =>
              html`<button type="button" data-amount="${typedMoney(preset)}" aria-pressed="false">
                ${money(preset).replace('.00', '')}
              </button>`,
          )}
      </div>
      ${card === null ? null : howToPay(card, typed)}
      ${
        view.needsEmail
          ? textField({
              name: 'email',
              label: 'E-mail for receipts',
              type: 'email',
              autocomplete: 'email',
              hint: 'Paddle sends its receipts there. Asked once for this workspace.',
              required: card === null,
              typed,
            })
          : null
      }
      ${
        card === null
          ? tickField({
              name: 'save_card',
              label: 'Keep the card, for auto-recharge and for later top-ups',
              typed,
            })
          : null
      }
    </div>
    <div class="card stack">
      <h2>What it comes to</h2>
      ${selectField({
        name: 'country',
        label: 'Country that you pay from',
        choices: [{ value: '', title: view.needsEmail ? 'Choose' : 'As Paddle knows it' }, ...countries],
        typed,
      })}
      <div data-preview aria-live="polite">${previewPart(view.preview)}</div>
      <button class="primary" type="submit">${card === null ? 'Continue to payment' : 'Add funds'}</button>
      <p class="hint">
        Paid through Paddle, our merchant of record. The wallet is credited the full amount, without the tax.
      </p>
    </div>
  </form>`
}

function howToPay(card: CardFace, typed: Typed): Html {
  const isCheckout = typed.values['pay_with'] === 'checkout'
  return html`<fieldset>
    <legend>Pay with</legend>
    <label class="tick"
      ><input type="radio" name="pay_with" value="card" ${flag('checked', !isCheckout)} /><span
        >${cardName(card, { begins: true })}, charged at once</span
      ></label
    >
    <label class="tick"
      ><input type="radio" name="pay_with" value="checkout" ${flag('checked', isCheckout)} /><span
        >Another way, at Paddle's checkout</span
      ></label
    >
  </fieldset>`
}
