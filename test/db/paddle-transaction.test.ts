import { describe, expect } from 'vitest'

import type { WorkspaceId } from '../../billing/ids.ts'
import type { PaddleTransaction } from '../../billing/paddle-facts.ts'
import { micros } from '../../billing/money.ts'
import { listAudit } from '../../db/audit-log.ts'
import { findAutoRecharge } from '../../db/auto-recharge.ts'
import { connect } from '../../db/connect.ts'
import { bindPaddleCustomer } from '../../db/paddle-customer.ts'
import { findCredit, listCredits } from '../../db/paddle-transaction.ts'
import { findUsableCard } from '../../db/saved-card.ts'
import type { Db } from '../../db/schema.ts'
import { findTopUp, listTopUps, listTopUpSteps, type TopUp } from '../../db/top-up.ts'
import { findBalance } from '../../db/wallet.ts'
import { findBreaks } from '../support/books.ts'
import { test } from '../support/fixtures.ts'
import { givenWorkspace, newId } from '../support/given.ts'
import {
  bringTransaction,
  givenAutoRecharge,
  givenCustomer,
  givenPayer,
  givenRecharge,
  givenTopUp,
  getOnlyTopUp,
  underLock,
  type GivenPayer,
} from '../support/given-money-in.ts'
import { aCard, aCharge, aLine, aPayment, aRefusal, aTransaction, at, cents } from '../support/paddle-news.ts'

async function getTopUp(db: Db, key: Parameters<typeof findTopUp>[1]): Promise<TopUp> {
  const topUp = await findTopUp(db, key)
  if (topUp === null) throw new Error(`${key.topUpId} is not there`)
  return topUp
}

async function creditsOf(db: Db, workspaceId: WorkspaceId) {
  return await db
    .selectFrom('ledger_transaction')
    .select(['idempotency_key as key', 'amount_micros as amountMicros', 'reference'])
    .where('workspace_id', '=', workspaceId)
    .where('kind', '=', 'top_up')
    .orderBy('wallet_sequence')
    .execute()
}

/** A top-up in that state, as if it were the wallet's history. */
async function givenCharge(
  db: Db,
  topUp: Partial<Parameters<typeof givenTopUp>[2]> & Pick<Parameters<typeof givenTopUp>[2], 'state'>,
): Promise<{ payer: GivenPayer; topUp: TopUp }> {
  const payer = await givenPayer(db)
  const topUpId = await givenTopUp(db, payer, topUp)
  return { payer, topUp: await getTopUp(db, { ...payer, topUpId }) }
}

/** A checkout that waits for its customer, and the transaction with which it is paid. */
async function givenCheckout(db: Db) {
  const payer = await givenCustomer(db)
  const topUpId = await givenTopUp(db, payer, { source: 'checkout', state: 'awaiting_customer' })
  const lines = [aLine({ topUpId, source: 'checkout', workspaceId: payer.workspaceId })]
  return { payer, topUp: await getTopUp(db, { ...payer, topUpId }), opened: aTransaction(payer, { lines }) }
}

