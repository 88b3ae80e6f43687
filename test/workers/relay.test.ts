// The outbox relay: jobs go to BullMQ exactly if their cause was committed, whatever dies in between.
import { Queue } from 'bullmq'
import { Redis } from 'ioredis'
import { sql } from 'kysely'
import { describe, expect } from 'vitest'

import type { Db } from '../../db/schema.ts'
import { stageJob } from '../../db/staged-job.ts'
import { jobOf } from '../../jobs/contract.ts'
import { callEnded, usageReceived } from '../../jobs/usage-jobs.ts'
import { relayStagedJobs } from '../../workers/relay.ts'
import { test } from '../support/fixtures.ts'
import { aCall } from '../support/given.ts'

describe('the relay', () => {
  test('moves staged jobs to their queue, oldest first, and forgets them', async ({
    ownDb: db,
    ownQueueNamed,
  }) => {
    const jobs = await givenStagedCalls(db, 3)

    const moved = await relayStagedJobs(db, ownQueueNamed)

    expect(moved).toBe(3)
    const waiting = await ownQueueNamed('usage').getWaiting()
    expect(waiting.map((job) => job.id)).toEqual(jobs.map((job) => job.jobId))
    expect(waiting[0]).toMatchObject({ name: 'call-ended', data: jobs[0]?.data, opts: { attempts: 8 } })
    expect(await countStaged(db)).toBe(0)
    expect(await relayStagedJobs(db, ownQueueNamed)).toBe(0)
  })

  test('moves nothing of a transaction that has not been committed, or never is', async ({
    ownDb: db,
    ownQueueNamed,
  }) => {
    const open = await db.startTransaction().execute()
    await stageJob(open, 'ws_any', jobOf(usageReceived, {}))

    const movedBefore = await relayStagedJobs(db, ownQueueNamed)
    await open.rollback().execute()
    const movedAfter = await relayStagedJobs(db, ownQueueNamed)

    expect([movedBefore, movedAfter]).toEqual([0, 0])
  })

  test('that dies after adding and before deleting adds the same jobs again, and the queue has each once', async ({
    ownDb: db,
    ownQueueNamed,
  }) => {
    const jobs = await givenStagedCalls(db, 3)
    await sql`create function die() returns trigger language plpgsql as $$ begin raise 'died'; end $$`.execute(
      db,
    )
    await sql`create trigger die before delete on staged_job for each statement execute function die()`.execute(
      db,
    )

    await expect(relayStagedJobs(db, ownQueueNamed)).rejects.toThrow('died')
    const staged = await countStaged(db)
    await sql`drop trigger die on staged_job`.execute(db)
    const moved = await relayStagedJobs(db, ownQueueNamed)

    expect([staged, moved]).toEqual([3, 3])
    expect(await ownQueueNamed('usage').getWaitingCount()).toBe(jobs.length)
    expect(await countStaged(db)).toBe(0)
  })

  test('that finds no Redis keeps the jobs', async ({ ownDb: db, ownQueueNamed }) => {
    await givenStagedCalls(db, 2)
    const nowhere = new Redis('redis://127.0.0.1:1', {
      lazyConnect: true,
      enableOfflineQueue: false,
      maxRetriesPerRequest: 0,
      retryStrategy: null,
    })
    nowhere.on('error', () => undefined)
    const lost = new Queue('usage', { connection: nowhere })
    lost.on('error', () => undefined)

    await expect(relayStagedJobs(db, () => lost)).rejects.toThrow('Connection is closed')
    const staged = await countStaged(db)
    await relayStagedJobs(db, ownQueueNamed)

    expect(staged).toBe(2)
    expect(await ownQueueNamed('usage').getWaitingCount()).toBe(2)
    nowhere.disconnect()
  })

  test('moves a long outbox page by page', async ({ ownDb: db, ownQueueNamed }) => {
    await givenStagedCalls(db, 501)

    const moved = [await relayStagedJobs(db, ownQueueNamed), await relayStagedJobs(db, ownQueueNamed)]

    expect(moved).toEqual([500, 1])
    expect(await ownQueueNamed('usage').getWaitingCount()).toBe(501)
  })

  test('beside another relay moves every job once', async ({ ownDb: db, ownQueueNamed }) => {
    await givenStagedCalls(db, 200)

    await Promise.all(Array.from({ length: 4 }, () => relayStagedJobs(db, ownQueueNamed)))

    expect(await ownQueueNamed('usage').getWaitingCount()).toBe(200)
    expect(await countStaged(db)).toBe(0)
  })
})

async function givenStagedCalls(db: Db, count: number) {
  const jobs = Array.from({ length: count }, () => jobOf(callEnded, aCall('ws_any')))
  await db.transaction().execute(async (trx) => {
    for (const job of jobs) await stageJob(trx, 'ws_any', job)
  })
  return jobs
}

async function countStaged(db: Db): Promise<number> {
  return (await db.selectFrom('staged_job').select('id').execute()).length
}
