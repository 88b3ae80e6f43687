// Paddle tells its news at least once and in no order. Whatever the order and however often, the books end up the same.
import * as fc from 'fast-check'
import { describe, expect } from 'vitest'

import type { WorkspaceId } from '../../billing/ids.ts'
import type { PaddleAdjustment, PaddleSubscription, PaddleTransaction } from '../../billing/paddle-facts.ts'
import { applyPaddleAdjustment } from '../../db/paddle-adjustment.ts'
import {
  decidePaddleEvent,
  receivePaddleEvent,
  wakeEventsOfCredits,
  type EventDecision,
} from '../../db/paddle-event.ts'
import { applyPaddleSubscription } from '../../db/paddle-subscription.ts'
import { applyPaddleTransaction } from '../../db/paddle-transaction.ts'
import type { Db, Tx } from '../../db/schema.ts'
import { findBreaks } from '../support/books.ts'
import { test } from '../support/fixtures.ts'
import {
  givenAutoRecharge,
  givenCustomer,
  givenPayer,
  givenTopUp,
  nextLook,
  type GivenPayer,
} from '../support/given-money-in.ts'
import {
  aCard,
  aCharge,
  aLine,
  aPayment,
  aRefusal,
  aSubscription,
  aTransaction,
  anAdjustment,
  at,
  cents,
  productId,
} from '../support/paddle-news.ts'

type News = { eventId: string } & (
  | { transaction: PaddleTransaction }
  | { subscription: PaddleSubscription }
  | { adjustment: PaddleAdjustment }
)

type Day = {
  /** Tells one day from another in every id that Paddle gives. */
  run: string
  payers: GivenPayer[]
  news: News[]
}

let days = 0

/** Four wallets and everything that happened to them, in the order in which it happened. */
async function givenDay(db: Db): Promise<Day> {
  days += 1
  const run = `r${days}x`
  const payers = await Promise.all([givenCustomer(db), givenPayer(db), givenPayer(db), givenPayer(db)])
  const [buyer, decliner, debtor, disputer] = payers
  for (const payer of [decliner, debtor, disputer]) await givenAutoRecharge(db, payer)
  const facts = [
    ...cardNews(buyer, run),
    ...(await purchaseNews(db, buyer, run)),
    ...(await unpaidNews(db, { decliner, debtor }, run)),
    ...(await disputeNews(db, disputer, run)),
    {
      transaction: aTransaction(
        { ...buyer, customerId: 'ctm_stranger' },
        { transactionId: `txn_${run}_stolen` },
      ),
    },
  ]
  return { run, payers, news: facts.map((fact, index) => ({ eventId: `evt_${run}_${index}`, ...fact })) }
}

function told(payer: GivenPayer, status: string, second: number) {
  return { subscription: aSubscription(payer, { status, updatedAt: at(second) }) }
}

/** A card saved by a setup for nothing, changed, past due for a while, and replaced by another one. */
function cardNews(payer: GivenPayer, run: string) {
  const { workspaceId } = payer
  const first = { ...payer, subscriptionId: `sub_${run}_1` }
  const second = { ...payer, subscriptionId: `sub_${run}_2` }
  const free = aLine({ productId: 'pro_card', net: cents(0n), workspaceId })
  const seen = (name: string, subscriptionId: string, paymentMethodId: string, second: number) => ({
    transaction: aTransaction(payer, {
      transactionId: `txn_${run}_${name}`,
      subscriptionId,
      lines: [free],
      payments: [
        aPayment({
          paymentMethodId,
          card: aCard({ last4: paymentMethodId.slice(-4) }),
          createdAt: at(second),
        }),
      ],
    }),
  })
  return [
    seen('setup', first.subscriptionId, 'paymtd_0001', 10),
    told(first, 'trialing', 11),
    told(first, 'active', 12),
    seen('change', first.subscriptionId, 'paymtd_0002', 20),
    told(first, 'past_due', 21),
    told(first, 'active', 22),
    seen('second_setup', second.subscriptionId, 'paymtd_0003', 30),
    told(second, 'active', 31),
    told(first, 'canceled', 32),
  ]
}

