/** The schedules: when each rang last and rings next, what it did, and what is wrong with it. */
import { Queue } from 'bullmq'
import { Redis } from 'ioredis'

import {
  askForRound,
  listRounds,
  readSchedules,
  type ScheduleRound,
  type ScheduleState,
} from '../db/schedule.ts'
import type { Db } from '../db/schema.ts'
import { schedules, type Schedule } from '../jobs/schedules.ts'
import { pause } from '../runtime/repeat.ts'
import { Misuse, runScript } from './command-line.ts'
import { note, print, withBooks } from './money-in/operator-books.ts'
import { duration, fold, second } from './money-in/text.ts'
import type { Stack } from './stack.ts'

const names = schedules.map((schedule) => schedule.name)

const conditions = {
  ok: 'ok',
  running: 'running',
  not_yet: 'not yet',
  off: 'off',
  overdue: 'OVERDUE',
  failed: 'FAILED',
  cut_off: 'CUT OFF',
  look: 'LOOK',
} as const

type Condition = keyof typeof conditions

/** A ring that did not come through Redis within half a minute is made up for by now. */
const promisedWithinMs = 60_000

const columns = [16, 16, 14, 11, 9, 12] as const

await runScript({
  name: 'schedules',
  usage: `usage: npm run -s schedules -- [<schedule> [--ring]] [--json]

Says of every schedule when it rang last and rings next, who rang, how long it took, what it did, and what is wrong with it:
${names.join(', ')}. Of one schedule its last 50 rounds.
Works without Redis: Postgres knows when each is due, and workers do what is overdue without a ring.

  --ring  rings it now, and waits for what comes of it; a worker has to run
  --json  one JSON document instead of the table
  --help  this text

Exits 0 when all is well; 1 when a schedule is overdue, failed last time or found what a person has to look at.`,
  options: { ring: { type: 'boolean' }, json: { type: 'boolean' } },
  run: async ({ ring = false, json = false }, words) => {
    const [named, ...rest] = words
    if (rest.length > 0) throw new Misuse(`expected one schedule, got "${words.join(' ')}"`)
    if (ring && named === undefined) throw new Misuse('--ring: which schedule?')
    const known = named === undefined ? schedules : schedules.filter(({ name }) => name === named)
    if (known.length === 0) throw new Misuse(`there is no schedule ${named}: expected ${names.join(', ')}`)
    return await withBooks({ name: 'schedules', changes: ring }, async ({ db, stack, signal }) => {
      const [schedule] = known
      if (ring && schedule !== undefined && !(await ringAndWait(db, schedule.name, signal))) return 1
      const nextRings = await askRedis(stack)
      const shown = await Promise.all(known.map((each) => look(db, each, nextRings)))
      if (json) print(JSON.stringify(named === undefined ? shown.map(jsonOf) : shown.map(jsonOf)[0], null, 2))
      else if (named === undefined) printTable(shown, nextRings !== null)
      else for (const each of shown) printOne(each)
      return shown.some(({ condition }) => isWrong(condition)) ? 1 : 0
    })
  },
})

type Shown = {
  schedule: Schedule
  state: ScheduleState | null
  /** The newest first. */
  rounds: ScheduleRound[]
  /** When it rings next, as Redis says, else as Postgres does. */
  nextInMs: number | null
  condition: Condition
}

async function look(db: Db, schedule: Schedule, nextRings: Map<string, number> | null): Promise<Shown> {
  const state = (await readSchedules(db)).find(({ name }) => name === schedule.name) ?? null
  const rounds = await listRounds(db, schedule.name, 50)
  const nextAt = nextRings?.get(schedule.name)
  const dueInMs = state === null ? null : 0 - state.overdueMs
  const nextInMs = state === null || nextAt === undefined ? dueInMs : nextAt - Date.now()
  return { schedule, state, rounds, nextInMs, condition: judge(state, rounds[0]) }
}

function judge(state: ScheduleState | null, last: ScheduleRound | undefined): Condition {
  if (state === null) return 'off'
  if (state.isUnderWay) return 'running'
  if (last !== undefined && last.error !== null) return 'failed'
  if (last !== undefined && last.finishedAt === null) return 'cut_off'
  if (state.overdueMs > promisedWithinMs) return 'overdue'
  if (state.found > 0) return 'look'
  return last === undefined ? 'not_yet' : 'ok'
}

function isWrong(condition: Condition): boolean {
  return ['overdue', 'failed', 'cut_off', 'look'].includes(condition)
}

/** When each rings next; null when Redis does not say. */
async function askRedis({ redisUrl, queuePrefix }: Stack): Promise<Map<string, number> | null> {
  const connection = new Redis(redisUrl, {
    maxRetriesPerRequest: 1,
    connectTimeout: 2_000,
    commandTimeout: 2_000,
    retryStrategy: () => null,
  })
  connection.on('error', () => undefined)
  const queue = new Queue('schedule', { connection, prefix: queuePrefix, skipMetasUpdate: true })
  queue.on('error', () => undefined)
  try {
    const placed = await queue.getJobSchedulers()
    return new Map(placed.flatMap(({ key, next }) => (next === undefined ? [] : [[key, next] as const])))
  } catch {
    return null
  } finally {
    await queue.close().catch(() => undefined)
    connection.disconnect()
  }
}

