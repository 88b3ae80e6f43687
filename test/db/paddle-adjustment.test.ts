import { sql } from 'kysely'
import * as fc from 'fast-check'
import { describe, expect } from 'vitest'

import { micros } from '../../billing/money.ts'
import type { PaddleAdjustment, PaddleTransaction } from '../../billing/paddle-facts.ts'
import { listAudit } from '../../db/audit-log.ts'
import { findAutoRecharge } from '../../db/auto-recharge.ts'
import { connect } from '../../db/connect.ts'
import { freezeWallet, unfreezeWallet } from '../../db/freeze.ts'
import { postUsage } from '../../db/post-usage.ts'
import { createRateBookCache } from '../../db/rate-book.ts'
import type { Db } from '../../db/schema.ts'
import { listTopUps } from '../../db/top-up.ts'
import { findBalance } from '../../db/wallet.ts'
import { findBreaks } from '../support/books.ts'
import { test } from '../support/fixtures.ts'
import { aCall, callArrival } from '../support/given.ts'
import {
  bringAdjustment,
  bringTransaction,
  givenAutoRecharge,
  givenPayer,
  underLock,
  type GivenPayer,
} from '../support/given-money-in.ts'
import { aTransaction, anAdjustment, cents } from '../support/paddle-news.ts'

/** A payer with $10 and a paid top-up of $20: $30 in all. */
async function givenCredit(db: Db): Promise<{ payer: GivenPayer; paid: PaddleTransaction }> {
  const payer = await givenPayer(db)
  const paid = aTransaction(payer)
  await bringTransaction(db, paid)
  return { payer, paid }
}

async function frozenReasonOf(db: Db, { workspaceId }: GivenPayer): Promise<string | null> {
  const row = await db
    .selectFrom('wallet')
    .select('frozen_reason')
    .where('workspace_id', '=', workspaceId)
    .executeTakeFirstOrThrow()
  return row.frozen_reason
}

/** What adjustments did to the wallet, by their names. */
async function bookedOf(db: Db, { workspaceId }: GivenPayer): Promise<[string, bigint][]> {
  const rows = await db
    .selectFrom('ledger_transaction')
    .select(['kind', 'amount_micros'])
    .where('workspace_id', '=', workspaceId)
    .where('kind', 'in', ['refund', 'chargeback'])
    .orderBy('wallet_sequence')
    .execute()
  return rows.map((row) => [row.kind, row.amount_micros])
}

function opened(paid: PaddleTransaction): PaddleAdjustment {
  return anAdjustment(paid, { action: 'chargeback' })
}

/** How Paddle tells of the end of a chargeback: by one of its own, and by marking the first one. */
function won(chargeback: PaddleAdjustment, paid: PaddleTransaction): PaddleAdjustment[] {
  return [anAdjustment(paid, { action: 'chargeback_reverse' }), { ...chargeback, status: 'reversed' }]
}

