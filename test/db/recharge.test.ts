import { sql, type Updateable } from 'kysely'
import { describe, expect } from 'vitest'

import type { WorkspaceId } from '../../billing/ids.ts'
import { micros } from '../../billing/money.ts'
import { connect } from '../../db/connect.ts'
import { findAutoRecharge } from '../../db/auto-recharge.ts'
import { freezeWallet } from '../../db/freeze.ts'
import { postUsage } from '../../db/post-usage.ts'
import { createRateBookCache } from '../../db/rate-book.ts'
import { decideRecharges, decideWalletRecharge, listBelowThreshold } from '../../db/recharge.ts'
import type { Db, Schema } from '../../db/schema.ts'
import { listTopUps, newTopUpId, openTopUp } from '../../db/top-up.ts'
import { lockFreeWallets, lockWallet } from '../../db/wallet.ts'
import type { UsageArrival } from '../../jobs/usage-arrival.ts'
import type { TopUpState } from '../../billing/top-up.ts'
import { test } from '../support/fixtures.ts'
import { aCall, aMessage, callArrival, givenWorkspace, messageArrival } from '../support/given.ts'
import {
  bringSubscription,
  givenAutoRecharge,
  givenCustomer,
  givenPayer,
  givenRecharge,
  givenTopUp,
  getOnlyTopUp,
  underLock,
  type GivenPayer,
} from '../support/given-money-in.ts'
import { aSubscription, at } from '../support/paddle-news.ts'

const rateBookOf = createRateBookCache()

async function post(db: Db, ...arrivals: UsageArrival[]): Promise<void> {
  await db.transaction().execute((trx) => postUsage(trx, arrivals, rateBookOf))
}

/** What is staged for a workspace's charges. */
async function stagedCharges(db: Db, workspaceId: string): Promise<unknown[]> {
  const rows = await db
    .selectFrom('staged_job')
    .select(['name', 'job_id', 'data'])
    .where('workspace_id', '=', workspaceId)
    .where('queue', '=', 'charge')
    .execute()
  return rows
}

/** Costs $0.18: the payer's $10 fall to $9.82. */
function call(payer: { workspaceId: string }): UsageArrival {
  return callArrival(aCall(payer.workspaceId))
}