describe('captured money', () => {
  test('is credited once, with its net and without tax, and ends its top-up', async ({ db, place }) => {
    const { payer, topUp } = await givenRecharge(db)
    const charge = aCharge(payer, topUp)

    const applied = await bringTransaction(db, charge)

    const { workspaceId } = payer
    const { topUpId } = topUp
    expect(applied).toEqual({ outcome: 'credited', workspaceId, topUpId, amountMicros: 20_000_000n })
    expect(await findBalance(db, workspaceId)).toBe(30_000_000n)
    expect(await getTopUp(db, topUp)).toMatchObject({
      state: 'succeeded',
      creditedMicros: 20_000_000n,
      paddleTransactionId: charge.transactionId,
      dueAt: null,
      reason: null,
    })
    expect(await findCredit(db, charge.transactionId)).toEqual({
      workspaceId,
      topUpId,
      amountMicros: 20_000_000n,
    })
    expect(await findBreaks(place.databaseUrl)).toEqual([])
  })

  test('is credited once when five callers race for it, each on a connection of its own', async ({
    place,
    db,
  }) => {
    const racers = connect(place.databaseUrl, { profile: 'operator', name: 'race', poolSize: 5 })
    const given = await Promise.all(Array.from({ length: 6 }, () => givenRecharge(db)))

    const outcomes = await Promise.all(
      given.map(async ({ payer, topUp }) => {
        // No card is seen, so that nothing but the wallet's lock keeps them apart.
        const completed = aCharge(payer, topUp, { payments: [aPayment({ card: null })] })
        const paid = { ...completed, status: 'paid' }
        const ends = await Promise.allSettled(
          [paid, completed, paid, completed, completed].map((news) => bringTransaction(racers, news)),
        )
        return ends
          .map((end) => (end.status === 'fulfilled' ? end.value.outcome : String(end.reason)))
          .toSorted()
      }),
    )
    await racers.destroy()

    expect(outcomes).toEqual(
      given.map(() => [...Array.from({ length: 4 }, () => 'already_credited'), 'credited']),
    )
    for (const { payer } of given) {
      expect(await findBalance(db, payer.workspaceId)).toBe(30_000_000n)
      expect(await creditsOf(db, payer.workspaceId)).toHaveLength(1)
    }
    expect(await findBreaks(place.databaseUrl)).toEqual([])
  })

  const endings = ['declined', 'failed', 'canceled', 'abandoned', 'needs_review'] as const

  test.for(endings)(
    'that comes late, for a top-up that is %s, is credited as late money',
    async (state, { db }) => {
      const { payer, topUp } = await givenCharge(db, { state, reason: 'whatever it was' })

      const applied = await bringTransaction(db, aCharge(payer, topUp))

      expect(applied).toMatchObject({ outcome: 'credited', topUpId: topUp.topUpId })
      expect(await findBalance(db, payer.workspaceId)).toBe(30_000_000n)
      expect(await getTopUp(db, topUp)).toMatchObject({
        state: 'succeeded',
        reason: 'late_money',
        dueAt: null,
      })
    },
  )

  test('of a second capture of one top-up is credited too, and somebody hears of it', async ({ db }) => {
    const { payer, topUp } = await givenRecharge(db)
    const [first, second] = [aCharge(payer, topUp), aCharge(payer, topUp)]
    await bringTransaction(db, first)

    const applied = await bringTransaction(db, second)
    const repeated = await bringTransaction(db, second)

    expect([applied.outcome, repeated.outcome]).toEqual(['credited', 'already_credited'])
    expect(await findBalance(db, payer.workspaceId)).toBe(50_000_000n)
    expect(await getTopUp(db, topUp)).toMatchObject({
      state: 'succeeded',
      creditedMicros: 40_000_000n,
      paddleTransactionId: first.transactionId,
      reason: 'second_capture',
    })
    const audit = await listAudit(db, payer.workspaceId, 100)
    expect(audit.filter((entry) => entry.action === 'top_up.second_capture')).toMatchObject([
      {
        actor: 'paddle',
        detail: { top_up_id: topUp.topUpId, first: first.transactionId, second: second.transactionId },
      },
    ])
  })

  test('of a checkout is credited and leaves the declines of the saved card in memory', async ({ db }) => {
    const payer = await givenPayer(db)
    await givenAutoRecharge(db, payer)
    await db
      .updateTable('auto_recharge')
      .set({ declines_in_a_row: 2 })
      .where('workspace_id', '=', payer.workspaceId)
      .execute()
    const topUpId = await givenTopUp(db, payer, { source: 'checkout', state: 'awaiting_customer' })
    const lines = [aLine({ topUpId, source: 'checkout', workspaceId: payer.workspaceId })]

    const applied = await bringTransaction(db, aTransaction(payer, { lines }))

    expect(applied).toMatchObject({ outcome: 'credited', topUpId })
    expect(await findAutoRecharge(db, payer.workspaceId)).toMatchObject({ declinesInARow: 2 })
  })

  test('of a charge ends a row of declines, and takes the wallet above its threshold', async ({ db }) => {
    const { payer, topUp } = await givenRecharge(db)
    await db
      .updateTable('auto_recharge')
      .set({ declines_in_a_row: 2, cooling_until: new Date('2099-01-01') })
      .where('workspace_id', '=', payer.workspaceId)
      .execute()

    await bringTransaction(db, aCharge(payer, topUp))

    expect(await findAutoRecharge(db, payer.workspaceId)).toMatchObject({
      declinesInARow: 0,
      coolingUntil: null,
      lastDecision: 'above_threshold',
    })
  })

  test('that does not clear the threshold is followed by another recharge at once', async ({ db }) => {
    const { payer, topUp } = await givenRecharge(db, { thresholdMicros: micros(40_000_000n) })

    await bringTransaction(db, aCharge(payer, topUp))

    const { workspaceId } = payer
    expect(await listTopUps(db, { workspaceId, states: ['ready'], limit: 9 })).toHaveLength(1)
    expect(await findAutoRecharge(db, workspaceId)).toMatchObject({ lastDecision: 'recharge' })
  })

  test('is dated by its capture, and listed among the credits since then', async ({ ownDb }) => {
    const { payer, topUp } = await givenRecharge(ownDb)
    const charge = aCharge(payer, topUp, {
      payments: [aRefusal('declined'), aPayment({ createdAt: at(90) })],
    })
    const before = new Date()

    await bringTransaction(ownDb, charge, before)

    const row = await ownDb
      .selectFrom('ledger_transaction')
      .select('occurred_at')
      .where('kind', '=', 'top_up')
      .executeTakeFirstOrThrow()
    const credit = {
      paddleTransactionId: charge.transactionId,
      workspaceId: payer.workspaceId,
      amountMicros: 20_000_000n,
    }
    expect(row.occurred_at).toEqual(at(90))
    expect(await listCredits(ownDb, { since: before })).toEqual([credit])
    expect(await listCredits(ownDb, { since: new Date(before.getTime() + 60_000) })).toEqual([])
  })
})

