/**
 * The pairs of work that move money and can meet on one wallet, each with what must hold afterwards, whoever came first. They are
 * the project's own functions, in transactions as their callers open them.
 */
import { sql } from 'kysely'
import { expect } from 'vitest'

import { workspaceId as workspaceIdSchema, type WorkspaceId } from '../../billing/ids.ts'
import { micros } from '../../billing/money.ts'
import { openChargeStates } from '../../billing/top-up.ts'
import { defaultChargeTiming as timing } from '../../billing/top-up.ts'
import { openCardTopUp } from '../../db/card-top-up.ts'
import { claimCharge, recordAnswer, suspectCharge, type ClaimedCharge } from '../../db/charge.ts'
import { readClock } from '../../db/clock.ts'
import { freezeWallet } from '../../db/freeze.ts'
import { expireSilentHolds } from '../../db/hold.ts'
import { extendCall, releaseCall } from '../../db/live-call.ts'
import { applyPaddleAdjustment } from '../../db/paddle-adjustment.ts'
import { decidePaddleEvent, findPaddleEvent, receivePaddleEvent } from '../../db/paddle-event.ts'
import { getPhoneNumber, givenRental, settle } from './given-rentals.ts'
import { readClockAndVersion } from '../../db/price-version.ts'
import { decideWalletRecharge } from '../../db/recharge.ts'
import { cancelNumber, rentNumber } from '../../db/rental.ts'
import type { Db } from '../../db/schema.ts'
import { takeInUsage } from '../../db/take-in-usage.ts'
import { openWorkspace } from '../../db/workspace.ts'
import {
  admit,
  aCallToAdmit,
  givenSilence,
  givenWalletWith,
  moneyOf,
  post,
  quarterHour,
  rateBookOf,
} from './given-calls.ts'
import {
  bringAdjustment,
  bringTransaction,
  givenAutoRecharge,
  givenPayer,
  givenRecharge,
  settings,
  underLock,
} from './given-money-in.ts'
import { aCall, callArrival, givenWorkspace, newId, newWorkspaceId } from './given.ts'
import type { Ends, Pair } from './interleave.ts'
import { aCharge, aLine, anAdjustment, aTransaction, cents } from './paddle-news.ts'
import { saveAutoRecharge } from '../../db/auto-recharge.ts'
import { findTopUp } from '../../db/top-up.ts'

/** What a pair is given differs from pair to pair, and only the pair itself looks at it. */
type MoneyPair = { name: string; pair: Pair<never> }

function named<Given, One, Other>(name: string, pair: Pair<Given, One, Other>): MoneyPair {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- `given` makes what the other three take
  return { name, pair: pair as unknown as Pair<never> }
}

/** $0.18: a minute to the United States. */
const callMicros = 180_000n

