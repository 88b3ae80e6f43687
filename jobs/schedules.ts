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

export const schedules = [{ job: heartbeat, everyMs: 10_000 }] as const