describe('a refund', () => {
  test('takes its net from the wallet that was credited, once, as soon as it is approved', async ({
    db,
    place,
  }) => {
    const { payer, paid } = await givenCredit(db)
    const refund = anAdjustment(paid, { net: cents(500n) })

    const outcomes = [
      await bringAdjustment(db, { ...refund, status: 'pending_approval' }),
      await bringAdjustment(db, refund),
      await bringAdjustment(db, refund),
      await bringAdjustment(db, { ...refund, status: 'pending_approval' }),
    ]

    expect(outcomes.map((each) => each.outcome)).toEqual(['ignored', 'applied', 'already_applied', 'ignored'])
    expect(await findBalance(db, payer.workspaceId)).toBe(25_000_000n)
    expect(await bookedOf(db, payer)).toEqual([['refund', -5_000_000n]])
    expect(await findBreaks(place.databaseUrl)).toEqual([])
  })

  test('that was turned down moves nothing', async ({ db }) => {
    const { payer, paid } = await givenCredit(db)

    const applied = await bringAdjustment(db, anAdjustment(paid, { status: 'rejected' }))

    expect(applied).toEqual({ outcome: 'ignored' })
    expect(await findBalance(db, payer.workspaceId)).toBe(30_000_000n)
  })

  test('names the top-up it belongs to, and does not freeze the wallet', async ({ db }) => {
    const { payer, paid } = await givenCredit(db)

    await bringAdjustment(db, anAdjustment(paid))

    const row = await db
      .selectFrom('ledger_transaction')
      .select('reference')
      .where('workspace_id', '=', payer.workspaceId)
      .where('kind', '=', 'refund')
      .executeTakeFirstOrThrow()
    expect(row.reference).toBe(`topup_${paid.transactionId}`)
    expect(await frozenReasonOf(db, payer)).toBeNull()
  })

  test('may take the wallet below zero', async ({ db }) => {
    const { payer, paid } = await givenCredit(db)
    const startedAt = new Date(Date.now() - 11 * 3_600_000).toISOString()
    const spent = callArrival(aCall(payer.workspaceId, { durationSeconds: 9_000, startedAt }))
    await db.transaction().execute((trx) => postUsage(trx, [spent], createRateBookCache()))

    await bringAdjustment(db, anAdjustment(paid))

    expect(await findBalance(db, payer.workspaceId)).toBe(3_000_000n - 20_000_000n)
  })

  test('that takes the wallet below its threshold calls for a recharge', async ({ db }) => {
    const { payer, paid } = await givenCredit(db)
    await givenAutoRecharge(db, payer, { thresholdMicros: micros(15_000_000n) })

    await bringAdjustment(db, anAdjustment(paid))

    const { workspaceId } = payer
    expect(await listTopUps(db, { workspaceId, states: ['ready'], limit: 9 })).toHaveLength(1)
  })

  test('that comes before its credit waits for it', async ({ db }) => {
    const payer = await givenPayer(db)
    const paid = aTransaction(payer)
    const refund = anAdjustment(paid)

    const early = await bringAdjustment(db, refund)
    await bringTransaction(db, paid)
    const late = await bringAdjustment(db, refund)

    expect(early).toEqual({ outcome: 'waiting', paddleTransactionId: paid.transactionId })
    expect(late).toMatchObject({ outcome: 'applied' })
    expect(await findBalance(db, payer.workspaceId)).toBe(10_000_000n)
  })

  test('in parts takes the whole credit back to the cent, and not a cent more', async ({ db }) => {
    const { payer, paid } = await givenCredit(db)
    const parts = [1_200n, 799n, 2n, 1n].map((part) => anAdjustment(paid, { net: cents(part) }))

    const outcomes = []
    for (const part of parts) outcomes.push(await bringAdjustment(db, part))

    expect(outcomes).toMatchObject([
      { outcome: 'applied' },
      { outcome: 'applied' },
      { outcome: 'review', reason: 'more_than_was_credited' },
      { outcome: 'applied' },
    ])
    expect(await findBalance(db, payer.workspaceId)).toBe(10_000_000n)
  })

  test('of one payment leaves what may be taken back of another', async ({ db }) => {
    const { payer, paid } = await givenCredit(db)
    const other = aTransaction(payer)
    await bringTransaction(db, other)

    const outcomes = [
      await bringAdjustment(db, anAdjustment(paid)),
      await bringAdjustment(db, anAdjustment(other)),
    ]

    expect(outcomes).toMatchObject([{ outcome: 'applied' }, { outcome: 'applied' }])
    expect(await findBalance(db, payer.workspaceId)).toBe(10_000_000n)
  })

  test('in parts that race takes no more than was credited', async ({ db, place }) => {
    const racers = connect(place.databaseUrl, { profile: 'operator', name: 'race', poolSize: 8 })
    const { payer, paid } = await givenCredit(db)
    const parts = Array.from({ length: 8 }, () => anAdjustment(paid, { net: cents(600n) }))

    const ends = await Promise.all([...parts, ...parts].map((part) => bringAdjustment(racers, part)))
    await racers.destroy()

    expect(ends.filter((end) => end.outcome === 'applied')).toHaveLength(3)
    expect(await findBalance(db, payer.workspaceId)).toBe(12_000_000n)
  })

  test('that says another amount under the same id later is put before a person', async ({ db }) => {
    const { payer, paid } = await givenCredit(db)
    const refund = anAdjustment(paid, { net: cents(500n) })
    await bringAdjustment(db, refund)

    const applied = await bringAdjustment(db, { ...refund, status: 'reversed', net: cents(600n) })

    expect(applied).toMatchObject({ outcome: 'review', reason: 'contradicted' })
    expect(await findBalance(db, payer.workspaceId)).toBe(25_000_000n)
  })
})