export const moneyPairs: MoneyPair[] = [
  named('the same call is posted twice', {
    given: async (db) => aCall(await givenWorkspace(db)),
    one: (db, call) => post(db, callArrival(call)),
    other: (db, call) => post(db, callArrival(call)),
    check: async (db, call, ends) => {
      allDone(ends)
      await post(db, callArrival(call))
      await expectBooked(db, call.workspaceId, { [`call/${call.callId}`]: -callMicros })
    },
  }),
  named('the same call is posted, and told over HTTP', {
    given: async (db) => aCall(await givenWorkspace(db)),
    one: (db, call) => post(db, callArrival(call)),
    other: (db, call) =>
      db.transaction().execute((trx) => takeInUsage(trx, call.workspaceId, [callArrival(call)])),
    check: async (db, call) => {
      // Whoever lost the race may have been refused, and tries again.
      await post(db, callArrival(call))
      await expectBooked(db, call.workspaceId, { [`call/${call.callId}`]: -callMicros })
    },
  }),
  named('the same two calls are told over HTTP, in opposite order', {
    given: async (db) => {
      const workspaceId = await givenWorkspace(db)
      return { workspaceId, arrivals: [callArrival(aCall(workspaceId)), callArrival(aCall(workspaceId))] }
    },
    one: (db, { workspaceId, arrivals }) =>
      db.transaction().execute((trx) => takeInUsage(trx, workspaceId, arrivals)),
    other: (db, { workspaceId, arrivals }) =>
      db.transaction().execute((trx) => takeInUsage(trx, workspaceId, arrivals.toReversed())),
    check: async (_db, _given, ends) => {
      const accepted = allDone(ends).flat()
      expect(accepted.toSorted()).toEqual(['accepted', 'accepted', 'duplicate', 'duplicate'])
    },
  }),
  named('calls of two wallets are posted together, in opposite order', {
    given: async (db) => [await givenWorkspace(db), await givenWorkspace(db)].map((id) => aCall(id)),
    one: (db, calls) => post(db, ...calls.map(callArrival)),
    other: (db, calls) => post(db, ...calls.toReversed().map(callArrival)),
    check: async (db, calls, ends) => {
      allDone(ends)
      await post(db, ...calls.map(callArrival))
      for (const { workspaceId, callId } of calls) {
        await expectBooked(db, workspaceId, { [`call/${callId}`]: -callMicros })
      }
    },
  }),
  named('two calls take a wallet below its threshold', {
    given: async (db) => {
      const payer = await givenPayer(db)
      await givenAutoRecharge(db, payer, { thresholdMicros: micros(9_900_000n) })
      return payer
    },
    one: (db, { workspaceId }) => post(db, callArrival(aCall(workspaceId))),
    other: (db, { workspaceId }) => post(db, callArrival(aCall(workspaceId))),
    check: async (db, { workspaceId }, ends) => {
      allDone(ends)
      expect(await openRecharges(db, workspaceId)).toBe(1)
      await expectSound(db, workspaceId)
    },
  }),
  named('a call is posted while money is credited', {
    given: async (db) => {
      const payer = await givenPayer(db)
      return { payer, call: aCall(payer.workspaceId), transaction: aTransaction(payer) }
    },
    one: (db, { call }) => post(db, callArrival(call)),
    other: (db, { transaction }) => bringTransaction(db, transaction),
    check: async (db, { payer, call, transaction }, ends) => {
      allDone(ends)
      await post(db, callArrival(call))
      await expectBooked(db, payer.workspaceId, {
        [`call/${call.callId}`]: -callMicros,
        [`paddle_transaction/${transaction.transactionId}`]: 20_000_000n,
      })
    },
  }),
  named('the same payment is credited twice', {
    given: async (db) => aTransaction(await givenPayer(db)),
    one: (db, transaction) => bringTransaction(db, transaction),
    other: (db, transaction) => bringTransaction(db, transaction),
    check: async (db, transaction, ends) => {
      const outcomes = allDone(ends).map(({ outcome }) => outcome)
      expect(outcomes.toSorted()).toEqual(['already_credited', 'credited'])
      await expectBooked(db, transaction.workspaceId ?? '', {
        [`paddle_transaction/${transaction.transactionId}`]: 20_000_000n,
      })
    },
  }),
  named('a payment is credited while news of its refund comes', {
    given: async (db) => {
      const transaction = aTransaction(await givenPayer(db))
      const adjustment = anAdjustment(transaction)
      const event = {
        eventId: newId('evt'),
        eventType: 'adjustment.updated',
        occurredAt: new Date(),
        body: '{}',
      }
      await db.transaction().execute((trx) => receivePaddleEvent(trx, event))
      return { transaction, adjustment, eventId: event.eventId }
    },
    one: (db, { transaction }) => bringTransaction(db, transaction),
    other: (db, { adjustment, eventId }) =>
      db.transaction().execute(async (trx) => {
        const now = await readClock(trx)
        const applied = await applyPaddleAdjustment(trx, adjustment, now)
        const waits = applied.outcome === 'waiting'
        const decision = waits
          ? ({
              state: 'waiting',
              outcome: 'not_credited_yet',
              waitsForTransaction: applied.paddleTransactionId,
            } as const)
          : ({ state: 'applied', outcome: applied.outcome } as const)
        await decidePaddleEvent(trx, eventId, decision, now)
      }),
    check: async (db, { transaction, adjustment, eventId }, ends) => {
      allDone(ends)
      // What waits for ever would be lost: the credit must have woken it.
      const event = await findPaddleEvent(db, eventId)
      expect(event?.state === 'applied' || event?.state === 'received').toBe(true)
      await bringAdjustment(db, adjustment)
      await expectBooked(db, transaction.workspaceId ?? '', {
        [`paddle_transaction/${transaction.transactionId}`]: 20_000_000n,
        [`paddle_adjustment/${adjustment.adjustmentId}`]: -20_000_000n,
      })
    },
  }),
  named('two refunds of one payment come, of which only one is covered', {
    given: async (db) => {
      const transaction = aTransaction(await givenPayer(db))
      await bringTransaction(db, transaction)
      const part = { net: cents(1_500n) }
      return {
        transaction,
        refunds: [anAdjustment(transaction, part), anAdjustment(transaction, part)] as const,
      }
    },
    one: (db, { refunds }) => bringAdjustment(db, refunds[0]),
    other: (db, { refunds }) => bringAdjustment(db, refunds[1]),
    check: async (db, { transaction }, ends) => {
      const outcomes = allDone(ends).map(({ outcome }) => outcome)
      expect(outcomes.toSorted()).toEqual(['applied', 'review'])
      const { balance } = await moneyOf(db, workspaceOf(transaction))
      expect(balance).toBe(15_000_000n)
      await expectSound(db, workspaceOf(transaction))
    },
  }),
  named('a call is admitted while another one is posted', {
    given: async (db) => givenWalletWith(db, 20),
    one: (db, workspaceId) => admit(db, aCallToAdmit(workspaceId)),
    other: (db, workspaceId) => post(db, callArrival(aCall(workspaceId))),
    check: async (db, workspaceId, ends) => {
      const [[admitted], [posted]] = allDone(ends)
      const { balance, held } = await moneyOf(db, workspaceId)
      expect(held).toBe(admitted?.outcome === 'admitted' ? 200_000n : 0n)
      expect(balance).toBe(posted?.outcome === 'posted' ? 20_000n : 200_000n)
      await expectSound(db, workspaceId)
    },
  }),
  named('two calls ask for the same twenty cents', {
    given: async (db) => givenWalletWith(db, 20),
    one: (db, workspaceId) => admit(db, aCallToAdmit(workspaceId)),
    other: (db, workspaceId) => admit(db, aCallToAdmit(workspaceId)),
    check: async (db, workspaceId, ends) => {
      const admitted = allDone(ends)
        .flat()
        .filter(({ outcome }) => outcome === 'admitted')
      expect(admitted).toHaveLength(1)
      expect(await moneyOf(db, workspaceId)).toMatchObject({ held: 200_000n, openHolds: 200_000n })
    },
  }),
  named('the same call is admitted twice', {
    given: async (db) => aCallToAdmit(await givenWorkspace(db)),
    one: (db, call) => admit(db, call),
    other: (db, call) => admit(db, call),
    check: async (db, { workspaceId }, ends) => {
      allDone(ends)
      expect(await moneyOf(db, workspaceId)).toMatchObject({ held: 200_000n, openHolds: 200_000n })
    },
  }),
  named('a silent call expires as its usage comes', {
    given: givenSilentCall,
    one: (db) => db.transaction().execute((trx) => expireSilentHolds(trx, 500)),
    other: (db, { call }) => post(db, callArrival(call)),
    check: async (db, { call }, ends) => {
      allDone(ends)
      await post(db, callArrival(call))
      await db.transaction().execute((trx) => expireSilentHolds(trx, 500))
      expect(await moneyOf(db, call.workspaceId)).toMatchObject({ held: 0n, openHolds: 0n })
      await expectBooked(db, call.workspaceId, { [`call/${call.callId}`]: -callMicros })
    },
  }),
  named('a silent call is heard of as it expires', {
    given: givenSilentCall,
    one: (db) => db.transaction().execute((trx) => expireSilentHolds(trx, 500)),
    other: (db, { call }) =>
      underLock(db, call.workspaceId, (trx, wallet) =>
        extendCall(trx, wallet, { callId: call.callId, lastedSeconds: 600 }, rateBookOf, quarterHour),
      ),
    check: async (db, { call }, ends) => {
      allDone(ends)
      const { held, openHolds } = await moneyOf(db, call.workspaceId)
      expect(held).toBe(openHolds)
      expect([0n, 1_980_000n]).toContain(held)
    },
  }),
  named('a call is released as its usage comes', {
    given: givenSilentCall,
    one: (db, { call }) =>
      underLock(db, call.workspaceId, (trx, wallet) => releaseCall(trx, wallet, call.callId)),
    other: (db, { call }) => post(db, callArrival(call)),
    check: async (db, { call }, ends) => {
      allDone(ends)
      await post(db, callArrival(call))
      expect(await moneyOf(db, call.workspaceId)).toMatchObject({ held: 0n, openHolds: 0n })
      await expectBooked(db, call.workspaceId, { [`call/${call.callId}`]: -callMicros })
    },
  }),
  named('a wallet is frozen while a call asks to be admitted', {
    given: (db) => givenWorkspace(db),
    one: (db, workspaceId) =>
      underLock(db, workspaceId, (trx, wallet) =>
        freezeWallet(trx, wallet, { actor: 'test', reason: 'chargeback', now: new Date() }),
      ),
    other: (db, workspaceId) => admit(db, aCallToAdmit(workspaceId)),
    check: async (db, workspaceId, ends) => {
      allDone(ends)
      await expectSound(db, workspaceId)
      expect(await admit(db, aCallToAdmit(workspaceId))).toMatchObject([{ outcome: 'frozen' }])
    },
  }),
  named('two sweeps settle the rents of one wallet', {
    given: (db) => givenRental(db, { monthsAgo: 1 }),
    one: (db, { workspaceId }) => settle(db, workspaceId),
    other: (db, { workspaceId }) => settle(db, workspaceId),
    check: async (db, { workspaceId }, ends) => {
      const billed = allDone(ends).map((each) => each.billed)
      expect(billed.toSorted((one, other) => one - other)).toEqual([0, 1])
      expect(await moneyOf(db, workspaceId)).toMatchObject({ balance: 0n })
      await expectSound(db, workspaceId)
    },
  }),
  named('a rent that cannot be paid falls due as money comes', {
    given: async (db) => {
      const rental = await givenRental(db, { monthsAgo: 1 })
      await post(db, callArrival(aCall(rental.workspaceId)))
      return { ...rental, transaction: aTransaction(rental) }
    },
    one: (db, { workspaceId }) => settle(db, workspaceId),
    other: (db, { transaction }) => bringTransaction(db, transaction),
    check: async (db, { workspaceId, phoneNumber }, ends) => {
      allDone(ends)
      const number = await getPhoneNumber(db, workspaceId, phoneNumber)
      // Paid, or to be looked at now: owed until tomorrow although the money is there would be wrong.
      if (number.state !== 'active') expect(number.nextLookAt).not.toBeNull()
      if (number.state !== 'active') expect(Number(number.nextLookAt)).toBeLessThanOrEqual(Date.now() + 1_000)
      await settle(db, workspaceId)
      expect(await getPhoneNumber(db, workspaceId, phoneNumber)).toMatchObject({
        state: 'active',
        periodsBilled: 2,
      })
      await expectSound(db, workspaceId)
    },
  }),
  named('a number is cancelled as its rent falls due', {
    given: (db) => givenRental(db, { monthsAgo: 1 }),
    one: (db, { workspaceId }) => settle(db, workspaceId),
    other: (db, { workspaceId, phoneNumber }) =>
      underLock(db, workspaceId, async (trx, wallet) => {
        const number = await getPhoneNumber(trx, workspaceId, phoneNumber)
        const { now, version } = await readClockAndVersion(trx)
        const context = { now, prices: await rateBookOf(trx, version) }
        return await cancelNumber(trx, wallet, number, context)
      }),
    check: async (db, { workspaceId, phoneNumber }, ends) => {
      allDone(ends)
      // Whoever comes first pays the month that has begun, once; it ends with that.
      expect(await getPhoneNumber(db, workspaceId, phoneNumber)).toMatchObject({
        state: 'active',
        periodsBilled: 2,
        cancelAt: expect.any(Date),
      })
      expect(await moneyOf(db, workspaceId)).toMatchObject({ balance: 0n })
      await expectSound(db, workspaceId)
    },
  }),
  named('the same number is rented twice', {
    given: async (db) => ({ workspaceId: await givenWorkspace(db), phoneNumber: '+14155550100' }),
    one: rent,
    other: rent,
    check: async (db, { workspaceId }, ends) => {
      const outcomes = allDone(ends).map(({ outcome }) => outcome)
      expect(outcomes.toSorted()).toEqual(['already_rented', 'rented'])
      expect(await moneyOf(db, workspaceId)).toMatchObject({ balance: 5_000_000n })
      await expectSound(db, workspaceId)
    },
  }),
  named('two sweeps decide a recharge', {
    given: givenBelowThreshold,
    one: decide,
    other: decide,
    check: async (db, { workspaceId }, ends) => {
      const decisions = allDone(ends).map(({ decision }) => decision)
      expect(decisions.toSorted()).toEqual(['recharge', 'wait'])
      expect(await openRecharges(db, workspaceId)).toBe(1)
    },
  }),
  named('auto-recharge is switched on as a call is posted', {
    given: (db) => givenPayer(db),
    one: (db, { workspaceId }) =>
      underLock(db, workspaceId, (trx, wallet) =>
        saveAutoRecharge(
          trx,
          wallet,
          { ...settings, thresholdMicros: micros(9_900_000n) },
          { actor: 'test', now: new Date() },
        ),
      ),
    other: (db, { workspaceId }) => post(db, callArrival(aCall(workspaceId))),
    check: async (db, { workspaceId }, ends) => {
      const [, posted] = allDone(ends)
      const isPosted = posted[0]?.outcome === 'posted'
      expect(await openRecharges(db, workspaceId)).toBe(isPosted ? 1 : 0)
    },
  }),
  named('somebody tops up as a recharge is decided', {
    given: givenBelowThreshold,
    one: decide,
    other: (db, { workspaceId }) =>
      underLock(db, workspaceId, (trx, wallet) =>
        openCardTopUp(trx, wallet, { amountMicros: micros(5_000_000n) }, new Date()),
      ),
    check: async (db, { workspaceId }, ends) => {
      allDone(ends)
      expect(await openRecharges(db, workspaceId)).toBeLessThanOrEqual(1)
    },
  }),
  named('two workers claim one charge', {
    given: (db) => givenRecharge(db),
    one: (db, { topUp }) => claimCharge(db, topUp, timing),
    other: (db, { topUp }) => claimCharge(db, topUp, timing),
    check: async (_db, _given, ends) => {
      expect(allDone(ends).filter((claimed) => claimed !== null)).toHaveLength(1)
    },
  }),
  named('an answer comes as its charge is given up as unknown', {
    given: givenClaim,
    one: (db, { charge }) => recordAnswer(db, charge, { outcome: 'accepted' }, timing),
    other: (db, { charge }) => suspectCharge(db, charge, timing),
    check: async (db, { charge }, ends) => {
      allDone(ends)
      expect(await findTopUp(db, charge)).toMatchObject({ state: 'processing' })
    },
  }),
  named('a charge is declined by its answer as it is credited by a webhook', {
    given: givenClaim,
    one: (db, { charge }) => recordAnswer(db, charge, { outcome: 'declined', code: 'declined' }, timing),
    other: (db, { transaction }) => bringTransaction(db, transaction),
    check: async (db, { charge, transaction }, ends) => {
      allDone(ends)
      expect(await findTopUp(db, charge)).toMatchObject({ state: 'succeeded', creditedMicros: 20_000_000n })
      await expectBooked(db, charge.workspaceId, {
        [`paddle_transaction/${transaction.transactionId}`]: 20_000_000n,
      })
    },
  }),
  named('a charge is credited by the answer and by the webhook', {
    given: givenClaim,
    one: async (db, { charge, transaction }) => {
      await recordAnswer(db, charge, { outcome: 'accepted' }, timing)
      return await bringTransaction(db, transaction)
    },
    other: (db, { transaction }) => bringTransaction(db, transaction),
    check: async (db, { charge, transaction }, ends) => {
      allDone(ends)
      expect(await findTopUp(db, charge)).toMatchObject({ state: 'succeeded', creditedMicros: 20_000_000n })
      await expectBooked(db, charge.workspaceId, {
        [`paddle_transaction/${transaction.transactionId}`]: 20_000_000n,
      })
    },
  }),
  named('a workspace is opened twice', {
    given: async () => newWorkspaceId(),
    one: (db, workspaceId) => db.transaction().execute((trx) => openWorkspace(trx, { workspaceId })),
    other: (db, workspaceId) => db.transaction().execute((trx) => openWorkspace(trx, { workspaceId })),
    check: async (db, workspaceId, ends) => {
      const outcomes = allDone(ends).map(({ outcome }) => outcome)
      expect(outcomes.toSorted()).toEqual(['already_open', 'opened'])
      await expectBooked(db, workspaceId, {})
    },
  }),
]

