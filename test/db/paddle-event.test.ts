import { sql } from 'kysely'
import { describe, expect } from 'vitest'

import {
  countRefusedWebhooks,
  decidePaddleEvent,
  findPaddleEvent,
  listOverduePaddleEvents,
  receivePaddleEvent,
  wakeEventsAbout,
  wakeEventsOfCredits,
} from '../../db/paddle-event.ts'
import type { Db } from '../../db/schema.ts'
import { test } from '../support/fixtures.ts'
import { givenWorkspace, newId } from '../support/given.ts'
import { bringTransaction, givenPayer, underLock } from '../support/given-money-in.ts'
import { aTransaction, at } from '../support/paddle-news.ts'
import { sqlStateOf } from '../support/refusal.ts'

const now = new Date()

async function receive(db: Db, eventId: string, body = '{}'): Promise<'received' | 'known'> {
  const event = { eventId, eventType: 'transaction.completed', occurredAt: at(0), body }
  return await db.transaction().execute((trx) => receivePaddleEvent(trx, event))
}

async function givenWaiting(db: Db, waitsForTransaction: string): Promise<string> {
  const eventId = newId('evt')
  await receive(db, eventId)
  await db
    .transaction()
    .execute((trx) =>
      decidePaddleEvent(
        trx,
        eventId,
        { state: 'waiting', outcome: 'not_credited_yet', waitsForTransaction },
        now,
      ),
    )
  return eventId
}

async function stagedEvents(db: Db, eventId: string): Promise<{ workspace_id: string; job_id: string }[]> {
  return await db
    .selectFrom('staged_job')
    .select(['workspace_id', 'job_id'])
    .where('job_id', '=', `paddle-event-received_${eventId}`)
    .orderBy('id')
    .execute()
}

describe('an event', () => {
  test('is stored to the byte and staged in the same transaction, once however often it is told', async ({
    db,
  }) => {
    const eventId = newId('evt')
    const body = '{"event_id": "…",\n "data":\t{"amount":1.10, "amount":2}}  '

    const outcomes = [await receive(db, eventId, body), await receive(db, eventId, '{"another":"body"}')]

    expect(outcomes).toEqual(['received', 'known'])
    expect(await findPaddleEvent(db, eventId)).toEqual({
      eventId,
      eventType: 'transaction.completed',
      state: 'received',
      body,
    })
    expect(await stagedEvents(db, eventId)).toHaveLength(1)
  })

  test('that eight webhooks bring at the same moment is stored and staged by one of them', async ({ db }) => {
    const eventId = newId('evt')

    const outcomes = await Promise.all(Array.from({ length: 8 }, () => receive(db, eventId)))

    expect(outcomes.filter((outcome) => outcome === 'received')).toHaveLength(1)
    expect(await stagedEvents(db, eventId)).toHaveLength(1)
  })

  test('whose transaction is rolled back is neither stored nor staged: Paddle tells it again', async ({
    db,
  }) => {
    const eventId = newId('evt')
    const crash = new Error('the process died')
    const event = { eventId, eventType: 'any', occurredAt: at(0), body: '{}' }

    const storing = db.transaction().execute(async (trx) => {
      await receivePaddleEvent(trx, event)
      throw crash
    })

    await expect(storing).rejects.toBe(crash)
    expect(await findPaddleEvent(db, eventId)).toBeNull()
    expect(await stagedEvents(db, eventId)).toEqual([])
    expect(await receive(db, eventId)).toBe('received')
  })

  test('keeps what it came to, and for whom', async ({ db }) => {
    const eventId = newId('evt')
    const workspaceId = await givenWorkspace(db)
    await receive(db, eventId)

    await db
      .transaction()
      .execute((trx) =>
        decidePaddleEvent(
          trx,
          eventId,
          { state: 'needs_review', outcome: 'wrong_amount', detail: 'a cent off', workspaceId },
          now,
        ),
      )

    const row = await db
      .selectFrom('paddle_event')
      .selectAll()
      .where('event_id', '=', eventId)
      .executeTakeFirstOrThrow()
    expect(row).toMatchObject({
      state: 'needs_review',
      outcome: 'wrong_amount',
      detail: 'a cent off',
      applied_workspace: workspaceId,
      waits_for_transaction: null,
      decided_at: now,
    })
  })

  test.for([
    ['decided without a time', sql`update paddle_event set state = 'applied' where event_id = 'evt_kept'`],
    [
      'waiting for nothing',
      sql`update paddle_event set state = 'waiting', decided_at = now() where event_id = 'evt_kept'`,
    ],
    ['in a state that nobody knows', sql`update paddle_event set state = 'lost' where event_id = 'evt_kept'`],
  ] as const)('cannot be %s', async ([, statement], { ownDb }) => {
    await receive(ownDb, 'evt_kept')

    expect(await sqlStateOf(ownDb, statement)).toBe('23514')
  })
})