describe('whose money it is', () => {
  test('is said by what we wrote at Paddle; money of another customer is credited to nobody', async ({
    db,
  }) => {
    const { payer, topUp } = await givenRecharge(db)
    const stranger = await givenPayer(db)
    const stolen = aCharge(payer, topUp, { customerId: stranger.customerId })

    const applied = await bringTransaction(db, stolen)

    expect(applied).toEqual({
      outcome: 'review',
      workspaceId: payer.workspaceId,
      reason: 'another_customer',
    })
    expect(await findBalance(db, payer.workspaceId)).toBe(10_000_000n)
    expect(await findBalance(db, stranger.workspaceId)).toBe(10_000_000n)
    expect(await getTopUp(db, topUp)).toMatchObject({ state: 'ready' })
  })

  test('is a question for a person when the workspace has no customer, or is not there', async ({ db }) => {
    const workspaceId = await givenWorkspace(db)
    const claims = [workspaceId, 'ws_that_is_nowhere', 'no workspace id at all']

    const outcomes = []
    for (const claimed of claims) {
      const lines = [aLine({ workspaceId: claimed })]
      outcomes.push(await bringTransaction(db, aTransaction({ workspaceId, customerId: 'ctm_1' }, { lines })))
    }

    expect(outcomes).toMatchObject(claims.map(() => ({ outcome: 'review', reason: 'unknown_customer' })))
    expect(await findBalance(db, workspaceId)).toBe(10_000_000n)
  })

  test('news of a stranger’s unpaid transaction touch nothing', async ({ db }) => {
    const { payer, topUp } = await givenRecharge(db)
    const news = { status: 'billed', payments: [], customerId: 'ctm_stranger' }

    const applied = await bringTransaction(db, aCharge(payer, topUp, news))

    expect(applied).toEqual({ outcome: 'ignored', reason: 'not_ours' })
    expect(await getTopUp(db, topUp)).toMatchObject({ state: 'ready', paddleTransactionId: null })
  })

  test('follows from the subscription, or from a customer of one workspace, where nothing is written', async ({
    db,
  }) => {
    const [bySubscription, byCustomer] = [await givenPayer(db), await givenCustomer(db)]
    const unnamed = { workspaceId: null, lines: [aLine()] }
    const other = await givenPayer(db)

    const outcomes = [
      await bringTransaction(
        db,
        aTransaction(bySubscription, { ...unnamed, subscriptionId: bySubscription.subscriptionId }),
      ),
      await bringTransaction(db, aTransaction(byCustomer, unnamed)),
    ]

    expect(outcomes).toMatchObject([
      { outcome: 'credited', workspaceId: bySubscription.workspaceId },
      { outcome: 'credited', workspaceId: byCustomer.workspaceId },
    ])
    expect(await findBalance(db, other.workspaceId)).toBe(10_000_000n)
  })

  test('is a question for a person when the customer has two workspaces and nothing says which', async ({
    db,
  }) => {
    const one = await givenCustomer(db)
    const other = await givenWorkspace(db)
    await underLock(db, other, (trx, wallet) =>
      bindPaddleCustomer(trx, wallet, { customerId: one.customerId, email: 'payer@example.com' }, 'test'),
    )

    const applied = await bringTransaction(db, aTransaction(one, { workspaceId: null, lines: [aLine()] }))

    expect(applied).toEqual({ outcome: 'review', workspaceId: null, reason: 'unknown_customer' })
  })
})

