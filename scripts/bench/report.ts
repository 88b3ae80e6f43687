/** What came of the rounds: medians, the ratios that the project promises, and both as a table or as JSON. */
import type { Scenario, ScenarioName } from './scenario.ts'

/** One run of one scenario. */
export type Figures = {
  eventsPerSecond: number
  /** Enqueue to commit; null unless the events came at a steady rate. */
  latencyMs: { p50: number; p99: number } | null
  averageBatch: number | null
  postingShare: number | null
  /** CPU time for each event, in microseconds; null where it cannot be known. */
  cpuMicros: { worker: number; redis: number | null; postgres: number | null }
}

/** Each scenario's figures, round by round; null for a round in which it was left out. */
export type Results = Map<ScenarioName, (Figures | null)[]>

type Goal = { name: string; what: string; of: ScenarioName; to: ScenarioName; atLeast: number }

const goals: readonly Goal[] = [
  { name: 'batch_vs_noop', what: 'of the no-op worker', of: 'batch_many', to: 'noop', atLeast: 0.7 },
  {
    name: 'batch_hot_vs_noop',
    what: 'of the no-op worker, one wallet',
    of: 'batch_hot',
    to: 'noop',
    atLeast: 0.7,
  },
  {
    name: 'batch_vs_single_many',
    what: 'one transaction per job, many wallets',
    of: 'batch_many',
    to: 'single_many',
    atLeast: 8,
  },
  {
    name: 'batch_vs_single_hot',
    what: 'one transaction per job, one wallet',
    of: 'batch_hot',
    to: 'single_hot',
    atLeast: 12,
  },
  {
    name: 'hot_vs_many',
    what: 'one wallet against many',
    of: 'batch_hot',
    to: 'batch_many',
    atLeast: 0.9,
  },
  {
    name: 'usage_batch_vs_noop',
    what: "50 events a job, against the no-op worker's jobs",
    of: 'usage_batch',
    to: 'noop',
    atLeast: 2.5,
  },
  {
    name: 'bad_events_vs_none',
    what: '0.1 % bad events against none',
    of: 'batch_bad',
    to: 'batch_many',
    atLeast: 0.9,
  },
  {
    name: 'admission_vs_single',
    what: 'admission against one transaction each',
    of: 'admission',
    to: 'admission_single',
    atLeast: 4,
  },
  {
    name: 'admission_hot_vs_single',
    what: 'the same on one wallet',
    of: 'admission_hot',
    to: 'admission_single_hot',
    atLeast: 4,
  },
]

/** On a quiet machine, and always below the worker with one transaction per job in the same run. */
const latencyGoals: readonly { of: ScenarioName; against: ScenarioName; p99Ms: number }[] = [
  { of: 'batch_at_500', against: 'single_at_500', p99Ms: 15 },
  { of: 'batch_at_2000', against: 'single_at_2000', p99Ms: 60 },
]

export type Summary = {
  ratios: Record<string, number>
  latency_ms: Partial<Record<ScenarioName, { p50: number; p99: number }>>
  events_per_s: Partial<Record<ScenarioName, number>>
  average_batch: Partial<Record<ScenarioName, number>>
  cpu_us_per_event: Partial<Record<ScenarioName, Figures['cpuMicros']>>
  settings: Record<string, unknown>
}

/**
 * Shape: a ratio is the median of its rounds' ratios, because what else the machine does changes from round to round; one
 *        whose scenarios did not run is left out.
 */
export function summarize(results: Results, settings: Record<string, unknown>): Summary {
  const summary: Summary = {
    ratios: {},
    latency_ms: {},
    events_per_s: {},
    average_batch: {},
    cpu_us_per_event: {},
    settings,
  }
  for (const { name, of, to } of goals) {
    const ratio = medianRatio(results.get(of) ?? [], results.get(to) ?? [])
    if (ratio !== null) summary.ratios[name] = round(ratio, 3)
  }
  for (const [name, rounds] of results) {
    const figures = rounds.filter((each) => each !== null)
    if (figures.length === 0) continue
    const middle = (read: (figures: Figures) => number | null | undefined): number | null =>
      median(figures.map(read).filter((value) => value !== null && value !== undefined))

    const p50 = middle((each) => each.latencyMs?.p50)
    const p99 = middle((each) => each.latencyMs?.p99)
    const rate = middle((each) => each.eventsPerSecond)
    const averageBatch = middle((each) => each.averageBatch)
    // At a steady rate the events per second say nothing but that rate.
    if (p50 !== null && p99 !== null) summary.latency_ms[name] = { p50: round(p50, 2), p99: round(p99, 2) }
    else if (rate !== null) summary.events_per_s[name] = Math.round(rate)
    if (averageBatch !== null) summary.average_batch[name] = round(averageBatch, 1)
    summary.cpu_us_per_event[name] = {
      worker: Math.round(middle((each) => each.cpuMicros.worker) ?? 0),
      redis: roundOrNull(middle((each) => each.cpuMicros.redis)),
      postgres: roundOrNull(middle((each) => each.cpuMicros.postgres)),
    }
  }
  return summary
}