/** A checkout that failed once and was paid, one that was canceled, one made by hand, and a charge that we had forgotten. */
async function purchaseNews(db: Db, payer: GivenPayer, run: string) {
  const { workspaceId } = payer
  const checkout = async (name: string) => {
    const topUpId = await givenTopUp(db, payer, { source: 'checkout', state: 'awaiting_customer' })
    const lines = [aLine({ topUpId, source: 'checkout', workspaceId })]
    return aTransaction(payer, { transactionId: `txn_${run}_${name}`, lines })
  }
  const [paid, canceled] = [await checkout('paid'), await checkout('canceled')]
  const byHand = aTransaction(payer, {
    transactionId: `txn_${run}_by_hand`,
    lines: [aLine({ net: cents(700n) })],
  })
  const forgotten = aCharge(
    { ...payer, subscriptionId: `sub_${run}_1` },
    { topUpId: `topup_${run}_forgotten`, amountMicros: 30_000_000n },
    { transactionId: `txn_${run}_forgotten`, payments: [aPayment({ card: null })] },
  )
  const refund = anAdjustment(forgotten, { adjustmentId: `adj_${run}_whole` })
  return [
    { transaction: { ...paid, status: 'ready', payments: [aRefusal('not_enough_balance')] } },
    { transaction: { ...paid, status: 'paid' } },
    { transaction: paid },
    { transaction: { ...canceled, status: 'ready', payments: [] } },
    { transaction: { ...canceled, status: 'canceled', payments: [] } },
    { transaction: byHand },
    { transaction: { ...forgotten, status: 'billed', payments: [] } },
    { transaction: forgotten },
    { adjustment: { ...refund, status: 'pending_approval' } },
    { adjustment: refund },
  ]
}

/** A charge that was declined in the end, and one that is past due. */
async function unpaidNews(
  db: Db,
  { decliner, debtor }: { decliner: GivenPayer; debtor: GivenPayer },
  run: string,
) {
  const chargeOf = async (payer: GivenPayer, state: 'submitting' | 'unknown', name: string) => {
    const topUpId = await givenTopUp(db, payer, { state, submissions: 1, sentAt: at(40) })
    return aCharge(
      payer,
      { topUpId, amountMicros: 20_000_000n },
      { transactionId: `txn_${run}_${name}`, payments: [] },
    )
  }
  const declined = await chargeOf(decliner, 'submitting', 'declined')
  const due = await chargeOf(debtor, 'unknown', 'due')
  return [
    { transaction: { ...declined, status: 'billed' } },
    { transaction: { ...declined, status: 'billed', payments: [aRefusal('declined')] } },
    { transaction: { ...declined, status: 'canceled', payments: [aRefusal('expired_card')] } },
    { transaction: { ...due, status: 'billed' } },
    { transaction: { ...due, status: 'past_due' } },
  ]
}

/** A charge captured twice: one capture refunded in parts, one disputed, and the dispute won; late money, disputed for good. */
async function disputeNews(db: Db, payer: GivenPayer, run: string) {
  const topUpId = await givenTopUp(db, payer, { state: 'unknown', submissions: 2, sentAt: at(50) })
  const lateId = await givenTopUp(db, payer, { state: 'declined', submissions: 1, sentAt: at(0) })
  const capture = (name: string, of = topUpId) =>
    aCharge(payer, { topUpId: of, amountMicros: 20_000_000n }, { transactionId: `txn_${run}_${name}` })
  const [first, second, late] = [capture('first'), capture('second'), capture('late', lateId)]
  const part = anAdjustment(first, { adjustmentId: `adj_${run}_part`, net: cents(500n) })
  const rest = anAdjustment(first, { adjustmentId: `adj_${run}_rest`, net: cents(1_500n) })
  const warning = anAdjustment(second, { adjustmentId: `adj_${run}_warning`, action: 'chargeback_warning' })
  const won = anAdjustment(second, { adjustmentId: `adj_${run}_won`, action: 'chargeback' })
  const reverse = anAdjustment(second, { adjustmentId: `adj_${run}_reverse`, action: 'chargeback_reverse' })
  const lost = anAdjustment(late, { adjustmentId: `adj_${run}_lost`, action: 'chargeback' })
  return [
    { transaction: { ...first, status: 'billed', payments: [] } },
    { transaction: { ...first, status: 'paid' } },
    { transaction: first },
    { transaction: second },
    { adjustment: { ...part, status: 'pending_approval' } },
    { adjustment: part },
    { adjustment: { ...rest, status: 'rejected' } },
    { adjustment: warning },
    { adjustment: won },
    { adjustment: reverse },
    { adjustment: { ...won, status: 'reversed' } },
    { transaction: late },
    { adjustment: lost },
  ]
}

