/** What is still to come after the last event and the last fault, and how long it takes until nothing is. */
import { sql } from 'kysely'

import { pause } from '../../runtime/repeat.ts'
import { countActive, countWaiting } from './fault.ts'
import type { ExpectedTotals } from './oracle.ts'
import { lookAgain, queuePrefix, type Stage } from './stage.ts'

/** What waits for what; all of it is 0 when the run has come to rest. */
export type Remains = {
  /** Events that the oracle knows of and Postgres has not decided. */
  usage: number
  received: number
  contradictions: number
  staged: number
  jobs: number
  holds: number
  openTopUps: number
  paddleEvents: number
  /** Months of numbers that are not paid yet. */
  months: number
  /** Micro-dollars that Paddle must bring. */
  credits: bigint
}

const everyMs = 200
const otherQueues = ['charge', 'paddle-event', 'rental', 'workspace', 'schedule'] as const

/** Shape: null in `tookMs` when it did not come to rest in time; `remains` then says why. */
export async function converge(
  stage: Stage,
  totals: ExpectedTotals,
  { withinMs, signal }: { withinMs: number; signal: AbortSignal },
): Promise<{ tookMs: number | null; remains: Remains }> {
  const startedAt = performance.now()
  for (;;) {
    const remains = await lookAgain(() => lookForRemains(stage, totals))
    const tookMs = performance.now() - startedAt
    if (Object.values(remains).every((left) => left === 0 || left === 0n)) return { tookMs, remains }
    if (tookMs > withinMs || signal.aborted) return { tookMs: null, remains }
    await pause(everyMs, signal)
  }
}

async function lookForRemains(stage: Stage, totals: ExpectedTotals): Promise<Remains> {
  const { rows } = await sql<Record<string, number> & { credits: bigint }>`
    select
      (select count(*)::int from usage_event where state = 'received') as received,
      (select count(*)::int from usage_event where state = 'set_aside' and reason = 'conflicting_duplicate') as contradictions,
      (select count(*)::int from usage_event) as usage,
      (select count(*)::int from staged_job) as staged,
      (select count(*)::int from hold where state = 'open') as holds,
      (select count(*)::int from top_up where state in ('ready', 'submitting', 'unknown', 'processing', 'needs_review')) as top_ups,
      (select count(*)::int from paddle_event where state not in ('applied', 'ignored')) as paddle_events,
      (select count(*)::int from rental_period) as months,
      (select coalesce(sum(amount_micros), 0)::bigint from ledger_transaction where kind = 'top_up') as credits`.execute(
    stage.db,
  )
  const row = rows[0]
  if (row === undefined) throw new Error('Postgres gave no answer')
  const told = totals.posted + totals.free + totals.setAside + totals.contradictions
  return {
    usage: told - (row['usage'] ?? 0),
    received: row['received'] ?? 0,
    contradictions: totals.contradictions - (row['contradictions'] ?? 0),
    staged: row['staged'] ?? 0,
    jobs: await countJobs(stage),
    holds: row['holds'] ?? 0,
    openTopUps: row['top_ups'] ?? 0,
    paddleEvents: row['paddle_events'] ?? 0,
    months: Number(totals.months) - (row['months'] ?? 0),
    credits: totals.creditedMicros - row.credits,
  }
}

/** The heartbeat's own queue never comes to rest. */
async function countJobs(stage: Stage): Promise<number> {
  const { redis } = stage
  const delayed = await redis.zcard(`${queuePrefix}:usage:delayed`)
  let jobs = (await countWaiting(stage)) + (await countActive(stage)) + delayed
  for (const queue of otherQueues) {
    const [waiting, active] = await Promise.all([
      redis.llen(`${queuePrefix}:${queue}:wait`),
      redis.llen(`${queuePrefix}:${queue}:active`),
    ])
    jobs += waiting + active
  }
  return jobs
}