describe('posting usage', () => {
  test('that takes the wallet below its threshold opens one recharge and stages its job with the debit', async ({
    db,
  }) => {
    const payer = await givenPayer(db)
    await givenAutoRecharge(db, payer, { thresholdMicros: micros(9_820_001n) })

    await post(db, call(payer))

    const topUp = await getOnlyTopUp(db, payer.workspaceId)
    expect(topUp).toMatchObject({
      source: 'auto_recharge',
      state: 'ready',
      amountMicros: 20_000_000n,
      subscriptionId: payer.subscriptionId,
      submissions: 0,
    })
    expect(topUp.dueAt).toEqual(topUp.createdAt)
    expect(await stagedCharges(db, payer.workspaceId)).toMatchObject([
      {
        name: 'top-up-due',
        job_id: `top-up-due_${topUp.topUpId}_0-0-0`,
        data: { workspaceId: payer.workspaceId, topUpId: topUp.topUpId },
      },
    ])
  })

  test('that leaves the wallet exactly at its threshold charges nothing', async ({ db }) => {
    const payer = await givenPayer(db)
    await givenAutoRecharge(db, payer, { thresholdMicros: micros(9_820_000n) })

    await post(db, call(payer))

    expect(await listTopUps(db, { workspaceId: payer.workspaceId, limit: 1 })).toEqual([])
    expect(await stagedCharges(db, payer.workspaceId)).toEqual([])
  })

  test('counts what is held for calls in progress as gone', async ({ db }) => {
    const payer = await givenPayer(db)
    await givenAutoRecharge(db, payer, { thresholdMicros: micros(9_820_000n) })
    await db
      .updateTable('wallet')
      .set({ held_micros: micros(1n) })
      .where('workspace_id', '=', payer.workspaceId)
      .execute()

    await post(db, call(payer))

    expect(await getOnlyTopUp(db, payer.workspaceId)).toMatchObject({ state: 'ready' })
  })

  test('once more, while the charge is under way, opens no second one and says why', async ({ db }) => {
    const payer = await givenPayer(db)
    await givenAutoRecharge(db, payer, { thresholdMicros: micros(9_900_000n) })

    await post(db, call(payer))
    await post(db, call(payer))

    expect(await getOnlyTopUp(db, payer.workspaceId)).toMatchObject({ state: 'ready' })
    expect(await stagedCharges(db, payer.workspaceId)).toHaveLength(1)
    expect(await findAutoRecharge(db, payer.workspaceId)).toMatchObject({ lastDecision: 'charge_under_way' })
  })

  test('in a transaction that is rolled back leaves neither a recharge nor its job', async ({ db }) => {
    const payer = await givenPayer(db)
    await givenAutoRecharge(db, payer, { thresholdMicros: micros(9_900_000n) })
    const crash = new Error('the batch is rolled back')

    const batch = db.transaction().execute(async (trx) => {
      await postUsage(trx, [call(payer)], rateBookOf)
      throw crash
    })

    await expect(batch).rejects.toBe(crash)
    expect(await listTopUps(db, { workspaceId: payer.workspaceId, limit: 1 })).toEqual([])
    expect(await stagedCharges(db, payer.workspaceId)).toEqual([])
    expect(await findAutoRecharge(db, payer.workspaceId)).toMatchObject({ lastDecision: 'above_threshold' })
  })

  test('of a workspace that never set auto-recharge up writes nothing about it, however low it falls', async ({
    db,
  }) => {
    const workspaceId = await givenWorkspace(db)
    const startedAt = new Date(Date.now() - 11 * 3_600_000).toISOString()

    await post(db, callArrival(aCall(workspaceId, { durationSeconds: 36_000, startedAt })))

    expect(await listTopUps(db, { workspaceId, limit: 1 })).toEqual([])
    expect(await findAutoRecharge(db, workspaceId)).toBeNull()
  })

  test('of a workspace that switched auto-recharge off charges nothing', async ({ db }) => {
    const payer = await givenPayer(db)
    await givenAutoRecharge(db, payer, { thresholdMicros: micros(9_900_000n), enabled: false })

    await post(db, call(payer))

    expect(await listTopUps(db, { workspaceId: payer.workspaceId, limit: 1 })).toEqual([])
  })

  test('of many events in one batch decides once for each wallet, by all of its events together', async ({
    db,
  }) => {
    const [crossing, staying] = [await givenPayer(db), await givenPayer(db)]
    for (const payer of [crossing, staying]) {
      await givenAutoRecharge(db, payer, { thresholdMicros: micros(9_500_000n) })
    }

    await post(
      db,
      call(crossing),
      call(staying),
      messageArrival(aMessage(crossing.workspaceId)),
      call(crossing),
      call(staying),
      call(crossing),
    )

    expect(await getOnlyTopUp(db, crossing.workspaceId)).toMatchObject({ amountMicros: 20_000_000n })
    expect(await listTopUps(db, { workspaceId: staying.workspaceId, limit: 1 })).toEqual([])
  })

  test('of hundreds of wallets at once opens a recharge for each of those that fall below', async ({
    db,
  }) => {
    const payers = await Promise.all(Array.from({ length: 24 }, () => givenPayer(db)))
    await Promise.all(
      payers.map((payer, index) =>
        givenAutoRecharge(db, payer, { thresholdMicros: micros(index % 2 === 0 ? 9_900_000n : 1n) }),
      ),
    )

    await post(db, ...payers.map(call))

    const opened = await Promise.all(
      payers.map(async ({ workspaceId }) => (await listTopUps(db, { workspaceId, limit: 9 })).length),
    )
    expect(opened).toEqual(payers.map((_, index) => (index % 2 === 0 ? 1 : 0)))
  })
})