describe('a chargeback', () => {
  test('takes the money back and freezes the wallet, which stops recharges', async ({ db }) => {
    const { payer, paid } = await givenCredit(db)
    await givenAutoRecharge(db, payer, { thresholdMicros: micros(15_000_000n) })

    await bringAdjustment(db, opened(paid))

    const { workspaceId } = payer
    expect(await findBalance(db, workspaceId)).toBe(10_000_000n)
    expect(await frozenReasonOf(db, payer)).toBe('chargeback')
    expect(await findAutoRecharge(db, workspaceId)).toMatchObject({ lastDecision: 'frozen' })
    expect(await listTopUps(db, { workspaceId, states: ['ready'], limit: 9 })).toEqual([])
    expect(await listAudit(db, workspaceId, 1)).toMatchObject([
      { actor: 'paddle', action: 'wallet.frozen', detail: { reason: 'chargeback' } },
    ])
  })

  test('that was won gives the money back once, although Paddle says so twice, and unfreezes the wallet', async ({
    db,
    place,
  }) => {
    const { payer, paid } = await givenCredit(db)
    const chargeback = opened(paid)
    await bringAdjustment(db, chargeback)

    for (const news of won(chargeback, paid)) await bringAdjustment(db, news)

    expect(await findBalance(db, payer.workspaceId)).toBe(30_000_000n)
    expect(await bookedOf(db, payer)).toEqual([
      ['chargeback', -20_000_000n],
      ['chargeback', 20_000_000n],
    ])
    expect(await frozenReasonOf(db, payer)).toBeNull()
    expect(await findBreaks(place.databaseUrl)).toEqual([])
  })

  test('of one payment stays open when that of another was won', async ({ db }) => {
    const { payer, paid } = await givenCredit(db)
    const other = aTransaction(payer)
    await bringTransaction(db, other)
    const [first, second] = [opened(paid), opened(other)]
    for (const news of [first, second, ...won(second, other)]) await bringAdjustment(db, news)
    const whileOpen = await frozenReasonOf(db, payer)

    for (const news of won(first, paid)) await bringAdjustment(db, news)

    expect(whileOpen).toBe('chargeback')
    expect(await frozenReasonOf(db, payer)).toBeNull()
  })

  test('only announced freezes the wallet and moves no money, until the warning is taken back', async ({
    db,
  }) => {
    const { payer, paid } = await givenCredit(db)

    await bringAdjustment(db, anAdjustment(paid, { action: 'chargeback_warning' }))
    const warned = await frozenReasonOf(db, payer)
    await bringAdjustment(db, anAdjustment(paid, { action: 'chargeback_warning_reverse' }))

    expect(warned).toBe('chargeback_warning')
    expect(await frozenReasonOf(db, payer)).toBeNull()
    expect(await bookedOf(db, payer)).toEqual([])
  })

  test('does not undo what a person decided about it, nor a freeze of a person’s', async ({ db }) => {
    const { payer, paid } = await givenCredit(db)
    const chargeback = opened(paid)
    await bringAdjustment(db, chargeback)
    await underLock(db, payer.workspaceId, (trx, wallet) =>
      unfreezeWallet(trx, wallet, { actor: 'person', reason: 'talked to them' }),
    )

    await bringAdjustment(db, chargeback)
    await bringAdjustment(db, { ...chargeback, status: 'reversed' })
    const afterNews = await frozenReasonOf(db, payer)
    await underLock(db, payer.workspaceId, (trx, wallet) =>
      freezeWallet(trx, wallet, { actor: 'person', reason: 'looks like fraud', now: new Date() }),
    )
    await bringAdjustment(db, anAdjustment(paid, { action: 'chargeback_reverse' }))

    expect(afterNews).toBeNull()
    expect(await frozenReasonOf(db, payer)).toBe('looks like fraud')
  })
})

test('a wallet that is frozen already keeps its first reason, and is frozen and unfrozen once', async ({
  db,
}) => {
  const { payer, paid } = await givenCredit(db)
  const freeze = (reason: string) =>
    underLock(db, payer.workspaceId, (trx, wallet) =>
      freezeWallet(trx, wallet, { actor: 'person', reason, now: new Date() }),
    )
  const unfreeze = () =>
    underLock(db, payer.workspaceId, (trx, wallet) =>
      unfreezeWallet(trx, wallet, { actor: 'person', reason: 'all is well' }),
    )

  await freeze('looks like fraud')
  await freeze('looks like fraud again')
  await bringAdjustment(db, opened(paid))
  const reason = await frozenReasonOf(db, payer)
  await unfreeze()
  await unfreeze()

  const audit = await listAudit(db, payer.workspaceId, 100)
  expect(reason).toBe('looks like fraud')
  expect(audit.filter((entry) => entry.action.startsWith('wallet.'))).toMatchObject([
    { action: 'wallet.unfrozen', detail: { reason: 'all is well' } },
    { action: 'wallet.frozen', detail: { reason: 'looks like fraud' } },
  ])
})

