import { sql } from 'kysely'
import { describe, expect } from 'vitest'

import { topUpId as topUpIdSchema, type TopUpId } from '../../billing/ids.ts'
import { micros } from '../../billing/money.ts'
import { topUpSources, topUpStates } from '../../billing/top-up.ts'
import { openCardTopUp } from '../../db/card-top-up.ts'
import type { Db } from '../../db/schema.ts'
import {
  adoptTopUp,
  findTopUp,
  findTopUpOfTransaction,
  hasChargeUnderWay,
  listTopUps,
  listTopUpSteps,
  moveTopUp,
  newTopUpId,
  openTopUp,
  topUpDueJob,
} from '../../db/top-up.ts'
import { test } from '../support/fixtures.ts'
import { newId } from '../support/given.ts'
import {
  bringSubscription,
  givenCustomer,
  givenPayer,
  givenRecharge,
  givenTopUp,
  underLock,
} from '../support/given-money-in.ts'
import { aSubscription, at } from '../support/paddle-news.ts'
import { sqlStateOf } from '../support/refusal.ts'

describe('a new top-up', () => {
  test('has a name that is unique, sorts by its time and can be searched for at Paddle', () => {
    const times = [0, 1, 999_999_999_999, Date.parse('2026-03-10'), Date.parse('2059-12-31')]

    const names = times.map((time) => newTopUpId(new Date(time)))

    expect(names).toEqual(names.toSorted())
    expect(new Set(Array.from({ length: 1_000 }, () => newTopUpId(new Date(0)))).size).toBe(1_000)
    for (const name of names) expect(topUpIdSchema.safeParse(name).success).toBe(true)
  })

  test('that waits for a customer is written down and stages no charge', async ({ db }) => {
    const payer = await givenCustomer(db)
    const topUpId = newTopUpId(at(0))

    const opened = await underLock(db, payer.workspaceId, (trx, wallet) =>
      openTopUp(
        trx,
        wallet,
        {
          topUpId,
          source: 'checkout',
          state: 'awaiting_customer',
          amountMicros: micros(5_000_000n),
          subscriptionId: null,
          dueAt: at(60),
        },
        at(0),
      ),
    )

    expect(await findTopUp(db, { ...payer, topUpId })).toEqual(opened)
    const stranger = await givenPayer(db)
    expect(await findTopUp(db, { ...stranger, topUpId })).toBeNull()
    expect(await listTopUpSteps(db, { ...payer, topUpId })).toEqual([
      { step: 1, state: 'awaiting_customer', reason: null, paddleTransactionId: null, steppedAt: at(0) },
    ])
    expect(await countStaged(db, topUpId)).toBe(0)
  })
})

describe('a top-up by API', () => {
  test('is charged on the card in use, whether it is named or not', async ({ db }) => {
    const payer = await givenPayer(db)
    const { saved_card_id: savedCardId } = await db
      .selectFrom('saved_card')
      .select('saved_card_id')
      .where('workspace_id', '=', payer.workspaceId)
      .executeTakeFirstOrThrow()
    const amountMicros = micros(25_000_000n)

    const opened = await underLock(db, payer.workspaceId, async (trx, wallet) => [
      await openCardTopUp(trx, wallet, { amountMicros }, at(0)),
      await openCardTopUp(trx, wallet, { amountMicros, savedCardId }, at(0)),
    ])

    const topUp = { source: 'api', state: 'ready', amountMicros, subscriptionId: payer.subscriptionId }
    expect(opened).toMatchObject([
      { outcome: 'opened', topUp },
      { outcome: 'opened', topUp },
    ])
  })

  test('is refused when no card can be charged, or another one is named', async ({ db }) => {
    const [none, paused, active] = [await givenCustomer(db), await givenPayer(db), await givenPayer(db)]
    await bringSubscription(db, aSubscription(paused, { status: 'paused', updatedAt: at(1) }))
    const amountMicros = micros(25_000_000n)

    const outcomes = []
    for (const [payer, savedCardId] of [[none], [paused], [active, 'pm_of_somebody']] as const) {
      outcomes.push(
        await underLock(db, payer.workspaceId, (trx, wallet) =>
          openCardTopUp(trx, wallet, { amountMicros, savedCardId }, at(0)),
        ),
      )
    }

    expect(outcomes).toEqual(outcomes.map(() => ({ outcome: 'no_card' })))
    expect(await listTopUps(db, { workspaceId: active.workspaceId, limit: 9 })).toEqual([])
  })
})