/** One news, applied in one transaction with its verdict, as the Paddle event worker does it. */
async function apply(db: Db, news: News): Promise<void> {
  await db.transaction().execute(async (trx) => {
    const now = new Date()
    await decidePaddleEvent(trx, news.eventId, await verdictOf(trx, news, now), now)
  })
}

async function verdictOf(trx: Tx, news: News, now: Date): Promise<EventDecision> {
  if ('transaction' in news) {
    const applied = await applyPaddleTransaction(trx, news.transaction, {
      productId,
      now,
      nextLookAt: nextLook(),
    })
    return { state: applied.outcome === 'review' ? 'needs_review' : 'applied', outcome: applied.outcome }
  }
  if ('subscription' in news) {
    const { outcome } = await applyPaddleSubscription(trx, news.subscription, now)
    return { state: outcome === 'review' ? 'needs_review' : 'applied', outcome }
  }
  const applied = await applyPaddleAdjustment(trx, news.adjustment, now)
  if (applied.outcome !== 'waiting') {
    return { state: applied.outcome === 'review' ? 'needs_review' : 'applied', outcome: applied.outcome }
  }
  return { state: 'waiting', outcome: 'waiting', waitsForTransaction: applied.paddleTransactionId }
}

async function receive(db: Db, { eventId }: News): Promise<void> {
  const event = { eventId, eventType: 'any', occurredAt: at(0), body: eventId }
  await db.transaction().execute((trx) => receivePaddleEvent(trx, event))
}

/** Applies what is received and not decided, until nothing is. */
async function drain(db: Db, { run, news }: Day, workers: number): Promise<void> {
  for (;;) {
    const rows = await db
      .selectFrom('paddle_event')
      .select('event_id')
      .where('state', '=', 'received')
      .where('event_id', 'like', `evt_${run}_%`)
      .execute()
    const pending = news.filter((each) => rows.some((row) => row.event_id === each.eventId))
    if (pending.length === 0) return
    const work = async () => {
      for (let next = pending.shift(); next !== undefined; next = pending.shift()) await apply(db, next)
    }
    await Promise.all(Array.from({ length: workers }, work))
  }
}

/** Everything that must not depend on the order, without what tells one day from another. */
async function outcomeOf(db: Db, { run, payers, news }: Day) {
  const wallets = []
  for (const { workspaceId, subscriptionId } of payers) {
    const nameless = (text: string) => text.replaceAll(subscriptionId, 'sub').replaceAll(run, '')
    wallets.push({
      ...(await walletOf(db, workspaceId)),
      booked: (await bookedOf(db, workspaceId)).map(nameless),
      cards: (await cardsOf(db, workspaceId)).map(nameless),
      topUps: await topUpsOf(db, workspaceId),
    })
  }
  const events = await db
    .selectFrom('paddle_event')
    .select(['event_id', 'state'])
    .where(
      'event_id',
      'in',
      news.map(({ eventId }) => eventId),
    )
    .execute()
  const undecided = events.filter(({ state }) => state === 'received' || state === 'waiting')
  return { wallets, undecided, reviews: events.filter(({ state }) => state === 'needs_review').length }
}

async function walletOf(db: Db, workspaceId: WorkspaceId) {
  const row = await db
    .selectFrom('wallet')
    .select(['balance_micros', 'frozen_at'])
    .where('workspace_id', '=', workspaceId)
    .executeTakeFirstOrThrow()
  return { balanceMicros: row.balance_micros, frozen: row.frozen_at !== null }
}

async function bookedOf(db: Db, workspaceId: WorkspaceId): Promise<string[]> {
  const rows = await db
    .selectFrom('ledger_transaction')
    .select(['idempotency_key', 'amount_micros'])
    .where('workspace_id', '=', workspaceId)
    .execute()
  return rows.map((row) => `${row.idempotency_key} ${row.amount_micros}`).toSorted()
}

