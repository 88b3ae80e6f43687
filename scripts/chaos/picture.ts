/** The run as a picture: how much was posted each second, and the faults on the same line of time. Reads on light and dark pages. */
import type { FaultFamily } from './fault.ts'
import type { Sample } from './samples.ts'

export type Mark = { name: string; family: FaultFamily; fromMs: number; untilMs: number }

const size = { width: 1_000, height: 340 }
const plot = { left: 64, right: 984, top: 64, bottom: 268 }
const families: [FaultFamily, string, string][] = [
  ['process', 'processes', '#bf3989'],
  ['redis', 'Redis', '#cf222e'],
  ['postgres', 'Postgres', '#0969da'],
  ['paddle', 'Paddle', '#8250df'],
  ['deliveries', 'deliveries', '#1a7f37'],
  ['clock', 'clocks', '#9a6700'],
]

export function drawTimeline({
  title,
  samples,
  marks,
}: {
  title: string
  samples: readonly Sample[]
  marks: readonly Mark[]
}): string {
  const rates = ratesOf(samples)
  const lastMs = Math.max(samples.at(-1)?.atMs ?? 1, ...marks.map((mark) => mark.untilMs), 1)
  const most = niceAbove(Math.max(1, ...rates.map(({ perSecond }) => perSecond)))
  const x = (atMs: number): string => (plot.left + ((plot.right - plot.left) * atMs) / lastMs).toFixed(1)
  const y = (perSecond: number): string =>
    (plot.bottom - ((plot.bottom - plot.top) * perSecond) / most).toFixed(1)
  const line = rates.map(({ atMs, perSecond }) => `${x(atMs)},${y(perSecond)}`).join(' ')
  const area = `${x(rates[0]?.atMs ?? 0)},${plot.bottom} ${line} ${x(rates.at(-1)?.atMs ?? 0)},${plot.bottom}`
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${size.width}" height="${size.height}" viewBox="0 0 ${size.width} ${size.height}" role="img">`,
    `<title>${escape(title)}</title>`,
    style,
    `<rect class="card" x="0.5" y="0.5" width="${size.width - 1}" height="${size.height - 1}" rx="10"/>`,
    `<text class="ink strong" x="24" y="32">${escape(title)}</text>`,
    `<text class="faint" x="24" y="52">transactions posted a second; a coloured band is a fault while it lasted</text>`,
    ...[0, 0.5, 1].flatMap((share) => [
      `<path class="grid" d="M${plot.left} ${y(most * share)} H${plot.right}"/>`,
      `<text class="faint" x="${plot.left - 8}" y="${Number.parseFloat(y(most * share)) + 4}" text-anchor="end">${(most * share).toLocaleString('en-US')}</text>`,
    ]),
    ...marks.map((mark) => bandOf(mark, x)),
    `<polygon class="area" points="${area}"/>`,
    `<polyline class="line" points="${line}"/>`,
    ...timesOf(lastMs).map(
      (seconds) =>
        `<text class="faint" x="${x(seconds * 1_000)}" y="${plot.bottom + 20}" text-anchor="middle">${clock(seconds)}</text>`,
    ),
    ...legendOf(marks),
    '</svg>',
    '',
  ].join('\n')
}

const style = `<style>
  text { font: 12px ui-sans-serif, system-ui, 'Segoe UI', Helvetica, Arial, sans-serif }
  .strong { font-size: 15px; font-weight: 600 }
  .card { fill: #ffffff; stroke: #d0d7de }
  .ink { fill: #1f2328 } .faint { fill: #59636e }
  .grid { stroke: #d0d7de; stroke-width: 1; fill: none }
  .area { fill: #1f6feb; opacity: 0.16 }
  .line { fill: none; stroke: #1f6feb; stroke-width: 1.5; stroke-linejoin: round }
  .band { opacity: 0.3 }
  @media (prefers-color-scheme: dark) {
    .card { fill: #0d1117; stroke: #3d444d }
    .ink { fill: #f0f6fc } .faint { fill: #9198a1 } .grid { stroke: #3d444d }
    .line { stroke: #58a6ff } .area { fill: #58a6ff } .band { opacity: 0.45 }
  }
</style>`

function bandOf({ name, family, fromMs, untilMs }: Mark, x: (atMs: number) => string): string {
  const from = Number.parseFloat(x(fromMs))
  const width = Math.max(1.5, Number.parseFloat(x(untilMs)) - from)
  const colour = families.find(([each]) => each === family)?.[2] ?? '#59636e'
  const at = `x="${from}" width="${width.toFixed(1)}"`
  return (
    `<g fill="${colour}"><title>${escape(name)}</title>` +
    `<rect class="band" ${at} y="${plot.top}" height="${plot.bottom - plot.top}"/>` +
    `<rect ${at} y="${plot.bottom}" height="4"/></g>`
  )
}

function legendOf(marks: readonly Mark[]): string[] {
  const shown = families
    .map(([family, words, colour]) => ({
      words,
      colour,
      times: marks.filter((mark) => mark.family === family).length,
    }))
    .filter(({ times }) => times > 0)
  return shown.map(({ words, colour, times }, place) => {
    const left = plot.left + place * 150
    return (
      `<rect x="${left}" y="${size.height - 32}" width="12" height="12" rx="2" fill="${colour}"/>` +
      `<text class="ink" x="${left + 18}" y="${size.height - 22}">${times} x ${words}</text>`
    )
  })
}

/** Each second's, or longer where the run is: about two hundred points. */
function ratesOf(samples: readonly Sample[]): { atMs: number; perSecond: number }[] {
  const known = samples.flatMap(({ atMs, posted }) => (posted === null ? [] : [{ atMs, posted }]))
  const lastMs = known.at(-1)?.atMs ?? 0
  const stepMs = Math.max(1_000, lastMs / 230)
  const rates: { atMs: number; perSecond: number }[] = []
  let before = known[0]
  for (const sample of known) {
    if (before === undefined || sample.atMs - before.atMs < stepMs) continue
    const seconds = (sample.atMs - before.atMs) / 1_000
    rates.push({
      atMs: (sample.atMs + before.atMs) / 2,
      perSecond: Math.max(0, (sample.posted - before.posted) / seconds),
    })
    before = sample
  }
  return rates
}

function timesOf(lastMs: number): number[] {
  const seconds = lastMs / 1_000
  const step = [5, 10, 30, 60, 120, 300, 600, 1_200].find((each) => seconds / each <= 10) ?? 3_600
  return Array.from({ length: Math.floor(seconds / step) + 1 }, (_, index) => index * step)
}

function clock(seconds: number): string {
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`
}

function niceAbove(value: number): number {
  const magnitude = 10 ** Math.floor(Math.log10(value))
  return ([1, 2, 4, 6, 8, 10].find((each) => each * magnitude >= value) ?? 10) * magnitude
}

function escape(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}