describe('money without a row of ours', () => {
  test('is credited, and its top-up is adopted under the id that Paddle kept, as after a restore', async ({
    db,
  }) => {
    const payer = await givenPayer(db)
    const topUpId = newId('topup')
    const charge = aCharge(payer, { topUpId, amountMicros: 50_000_000n, source: 'api' })

    const applied = await bringTransaction(db, charge)
    const repeated = await bringTransaction(db, charge)

    expect([applied.outcome, repeated.outcome]).toEqual(['credited', 'already_credited'])
    expect(await getOnlyTopUp(db, payer.workspaceId)).toMatchObject({
      topUpId,
      source: 'api',
      state: 'succeeded',
      amountMicros: 50_000_000n,
      creditedMicros: 50_000_000n,
      subscriptionId: payer.subscriptionId,
      paddleTransactionId: charge.transactionId,
      createdAt: charge.createdAt,
    })
    expect(await listTopUpSteps(db, { ...payer, topUpId })).toMatchObject([
      { state: 'succeeded', reason: 'adopted' },
    ])
  })

  test('that was made at Paddle by hand is credited under a name of its own', async ({ db }) => {
    const payer = await givenCustomer(db)
    const byHand = aTransaction(payer, { lines: [aLine({ net: cents(700n) })] })

    await bringTransaction(db, byHand)

    expect(await getOnlyTopUp(db, payer.workspaceId)).toMatchObject({
      topUpId: `topup_${byHand.transactionId}`,
      source: 'checkout',
      subscriptionId: null,
      creditedMicros: 7_000_000n,
    })
  })

  test('counts as a recharge when it was a charge of the card, and so against the limits of the day', async ({
    db,
  }) => {
    const payer = await givenPayer(db)
    const topUpId = newId('topup')

    await bringTransaction(
      db,
      aCharge(payer, { topUpId, amountMicros: 20_000_000n, source: 'no such source' }),
    )
    await givenAutoRecharge(db, payer, { dailyLimit: 1, thresholdMicros: micros(100_000_000n) })

    expect(await getOnlyTopUp(db, payer.workspaceId)).toMatchObject({ source: 'auto_recharge' })
    expect(await findAutoRecharge(db, payer.workspaceId)).toMatchObject({ lastDecision: 'daily_limit' })
  })
})

describe('a person looks, and nothing is credited or changed,', () => {
  const doubts: [string, string, Partial<PaddleTransaction>][] = [
    ['when the amount is a cent off', 'wrong_amount', { lines: [aLine({ net: cents(1_999n) })] }],
    ['when another product was sold', 'wrong_product', { lines: [aLine({ productId: 'pro_other' })] }],
    [
      'when it was paid in another currency',
      'wrong_currency',
      { lines: [aLine({ net: { amount: 2_000n, currency: 'EUR' } })] },
    ],
    ['when it carries two top-ups', 'mixed_top_ups', { lines: [aLine(), aLine({ topUpId: 'topup_other' })] }],
  ]

  test.for(doubts)('%s', async ([, reason, changed], { db }) => {
    const { payer, topUp } = await givenRecharge(db)
    const lines = (changed.lines ?? []).map((line) => ({ ...line, topUpId: line.topUpId ?? topUp.topUpId }))

    const applied = await bringTransaction(db, aCharge(payer, topUp, { lines }))

    expect(applied).toEqual({ outcome: 'review', workspaceId: payer.workspaceId, reason })
    expect(await findBalance(db, payer.workspaceId)).toBe(10_000_000n)
    expect(await getTopUp(db, topUp)).toEqual(topUp)
  })

  test('when a transaction that was credited says another amount later', async ({ db }) => {
    const { payer, topUp } = await givenRecharge(db)
    const charge = aCharge(payer, topUp)
    await bringTransaction(db, charge)
    const more = { ...charge, lines: [aLine({ ...charge.lines[0], net: cents(2_001n) })] }
    const byAnotherName = { ...more, lines: more.lines.map((line) => ({ ...line, topUpId: newId('topup') })) }

    const outcomes = [await bringTransaction(db, more), await bringTransaction(db, byAnotherName)]

    expect(outcomes).toMatchObject([
      { outcome: 'review', reason: 'wrong_amount' },
      { outcome: 'review', reason: 'wrong_amount' },
    ])
    expect(await creditsOf(db, payer.workspaceId)).toHaveLength(1)
    expect(await getOnlyTopUp(db, payer.workspaceId)).toMatchObject({ creditedMicros: 20_000_000n })
  })
})

