/**
 * The only way to a credit. Webhook, answer, search, sweep and reconcile all bring what Paddle says of a transaction here, and
 * it is booked under Paddle's transaction id: captured money is credited exactly once, whichever path comes first, and whatever
 * the top-up's own state says.
 */
import { sql } from 'kysely'

import { claimedWorkspace, decideCredit, isCaptured, type CreditReviewReason } from '../billing/credit.ts'
import {
  topUpId as topUpIdSchema,
  workspaceId as workspaceIdSchema,
  type TopUpId,
  type WorkspaceId,
} from '../billing/ids.ts'
import { draftTopUp, topUpKey } from '../billing/ledger-draft.ts'
import { sumMicros, type Micros } from '../billing/money.ts'
import type { PaddleTransaction } from '../billing/paddle-facts.ts'
import { openChargeStates, topUpSources, type TopUpSource } from '../billing/top-up.ts'
import { countDecline, forgetDeclines, resumeAutoRecharge } from './auto-recharge.ts'
import { writeAudit } from './audit-log.ts'
import { resumeFunded } from './campaign.ts'
import { hashOfKey, postLedgerTransaction } from './ledger.ts'
import { findPaddleCustomer, findWorkspaceOfCustomer } from './paddle-customer.ts'
import { wakeEventsAbout } from './paddle-event.ts'
import { decideWalletRecharge } from './recharge.ts'
import { wakeOwedRentals } from './rental.ts'
import { findWorkspaceOfSubscription, noteCard } from './saved-card.ts'
import type { Db, Tx } from './schema.ts'
import {
  adoptTopUp,
  findTopUp,
  findTopUpOfTransaction,
  hasChargeUnderWay,
  moveTopUp,
  type TopUp,
} from './top-up.ts'
import { lockWallet, type LockedWallet } from './wallet.ts'

export type AppliedTransaction =
  | { outcome: 'credited'; workspaceId: WorkspaceId; topUpId: TopUpId; amountMicros: Micros }
  | { outcome: 'already_credited'; workspaceId: WorkspaceId; topUpId: TopUpId }
  /** Not money, but news: the top-up is bound to it, or was declined, or its card was seen. */
  | { outcome: 'noted'; workspaceId: WorkspaceId; topUpId: TopUpId | null }
  | { outcome: 'ignored'; reason: 'not_ours' | 'not_a_top_up' }
  | { outcome: 'review'; workspaceId: WorkspaceId | null; reason: CreditReviewReason }

export type ApplyContext = {
  /** The product that top-ups are sold as. */
  productId: string
  now: Date
  /** When to look again at a transaction that is not paid yet. */
  nextLookAt: Date
}

/**
 * Shape:  takes the wallet's lock; may be called any number of times with any news of the transaction, in any order.
 * Throws: whatever Postgres refuses; the caller's transaction must then be rolled back, and trying again is safe.
 */
export async function applyPaddleTransaction(
  trx: Tx,
  transaction: PaddleTransaction,
  context: ApplyContext,
): Promise<AppliedTransaction> {
  const workspaceId = await findWorkspace(trx, transaction)
  const wallet = workspaceId === null ? null : await lockWallet(trx, workspaceId)
  if (wallet === null) {
    const decision = decideCredit(transaction, {
      customerId: null,
      productId: context.productId,
      expectedMicros: null,
    })
    if (decision.decision === 'review')
      return { outcome: 'review', workspaceId: null, reason: decision.reason }
    return { outcome: 'ignored', reason: 'not_ours' }
  }
  const customer = await findPaddleCustomer(trx, wallet.workspaceId)
  const isOurCustomer = customer !== null && customer.customerId === transaction.customerId
  const topUp = await findTopUpFor(trx, wallet, transaction)
  const decision = decideCredit(transaction, {
    customerId: customer?.customerId ?? null,
    productId: context.productId,
    expectedMicros: topUp?.amountMicros ?? null,
  })
  if (decision.decision === 'review') {
    return { outcome: 'review', workspaceId: wallet.workspaceId, reason: decision.reason }
  }
  if (!isOurCustomer) return { outcome: 'ignored', reason: 'not_ours' }
  await noteCardOf(trx, wallet, transaction, context.now)
  if (decision.decision === 'credit') {
    return await credit(trx, wallet, { transaction, topUp, ...decision }, context)
  }
  if (topUp === null) return { outcome: 'ignored', reason: 'not_a_top_up' }
  await noteUnpaid(trx, wallet, topUp, transaction, context)
  return { outcome: 'noted', workspaceId: wallet.workspaceId, topUpId: topUp.topUpId }
}

