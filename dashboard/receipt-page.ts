/** A receipt: every number that an amount follows from, so that a reader can follow it by hand and sees that the sum fits. */
import type { Micros } from '../billing/money.ts'
import { html, type Html } from './html.ts'
import { page, type Frame } from './page.ts'
import { places, topUpPath } from './places.ts'
import type { TransactionRow } from './transaction-rows.ts'
import { change, duration, exactMoney, groupDigits, meterTitles, time } from './wording.ts'

export type ReceiptView = {
  row: TransactionRow
  sequence: bigint
  balanceBeforeMicros: Micros
  occurredAt: Date
  /** To what it belongs: a call, a chat, a number, and where it went. */
  facts: readonly { title: string; text: string }[]
  topUpId: string | null
  rateCard: { id: string; effectiveFrom: Date; hasAgreedRates: boolean } | null
  lines: readonly ReceiptLine[]
  postings: readonly { debit: string; credit: string; amountMicros: Micros }[]
  hash: string
  previousHash: string
  /** What does not follow from what is stored; empty when all does. */
  differences: readonly string[]
}

export type ReceiptLine = {
  meter: string
  /** Billed seconds, or messages, or months. */
  quantity: number
  isTime: boolean
  prefix: string | null
  place: string | null
  /** Of what is sold by the piece. Rates are exact decimal text. */
  eachUsd: string | null
  connectionFeeUsd: string | null
  increments: readonly { fromSecond: number; count: number; incrementSeconds: number; perMinuteUsd: string }[]
  /** Before rounding. */
  unroundedUsd: string
  amountMicros: Micros
}

export function receiptPage(frame: Frame, view: ReceiptView): Html {
  const { row, balanceBeforeMicros, differences } = view
  return page(
    frame,
    { title: 'Receipt' },
    html`<p><a href="${places.transactions.path}">All transactions</a></p>
      <section class="card stack" aria-labelledby="receipt-title">
        <div class="head">
          <h2 id="receipt-title" class="break">${row.description}</h2>
          <strong class="number">${change(row.amountMicros)}</strong>
        </div>
        <dl class="facts">
          <dt>Happened</dt>
          <dd>${time(view.occurredAt)}</dd>
          <dt>Booked</dt>
          <dd>${time(row.postedAt)}</dd>
          ${view.facts.map(
            ({ title, text }) =>
              html`<dt>${title}</dt>
                <dd>${text}</dd>`,
          )}
          ${
            view.topUpId === null
              ? null
              : html`<dt>Top-up</dt>
                  <dd><a href="${topUpPath(view.topUpId)}">${view.topUpId}</a></dd>`
          }
          <dt>Transaction</dt>
          <dd class="mono">${row.id}, number ${groupDigits(view.sequence)} of this wallet</dd>
        </dl>
      </section>
      ${view.lines.length === 0 ? null : priceCard(view)}
      <section class="card stack" aria-labelledby="sum-title">
        <h2 id="sum-title">The sum</h2>
        <div>
          ${
            view.lines.length < 2
              ? null
              : html`<div class="sum-line">
                  <span>All lines together</span>
                  <span class="arithmetic">${sumOfLines(view)}</span>
                </div>`
          }
          <div class="sum-line">
            <span>The balance</span>
            <span class="arithmetic"
              >${exactMoney(balanceBeforeMicros)} ${row.amountMicros < 0n ? '\u2212' : '+'}
              ${exactMoney(row.amountMicros).replace('\u2212', '')} =
              ${exactMoney(row.balanceAfterMicros)}</span
            >
          </div>
        </div>
        ${verdict(differences)}
      </section>
      ${books(view)}`,
  )
}

function priceCard({ lines, rateCard }: ReceiptView): Html {
  return html`<section class="card" aria-labelledby="price-title">
    <header>
      <h2 id="price-title">How it was priced</h2>
      ${
        rateCard === null
          ? null
          : html`<span class="soft"
              >Rate card ${rateCard.id}, in force since
              ${time(rateCard.effectiveFrom)}${rateCard.hasAgreedRates ? ', with rates agreed for this workspace' : ''}</span
            >`
      }
    </header>
    <div>${lines.map(lineOf)}</div>
    <p class="hint">
      Every started increment is owed. Each line is rounded once, half up, to the millionth of a dollar.
    </p>
  </section>`
}