describe('news of a charge that is not paid', () => {
  const open = ['ready', 'submitting', 'unknown', 'needs_review'] as const

  test.for(open)(
    'bind it to its top-up, which was %s and is proven to be under way by that',
    async (state, { db }) => {
      const { payer, topUp } = await givenCharge(db, { state })
      const billed = aCharge(payer, topUp, { status: 'billed', payments: [] })

      const applied = await bringTransaction(db, billed)
      const repeated = await bringTransaction(db, billed)

      expect(applied).toEqual({
        outcome: 'noted',
        workspaceId: payer.workspaceId,
        topUpId: topUp.topUpId,
      })
      expect(repeated).toEqual(applied)
      expect(await getTopUp(db, topUp)).toMatchObject({
        state: 'processing',
        paddleTransactionId: billed.transactionId,
      })
      expect(await listTopUpSteps(db, topUp)).toHaveLength(1)
      expect(await findBalance(db, payer.workspaceId)).toBe(10_000_000n)
    },
  )

  test('that it was canceled end it as declined with the code of its last payment, and count once', async ({
    db,
  }) => {
    const { payer, topUp } = await givenRecharge(db)
    const payments = [
      aRefusal('expired_card', { createdAt: at(2) }),
      aRefusal('declined', { createdAt: at(1) }),
    ]
    const canceled = aCharge(payer, topUp, { status: 'canceled', payments })

    await bringTransaction(db, canceled)
    await bringTransaction(db, canceled)

    expect(await getTopUp(db, topUp)).toMatchObject({
      state: 'declined',
      reason: 'expired_card',
      dueAt: null,
    })
    expect(await findAutoRecharge(db, payer.workspaceId)).toMatchObject({
      declinesInARow: 1,
      suspendedReason: 'expired_card',
      lastDecision: 'suspended',
    })
    expect(await findBalance(db, payer.workspaceId)).toBe(10_000_000n)
  })

  test('that it was canceled without a code count as a soft decline', async ({ db }) => {
    const { payer, topUp } = await givenRecharge(db)

    await bringTransaction(db, aCharge(payer, topUp, { status: 'canceled', payments: [] }))

    expect(await getTopUp(db, topUp)).toMatchObject({ state: 'declined', reason: 'declined' })
    expect(await findAutoRecharge(db, payer.workspaceId)).toMatchObject({ lastDecision: 'cooling_down' })
  })

  test('that it is past due give it to a person, and older news do not take it back', async ({ db }) => {
    const { payer, topUp } = await givenRecharge(db)
    const charge = aCharge(payer, topUp, { payments: [] })

    await bringTransaction(db, { ...charge, status: 'past_due' })
    await bringTransaction(db, { ...charge, status: 'billed' })

    expect(await getTopUp(db, topUp)).toMatchObject({
      state: 'needs_review',
      reason: 'past_due',
      paddleTransactionId: charge.transactionId,
    })
    expect(await bringTransaction(db, { ...charge, status: 'completed' })).toMatchObject({
      outcome: 'credited',
    })
  })

  test('that what nobody could find is past due are kept, too', async ({ db }) => {
    const { payer, topUp } = await givenCharge(db, { state: 'needs_review', reason: 'not_found_at_paddle' })

    await bringTransaction(db, aCharge(payer, topUp, { status: 'past_due', payments: [] }))

    expect(await getTopUp(db, topUp)).toMatchObject({
      state: 'needs_review',
      reason: 'past_due',
      paddleTransactionId: expect.stringMatching(/^txn_/),
    })
  })

  test.for(['billed', 'canceled', 'past_due'])(
    'that it is %s change nothing when it was credited, or is bound to another transaction',
    async (status, { db }) => {
      const { payer, topUp } = await givenRecharge(db)
      const credited = await givenRecharge(db)
      await bringTransaction(db, aCharge(payer, topUp, { status: 'billed', payments: [] }))
      await bringTransaction(db, aCharge(credited.payer, credited.topUp))
      const before = [await getTopUp(db, topUp), await getTopUp(db, credited.topUp)]

      await bringTransaction(db, aCharge(payer, topUp, { status, payments: [] }))
      await bringTransaction(db, aCharge(credited.payer, credited.topUp, { status, payments: [] }))

      expect([await getTopUp(db, topUp), await getTopUp(db, credited.topUp)]).toEqual(before)
    },
  )

  test('of a transaction that is no top-up are nothing to us', async ({ db }) => {
    const payer = await givenPayer(db)

    const applied = await bringTransaction(db, aTransaction(payer, { status: 'ready', payments: [] }))

    expect(applied).toEqual({ outcome: 'ignored', reason: 'not_a_top_up' })
    expect(await listTopUps(db, { workspaceId: payer.workspaceId, limit: 1 })).toEqual([])
  })
})