describe('a move', () => {
  test('is made from the states that it names, and leaves a step behind', async ({ db }) => {
    const { payer, topUp } = await givenRecharge(db)
    const { workspaceId } = payer
    const change = { state: 'needs_review', reason: 'nobody knows', paddleTransactionId: 'txn_1' } as const

    const [elsewhere, moved] = await underLock(db, workspaceId, async (trx, wallet) => [
      await moveTopUp(trx, wallet, topUp.topUpId, { states: ['unknown', 'submitting'] }, change, at(1)),
      await moveTopUp(trx, wallet, topUp.topUpId, { states: ['unknown', 'ready'] }, change, at(2)),
    ])

    expect(elsewhere).toBeNull()
    expect(moved).toEqual({ ...topUp, ...change, changedAt: at(2) })
    expect(await listTopUpSteps(db, topUp)).toMatchObject([
      { step: 1, state: 'ready' },
      {
        step: 2,
        state: 'needs_review',
        reason: 'nobody knows',
        paddleTransactionId: 'txn_1',
        steppedAt: at(2),
      },
    ])
  })

  test('that answers a submission is made for that submission only', async ({ db }) => {
    const { payer, topUp } = await givenRecharge(db)
    const move = (submission: number) =>
      underLock(db, payer.workspaceId, (trx, wallet) =>
        moveTopUp(
          trx,
          wallet,
          topUp.topUpId,
          { states: ['ready', 'failed'], submission },
          { state: 'failed' },
          at(1),
        ),
      )

    expect(await move(1)).toBeNull()
    expect(await move(0)).toMatchObject({ state: 'failed' })
  })

  test('changes nothing but what it names', async ({ db }) => {
    const { payer, topUp } = await givenRecharge(db)

    const moved = await underLock(db, payer.workspaceId, (trx, wallet) =>
      moveTopUp(trx, wallet, topUp.topUpId, { states: ['ready'] }, { state: 'processing' }, at(1)),
    )

    expect(moved).toEqual({ ...topUp, state: 'processing', changedAt: at(1) })
  })

  test('of another workspace’s top-up is not possible', async ({ db }) => {
    const [mine, other] = [await givenRecharge(db), await givenRecharge(db)]

    const moved = await underLock(db, mine.payer.workspaceId, (trx, wallet) =>
      moveTopUp(trx, wallet, other.topUp.topUpId, { states: ['ready'] }, { state: 'failed' }, at(1)),
    )

    expect(moved).toBeNull()
    expect(await findTopUp(db, other.topUp)).toEqual(other.topUp)
  })
})

describe('the steps of a top-up', () => {
  test.for([
    sql`update top_up_step set reason = 'nicer'`,
    sql`delete from top_up_step`,
    sql`truncate top_up_step`,
  ])('cannot be changed or taken back, by nobody', async (statement, { db }) => {
    await givenRecharge(db)

    expect(await sqlStateOf(db, statement)).not.toBeNull()
    expect(await sqlStateOf(db, statement, { session: 'replica' })).not.toBeNull()
  })
})

describe('the schema of top-ups', () => {
  test('knows the states and the sources of the domain, and no other', async ({ db }) => {
    const { rows } = await sql<{ name: string; definition: string }>`
      select conname as name, pg_get_constraintdef(oid) as definition from pg_constraint
      where conname in ('top_up_state_is_known', 'top_up_source_is_known') order by conname`.execute(db)

    const words = rows.map((row) => [...row.definition.matchAll(/(?<=')[a-z_]+(?=')/g)].map(([word]) => word))
    expect(words.map((each) => each.toSorted())).toEqual([
      [...topUpSources].toSorted(),
      [...topUpStates].toSorted(),
    ])
  })

  test.for([
    ['brings nothing', { state: 'ready', amountMicros: 0n }, 'top_up_brings_something'],
    ['takes something', { state: 'ready', amountMicros: -1n }, 'top_up_brings_something'],
  ] as const)('refuses one that %s', async ([, topUp, constraint], { db }) => {
    const payer = await givenPayer(db)

    await expect(givenTopUp(db, payer, topUp)).rejects.toMatchObject({ constraint })
  })

  test('refuses a success without a credit', async ({ db }) => {
    const { topUp } = await givenRecharge(db)

    const update = db
      .updateTable('top_up')
      .set({ state: 'succeeded' })
      .where('top_up_id', '=', topUp.topUpId)
      .execute()

    await expect(update).rejects.toMatchObject({ constraint: 'top_up_success_has_credit' })
  })
})

