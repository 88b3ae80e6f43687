/** Spend by day as stacked bars, drawn on the server: nothing has to be loaded to see it, and a table says the same in words. */
import { micros, sumMicros, type Micros } from '../billing/money.ts'
import { html, type Html } from './html.ts'
import { cost, meterTitles, money, shortDay } from './wording.ts'

/** The days in order, also those without usage; a meter that took nothing on a day is left out there. */
export type SpendDay = { date: string; meters: readonly { meter: string; usedMicros: Micros }[] }

const meters = ['voice', 'telephony', 'recording', 'message', 'number_rental'] as const

/** Of a drawing, in its own units; `labels` is how many days are named at most. */
type Paper = { look: 'wide' | 'narrow'; width: number; height: number; left: number; labels: number }

/** One is shown. On a telephone the other's words would be too small to read. */
const papers: readonly Paper[] = [
  { look: 'wide', width: 960, height: 280, left: 56, labels: 8 },
  { look: 'narrow', width: 326, height: 220, left: 44, labels: 4 },
]
const right = 24
const bottom = 28
const top = 12

export function spendChart(days: readonly SpendDay[]): Html {
  const totals = days.map(({ meters: of }) => sumMicros(of.map(({ usedMicros }) => usedMicros)))
  const most = totals.reduce<bigint>((highest, total) => (total > highest ? total : highest), 0n)
  const scale = niceScale(most)
  return html`${papers.map((paper) => drawing(days, { paper, scale, name: chartName(days, totals) }))}`
}

function drawing(
  days: readonly SpendDay[],
  { paper, scale, name }: { paper: Paper; scale: Scale; name: string },
): Html {
  const { look, width, height, left } = paper
  const step = (width - left - right) / Math.max(1, days.length)
  const barWidth = Math.max(2, Math.min(40, step * 0.7))
  const y = (amount: bigint): number => height - bottom - share(amount, scale.top) * (height - bottom - top)
  return html`<svg
    class="chart ${look}"
    viewBox="0 0 ${width} ${height}"
    role="img"
    aria-labelledby="chart-name-${look}"
  >
    <title id="chart-name-${look}">${name}</title>
    ${scale.marks.map(
      (mark) =>
        html`<line class="grid" x1="${left}" x2="${width}" y1="${fixed(y(mark))}" y2="${fixed(y(mark))}" />
          <text x="${left - 8}" y="${fixed(y(mark) + 4)}" text-anchor="end">${axisMoney(mark)}</text>`,
    )}
    ${days.map((day, index) => {
      const x = left + step * index + (step - barWidth) / 2
      return html`<g
        >${stack(day, { x, barWidth, y })}${dayLabel(day, { index, days: days.length, x: x + barWidth / 2, paper })}</g
      >`
    })}
  </svg>`
}

export function spendLegend(days: readonly SpendDay[]): Html {
  const used = meters.filter((meter) => days.some((day) => day.meters.some((each) => each.meter === meter)))
  return html`<ul class="legend-list" aria-label="Meters">
    ${used.map((meter) => html`<li><span class="swatch m-${meter}"></span>${meterTitles[meter]}</li>`)}
  </ul>`
}

export function spendDayTable(days: readonly SpendDay[]): Html {
  const used = meters.filter((meter) => days.some((day) => day.meters.some((each) => each.meter === meter)))
  return html`<div class="scroll" role="group" aria-label="Spend by day and meter" tabindex="0">
    <table>
      <caption class="hidden">
        Spend by day and meter
      </caption>
      <thead>
        <tr>
          <th scope="col">Day</th>
          ${used.map((meter) => html`<th scope="col" class="number">${meterTitles[meter]}</th>`)}
          <th scope="col" class="number">All</th>
        </tr>
      </thead>
      <tbody>
        ${days.toReversed().map(
          ({ date, meters: of }) =>
            html`<tr>
              <th scope="row" class="when">${shortDay(date)}</th>
              ${used.map((meter) => html`<td class="number">${cost(amountOf(of, meter))}</td>`)}
              <td class="number">${cost(sumMicros(of.map(({ usedMicros }) => usedMicros)))}</td>
            </tr>`,
        )}
      </tbody>
    </table>
  </div>`
}

function stack(
  day: SpendDay,
  { x, barWidth, y }: { x: number; barWidth: number; y: (amount: bigint) => number },
): Html[] {
  let below = 0n
  return meters.flatMap((meter) => {
    const amount = amountOf(day.meters, meter)
    if (amount <= 0n) return []
    const from = y(below)
    below += amount
    const to = y(below)
    return [
      html`<rect
        class="m-${meter}"
        x="${fixed(x)}"
        y="${fixed(to)}"
        width="${fixed(barWidth)}"
        height="${fixed(Math.max(0.5, from - to))}"
      >
        <title>${shortDay(day.date)}: ${meterTitles[meter]} ${cost(amount)}</title>
      </rect>`,
    ]
  })
}

function dayLabel(
  { date }: SpendDay,
  { index, days, x, paper }: { index: number; days: number; x: number; paper: Paper },
): Html | null {
  const every = Math.max(1, Math.ceil(days / paper.labels))
  // Counted from the end, so that today always has its name.
  return (days - 1 - index) % every === 0
    ? html`<text x="${fixed(x)}" y="${paper.height - 8}" text-anchor="middle">${shortDay(date)}</text>`
    : null
}

function chartName(days: readonly SpendDay[], totals: readonly Micros[]): string {
  return `Spend by day over ${days.length} days, ${money(sumMicros(totals))} in all. The table below has every number.`
}

function amountOf(of: SpendDay['meters'], meter: string): Micros {
  return of.find((each) => each.meter === meter)?.usedMicros ?? micros(0n)
}

type Scale = { top: bigint; marks: readonly Micros[] }

/** Marks at round sums of money, the highest at or above the highest bar. */
function niceScale(most: bigint): Scale {
  const quarter = most / 4n
  for (let decade = 10_000n; ; decade *= 10n) {
    const stride = [1n, 2n, 5n].map((each) => each * decade).find((each) => each >= quarter)
    if (stride === undefined) continue
    const count = most === 0n ? 1n : (most + stride - 1n) / stride
    const marks = Array.from({ length: Number(count) + 1 }, (_, index) => micros(stride * BigInt(index)))
    return { top: stride * count, marks }
  }
}

function axisMoney(amount: Micros): string {
  return money(amount).replace(/\.00$/, '')
}

/** A part of a whole, for drawing alone: a thousandth of a pixel is enough. */
function share(part: bigint, whole: bigint): number {
  return whole === 0n ? 0 : Number((part * 1_000_000n) / whole) / 1_000_000
}

function fixed(length: number): string {
  return length.toFixed(2)
}