/**
 * Makes the news of a transaction wait for its credit that is just being booked, and the other way round: whoever comes second
 * sees what the first one wrote. Taken after the wallet's lock by a credit, of which there is one, and before it by news that
 * found no credit; so the two never wait for each other.
 */
export async function serializeOnTransaction(trx: Tx, paddleTransactionId: string): Promise<void> {
  await sql`select pg_advisory_xact_lock(hashtextextended(${topUpKey(paddleTransactionId)}, 0))`.execute(trx)
}

/** Whether a Paddle transaction is credited, and to whom. */
export async function findCredit(
  db: Db,
  paddleTransactionId: string,
): Promise<{ workspaceId: WorkspaceId; topUpId: string; amountMicros: Micros } | null> {
  const row = await db
    .selectFrom('ledger_transaction')
    .select(['workspace_id as workspaceId', 'reference as topUpId', 'amount_micros as amountMicros'])
    .where('idempotency_key', '=', topUpKey(paddleTransactionId))
    .executeTakeFirst()
  return row ?? null
}

export type Credit = { paddleTransactionId: string; workspaceId: WorkspaceId; amountMicros: Micros }

/** What was credited from `since` on, oldest first. */
export async function listCredits(db: Db, { since }: { since: Date }): Promise<Credit[]> {
  const rows = await db
    .selectFrom('ledger_transaction')
    .select(['idempotency_key', 'workspace_id as workspaceId', 'amount_micros as amountMicros'])
    .where('kind', '=', 'top_up')
    .where('posted_at', '>=', since)
    .orderBy('posted_at')
    .execute()
  return rows.map(({ idempotency_key: key, ...credit }) => ({
    paddleTransactionId: key.slice(topUpKey('').length),
    ...credit,
  }))
}

/** By what we wrote at Paddle, else by the subscription, else by a customer who has one workspace only. */
async function findWorkspace(trx: Tx, transaction: PaddleTransaction): Promise<WorkspaceId | null> {
  const claimed = claimedWorkspace(transaction)
  if (claimed !== null) return workspaceIdSchema.safeParse(claimed).data ?? null
  const { subscriptionId, customerId } = transaction
  const keeper = subscriptionId === null ? null : await findWorkspaceOfSubscription(trx, subscriptionId)
  if (keeper !== null) return keeper
  return customerId === null ? null : await findWorkspaceOfCustomer(trx, customerId)
}

async function findTopUpFor(
  trx: Tx,
  wallet: LockedWallet,
  transaction: PaddleTransaction,
): Promise<TopUp | null> {
  const { workspaceId } = wallet
  const named = transaction.lines.find((line) => line.topUpId !== null)?.topUpId ?? null
  const topUp = named === null ? null : await findTopUp(trx, { workspaceId, topUpId: named })
  const { transactionId: paddleTransactionId } = transaction
  return topUp ?? (await findTopUpOfTransaction(trx, { workspaceId, paddleTransactionId }))
}