/** Throws: when there is none of that name. */
export function pairNamed(name: string): Pair<never> {
  const found = moneyPairs.find((each) => each.name === name)
  if (found === undefined) throw new Error(`no pair is named ${name}`)
  return found.pair
}

/** Fails when one of the two failed. */
function allDone<One, Other>([one, other]: Ends<One, Other>): [One, Other] {
  if (one.status === 'rejected') throw one.reason
  if (other.status === 'rejected') throw other.reason
  return [one.value, other.value]
}

/** Exactly these facts, each once, besides the grant; and the wallet says their sum. */
async function expectBooked(db: Db, workspaceId: string, amounts: Record<string, bigint>): Promise<void> {
  const rows = await db
    .selectFrom('ledger_transaction')
    .select(['idempotency_key as key', 'amount_micros as amount'])
    .where(sql`workspace_id`, '=', workspaceId)
    .where('kind', '<>', 'grant')
    .execute()
  expect(Object.fromEntries(rows.map(({ key, amount }) => [key, amount]))).toEqual(amounts)
  expect(rows).toHaveLength(Object.keys(amounts).length)
  await expectSound(db, workspaceId)
}

/** The wallet is the sum of what is booked and of what is held, its chain has no gap, and at most one recharge is open. */
async function expectSound(db: Db, workspaceId: string): Promise<void> {
  const { rows } = await sql<{ drift: string; gap: string; held: string; open: string }>`
    select w.balance_micros - coalesce(t.amount, 0) as drift, w.sequence - coalesce(t.transactions, 0) as gap,
      w.held_micros - coalesce(h.amount, 0) as held, coalesce(o.open, 0) as open
    from wallet w
    left join lateral (select sum(amount_micros) as amount, count(*) as transactions from ledger_transaction t
      where t.workspace_id = w.workspace_id) t on true
    left join lateral (select sum(amount_micros) as amount from hold h
      where h.workspace_id = w.workspace_id and h.state = 'open') h on true
    left join lateral (select count(*) as open from top_up o
      where o.workspace_id = w.workspace_id and o.source = 'auto_recharge' and o.state = any(${openChargeStates}::text[])) o
      on true
    where w.workspace_id = ${workspaceId}`.execute(db)
  const [row] = rows
  expect([row?.drift, row?.gap, row?.held].map(Number)).toEqual([0, 0, 0])
  expect(Number(row?.open)).toBeLessThanOrEqual(1)
}

