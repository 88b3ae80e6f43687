/**
 * The outbox relay: moves staged jobs to BullMQ. It adds first and deletes after, so a crash in between adds a job twice;
 * its id makes Redis drop the repeat, and where Redis has forgotten it the handler finds the fact booked.
 */
import type { Queue } from 'bullmq'
import type { Redis } from 'ioredis'

import type { RoundOutcome } from '../db/schedule.ts'
import type { Db } from '../db/schema.ts'
import { deleteStagedJobs, listStagedJobs } from '../db/staged-job.ts'
import type { Log } from '../runtime/log.ts'
import { repeat, type Repeating } from '../runtime/repeat.ts'
import { addJobs } from './add-jobs.ts'

const pageSize = 500

export function startRelay({
  db,
  log,
  queueNamed,
}: {
  db: Db
  log: Log
  queueNamed: (name: string) => Queue
}): Repeating {
  return repeat('relay staged jobs', {
    everyMs: 250,
    log,
    run: async () => (await relayStagedJobs(db, queueNamed)) === pageSize,
  })
}

/**
 * A round of the outbox: what lies in it when the relay has had its many turns.
 *
 * Throws: when Redis is away, instead of waiting for it.
 */
export async function relayEverything({
  db,
  redis,
  queueNamed,
}: {
  db: Db
  redis: Redis
  queueNamed: (name: string) => Queue
}): Promise<RoundOutcome> {
  let moved = 0
  for (;;) {
    if (redis.status !== 'ready') throw new Error('Redis is away')
    const page = await relayStagedJobs(db, queueNamed)
    moved += page
    if (page < pageSize) return { did: { moved }, found: [] }
  }
}

/** Moves one page, oldest first. Returns how many jobs it moved. */
export async function relayStagedJobs(db: Db, queueNamed: (name: string) => Queue): Promise<number> {
  const staged = await listStagedJobs(db, pageSize)
  await addJobs(queueNamed, staged)
  await deleteStagedJobs(
    db,
    staged.map((job) => job.id),
  )
  return staged.length
}