test('a top-up is adopted once, and a second time is refused', async ({ db }) => {
  const payer = await givenPayer(db)
  const topUpId = topUpIdSchema.parse(newId('topup'))
  const paddleTransactionId = newId('txn')
  const adopt = () =>
    underLock(db, payer.workspaceId, (trx, wallet) =>
      adoptTopUp(
        trx,
        wallet,
        {
          topUpId,
          source: 'api',
          amountMicros: micros(1n),
          subscriptionId: null,
          paddleTransactionId,
          createdAt: at(0),
        },
        at(1),
      ),
    )

  await adopt()

  await expect(adopt()).rejects.toMatchObject({ constraint: 'top_up_pkey' })
  const { workspaceId } = payer
  expect(await findTopUpOfTransaction(db, { workspaceId, paddleTransactionId })).toMatchObject({
    topUpId,
    state: 'succeeded',
    creditedMicros: 1n,
  })
})

test('another charge of the card is under way when it was sent and has not ended, and it is not this one', async ({
  db,
}) => {
  const payer = await givenPayer(db)
  const ask = (besides: TopUpId) =>
    underLock(db, payer.workspaceId, (trx, wallet) => hasChargeUnderWay(trx, wallet, besides))
  const ready = await givenTopUp(db, payer, { state: 'ready' })
  await givenTopUp(db, payer, { source: 'checkout', state: 'awaiting_customer' })
  await givenTopUp(db, payer, { source: 'api', state: 'declined' })
  const before = await ask(newTopUpId(at(0)))

  const unknown = await givenTopUp(db, payer, { source: 'api', state: 'unknown' })

  expect([before, await ask(unknown), await ask(ready)]).toEqual([false, false, true])
})

test('top-ups are listed newest first, of one workspace or all, in some states or any', async ({ ownDb }) => {
  const [payer, other] = [await givenPayer(ownDb), await givenPayer(ownDb)]
  const old = await givenTopUp(ownDb, payer, { state: 'declined', createdAt: at(1) })
  const young = await givenTopUp(ownDb, payer, { state: 'ready', createdAt: at(3) })
  const foreign = await givenTopUp(ownDb, other, { state: 'ready', createdAt: at(2) })
  const { workspaceId } = payer
  const idsOf = async (filter: Parameters<typeof listTopUps>[1]) =>
    (await listTopUps(ownDb, filter)).map((topUp) => topUp.topUpId)

  expect(await idsOf({ limit: 9 })).toEqual([young, foreign, old])
  expect(await idsOf({ limit: 1 })).toEqual([young])
  expect(await idsOf({ workspaceId, limit: 9 })).toEqual([young, old])
  expect(await idsOf({ states: ['ready'], limit: 9 })).toEqual([young, foreign])
})

test('every turn of a top-up has a job of its own, and the same turn has the same', async ({ db }) => {
  const { topUp } = await givenRecharge(db)
  const turns = [topUp, { ...topUp, submissions: 1 }, { ...topUp, tries: 1 }, { ...topUp, searches: 1 }]

  const jobIds = turns.map((turn) => topUpDueJob(turn).jobId)

  expect(new Set(jobIds).size).toBe(turns.length)
  expect(topUpDueJob({ ...topUp, changedAt: at(9) }).jobId).toBe(jobIds[0])
})

async function countStaged(db: Db, topUpId: string): Promise<number> {
  const rows = await db
    .selectFrom('staged_job')
    .select('id')
    .where('job_id', 'like', `top-up-due_${topUpId}_%`)
    .execute()
  return rows.length
}