async function openRecharges(db: Db, workspaceId: WorkspaceId): Promise<number> {
  const rows = await db
    .selectFrom('top_up')
    .select('top_up_id')
    .where('workspace_id', '=', workspaceId)
    .where('source', '=', 'auto_recharge')
    .where('state', 'in', openChargeStates)
    .execute()
  return rows.length
}

/** A call that is held for and that nobody has heard of for a quarter of an hour, and the same call as usage. */
async function givenSilentCall(db: Db) {
  const workspaceId = await givenWorkspace(db)
  const held = aCallToAdmit(workspaceId)
  await admit(db, held)
  await givenSilence(db, workspaceId)
  return { call: aCall(workspaceId, { callId: held.callId }) }
}

/** $10, a card, and a threshold of $15 that nobody has decided about yet. */
async function givenBelowThreshold(db: Db) {
  const payer = await givenPayer(db)
  await givenAutoRecharge(db, payer, { thresholdMicros: micros(5_000_000n) })
  await db
    .updateTable('auto_recharge')
    .set({ threshold_micros: micros(15_000_000n) })
    .where('workspace_id', '=', payer.workspaceId)
    .execute()
  await db
    .updateTable('wallet')
    .set({ recharge_below_micros: micros(15_000_000n) })
    .where('workspace_id', '=', payer.workspaceId)
    .execute()
  return payer
}

