/**
 * Chaos: the whole of it, in real processes on real servers, under load, while one thing after the other breaks. Afterwards an
 * oracle that shares no line with the project says what every event and every wallet must have come to.
 */
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { styleText } from 'node:util'

import { catalogue, scheduleOf } from './chaos/catalogue.ts'
import { planLoad } from './chaos/load.ts'
import { drawTimeline } from './chaos/picture.ts'
import { gentlePerSecond, runChaos, type ChaosResult, type Progress } from './chaos/run.ts'
import { startStage } from './chaos/stage.ts'
import { count } from './chaos/verdict.ts'
import { Misuse, runScript, wholeNumber } from './command-line.ts'

const sizes = { events: { least: 200, most: 10_000_000 }, faults: { least: 0, most: 10_000 } }
/** Fewer, and a fault may find nothing to break. */
const fewestEventsPerFault = 50

await runScript({
  name: 'chaos',
  usage: `usage: npm run -s chaos -- [options]

Starts Postgres, Redis, two worker processes, the API and a Paddle simulator of its own in a temporary directory, sends usage on
both roads, calls, top-ups and webhooks, and breaks one thing after the other meanwhile. Then it waits until all has come to rest
and compares every event, wallet and cent with an oracle. 20,000 events and 30 faults take about three minutes.

  --events <n>      usage events to send, ${count(sizes.events.least)} to ${count(sizes.events.most)} (20000)
  --faults <n>      how many things break; 0 is a run in peace (30)
  --per-second <n>  events a second of a run in peace (${gentlePerSecond}); more than the machine can do shows it at saturation
  --seed <n>        what is sent and what breaks when (a new one, and said)
  --only <names>    only these faults, such as redis-wiped,worker-killed
  --report <file>   writes what was seen and judged as JSON
  --picture <file>  draws the throughput and the faults as SVG
  --keep            keeps the temporary directory, its logs and its data
  --list            lists the faults
  --help            this text

Exits 0 when every promise was kept; 1 when one was broken, and when a fault was not seen, which makes the run void.`,
  options: {
    events: { type: 'string', default: '20000' },
    faults: { type: 'string', default: '30' },
    'per-second': { type: 'string', default: String(gentlePerSecond) },
    seed: { type: 'string' },
    only: { type: 'string' },
    report: { type: 'string' },
    picture: { type: 'string' },
    keep: { type: 'boolean', default: false },
    list: { type: 'boolean', default: false },
  },
  run: async (values, words) => {
    if (words.length > 0) throw new Misuse(`unexpected "${words.join(' ')}"`)
    if (values.list) {
      for (const { name, title } of catalogue) print(`${name.padEnd(20)} ${title}`)
      return 0
    }
    const events = wholeNumber('--events', values.events, sizes.events)
    const faults = wholeNumber('--faults', values.faults, sizes.faults)
    if (events < faults * fewestEventsPerFault)
      throw new Misuse(
        `--events: ${faults} faults need at least ${count(faults * fewestEventsPerFault)} events`,
      )
    const perSecond = wholeNumber('--per-second', values['per-second'], { least: 1, most: 100_000 })
    const seed =
      values.seed === undefined
        ? Math.floor(Math.random() * 1_000_000)
        : wholeNumber('--seed', values.seed, { least: 0, most: 4_294_967_295 })
    const schedule = scheduleOf(seed, faults, chosen(values.only))
    const title = `${count(events)} events, ${count(faults)} faults, seed ${seed}`
    print(styleText('bold', title))

    // Now, and not after an hour: a folder that cannot be made.
    for (const file of [values.report, values.picture]) {
      if (file !== undefined) await mkdir(dirname(file), { recursive: true })
    }
    const interrupted = new AbortController()
    for (const signal of ['SIGINT', 'SIGTERM'] as const) {
      process.on(signal, () => interrupted.abort(new Error('interrupted')))
    }
    const stage = await startStage({ log: say, keep: values.keep, under: faults === 0 ? 'peace' : 'faults' })
    try {
      const plan = planLoad({ seed, events, faults, base: Date.now() })
      const { signal } = interrupted
      const result = await runChaos(stage, {
        plan,
        faults: schedule,
        perSecond,
        signal,
        tell: say,
        onProgress: showProgress(events, faults),
      })
      endProgress()
      printResult(result)
      if (values.report !== undefined)
        await writeFile(values.report, reportOf(result, { events, faults, seed }))
      if (values.picture !== undefined) {
        await writeFile(
          values.picture,
          drawTimeline({ title, samples: result.samples, marks: result.faults }),
        )
      }
      return verdictOf(result) === 'kept' ? 0 : 1
    } catch (error) {
      endProgress()
      if (interrupted.signal.aborted) {
        say('interrupted: nothing was judged')
        return 130
      }
      throw error
    } finally {
      await stage.stop()
    }
  },
})

