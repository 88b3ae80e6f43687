/**
 * What rings, how often, and what for. A schedule only rings: what is due is decided in SQL, so a ring that is missed loses nothing
 * and one too many does nothing. When Redis has lost them all, Postgres knows when each was last heard.
 */
import { z } from 'zod'

import { defineJob, type JobOptions } from './contract.ts'

export type Schedule = {
  /** Also the name of the job that rings. */
  name: string
  /** Milliseconds; or the time of day at which it rings once, in UTC, where no hour is skipped or there twice. */
  every: number | TimeOfDay
  /** What one round does, for people. */
  does: string
}

type TimeOfDay = `${number}:${number}`

export const schedules = [
  { name: 'hold-expiry', every: 10_000, does: 'frees what is held for calls that nobody mentions any more' },
  { name: 'outbox', every: 60_000, does: 'moves jobs to Redis that the relay left lying' },
  { name: 'recharge-sweep', every: 300_000, does: 'decides again for every wallet below its threshold' },
  { name: 'rental-sweep', every: 3_600_000, does: 'charges the rent of every number that owes one' },
  { name: 'reconcile', every: '03:15', does: "compares Paddle's last days with the ledger, both ways" },
  { name: 'verify', every: '04:15', does: 'recomputes every balance, hash, price and sum of the ledger' },
] as const satisfies readonly Schedule[]

export type ScheduleName = (typeof schedules)[number]['name']

/** A ring carries nothing but its name, and is not tried again: what failed is overdue, and Postgres says so. */
export const ringOptions: JobOptions = {
  attempts: 1,
  backoff: { type: 'fixed', delay: 1_000, jitter: 0 },
  removeOnComplete: true,
  removeOnFail: true,
}

/** Goes through Redis and a worker into Postgres: its row's age is the proof that the whole path is alive. */
export const heartbeat = defineJob({
  name: 'heartbeat',
  queue: 'ops',
  schema: z.object({}),
  jobId: () => 'heartbeat',
  options: ringOptions,
})

export const heartbeatEveryMs = 10_000

/** How often a schedule rings: each `everyMs`, or each day at `dailyAt`, and then `everyMs` is a day. */
export type Pace = { everyMs: number; dailyAt: TimeOfDay | null }

const dayMs = 86_400_000
const leastEveryMs = 250
/** What reads the whole ledger, or asks Paddle, is not for four times a second. */
const leastNightlyMs = 10_000

/** At `rate`, a clock that runs so many times as fast, a schedule rings so many times as often, within reason. */
export function paceOf({ every }: Schedule, rate = 1): Pace {
  if (typeof every === 'number')
    return { everyMs: Math.max(Math.min(every, leastEveryMs), every / rate), dailyAt: null }
  return rate > 1
    ? { everyMs: Math.max(leastNightlyMs, dayMs / rate), dailyAt: null }
    : { everyMs: dayMs, dailyAt: every }
}
