/** Where the money went: by day and meter, by agent and campaign, and by destination. */
import type { Micros } from '../billing/money.ts'
import { html, type Html } from './html.ts'
import { page, type Frame } from './page.ts'
import { places } from './places.ts'
import { spendChart, spendDayTable, spendLegend, type SpendDay } from './spend-chart.ts'
import { cost, count, duration, groupDigits, meterTitles } from './wording.ts'

export type SpendView = {
  days: number
  byDay: readonly SpendDay[]
  total: { usedMicros: Micros; calls: bigint; messages: bigint; rentals: bigint }
  byMeter: readonly { meter: string; quantity: bigint; usedMicros: Micros }[]
  byAgent: readonly NamedSum[]
  byCampaign: readonly NamedSum[]
  byDestination: readonly {
    prefix: string | null
    place: string | null
    seconds: bigint
    usedMicros: Micros
    count: bigint
  }[]
}

/** Null: of usage that named none. */
type NamedSum = { name: string | null; usedMicros: Micros; count: bigint }

export const spans = [7, 30, 90] as const

export function spendPage(frame: Frame, view: SpendView): Html {
  const { total, days, byDay } = view
  return page(
    frame,
    {},
    html`<nav class="row" aria-label="How many days">
        ${spans.map((span) =>
          span === days
            ? html`<a class="button" aria-current="true" href="${places.spend.path}?days=${span}"
                ><strong>${span} days</strong></a
              >`
            : html`<a class="button" href="${places.spend.path}?days=${span}">${span} days</a>`,
        )}
      </nav>
      <section class="card stack" aria-labelledby="chart-title">
        <div class="head">
          <h2 id="chart-title">${cost(total.usedMicros)} in ${days} days</h2>
          <span class="soft"
            >${count(total.calls, 'call')},
            ${count(total.messages, 'message')}${
              total.rentals === 0n ? '' : `, ${count(total.rentals, 'number rental')}`
            }</span
          >
        </div>
        ${
          total.usedMicros === 0n
            ? html`<p class="empty">Nothing was used in these days.</p>`
            : html`${spendChart(byDay)} ${spendLegend(byDay)}
                <details>
                  <summary>The numbers by day</summary>
                  ${spendDayTable(byDay)}
                </details>`
        }
      </section>
      ${total.usedMicros === 0n ? null : breakdowns(view)}`,
  )
}

function breakdowns(view: SpendView): Html {
  return html`${meterCard(view)}
  ${namedCard(view, { title: 'By agent', column: 'Agent', field: 'agent_id', sums: view.byAgent })}
  ${namedCard(view, { title: 'By campaign', column: 'Campaign', field: 'campaign_id', sums: view.byCampaign })}
  ${destinationCard(view)}`
}

type Row = { head: Html | string; middle: string; usedMicros: Micros }

function sumsCard(
  view: SpendView,
  { title, column, middle, rows }: { title: string; column: string; middle: string; rows: readonly Row[] },
): Html {
  const id = title.toLowerCase().replaceAll(' ', '-')
  return html`<section class="card" aria-labelledby="${id}">
    <header><h2 id="${id}">${title}</h2></header>
    <table>
      <caption class="hidden">
        ${title}, the costliest first
      </caption>
      <thead>
        <tr>
          <th scope="col">${column}</th>
          <th scope="col" class="number">${middle}</th>
          <th scope="col" class="number">Cost</th>
        </tr>
      </thead>
      <tbody>
        ${rows.map(
          (row) =>
            html`<tr>
              <th scope="row" class="break">${row.head}${shareBar(row.usedMicros, view.total.usedMicros)}</th>
              <td class="number">${row.middle}</td>
              <td class="number">${cost(row.usedMicros)}</td>
            </tr>`,
        )}
      </tbody>
    </table>
  </section>`
}

/** How much of all it is: the number beside it says the same. */
function shareBar(part: Micros, whole: Micros): Html {
  const thousandths = whole === 0n ? 0n : (part * 1_000n) / whole
  return html`<svg
    class="share"
    viewBox="0 0 1000 6"
    preserveAspectRatio="none"
    aria-hidden="true"
    focusable="false"
  >
    <rect width="${String(thousandths)}" height="6" />
  </svg>`
}

function meterCard(view: SpendView): Html {
  const rows = view.byMeter.map(({ meter, quantity, usedMicros }) => ({
    head: meterTitles[meter] ?? meter,
    middle:
      meter === 'message'
        ? count(quantity, 'message')
        : meter === 'number_rental'
          ? count(quantity, 'month')
          : duration(quantity),
    usedMicros,
  }))
  return sumsCard(view, { title: 'By meter', column: 'Meter', middle: 'How much', rows })
}

function namedCard(
  view: SpendView,
  { title, column, field, sums }: { title: string; column: string; field: string; sums: readonly NamedSum[] },
): Html {
  const rows = sums.map(({ name, usedMicros, count: events }) => ({
    head:
      name === null
        ? html`<span class="soft">Without one</span>`
        : html`<a href="${places.transactions.path}?${new URLSearchParams({ [field]: name }).toString()}"
            >${name}</a
          >`,
    middle: groupDigits(events),
    usedMicros,
  }))
  return sumsCard(view, { title, column, middle: 'Events', rows })
}

function destinationCard(view: SpendView): Html | null {
  if (view.byDestination.length === 0) return null
  const rows = view.byDestination.map(({ prefix, place, seconds, usedMicros }) => ({
    head: prefix === null ? 'Withheld numbers' : html`${place ?? `+${prefix}`}<small>+${prefix}</small>`,
    middle: duration(seconds),
    usedMicros,
  }))
  return sumsCard(view, { title: 'Top destinations', column: 'Telephony to', middle: 'Billed', rows })
}
