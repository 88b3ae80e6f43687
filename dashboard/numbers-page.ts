/** Rented numbers: what each is, what it costs, until when it is paid, and what happened to it. Renting one is the platform's job. */
import type { Micros } from '../billing/money.ts'
import type { PhoneNumberState } from '../billing/rental.ts'
import { csrfField } from './form.ts'
import { html, type Html } from './html.ts'
import { page, type Frame } from './page.ts'
import { places, receiptPath } from './places.ts'
import { count, day, money, time } from './wording.ts'

export type NumberLine = {
  id: string
  phoneNumber: string
  state: PhoneNumberState
  /** Of its next month; null when there will be none. */
  feeMicros: Micros | null
  nextAt: Date | null
  paidUntil: Date | null
  cancelAt: Date | null
  releasedAt: Date | null
}

export type NumberView = NumberLine & {
  rentedAt: Date
  periods: readonly { startsAt: Date; endsAt: Date; amountMicros: Micros; transactionId: string | null }[]
  history: readonly { state: PhoneNumberState; message: string; at: Date }[]
}

export function numberPath(id: string): `/wallet${string}` {
  return `${places.numbers.path}/${encodeURIComponent(id)}`
}

export function numbersPage(frame: Frame, view: { numbers: readonly NumberLine[]; total: number }): Html {
  const { numbers, total } = view
  return page(
    frame,
    {},
    html`<section class="card" aria-labelledby="list-title">
      <header>
        <h2 id="list-title">${count(total, 'number')}</h2>
        ${total > numbers.length ? html`<span class="soft">the newest ${numbers.length} are shown</span>` : null}
      </header>
      ${
        numbers.length === 0
          ? html`<p class="empty">
              No number is rented. Numbers show here once the platform has rented one for this workspace.
            </p>`
          : numberTable(numbers)
      }
    </section>`,
  )
}

export function numberPage(frame: Frame, view: NumberView): Html {
  const canCancel = frame.mayChange && view.cancelAt === null && view.state !== 'released'
  return page(
    frame,
    { title: view.phoneNumber },
    html`<p><a href="${places.numbers.path}">All numbers</a></p>
      <section class="card stack" aria-labelledby="number-title">
        <div class="head">
          <h2 id="number-title">${stateText(view)}</h2>
          ${statePill(view.state)}
        </div>
        <dl class="facts">
          <dt>Rented</dt>
          <dd>${time(view.rentedAt)}</dd>
          <dt>Paid until</dt>
          <dd>${view.paidUntil === null ? 'Not paid yet' : time(view.paidUntil)}</dd>
          <dt>A month costs</dt>
          <dd>${view.feeMicros === null ? 'There is no next month' : money(view.feeMicros)}</dd>
        </dl>
        ${
          canCancel
            ? html`<form method="post" action="${numberPath(view.id)}/cancel">
                ${csrfField(frame)}
                <div class="row">
                  <button type="submit">Give it up</button>
                  <span class="hint"
                    >${
                      view.state === 'active'
                        ? 'It ends with the month that is paid; what was paid is not given back.'
                        : 'Its month is owed, so it ends at once.'
                    }</span
                  >
                </div>
              </form>`
            : null
        }
      </section>
      <section class="card" aria-labelledby="months-title">
        <header><h2 id="months-title">Months that were paid</h2></header>
        ${view.periods.length === 0 ? html`<p class="empty">None yet.</p>` : periodTable(view)}
      </section>
      <section class="card" aria-labelledby="history-title">
        <header><h2 id="history-title">What happened</h2></header>
        <dl class="facts">
          ${view.history.map(
            ({ message, at }) =>
              html`<dt>${time(at)}</dt>
                <dd>${message}</dd>`,
          )}
        </dl>
      </section>`,
  )
}

function numberTable(numbers: readonly NumberLine[]): Html {
  return html`<div class="scroll" role="group" aria-label="Numbers" tabindex="0">
    <table>
      <caption class="hidden">
        Numbers, newest first
      </caption>
      <thead>
        <tr>
          <th scope="col">Number</th>
          <th scope="col">Next month begins</th>
          <th scope="col" class="number">A month</th>
        </tr>
      </thead>
      <tbody>
        ${numbers.map(
          (each) =>
            html`<tr>
              <th scope="row">
                <a href="${numberPath(each.id)}">${each.phoneNumber}</a> ${statePill(each.state)}
              </th>
              <td>${each.nextAt === null ? endText(each) : day(each.nextAt)}</td>
              <td class="number">${each.feeMicros === null ? '' : money(each.feeMicros)}</td>
            </tr>`,
        )}
      </tbody>
    </table>
  </div>`
}

function periodTable({ periods }: NumberView): Html {
  return html`<table>
    <caption class="hidden">
      Months that were paid, newest first
    </caption>
    <thead>
      <tr>
        <th scope="col">From</th>
        <th scope="col">To</th>
        <th scope="col" class="number">Fee</th>
      </tr>
    </thead>
    <tbody>
      ${periods.map(
        ({ startsAt, endsAt, amountMicros, transactionId }) =>
          html`<tr>
            <td>${day(startsAt)}</td>
            <td>${day(endsAt)}</td>
            <td class="number">
              ${transactionId === null ? money(amountMicros) : html`<a href="${receiptPath(transactionId)}">${money(amountMicros)}</a>`}
            </td>
          </tr>`,
      )}
    </tbody>
  </table>`
}

function endText({ cancelAt, releasedAt }: NumberLine): string {
  if (releasedAt !== null) return `Ended on ${day(releasedAt)}`
  return cancelAt === null ? '' : `Ends on ${day(cancelAt)}`
}

function stateText({ state, cancelAt, nextAt, releasedAt }: NumberView): string {
  if (state === 'released') return releasedAt === null ? 'It has ended' : `It ended on ${day(releasedAt)}`
  if (cancelAt !== null) return `It ends on ${day(cancelAt)}`
  if (state === 'past_due') return 'A month is owed: it is tried again every day'
  if (state === 'suspended') return 'Suspended until its month is paid'
  return nextAt === null ? 'In use' : `Its next month begins on ${day(nextAt)}`
}

const stateTitles: Record<PhoneNumberState, { title: string; kind: '' | 'good' | 'bad' | 'warn' }> = {
  active: { title: 'Active', kind: 'good' },
  past_due: { title: 'Past due', kind: 'warn' },
  suspended: { title: 'Suspended', kind: 'bad' },
  released: { title: 'Ended', kind: '' },
}

function statePill(state: PhoneNumberState): Html {
  const { title, kind } = stateTitles[state]
  return html`<span class="pill ${kind}">${title}</span>`
}