/** For people. */
export function formatReport(
  summary: Summary,
  { scenarios, notes }: { scenarios: readonly Scenario[]; notes: readonly string[] },
): string {
  const lines = [
    row(['', 'events/s', 'p50 ms', 'p99 ms', 'batch', 'CPU us/event: worker', 'redis', 'postgres']),
    ...scenarios
      .filter(({ name }) => summary.cpu_us_per_event[name] !== undefined)
      .map((scenario) => scenarioRow(summary, scenario)),
    '',
    ...goals.flatMap((goal) => goalLine(summary, goal)),
    ...latencyGoals.flatMap((goal) => latencyLine(summary, goal)),
    '',
    ...notes,
    ...Object.entries(summary.settings).map(([name, value]) => `${name}: ${String(value)}`),
  ]
  return `${lines.join('\n')}\n`
}

function scenarioRow(summary: Summary, { name, title }: Scenario): string {
  const latency = summary.latency_ms[name]
  const cpu = summary.cpu_us_per_event[name]
  return row([
    title,
    summary.events_per_s[name]?.toLocaleString('en-US'),
    latency?.p50.toFixed(1),
    latency?.p99.toFixed(1),
    summary.average_batch[name]?.toFixed(summary.average_batch[name] < 10 ? 1 : 0),
    cpu?.worker,
    cpu?.redis,
    cpu?.postgres,
  ])
}

function goalLine(summary: Summary, { name, what, atLeast }: Goal): string[] {
  const ratio = summary.ratios[name]
  if (ratio === undefined) return []
  const verdict = ratio >= atLeast ? 'met' : `MISSED by ${((1 - ratio / atLeast) * 100).toFixed(0)} %`
  return [
    `${name.padEnd(22)} ${ratio.toFixed(2).padStart(7)}  goal >= ${atLeast.toFixed(2).padEnd(5)}  ${verdict.padEnd(14)} ${what}`,
  ]
}

function latencyLine(
  summary: Summary,
  { of, against, p99Ms }: { of: ScenarioName; against: ScenarioName; p99Ms: number },
): string[] {
  const p99 = summary.latency_ms[of]?.p99
  if (p99 === undefined) return []
  const other = summary.latency_ms[against]?.p99
  const verdict = p99 <= p99Ms && p99 < (other ?? Infinity) ? 'met' : 'MISSED'
  const beside = other === undefined ? '' : `, one transaction per job ${other.toFixed(1)}`
  return [
    `${`p99_${of}`.padEnd(22)} ${p99.toFixed(1).padStart(7)}  goal <= ${p99Ms.toFixed(0).padEnd(5)}  ${verdict.padEnd(14)} ms from enqueue to commit${beside}`,
  ]
}

function row([title, ...cells]: (string | number | null | undefined)[]): string {
  const widths = [11, 8, 8, 7, 22, 7, 10]
  const columns = cells.map((cell, index) => String(cell ?? '').padStart(widths[index] ?? 8))
  return `${String(title ?? '').padEnd(38)}${columns.join('')}`.trimEnd()
}

function medianRatio(of: readonly (Figures | null)[], to: readonly (Figures | null)[]): number | null {
  return median(
    of.flatMap((each, index) => {
      const base = to[index]
      return each && base ? [each.eventsPerSecond / base.eventsPerSecond] : []
    }),
  )
}

function median(values: readonly number[]): number | null {
  const sorted = values.toSorted((one, other) => one - other)
  const upper = sorted[Math.floor(sorted.length / 2)]
  const lower = sorted[Math.floor((sorted.length - 1) / 2)]
  return upper === undefined || lower === undefined ? null : (upper + lower) / 2
}

/** The value below which that part of the values lies. */
export function quantile(values: readonly number[], part: number): number {
  const sorted = values.toSorted((one, other) => one - other)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? Number.NaN
}

function round(value: number, decimals: number): number {
  return Number(value.toFixed(decimals))
}

function roundOrNull(value: number | null): number | null {
  return value === null ? null : Math.round(value)
}
