/** What rings, and how often. A schedule only rings; what is due is decided in SQL, so a missed ring loses nothing. */
import { z } from 'zod'

import { defineJob } from './contract.ts'

/** Goes through Redis and a worker into Postgres: its row's age is the proof that the whole path is alive. */
export const heartbeat = defineJob({
  name: 'heartbeat',
  queue: 'ops',
  schema: z.object({}),
  jobId: () => 'heartbeat',
  options: {
    attempts: 1,
    backoff: { type: 'fixed', delay: 1_000, jitter: 0 },
    removeOnComplete: true,
    removeOnFail: true,
  },
})

/** Paddle's last days against our ledger, both ways. */
const reconcileDue = defineJob({
  name: 'reconcile-due',
  queue: 'reconcile',
  schema: z.object({}),
  jobId: () => 'reconcile-due',
  options: {
    attempts: 5,
    backoff: { type: 'exponential', delay: 60_000, jitter: 0.5 },
    removeOnComplete: true,
    removeOnFail: true,
  },
})

/** `every`: milliseconds, or a cron pattern in UTC. */
export const schedules = [
  { job: heartbeat, every: 10_000 },
  { job: reconcileDue, every: '15 3 * * *' },
] as const