/** A charge that was claimed and may have been sent, and what Paddle made of it. */
async function givenClaim(db: Db) {
  const { payer, topUp } = await givenRecharge(db)
  const charge: ClaimedCharge | null = await claimCharge(db, topUp, timing)
  if (charge === null) throw new Error('the charge cannot be claimed')
  return { charge, transaction: aCharge(payer, topUp, { lines: [lineOf(topUp, payer)] }) }
}

function lineOf({ topUpId }: { topUpId: string }, { workspaceId }: { workspaceId: string }) {
  return aLine({ topUpId, workspaceId, source: 'auto_recharge' })
}

function decide(db: Db, { workspaceId }: { workspaceId: WorkspaceId }) {
  return underLock(db, workspaceId, async (trx, wallet) =>
    decideWalletRecharge(trx, wallet, await readClock(trx)),
  )
}

function rent(db: Db, { workspaceId, phoneNumber }: { workspaceId: WorkspaceId; phoneNumber: string }) {
  return underLock(db, workspaceId, async (trx, wallet) => {
    const { now, version } = await readClockAndVersion(trx)
    return await rentNumber(trx, wallet, { phoneNumber }, { now, prices: await rateBookOf(trx, version) })
  })
}

function workspaceOf({ workspaceId }: { workspaceId: string | null }): WorkspaceId {
  return workspaceIdSchema.parse(workspaceId)
}