function lineOf(line: ReceiptLine): Html {
  const { meter, quantity, isTime, prefix, place, amountMicros } = line
  const where = prefix === null ? '' : ` to +${prefix}${place === null ? '' : `, ${place}`}`
  const billed = isTime ? `, ${duration(BigInt(quantity))} billed` : ''
  return html`<div class="sum-line">
    <div class="row">
      <h3>${meterTitles[meter] ?? meter}<span class="soft small">${where}${billed}</span></h3>
      <strong class="number">${exactMoney(amountMicros)}</strong>
    </div>
    ${arithmeticOf(line).map((text) => html`<span class="arithmetic">${text}</span>`)}
  </div>`
}

/** `61 x 1 s x $0.10 / 60 s = $0.10166…`, and what that is rounded to. */
function arithmeticOf(line: ReceiptLine): string[] {
  const { increments, connectionFeeUsd, eachUsd, quantity, unroundedUsd, amountMicros } = line
  const rounded = exactMoney(amountMicros)
  if (eachUsd !== null) return [`${groupDigits(quantity)} \u00d7 $${eachUsd} = ${rounded}`]
  const hasFee = connectionFeeUsd !== null && /[1-9]/.test(connectionFeeUsd)
  const owed = [
    ...(hasFee ? [`$${connectionFeeUsd} to connect`] : []),
    ...increments.map(
      ({ count, incrementSeconds, perMinuteUsd, fromSecond }) =>
        `${groupDigits(count)} \u00d7 ${incrementSeconds} s \u00d7 $${perMinuteUsd} / 60 s${
          fromSecond === 0 ? '' : ` from second ${fromSecond}`
        }`,
    ),
  ]
  // With all the digits that are shown, there are more of them.
  const isCut = /\.\d{15}$/.test(unroundedUsd) && !unroundedUsd.endsWith('0')
  const exact = `$${unroundedUsd.replace(/(\.\d\d\d*?)0+$/, '$1')}${isCut ? '…' : ''}`
  return [`${owed.join(' + ')} = ${exact}`, ...(exact === rounded ? [] : [`rounded half up: ${rounded}`])]
}

function sumOfLines({ lines, row }: ReceiptView): string {
  const total = exactMoney(row.amountMicros).replace('\u2212', '')
  return `${lines.map(({ amountMicros }) => exactMoney(amountMicros)).join(' + ')} = ${total}`
}

function verdict(differences: readonly string[]): Html {
  return differences.length === 0
    ? html`<p class="verdict">
        <span class="pill good">It fits</span>
        <span class="soft"
          >Computed again just now from what is stored: price, postings, balance and hash.</span
        >
      </p>`
    : html`<div>
        <p class="verdict"><span class="pill bad">It does not fit</span></p>
        <ul>
          ${differences.map((difference) => html`<li>${difference}</li>`)}
        </ul>
      </div>`
}

function books({ postings, hash, previousHash }: ReceiptView): Html {
  return html`<section class="card" aria-labelledby="books-title">
    <details>
      <summary id="books-title">How it stands in the books</summary>
      <div class="scroll" role="group" aria-label="Postings" tabindex="0">
        <table>
          <caption class="hidden">
            Postings
          </caption>
          <thead>
            <tr>
              <th scope="col">From</th>
              <th scope="col">To</th>
              <th scope="col" class="number">Amount</th>
            </tr>
          </thead>
          <tbody>
            ${postings.map(
              ({ debit, credit, amountMicros }) =>
                html`<tr>
                  <td>${debit}</td>
                  <td>${credit}</td>
                  <td class="number">${exactMoney(amountMicros)}</td>
                </tr>`,
            )}
          </tbody>
        </table>
      </div>
      <dl class="facts">
        <dt>Hash</dt>
        <dd class="mono">${hash}</dd>
        <dt>Hash before</dt>
        <dd class="mono">${previousHash}</dd>
      </dl>
    </details>
  </section>`
}