describe('a decision', () => {
  test('is kept with its time, and replaced when it changes, not when it is the same again', async ({
    db,
  }) => {
    const { payer, topUp } = await givenRecharge(db)
    const { workspaceId } = payer
    const first = await findAutoRecharge(db, workspaceId)

    await decide(db, payer, new Date('2099-01-01'))
    const second = await findAutoRecharge(db, workspaceId)
    await decide(db, payer, new Date('2099-01-02'))
    const third = await findAutoRecharge(db, workspaceId)

    expect(first).toMatchObject({ lastDecision: 'recharge', lastDecisionAt: topUp.createdAt })
    expect(second).toMatchObject({ lastDecision: 'charge_under_way', lastDecisionAt: new Date('2099-01-01') })
    expect(third).toEqual(second)
  })

  test('tells a workspace that never set auto-recharge up from nothing at all', async ({ db }) => {
    const workspaceId = await givenWorkspace(db)

    const decided = await underLock(db, workspaceId, (trx, wallet) =>
      decideWalletRecharge(trx, wallet, new Date()),
    )

    expect(decided).toEqual({ decision: 'wait', reason: 'not_enabled' })
  })

  test('is taken for many wallets in one go, each by its own facts', async ({ db }) => {
    const [low, high, unset] = [await givenPayer(db), await givenPayer(db), await givenWorkspace(db)]
    await givenAutoRecharge(db, low, { thresholdMicros: micros(11_000_000n), enabled: false })
    await givenAutoRecharge(db, high, { thresholdMicros: micros(1n) })
    await db
      .updateTable('auto_recharge')
      .set({ enabled: true, consented_at: new Date() })
      .where('workspace_id', '=', low.workspaceId)
      .execute()

    const decided = await db.transaction().execute(async (trx) => {
      const { locked } = await lockFreeWallets(trx, [low.workspaceId, high.workspaceId, unset].toSorted())
      return await decideRecharges(trx, [...locked.values()], new Date())
    })

    expect(decided.get(low.workspaceId)).toMatchObject({ decision: 'recharge' })
    expect(decided.get(high.workspaceId)).toEqual({ decision: 'wait', reason: 'above_threshold' })
    expect(decided.get(unset)).toEqual({ decision: 'wait', reason: 'not_enabled' })
  })
})

describe('with real rows, a recharge waits', () => {
  test('for nothing, when nothing stands against it', async ({ db }) => {
    expect(await decide(db, await givenWanting(db))).toBe('recharge')
  })

  test('while it is switched off', async ({ db }) => {
    const payer = await givenWanting(db, { enabled: false })

    expect(await decide(db, payer)).toBe('not_enabled')
  })

  test('while the wallet is frozen', async ({ db }) => {
    const payer = await givenWanting(db)
    await underLock(db, payer.workspaceId, (trx, wallet) =>
      freezeWallet(trx, wallet, { actor: 'test', reason: 'chargeback', now: new Date() }),
    )

    expect(await decide(db, payer)).toBe('frozen')
  })

  test.for([
    ['paused', 'card_not_usable'],
    ['past_due', 'card_not_usable'],
    ['canceled', 'no_card'],
  ] as const)('while the subscription of its card is %s', async ([status, reason], { db }) => {
    const payer = await givenWanting(db)
    await db.deleteFrom('top_up').where('workspace_id', '=', payer.workspaceId).execute()

    await bringSubscription(db, aSubscription(payer, { status, updatedAt: at(1) }))

    expect(await decide(db, payer)).toBe(reason)
  })

  test('while no card was ever saved', async ({ db }) => {
    const payer = await givenCustomer(db)
    await givenAutoRecharge(db, payer, { enabled: false })
    await setAutoRecharge(db, payer.workspaceId, {
      enabled: true,
      consented_at: new Date(),
      threshold_micros: micros(15_000_000n),
    })

    expect(await decide(db, payer)).toBe('no_card')
  })

  test.for([
    ['api', 'ready', 'charge_under_way'],
    ['api', 'submitting', 'charge_under_way'],
    ['api', 'unknown', 'charge_under_way'],
    ['auto_recharge', 'processing', 'charge_under_way'],
    ['auto_recharge', 'needs_review', 'needs_review'],
    ['api', 'needs_review', 'needs_review'],
    ['api', 'declined', 'recharge'],
    ['checkout', 'awaiting_customer', 'recharge'],
    ['checkout', 'needs_review', 'recharge'],
  ] as const)(
    'or not, because of a top-up by %s that is %s: %s',
    async ([source, state, expected], { db }) => {
      const payer = await givenWanting(db)
      await givenTopUp(db, payer, { source, state })

      expect(await decide(db, payer)).toBe(expected)
    },
  )

  test('while it is suspended', async ({ db }) => {
    const payer = await givenWanting(db)
    await setAutoRecharge(db, payer.workspaceId, { suspended_at: new Date(), suspended_reason: 'fraud' })

    expect(await decide(db, payer)).toBe('suspended')
  })

  test('until the cooling down is over', async ({ db }) => {
    const payer = await givenWanting(db)
    const coolingUntil = new Date(Date.now() + 60_000)
    await setAutoRecharge(db, payer.workspaceId, { cooling_until: coolingUntil })

    expect(await decide(db, payer)).toBe('cooling_down')
    expect(await decide(db, payer, coolingUntil)).toBe('recharge')
  })

  test('when the day has had its recharges: those that took money or may, begun within 24 hours', async ({
    db,
  }) => {
    const payer = await givenWanting(db, { dailyLimit: 2 })
    const now = new Date('2026-03-10T12:00:00Z')
    const young = new Date('2026-03-09T12:00:00.001Z')
    for (const state of ['declined', 'failed', 'canceled'] as const)
      await givenTopUp(db, payer, { state, createdAt: young })
    await givenTopUp(db, payer, { source: 'api', state: 'succeeded', createdAt: young })
    await givenTopUp(db, payer, { state: 'succeeded', createdAt: new Date('2026-03-09T12:00:00Z') })
    await givenTopUp(db, payer, { state: 'succeeded', createdAt: young })

    const before = await decide(db, payer, now, { rollBack: true })
    await givenTopUp(db, payer, { state: 'succeeded', createdAt: young })

    expect(before).toBe('recharge')
    expect(await decide(db, payer, now)).toBe('daily_limit')
    expect(await decide(db, payer, new Date('2026-03-10T12:00:00.001Z'))).toBe('recharge')
  })

  test('when another one would pass the cap of the calendar month, UTC', async ({ db }) => {
    const payer = await givenWanting(db, { monthlyCapMicros: micros(40_000_000n) })
    const capOf = (cap: bigint) => setAutoRecharge(db, payer.workspaceId, { monthly_cap_micros: micros(cap) })
    await givenTopUp(db, payer, { state: 'succeeded', createdAt: new Date('2026-02-28T23:59:59.999Z') })
    await givenTopUp(db, payer, { state: 'succeeded', createdAt: new Date('2026-03-01T00:00:00Z') })
    await givenTopUp(db, payer, { state: 'declined', createdAt: new Date('2026-03-02T00:00:00Z') })
    const endOfMonth = new Date('2026-03-31T23:59:59.999Z')

    const exactly = await decide(db, payer, endOfMonth, { rollBack: true })
    await capOf(39_999_999n)

    expect(exactly).toBe('recharge')
    expect(await decide(db, payer, endOfMonth)).toBe('monthly_cap')
    expect(await decide(db, payer, new Date('2026-04-01T00:00:00Z'))).toBe('recharge')
  })
})