describe('a checkout', () => {
  test('whose payment failed waits on for the customer, and says why', async ({ db }) => {
    const { topUp, opened } = await givenCheckout(db)

    await bringTransaction(db, { ...opened, status: 'ready', payments: [aRefusal('not_enough_balance')] })

    expect(await getTopUp(db, topUp)).toMatchObject({
      state: 'awaiting_customer',
      reason: 'not_enough_balance',
    })
    expect(await bringTransaction(db, opened)).toMatchObject({ outcome: 'credited' })
  })

  test('that was canceled at Paddle ends, and is credited all the same when it was paid', async ({ db }) => {
    const { payer, topUp, opened } = await givenCheckout(db)

    await bringTransaction(db, { ...opened, status: 'canceled', payments: [] })
    const canceled = await getTopUp(db, topUp)
    await bringTransaction(db, opened)

    expect(canceled).toMatchObject({ state: 'canceled', reason: 'canceled_at_paddle', dueAt: null })
    expect(await getTopUp(db, topUp)).toMatchObject({ state: 'succeeded', reason: 'late_money' })
    expect(await findBalance(db, payer.workspaceId)).toBe(30_000_000n)
  })
})

describe('the card that paid', () => {
  test('is seen in the setup transaction, which credits nothing', async ({ db }) => {
    const payer = await givenPayer(db)
    const free = aLine({ productId: 'pro_card', net: cents(0n), workspaceId: payer.workspaceId })

    const applied = await bringTransaction(
      db,
      aTransaction(payer, { origin: 'web', subscriptionId: payer.subscriptionId, lines: [free] }),
    )

    expect(applied).toEqual({ outcome: 'ignored', reason: 'not_a_top_up' })
    expect(await findUsableCard(db, payer.workspaceId)).toMatchObject({ card: aCard() })
    expect(await findBalance(db, payer.workspaceId)).toBe(10_000_000n)
  })

  test('is another one after a change: a suspended auto-recharge goes on, and charges at once', async ({
    db,
  }) => {
    const { payer, topUp } = await givenRecharge(db)
    const { workspaceId, subscriptionId } = payer
    const free = aLine({ productId: 'pro_card', net: cents(0n), workspaceId })
    const setup = aTransaction(payer, { origin: 'web', subscriptionId, lines: [free] })
    await bringTransaction(db, setup)
    await bringTransaction(
      db,
      aCharge(payer, topUp, { status: 'canceled', payments: [aRefusal('expired_card')] }),
    )
    const suspended = await findAutoRecharge(db, workspaceId)

    const card = aCard({ brand: 'mastercard', last4: '4444' })
    const payments = [aPayment({ paymentMethodId: 'paymtd_second', card, createdAt: at(7_000) })]
    await bringTransaction(db, {
      ...setup,
      transactionId: newId('txn'),
      origin: 'subscription_payment_method_change',
      payments,
    })

    expect(suspended).toMatchObject({ lastDecision: 'suspended' })
    expect(await findAutoRecharge(db, workspaceId)).toMatchObject({
      suspendedAt: null,
      declinesInARow: 0,
      lastDecision: 'recharge',
    })
    expect(await findUsableCard(db, workspaceId)).toMatchObject({ card })
  })
})