function chosen(only: string | undefined) {
  if (only === undefined) return catalogue
  const names = only.split(',')
  const unknown = names.find((name) => !catalogue.some((fault) => fault.name === name))
  if (unknown !== undefined) throw new Misuse(`--only: there is no fault "${unknown}"; --list names them`)
  return catalogue.filter((fault) => names.includes(fault.name))
}

type Verdict = 'kept' | 'broken' | 'void'

function verdictOf({ checks, faults }: ChaosResult): Verdict {
  if (checks.some((each) => each.violations > 0n)) return 'broken'
  return faults.some((fault) => fault.voidBecause !== null) ? 'void' : 'kept'
}

function printResult(result: ChaosResult): void {
  const { faults, checks, counts, sightings, convergedMs, seconds, httpMs, lateShare } = result
  print(`\n${styleText('bold', 'Faults')}`)
  for (const fault of faults) {
    const seen = Object.entries(fault.seen)
      .map(([name, times]) => `${name} ${count(times)}`)
      .join(', ')
    const time = `${(fault.fromMs / 1_000).toFixed(1).padStart(7)} s ${((fault.untilMs - fault.fromMs) / 1_000).toFixed(1).padStart(5)} s`
    const tries = fault.triedBefore.length === 0 ? '' : ` at try ${fault.triedBefore.length + 1}`
    const verdict =
      fault.voidBecause === null
        ? `${seen}${tries}`
        : styleText('yellow', `VOID: ${fault.voidBecause} (${seen}${tries})`)
    print(`${time}  ${fault.name.padEnd(20)} ${verdict}`)
  }
  print(`\n${styleText('bold', 'Verdict')}`)
  for (const { title, of, violations, examples } of checks) {
    const shown = violations === 0n ? styleText('green', '0') : styleText('red', String(violations))
    const padding = ' '.repeat(Math.max(0, 12 - String(violations).length))
    print(`${padding}${shown}  ${title} (${of})`)
    for (const example of examples) print(`${' '.repeat(14)}${styleText('dim', example)}`)
  }
  const rest =
    convergedMs === null
      ? 'never came to rest'
      : `at rest ${(convergedMs / 1_000).toFixed(1)} s after the last fault`
  print(
    `\n${rest}; ${count(counts.sent)} events sent in ${Math.round(seconds)} s, ${count(counts.retold)} lost by Redis and told again, ` +
      `${count(sightings.duplicates)} duplicates absorbed, ${count(sightings.stalled)} jobs stalled\n` +
      `usage over HTTP, p50 and p99: ${httpMs.calm.p50} and ${httpMs.calm.p99} ms in peace, ${httpMs.faulty.p50} and ${httpMs.faulty.p99} ms ` +
      `under faults; ${(lateShare * 100).toFixed(1)} % of the events waited for more than 2 s`,
  )
  const verdict = verdictOf(result)
  if (verdict === 'kept') print(styleText('green', 'every promise kept'))
  else if (verdict === 'void') print(styleText('yellow', 'VOID: a fault that was not seen proves nothing'))
  else print(styleText('red', 'a promise was broken'))
}

function reportOf(result: ChaosResult, run: { events: number; faults: number; seed: number }): string {
  const { samples, ...rest } = result
  const report = { ...run, verdict: verdictOf(result), ...rest, samples }
  return `${JSON.stringify(report, withoutBigint, 2)}\n`
}

function withoutBigint(_name: string, value: unknown): unknown {
  return typeof value === 'bigint' ? String(value) : value
}

/** One line that is written over on a terminal; elsewhere one every ten seconds. */
function showProgress(events: number, faults: number): (progress: Progress) => void {
  let last = 0
  return ({ sent, posted, faultsDone, fault }) => {
    const line = `${count(sent)} of ${count(events)} events sent, ${count(posted)} posted; ${faultsDone} of ${faults} faults${fault === null ? '' : `; ${fault}`}`
    if (process.stderr.isTTY) process.stderr.write(`\r\u001b[K${line}`)
    else if (performance.now() - last > 10_000) {
      last = performance.now()
      say(line)
    }
  }
}

function endProgress(): void {
  if (process.stderr.isTTY) process.stderr.write('\r\u001b[K')
}

function say(message: string): void {
  endProgress()
  process.stderr.write(`${message}\n`)
}

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}