describe('two charges of one wallet', () => {
  const open = ['ready', 'submitting', 'unknown', 'processing', 'needs_review'] as const
  const sent = ['submitting', 'unknown', 'processing', 'needs_review'] as const

  test.for(open)(
    'are refused by Postgres itself: a recharge beside one that is %s',
    async (state, { db }) => {
      const payer = await givenPayer(db)
      await givenTopUp(db, payer, { state })

      await expect(givenTopUp(db, payer, { state: 'ready' })).rejects.toMatchObject({
        constraint: 'top_up_one_open_recharge',
      })
    },
  )

  test.for(sent)(
    'are refused by Postgres itself: any charge beside one that is %s',
    async (state, { db }) => {
      const payer = await givenPayer(db)
      await givenTopUp(db, payer, { source: 'api', state })

      for (const second of sent) {
        await expect(givenTopUp(db, payer, { source: 'auto_recharge', state: second })).rejects.toMatchObject(
          { constraint: 'top_up_one_charge_under_way' },
        )
      }
    },
  )

  test('are two of two wallets, and one that ended stands in nobody’s way', async ({ db }) => {
    const [payer, other] = [await givenPayer(db), await givenPayer(db)]
    for (const state of ['succeeded', 'declined', 'failed', 'canceled', 'abandoned'] as const)
      await givenTopUp(db, payer, { state })
    await givenTopUp(db, other, { state: 'unknown' })

    await givenTopUp(db, payer, { state: 'unknown' })

    expect(
      await listTopUps(db, { workspaceId: payer.workspaceId, states: ['unknown'], limit: 9 }),
    ).toHaveLength(1)
  })

  test('cannot be opened by racing transactions that forgot the lock: of 16, one is written', async ({
    place,
    db,
  }) => {
    const payer = await givenPayer(db)

    const landed = await race(place.databaseUrl, payer, 'unknown')

    expect(landed).toBe(1)
  })

  test('would all be written without the index, or with one that forgets a state', async ({
    ownPlace,
    ownDb,
  }) => {
    const [without, forgetful] = [await givenPayer(ownDb), await givenPayer(ownDb)]
    await sql`drop index top_up_one_open_recharge, top_up_one_charge_under_way`.execute(ownDb)

    const landedWithout = await race(ownPlace.databaseUrl, without, 'unknown')
    await ownDb.deleteFrom('top_up').execute()
    await sql`create unique index on top_up (workspace_id) where state in ('ready', 'submitting', 'processing')`.execute(
      ownDb,
    )
    const landedForgetful = await race(ownPlace.databaseUrl, forgetful, 'unknown')

    expect([landedWithout, landedForgetful]).toEqual([16, 16])
  })

  test('are opened by the decision only once, however many decide at the same time', async ({ db }) => {
    const payer = await givenPayer(db)
    await givenAutoRecharge(db, payer)
    await setAutoRecharge(db, payer.workspaceId, { threshold_micros: micros(15_000_000n) })

    const decided = await Promise.all(Array.from({ length: 16 }, () => decide(db, payer)))

    expect(decided.toSorted()).toEqual([...Array.from({ length: 15 }, () => 'charge_under_way'), 'recharge'])
    expect(await stagedCharges(db, payer.workspaceId)).toHaveLength(1)
  })

  test('of a second opening come to null, and stage nothing', async ({ db }) => {
    const { payer } = await givenRecharge(db)

    const second = await underLock(db, payer.workspaceId, (trx, wallet) =>
      openTopUp(
        trx,
        wallet,
        {
          topUpId: newTopUpId(new Date()),
          source: 'auto_recharge',
          state: 'ready',
          amountMicros: micros(1n),
          subscriptionId: payer.subscriptionId,
          dueAt: new Date(),
        },
        new Date(),
      ),
    )

    expect(second).toBeNull()
    expect(await stagedCharges(db, payer.workspaceId)).toHaveLength(1)
  })
})

