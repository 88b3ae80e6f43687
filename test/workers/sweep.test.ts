// The sweep: what was missed is found in Postgres and in the queue, and rung for.
import type { Queue } from 'bullmq'
import { sql } from 'kysely'
import { describe, expect } from 'vitest'

import type { Db } from '../../db/schema.ts'
import { postUsage } from '../../db/post-usage.ts'
import { createRateBookCache } from '../../db/rate-book.ts'
import { receiveUsage } from '../../db/usage-event.ts'
import type { UsageArrival } from '../../jobs/usage-arrival.ts'
import { createLog } from '../../runtime/log.ts'
import { createPostingBatch } from '../../workers/posting-batch.ts'
import { startSweeps } from '../../workers/sweep.ts'
import { countUsage } from '../support/books.ts'
import { test } from '../support/fixtures.ts'
import { aCall, callArrival, givenWorkspace, newWorkspaceId } from '../support/given.ts'

const log = createLog('silent', 'test')
const rateBookOf = createRateBookCache()

describe('the sweep', () => {
  test('rings for an event that has lain in Postgres for a while', async ({ ownDb: db, ownQueueNamed }) => {
    await receiveUsage(db, [arrivedSecondsAgo(10)])

    await sweepOnce(db, ownQueueNamed)

    expect(await waitingIn(ownQueueNamed('usage'))).toEqual(['usage-received'])
  })

  test('rings for it also when the clock of whoever took it in was ahead', async ({
    ownDb: db,
    ownQueueNamed,
  }) => {
    await receiveUsage(db, [arrivedSecondsAgo(-3_600)])
    await sql`select pg_sleep(2.1)`.execute(db)

    await sweepOnce(db, ownQueueNamed)

    expect(await waitingIn(ownQueueNamed('usage'))).toEqual(['usage-received'])
  })

  test('rings once, however often it looks', async ({ ownDb: db, ownQueueNamed }) => {
    await receiveUsage(db, [arrivedSecondsAgo(10), arrivedSecondsAgo(20)])

    for (let turn = 1; turn <= 3; turn += 1) await sweepOnce(db, ownQueueNamed)

    expect(await waitingIn(ownQueueNamed('usage'))).toEqual(['usage-received'])
  })

  test('leaves alone what has just come, what is decided, and an empty table', async ({
    ownDb: db,
    ownQueueNamed,
  }) => {
    await sweepOnce(db, ownQueueNamed)
    const workspaceId = await givenWorkspace(db)
    await post(db, [arrivedSecondsAgo(60, workspaceId), arrivedSecondsAgo(60)])
    await receiveUsage(db, [arrivedSecondsAgo(0)])

    await sweepOnce(db, ownQueueNamed)

    expect(await countUsage(db)).toEqual({ received: 1, posted: 1, set_aside: 1 })
    expect(await waitingIn(ownQueueNamed('usage'))).toEqual([])
  })

  test('lets an event try again that was set aside while its workspace opened', async ({
    ownDb: db,
    ownQueueNamed,
  }) => {
    const workspaceId = newWorkspaceId()
    await post(db, [callArrival(aCall(workspaceId))])
    await openBehindItsBack(db, workspaceId)

    await sweepOnce(db, ownQueueNamed)

    expect(await countUsage(db, workspaceId)).toEqual({ received: 1 })
    expect(await stagedNames(db)).toEqual(['usage-received'])
  })

  test('is not kept from that by contradictions, which stay where they are for ever', async ({
    ownDb: db,
    ownQueueNamed,
  }) => {
    // Told twice, differently, before the workspace was known: the second telling is a contradiction and stays.
    const contradicted = Array.from({ length: 150 }, () => newWorkspaceId())
    for (const workspaceId of contradicted) {
      const call = aCall(workspaceId)
      await post(db, [callArrival(call)])
      await post(db, [callArrival({ ...call, durationSeconds: 1 })])
      await givenWorkspace(db, workspaceId)
    }
    const late = Array.from({ length: 20 }, () => newWorkspaceId())
    for (const workspaceId of late) {
      await post(db, [callArrival(aCall(workspaceId))])
      await openBehindItsBack(db, workspaceId)
    }

    await sweepOnce(db, ownQueueNamed)

    const states = await Promise.all(late.map((workspaceId) => countUsage(db, workspaceId)))
    expect(states).toEqual(late.map(() => ({ received: 1 })))
  })
})

/** Exactly one turn of each sweep: stopping lets the turn under way end. */
async function sweepOnce(db: Db, queueNamed: (name: string) => Queue): Promise<void> {
  const batch = createPostingBatch({ db, log, most: 100 })
  const sweeps = startSweeps({ db, log, batch, queueNamed })
  await Promise.all(sweeps.map((sweep) => sweep.stop()))
  await batch.close()
}

async function post(db: Db, arrivals: readonly UsageArrival[]): Promise<void> {
  await db.transaction().execute((trx) => postUsage(trx, arrivals, rateBookOf))
}

/** A workspace that opens in the same moment does not see the event, and the event does not see it. */
async function openBehindItsBack(
  db: Db,
  workspaceId: Awaited<ReturnType<typeof givenWorkspace>>,
): Promise<void> {
  await db.insertInto('workspace').values({ workspace_id: workspaceId, name: null }).execute()
  await db
    .insertInto('wallet')
    .values({ workspace_id: workspaceId, head_hash: Buffer.alloc(32) })
    .execute()
}

function arrivedSecondsAgo(seconds: number, workspaceId = newWorkspaceId()): UsageArrival {
  return { ...callArrival(aCall(workspaceId)), receivedAt: new Date(Date.now() - seconds * 1_000) }
}

async function waitingIn(queue: Queue): Promise<string[]> {
  return (await queue.getWaiting()).map((job) => job.name)
}

async function stagedNames(db: Db): Promise<string[]> {
  return (await db.selectFrom('staged_job').select('name').execute()).map((job) => job.name)
}