async function cardsOf(db: Db, workspaceId: WorkspaceId): Promise<string[]> {
  const rows = await db
    .selectFrom('saved_card')
    .select(['subscription_id', 'state', 'state_at', 'payment_method_id', 'last4', 'card_at'])
    .where('workspace_id', '=', workspaceId)
    .orderBy('subscription_id')
    .execute()
  return rows.map((row) => JSON.stringify(row))
}

async function topUpsOf(db: Db, workspaceId: WorkspaceId): Promise<string[]> {
  const rows = await db
    .selectFrom('top_up')
    .select(['source', 'state', 'amount_micros', 'credited_micros'])
    .where('workspace_id', '=', workspaceId)
    .execute()
  return rows.map((row) => Object.values(row).join(' ')).toSorted()
}

/** How many news a day has, and so what can be put in any order. */
const newsInADay = 38
const inOrder = Array.from({ length: newsInADay }, (_, index) => index)
const anyOrder = fc
  .tuple(
    fc.shuffledSubarray(inOrder, { minLength: newsInADay }),
    fc.array(fc.tuple(fc.nat(newsInADay), fc.nat(newsInADay - 1)), { maxLength: 12 }),
  )
  .map(([order, repeats]) => repeats.reduce((told, [place, index]) => told.toSpliced(place, 0, index), order))

describe('a day of news', () => {
  test('comes to what happened, when it is told as it happened', async ({ db }) => {
    const day = await givenDay(db)

    for (const news of day.news) {
      await receive(db, news)
      await drain(db, day, 1)
    }

    const { wallets, undecided, reviews } = await outcomeOf(db, day)
    expect(day.news).toHaveLength(newsInADay)
    expect({ undecided, reviews }).toEqual({ undecided: [], reviews: 1 })
    expect(wallets).toMatchObject([
      { balanceMicros: 37_000_000n, frozen: false },
      { balanceMicros: 10_000_000n, topUps: ['auto_recharge declined 20000000 0'] },
      { balanceMicros: 10_000_000n, topUps: ['auto_recharge needs_review 20000000 0'] },
      {
        balanceMicros: 45_000_000n,
        frozen: true,
        topUps: ['auto_recharge succeeded 20000000 20000000', 'auto_recharge succeeded 20000000 40000000'],
      },
    ])
    expect(wallets[0]?.topUps).toEqual([
      'auto_recharge succeeded 30000000 30000000',
      'checkout canceled 20000000 0',
      'checkout succeeded 20000000 20000000',
      'checkout succeeded 7000000 7000000',
    ])
    expect(wallets[0]?.cards).toMatchObject([
      expect.stringMatching(/"state":"removed".*"paymtd_0002"/),
      expect.stringMatching(/"state":"active".*"paymtd_0003"/),
    ])
  })

  test('comes to the same in any order, with any repeats, told one by one', async ({ ownDb, ownPlace }) => {
    const expected = await toldInOrder(ownDb)

    await fc.assert(
      fc.asyncProperty(anyOrder, async (order) => {
        const day = await givenDay(ownDb)

        for (const index of order) {
          const news = day.news[index]
          if (news === undefined) continue
          await receive(ownDb, news)
          await drain(ownDb, day, 1)
        }

        expect(await outcomeOf(ownDb, day)).toEqual(expected)
      }),
      { numRuns: 10 },
    )
    expect(await findBreaks(ownPlace.databaseUrl)).toEqual([])
  })

  test('comes to the same when it is applied by four workers at once, and swept', async ({
    ownDb,
    ownPlace,
  }) => {
    const expected = await toldInOrder(ownDb)

    await fc.assert(
      fc.asyncProperty(anyOrder, async (order) => {
        const day = await givenDay(ownDb)
        const told = order.flatMap((index) => day.news[index] ?? [])

        for (const news of told) await receive(ownDb, news)
        await drain(ownDb, { ...day, news: told }, 4)
        await wakeEventsOfCredits(ownDb)
        await drain(ownDb, day, 4)

        expect(await outcomeOf(ownDb, day)).toEqual(expected)
      }),
      { numRuns: 10 },
    )
    expect(await findBreaks(ownPlace.databaseUrl)).toEqual([])
  })
})

async function toldInOrder(db: Db) {
  const day = await givenDay(db)
  for (const news of day.news) {
    await receive(db, news)
    await drain(db, day, 1)
  }
  return await outcomeOf(db, day)
}