async function credit(
  trx: Tx,
  wallet: LockedWallet,
  credited: {
    transaction: PaddleTransaction
    topUp: TopUp | null
    topUpId: string | null
    amountMicros: Micros
  },
  { now }: ApplyContext,
): Promise<AppliedTransaction> {
  const { transaction, topUp, amountMicros } = credited
  const { workspaceId } = wallet
  const { transactionId: paddleTransactionId } = transaction
  // What no row of ours knows and no id of ours names was made at Paddle by hand: it gets a name of its own.
  const named = topUpIdSchema.safeParse(credited.topUpId).data
  const topUpId = topUp?.topUpId ?? named ?? topUpIdSchema.parse(`topup_${paddleTransactionId}`)
  const draft = draftTopUp({
    topUpId,
    paddleTransactionId,
    amountMicros,
    occurredAt: capturedAt(transaction),
  })
  const payloadHash = hashOfKey(`${draft.idempotencyKey} ${amountMicros}`)
  const posting = await postLedgerTransaction(trx, wallet, { draft, payloadHash }, now)
  if (posting.outcome === 'contradicted') return { outcome: 'review', workspaceId, reason: 'wrong_amount' }
  if (posting.outcome === 'duplicate') return { outcome: 'already_credited', workspaceId, topUpId }

  if (topUp === null) {
    const source = sourceOf(transaction)
    const { subscriptionId, createdAt } = transaction
    await adoptTopUp(
      trx,
      wallet,
      {
        topUpId,
        source,
        amountMicros,
        paddleTransactionId,
        createdAt,
        subscriptionId: source === 'checkout' ? null : subscriptionId,
      },
      now,
    )
  } else await succeed(trx, wallet, topUp, { paddleTransactionId, amountMicros }, now)
  if (topUp?.source !== 'checkout') await forgetDeclines(trx, wallet)
  await serializeOnTransaction(trx, paddleTransactionId)
  await wakeEventsAbout(trx, wallet, paddleTransactionId)
  await decideWalletRecharge(trx, wallet, now)
  await resumeFunded(trx, wallet, now)
  await wakeOwedRentals(trx, wallet, now)
  return { outcome: 'credited', workspaceId, topUpId, amountMicros }
}

/** Late money is money; a second capture of the same top-up is too, and somebody has to hear of it. */
async function succeed(
  trx: Tx,
  wallet: LockedWallet,
  topUp: TopUp,
  { paddleTransactionId, amountMicros }: { paddleTransactionId: string; amountMicros: Micros },
  now: Date,
): Promise<void> {
  const isSecond = topUp.state === 'succeeded'
  const isLate = ['declined', 'failed', 'canceled', 'abandoned', 'needs_review'].includes(topUp.state)
  await moveTopUp(
    trx,
    wallet,
    topUp.topUpId,
    { states: [topUp.state] },
    {
      state: 'succeeded',
      reason: isSecond ? 'second_capture' : isLate ? 'late_money' : null,
      dueAt: null,
      creditedMicros: sumMicros([topUp.creditedMicros, amountMicros]),
      // The first one stays bound; the step and the ledger name the second.
      ...(isSecond ? {} : { paddleTransactionId }),
    },
    now,
  )
  if (!isSecond) return
  const detail = { top_up_id: topUp.topUpId, first: topUp.paddleTransactionId, second: paddleTransactionId }
  await writeAudit(trx, {
    workspaceId: wallet.workspaceId,
    actor: 'paddle',
    action: 'top_up.second_capture',
    detail,
  })
}