describe('an event that waits for a credit', () => {
  test('is received again with the credit, and its job is staged with it', async ({ db }) => {
    const payer = await givenPayer(db)
    const paid = aTransaction(payer)
    const [mine, other] = [await givenWaiting(db, paid.transactionId), await givenWaiting(db, newId('txn'))]

    await bringTransaction(db, paid)

    expect(await findPaddleEvent(db, mine)).toMatchObject({ state: 'received' })
    expect(await findPaddleEvent(db, other)).toMatchObject({ state: 'waiting' })
    expect(await stagedEvents(db, mine)).toMatchObject([
      { workspace_id: 'paddle' },
      { workspace_id: payer.workspaceId },
    ])
  })

  test('is not woken twice, nor once it is decided', async ({ db }) => {
    const workspaceId = await givenWorkspace(db)
    const paddleTransactionId = newId('txn')
    const eventId = await givenWaiting(db, paddleTransactionId)
    const wake = () =>
      underLock(db, workspaceId, (trx, wallet) => wakeEventsAbout(trx, wallet, paddleTransactionId))

    await wake()
    await wake()
    await db
      .transaction()
      .execute((trx) => decidePaddleEvent(trx, eventId, { state: 'applied', outcome: 'applied' }, now))
    await wake()

    expect(await findPaddleEvent(db, eventId)).toMatchObject({ state: 'applied' })
    expect(await stagedEvents(db, eventId)).toHaveLength(2)
  })

  test('and began to wait in the moment of the credit is found by the sweep after ten minutes, and is overdue at once', async ({
    ownDb,
  }) => {
    const payer = await givenPayer(ownDb)
    const paid = aTransaction(payer)
    await bringTransaction(ownDb, paid)
    const missed = await givenWaiting(ownDb, paid.transactionId)
    const early = await givenWaiting(ownDb, newId('txn'))
    await ownDb
      .updateTable('paddle_event')
      .set({
        received_at: new Date(Date.now() - 700_000),
        decided_at: new Date(Date.now() - 601_000),
      })
      .execute()

    await wakeEventsOfCredits(ownDb)

    expect(await listOverduePaddleEvents(ownDb, { olderThanMs: 5_000, limit: 10 })).toEqual([missed])
    expect(await findPaddleEvent(ownDb, early)).toMatchObject({ state: 'waiting' })
  })
})

test('events whose jobs were lost are listed when they are old enough, the oldest first', async ({
  ownDb,
}) => {
  const ages = { evt_young: 1_000, evt_old: 20_000, evt_older: 30_000, evt_done: 40_000 }
  for (const [eventId, ms] of Object.entries(ages)) {
    await receive(ownDb, eventId)
    await ownDb
      .updateTable('paddle_event')
      .set({ received_at: new Date(Date.now() - ms) })
      .where('event_id', '=', eventId)
      .execute()
  }
  await ownDb
    .transaction()
    .execute((trx) => decidePaddleEvent(trx, 'evt_done', { state: 'ignored', outcome: 'no_concern' }, now))

  const overdue = await listOverduePaddleEvents(ownDb, { olderThanMs: 10_000, limit: 10 })
  const first = await listOverduePaddleEvents(ownDb, { olderThanMs: 10_000, limit: 1 })

  expect(overdue).toEqual(['evt_older', 'evt_old'])
  expect(first).toEqual(['evt_older'])
})

test('refused webhooks are counted by their reason, and nothing else of them is kept', async ({ ownDb }) => {
  await countRefusedWebhooks(
    ownDb,
    new Map([
      ['bad_signature', 2],
      ['too_old', 1],
    ]),
  )
  await countRefusedWebhooks(ownDb, new Map([['bad_signature', 3]]))

  const rows = await ownDb
    .selectFrom('refused_webhook')
    .select(['reason', 'refused'])
    .orderBy('reason')
    .execute()
  expect(rows).toEqual([
    { reason: 'bad_signature', refused: 5n },
    { reason: 'too_old', refused: 1n },
  ])
})