/** Shape: whether a worker has done it; what came of it is then in its last round. */
async function ringAndWait(db: Db, name: string, signal: AbortSignal): Promise<boolean> {
  const [before] = await listRounds(db, name, 1)
  await askForRound(db, name)
  note(`asked for ${name}`)
  const askedAt = performance.now()
  while (!signal.aborted) {
    const rounds = await listRounds(db, name, 50)
    const ours = rounds.find(({ rungBy, round }) => rungBy === 'person' && round > (before?.round ?? 0n))
    if (ours !== undefined && ours.finishedAt !== null) return true
    const begun = ours !== undefined || rounds.some(({ finishedAt }) => finishedAt === null)
    if (!begun && performance.now() - askedAt > 20_000) {
      note(
        `No worker has begun it for 20 s: is one running${name === 'reconcile' ? ', with PADDLE_API_KEY' : ''}?`,
      )
      return false
    }
    await pause(200, signal)
  }
  return false
}

function row(...cells: string[]): string {
  return cells
    .map((cell, index) => cell.padEnd(columns[index] ?? 0))
    .join('')
    .trimEnd()
}

function printTable(shown: readonly Shown[], redisAnswers: boolean): void {
  print(row('schedule', 'every', 'last ring', 'by', 'took', 'next', 'state'))
  for (const each of shown) {
    const { schedule, rounds, nextInMs, condition } = each
    const [last] = rounds
    print(
      row(
        schedule.name,
        every(schedule),
        ago(each),
        last?.rungBy ?? '-',
        last === undefined ? '-' : took(last),
        next(nextInMs, condition),
        conditions[condition],
      ),
    )
    print(`  ${schedule.does}`)
    print(fold(`→ ${describe(each)}`, '  ', '    '))
  }
  if (!redisAnswers)
    print('\nRedis does not answer: "next" is when Postgres has it due, and workers do it by that.')
}

function printOne(shown: Shown): void {
  const { schedule, state, rounds, nextInMs, condition } = shown
  print(`${schedule.name}, every ${every(schedule)}: ${schedule.does}`)
  print(`  state     ${conditions[condition]}`)
  print(`  next      ${next(nextInMs, condition)}`)
  if (state !== null) print(`  rounds    ${state.rounds}, of which ${state.failures} failed`)
  print(fold(`last      ${describe(shown)}`, '  ', '            '))
  if (rounds.length > 0) print(`\n${'started'.padEnd(22)}${'by'.padEnd(11)}${'took'.padEnd(9)}what it did`)
  for (const round of rounds) {
    const line = `${second(round.startedAt).padEnd(22)}${round.rungBy.padEnd(11)}${took(round).padEnd(9)}`
    print(fold(summary(round), line, ' '.repeat(line.length)))
  }
}

function every({ every: period }: Schedule): string {
  return typeof period === 'number' ? plain(period) : `day, ${period} UTC`
}

/** `10 s`, `5 min`, `1 h`. */
function plain(milliseconds: number): string {
  const seconds = Math.round(milliseconds / 1_000)
  if (seconds < 60) return `${seconds} s`
  return seconds < 3_600 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3_600)} h`
}

function ago({ state }: Shown): string {
  return state === null || state.startedMsAgo === null ? 'never' : `${duration(state.startedMsAgo)} ago`
}

function next(nextInMs: number | null, condition: Condition): string {
  if (nextInMs === null) return '-'
  if (condition === 'running') return 'running'
  return nextInMs <= 0 ? 'due' : `in ${plain(nextInMs)}`
}

function took({ startedAt, finishedAt }: ScheduleRound): string {
  return finishedAt === null ? '-' : duration(finishedAt.getTime() - startedAt.getTime())
}

/** What is to be said of it, in a sentence. */
function describe({ schedule, state, rounds, condition }: Shown): string {
  if (state === null) {
    return schedule.name === 'reconcile'
      ? 'no worker has PADDLE_API_KEY, so nobody does it'
      : 'no worker has put it in place'
  }
  const [last] = rounds
  if (last === undefined) return 'it has not rung yet'
  const lately = condition === 'running' ? rounds[1] : last
  return lately === undefined ? 'its first round is under way' : summary(lately)
}

function summary({ outcome, error, finishedAt }: ScheduleRound): string {
  if (error !== null) return `failed: ${error}`
  if (outcome === null) return finishedAt === null ? 'running, or cut off with its process' : '-'
  const counts = Object.entries(outcome.did).map(([what, count]) => `${what.replaceAll('_', ' ')} ${count}`)
  if (outcome.found.length === 0) return counts.join(', ')
  return `${counts.join(', ')}; A PERSON HAS TO LOOK AT ${outcome.found.length}: ${outcome.found.join('; ')}`
}

function jsonOf({ schedule, state, rounds, nextInMs, condition }: Shown) {
  return {
    name: schedule.name,
    does: schedule.does,
    every: typeof schedule.every === 'number' ? schedule.every : `${schedule.every} UTC`,
    state: condition,
    next_ring_at: nextInMs === null ? null : new Date(Date.now() + nextInMs).toISOString(),
    overdue_seconds: Math.max(0, (state?.overdueMs ?? 0) / 1_000),
    rounds: (state?.rounds ?? 0n).toString(),
    failures: (state?.failures ?? 0n).toString(),
    last_rounds: rounds.map(({ startedAt, finishedAt, rungBy, outcome, error }) => ({
      rung_by: rungBy,
      started_at: startedAt.toISOString(),
      finished_at: finishedAt?.toISOString() ?? null,
      did: outcome?.did ?? null,
      found: outcome?.found ?? [],
      error,
    })),
  }
}