test('the sweep finds every wallet below its threshold that may be recharged, page by page', async ({
  ownDb,
}) => {
  const payers = await Promise.all(Array.from({ length: 5 }, () => givenPayer(ownDb)))
  for (const payer of payers) await givenAutoRecharge(ownDb, payer, { thresholdMicros: micros(10_000_001n) })
  const [off, above] = [await givenPayer(ownDb), await givenPayer(ownDb)]
  await givenAutoRecharge(ownDb, off, { thresholdMicros: micros(10_000_001n), enabled: false })
  await givenAutoRecharge(ownDb, above, { thresholdMicros: micros(10_000_000n) })

  const first = await listBelowThreshold(ownDb, { after: null, limit: 3 })
  const second = await listBelowThreshold(ownDb, { after: first.at(-1) ?? null, limit: 3 })

  expect([...first, ...second]).toEqual(payers.map((payer) => payer.workspaceId).toSorted())
})

/** A wallet that would be recharged, were it not for what the test does to it. */
async function givenWanting(db: Db, changed = {}): Promise<GivenPayer> {
  const payer = await givenPayer(db)
  await givenAutoRecharge(db, payer, changed)
  await setAutoRecharge(db, payer.workspaceId, { threshold_micros: micros(15_000_000n) })
  return payer
}

/** Decides in a transaction of its own, and says what for. */
async function decide(
  db: Db,
  { workspaceId }: { workspaceId: WorkspaceId },
  now = new Date(),
  { rollBack = false } = {},
): Promise<string> {
  const trx = await db.startTransaction().execute()
  const wallet = await lockWallet(trx, workspaceId)
  const decided = wallet === null ? null : await decideWalletRecharge(trx, wallet, now)
  await (rollBack ? trx.rollback().execute() : trx.commit().execute())
  return decided?.decision === 'wait' ? decided.reason : (decided?.decision ?? 'no wallet')
}

async function setAutoRecharge(
  db: Db,
  workspaceId: WorkspaceId,
  values: Updateable<Schema['auto_recharge']>,
): Promise<void> {
  await db.updateTable('auto_recharge').set(values).where('workspace_id', '=', workspaceId).execute()
}

/** Sixteen connections, each with an insert of its own and no lock. How many of them landed. */
async function race(databaseUrl: string, payer: GivenPayer, state: TopUpState): Promise<number> {
  const racers = connect(databaseUrl, { profile: 'operator', name: 'race', poolSize: 16 })
  const ends = await Promise.allSettled(
    Array.from({ length: 16 }, () =>
      racers.transaction().execute((trx) => givenTopUp(trx, payer, { state })),
    ),
  )
  await racers.destroy()
  return ends.filter((end) => end.status === 'fulfilled').length
}
