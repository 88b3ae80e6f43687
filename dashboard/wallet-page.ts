/** The wallet: what is there, how long it lasts, what brings more, and what it went on lately. */
import { usualPace, type BurnSpan, type Pace } from '../billing/burn-rate.ts'
import type { Micros } from '../billing/money.ts'
import { html, type Html } from './html.ts'
import { page, type Frame } from './page.ts'
import { places } from './places.ts'
import { rechargeSentence, type RechargeState } from './recharge-sentence.ts'
import { transactionTable, type TransactionRow } from './transaction-rows.ts'
import { cost, count, day, money } from './wording.ts'

export type WalletView = {
  balanceMicros: Micros
  heldMicros: Micros
  availableMicros: Micros
  liveCalls: number
  burn: Record<BurnSpan, Pace>
  recharge: RechargeState
  rentals: readonly RentalDue[]
  latest: readonly TransactionRow[]
}

export type RentalDue = { phoneNumber: string; feeMicros: Micros; dueAt: Date }

export function walletPage(frame: Frame, view: WalletView): Html {
  return page(
    frame,
    { live: true },
    html`<section class="card hero" aria-labelledby="balance-title">
        <div>
          <h2 class="label" id="balance-title">Balance</h2>
          <p class="balance" data-balance>${money(view.balanceMicros)}</p>
          <p class="soft" data-live="available">${availableText(view)}</p>
          <p class="hidden" aria-live="polite" data-spoken></p>
        </div>
        ${
          frame.mayChange
            ? html`<div class="row">
                <a class="button primary" href="${places['add-funds'].path}">Add funds</a>
                <a class="button" href="${places['auto-recharge'].path}">Auto-recharge</a>
              </div>`
            : null
        }
      </section>
      <div data-live="figures">${figures(view)}</div>
      <section class="card" aria-labelledby="recharge-title" data-live="recharge">
        ${rechargeCard(frame, view.recharge)}
      </section>
      ${view.rentals.length === 0 ? null : rentalsCard(view.rentals)}
      <section class="card" aria-labelledby="latest-title">
        <header>
          <h2 id="latest-title">Latest transactions</h2>
          <a href="${places.transactions.path}">All transactions</a>
        </header>
        <div data-live="latest">
          ${
            view.latest.length === 0
              ? html`<p class="empty">
                  Nothing has happened yet. Calls, messages and top-ups show here as they come.
                </p>`
              : transactionTable('Latest transactions', view.latest)
          }
        </div>
      </section>`,
  )
}

function availableText({ availableMicros, heldMicros, liveCalls }: WalletView): string {
  const available = `${money(availableMicros)} available`
  if (heldMicros === 0n) return `${available}. Nothing is held for calls in progress.`
  return `${available}. ${cost(heldMicros)} is held for ${count(liveCalls, 'call')} in progress, and comes back as far as ${
    liveCalls === 1 ? 'it does' : 'they do'
  } not need it.`
}

function figures({ burn }: WalletView): Html {
  const pace = usualPace(burn)
  const { runwayHours } = pace
  return html`<dl class="figures">
    <div>
      <dt>Last hour</dt>
      <dd>${cost(burn.hour.usedMicros)}</dd>
    </div>
    <div>
      <dt>Last 24 hours</dt>
      <dd>${cost(burn.day.usedMicros)}</dd>
    </div>
    <div>
      <dt>Last 7 days</dt>
      <dd>${cost(burn.week.usedMicros)}</dd>
    </div>
    <div>
      <dt>Lasts</dt>
      <dd class="wordy">${runwayText(runwayHours)}</dd>
      ${runwayHours !== null && runwayHours > 0n ? html`<dd class="hint">at the pace of the last ${pace === burn.day ? '24 hours' : '7 days'}</dd>` : null}
    </div>
  </dl>`
}

function runwayText(hours: bigint | null): string {
  if (hours === null) return 'Nothing used lately'
  if (hours === 0n) return 'Less than an hour'
  if (hours < 36n) return `About ${count(hours, 'hour')}`
  const days = (hours + 12n) / 24n
  return days > 365n ? 'More than a year' : `About ${count(days, 'day')}`
}

function rechargeCard({ mayChange }: Frame, recharge: RechargeState): Html {
  const isOn = recharge.settings !== null
  const isHeldUp = isOn && recharge.obstacle !== null && recharge.chargingMicros === null
  return html`<div class="head">
      <h2 id="recharge-title">Auto-recharge</h2>
      <span class="pill ${isHeldUp ? 'warn' : isOn ? 'good' : ''}"
        >${isHeldUp ? 'On, held up' : isOn ? 'On' : 'Off'}</span
      >
    </div>
    <p>${rechargeSentence(recharge)}</p>
    ${mayChange ? html`<p><a href="${places['auto-recharge'].path}">${isOn ? 'Change it' : 'Set it up'}</a></p>` : null}`
}

function rentalsCard(rentals: readonly RentalDue[]): Html {
  return html`<section class="card" aria-labelledby="rentals-title">
    <header>
      <h2 id="rentals-title">Next rentals due</h2>
      <a href="${places.numbers.path}">All numbers</a>
    </header>
    <table>
      <caption class="hidden">
        Next rentals due
      </caption>
      <thead>
        <tr>
          <th scope="col">Number</th>
          <th scope="col">Due</th>
          <th scope="col" class="number">Fee</th>
        </tr>
      </thead>
      <tbody>
        ${rentals.map(
          ({ phoneNumber, feeMicros, dueAt }) =>
            html`<tr>
              <th scope="row">${phoneNumber}</th>
              <td>${day(dueAt)}</td>
              <td class="number">${money(feeMicros)}</td>
            </tr>`,
        )}
      </tbody>
    </table>
  </section>`
}