/** News of a transaction that is not paid: it binds the top-up to it, or says that the card was declined. */
async function noteUnpaid(
  trx: Tx,
  wallet: LockedWallet,
  topUp: TopUp,
  transaction: PaddleTransaction,
  { now, nextLookAt }: ApplyContext,
): Promise<void> {
  const { transactionId: paddleTransactionId, status } = transaction
  const isBound = topUp.paddleTransactionId !== null
  if (isBound && topUp.paddleTransactionId !== paddleTransactionId) return
  const errorCode = transaction.payments[0]?.errorCode ?? null
  if (topUp.source === 'checkout' || topUp.subscriptionId === null) {
    if (status === 'canceled') {
      const change = {
        state: 'canceled',
        reason: 'canceled_at_paddle',
        dueAt: null,
        paddleTransactionId,
      } as const
      await moveTopUp(trx, wallet, topUp.topUpId, { states: ['ready', 'awaiting_customer'] }, change, now)
    } else if (errorCode !== null && errorCode !== topUp.reason) {
      const change = { state: 'awaiting_customer', reason: errorCode, paddleTransactionId } as const
      await moveTopUp(trx, wallet, topUp.topUpId, { states: ['awaiting_customer'] }, change, now)
    }
    return
  }
  if (status === 'canceled') {
    await declineTopUp(trx, wallet, topUp, { code: errorCode ?? 'declined', paddleTransactionId }, now)
  } else if (topUp.state === 'ready' && (await hasChargeUnderWay(trx, wallet, topUp.topUpId))) {
    // Two charges of one card cannot be under way: this one is bound by the search that comes before it is sent again.
  } else if (status === 'past_due') {
    const change = {
      state: 'needs_review',
      reason: 'past_due',
      dueAt: nextLookAt,
      paddleTransactionId,
    } as const
    await moveTopUp(
      trx,
      wallet,
      topUp.topUpId,
      { states: openChargeStates.filter((state) => state !== 'needs_review' || !isBound) },
      change,
      now,
    )
  } else if (!isBound) {
    // Found at last. What is bound already goes back to waiting by no such news: it may be older than what was done since.
    const change = { state: 'processing', reason: null, dueAt: nextLookAt, paddleTransactionId } as const
    await moveTopUp(trx, wallet, topUp.topUpId, { states: openChargeStates }, change, now)
  }
}

/**
 * The card said no to a charge: its top-up ends, and auto-recharge waits or is suspended. Once for each top-up.
 *
 * Shape: false, and nothing done, when the top-up has ended already.
 */
export async function declineTopUp(
  trx: Tx,
  wallet: LockedWallet,
  topUp: TopUp,
  {
    code,
    paddleTransactionId,
    submission,
  }: { code: string; paddleTransactionId?: string; submission?: number },
  now: Date,
): Promise<boolean> {
  const declined = await moveTopUp(
    trx,
    wallet,
    topUp.topUpId,
    { states: openChargeStates, ...(submission === undefined ? {} : { submission }) },
    {
      state: 'declined',
      reason: code,
      dueAt: null,
      ...(paddleTransactionId === undefined ? {} : { paddleTransactionId }),
    },
    now,
  )
  if (declined === null) return false
  if (declined.source === 'auto_recharge') await countDecline(trx, wallet, code, now)
  await decideWalletRecharge(trx, wallet, now)
  return true
}

/** Another card than before may do what the old one would not. */
async function noteCardOf(
  trx: Tx,
  wallet: LockedWallet,
  transaction: PaddleTransaction,
  now: Date,
): Promise<void> {
  const { subscriptionId, customerId } = transaction
  const payment = transaction.payments.find((each) => each.status === 'captured')
  if (subscriptionId === null || customerId === null || payment === undefined || !isCaptured(transaction))
    return
  const news = await noteCard(trx, wallet, { subscriptionId, customerId }, payment)
  if (news === 'changed') {
    await resumeAutoRecharge(trx, wallet, { actor: 'paddle', cause: 'another_card', now })
  }
}

function capturedAt(transaction: PaddleTransaction): Date {
  return (
    transaction.payments.find((payment) => payment.status === 'captured')?.createdAt ?? transaction.createdAt
  )
}

function sourceOf(transaction: PaddleTransaction): TopUpSource {
  const written = transaction.lines.find((line) => line.source !== null)?.source
  const fallback = transaction.origin === 'subscription_charge' ? 'auto_recharge' : 'checkout'
  return topUpSources.find((source) => source === written) ?? fallback
}