describe('a person looks, and nothing moves,', () => {
  test.for([
    ['when it is in another currency', 'wrong_currency', { net: { amount: 1n, currency: 'EUR' } }],
    ['when nobody knows what it does', 'unknown_action', { action: 'credit' }],
    ['when it takes more than was credited', 'more_than_was_credited', { net: cents(2_001n) }],
  ] as const)('%s', async ([, reason, changed], { db }) => {
    const { payer, paid } = await givenCredit(db)

    const applied = await bringAdjustment(db, anAdjustment(paid, changed))

    expect(applied).toEqual({ outcome: 'review', workspaceId: payer.workspaceId, reason })
    expect(await findBalance(db, payer.workspaceId)).toBe(30_000_000n)
  })
})

test('a dispute of another payment freezes a wallet again that a person unfroze after the first', async ({
  db,
}) => {
  const { payer, paid } = await givenCredit(db)
  const other = aTransaction(payer)
  await bringTransaction(db, other)
  await bringAdjustment(db, anAdjustment(paid, { action: 'chargeback' }))
  await underLock(db, payer.workspaceId, (trx, wallet) =>
    unfreezeWallet(trx, wallet, { actor: 'operator', reason: 'lost' }),
  )

  await bringAdjustment(db, anAdjustment(other, { action: 'chargeback_warning' }))

  expect(await frozenReasonOf(db, payer)).toBe('chargeback_warning')
})

test('news of a refund, a warning, a chargeback and its end come to the same in any order and any number', async ({
  db,
}) => {
  const run = async (order: readonly number[]) => {
    const { payer, paid } = await givenCredit(db)
    const refund = anAdjustment(paid, { adjustmentId: 'adj_refund', net: cents(300n) })
    const chargeback = anAdjustment(paid, {
      adjustmentId: 'adj_chargeback',
      action: 'chargeback',
      net: cents(1_700n),
    })
    const reverse = { ...chargeback, adjustmentId: 'adj_reverse', action: 'chargeback_reverse' }
    const warning = { ...chargeback, adjustmentId: 'adj_warning', action: 'chargeback_warning' }
    const news = [
      { ...refund, status: 'pending_approval' },
      refund,
      warning,
      chargeback,
      reverse,
      { ...chargeback, status: 'reversed' },
    ]
    let waiting = new Set<PaddleAdjustment>()
    for (const index of order) {
      const told = news[index]
      if (told === undefined) continue
      // What waits is told again whenever something else has been applied.
      const round = [told, ...waiting]
      waiting = new Set()
      for (const each of round) {
        if ((await bringAdjustment(db, each)).outcome === 'waiting') waiting.add(each)
      }
    }
    return {
      balance: await findBalance(db, payer.workspaceId),
      booked: (await bookedOf(db, payer)).map((each) => each.join(' ')).toSorted(),
      frozen: await frozenReasonOf(db, payer),
    }
  }
  const all = [0, 1, 2, 3, 4, 5]
  const expected = await run(all)

  await fc.assert(
    fc.asyncProperty(
      fc.shuffledSubarray(all, { minLength: all.length }),
      fc.array(fc.constantFrom(...all), { maxLength: 4 }),
      async (order, repeats) => {
        expect(await run([...order, ...repeats])).toEqual(expected)
      },
    ),
    { numRuns: 30 },
  )
  expect(expected).toMatchObject({ balance: 27_000_000n, frozen: null })
})

test('what Paddle holds and what the wallets were given for it are the same sum, whatever came back', async ({
  ownDb,
}) => {
  const { paid } = await givenCredit(ownDb)
  await bringAdjustment(ownDb, anAdjustment(paid, { net: cents(300n) }))
  await bringAdjustment(ownDb, anAdjustment(paid, { action: 'chargeback', net: cents(1_000n) }))
  await bringAdjustment(ownDb, anAdjustment(paid, { action: 'chargeback_reverse', net: cents(1_000n) }))

  const { rows } = await sql<{ account: string; amount_micros: bigint }>`
    select account, sum(amount_micros)::bigint as amount_micros from account_entry
    where account = 'paddle_clearing' group by account`.execute(ownDb)

  expect(rows.map((row) => (row.amount_micros < 0n ? -row.amount_micros : row.amount_micros))).toEqual([
    17_000_000n,
  ])
})
