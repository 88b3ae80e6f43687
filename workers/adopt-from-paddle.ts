/**
 * What Paddle has and we have not: payments, cards, refunds and chargebacks since a time, booked by the same functions that
 * apply webhooks. On a fresh database Paddle's whole history gives every credit back.
 */
import { claimedWorkspace, isCaptured } from '../billing/credit.ts'
import { workspaceId as workspaceIdSchema, type WorkspaceId } from '../billing/ids.ts'
import type { Micros } from '../billing/money.ts'
import type { PaddleAdjustment, PaddleSubscription, PaddleTransaction } from '../billing/paddle-facts.ts'
import { readClock } from '../db/clock.ts'
import { applyPaddleAdjustment } from '../db/paddle-adjustment.ts'
import { bindPaddleCustomer, findPaddleCustomer } from '../db/paddle-customer.ts'
import { applyPaddleSubscription } from '../db/paddle-subscription.ts'
import { applyPaddleTransaction } from '../db/paddle-transaction.ts'
import type { Db } from '../db/schema.ts'
import { withLockedWallet } from '../db/wallet.ts'
import { openWorkspace } from '../db/workspace.ts'
import type { PaddleGateway } from '../paddle/gateway.ts'
import type { PaddleRefusal } from '../paddle/outcome.ts'

/** One thing that does not fit, and why. */
export type Misfit = { what: string; paddleId: string; workspaceId: string | null; why: string }

export type Adopted = {
  /** What was missing here and is booked now. */
  adopted: { paddleId: string; workspaceId: WorkspaceId; amountMicros: Micros | null }[]
  misfits: Misfit[]
}

export type Adopting = {
  db: Db
  gateway: Pick<PaddleGateway, 'listTransactions' | 'listAdjustments' | 'listSubscriptions' | 'getCustomer'>
  productId: string
  onProgress?: (done: { transactions: number }) => void
}

/**
 * Shape: what Paddle listed, and what came of it. A `PaddleRefusal` when it cannot be asked, and then nothing is adopted.
 *        Running it again changes nothing.
 */
export async function adoptFromPaddle(
  adopting: Adopting,
  { since }: { since: Date },
): Promise<
  | ({
      outcome: 'adopted'
      transactions: readonly PaddleTransaction[]
      adjustments: readonly PaddleAdjustment[]
    } & Adopted)
  | PaddleRefusal
> {
  const { gateway } = adopting
  const transactions = await gateway.listTransactions({ updatedSince: since })
  if (transactions.outcome !== 'listed') return transactions
  const subscriptions = await gateway.listSubscriptions()
  if (subscriptions.outcome !== 'listed') return subscriptions
  const adjustments = await gateway.listAdjustments({ updatedSince: since })
  if (adjustments.outcome !== 'listed') return adjustments

  const report: Adopted = {
    adopted: [],
    misfits: [...transactions.unreadable, ...subscriptions.unreadable, ...adjustments.unreadable].map(
      ({ detail, id }) => ({ what: 'unreadable', paddleId: id ?? '-', workspaceId: null, why: detail }),
    ),
  }
  for (const transaction of transactions.transactions) await bindClaimedCustomer(adopting, transaction)
  for (const subscription of subscriptions.subscriptions)
    await adoptSubscription(adopting, report, subscription)
  for (const [index, transaction] of transactions.transactions.entries()) {
    await adoptTransaction(adopting, report, transaction)
    adopting.onProgress?.({ transactions: index + 1 })
  }
  await adoptAdjustments(adopting, report, adjustments.adjustments)
  return {
    outcome: 'adopted',
    transactions: transactions.transactions,
    adjustments: adjustments.adjustments,
    ...report,
  }
}

/**
 * On a database that does not know the workspace's customer: a price that names a workspace was written by us, with our key, so
 * whoever paid it is that workspace's customer. One that is bound already is never bound again.
 */
async function bindClaimedCustomer({ db, gateway }: Adopting, transaction: PaddleTransaction): Promise<void> {
  const { customerId } = transaction
  const claimed = transaction.lines.find((line) => line.topUpId !== null)?.workspaceId
  const workspaceId = workspaceIdSchema.safeParse(claimed).data
  if (workspaceId === undefined || customerId === null || !isCaptured(transaction)) return
  if ((await findPaddleCustomer(db, workspaceId)) !== null) return
  const customer = await gateway.getCustomer(customerId)
  if (customer.outcome !== 'found') return
  const { email } = customer.customer
  await db.transaction().execute((trx) => openWorkspace(trx, { workspaceId }))
  await withLockedWallet(db, workspaceId, (trx, wallet) =>
    bindPaddleCustomer(trx, wallet, { customerId, email }, 'reconcile'),
  )
}

async function adoptTransaction(
  { db, productId }: Adopting,
  report: Adopted,
  transaction: PaddleTransaction,
): Promise<void> {
  const applied = await db.transaction().execute(async (trx) => {
    const now = await readClock(trx)
    return await applyPaddleTransaction(trx, transaction, { productId, now, nextLookAt: now })
  })
  const paddleId = transaction.transactionId
  if (applied.outcome === 'credited') {
    report.adopted.push({ paddleId, workspaceId: applied.workspaceId, amountMicros: applied.amountMicros })
  } else if (applied.outcome === 'review') {
    const workspaceId = applied.workspaceId ?? claimedWorkspace(transaction)
    report.misfits.push({ what: 'captured and not credited', paddleId, workspaceId, why: applied.reason })
  }
}

async function adoptSubscription(
  { db }: Adopting,
  report: Adopted,
  subscription: PaddleSubscription,
): Promise<void> {
  const applied = await db
    .transaction()
    .execute(async (trx) => applyPaddleSubscription(trx, subscription, await readClock(trx)))
  const { subscriptionId: paddleId, workspaceId } = subscription
  if (
    applied.outcome === 'card_saved' ||
    applied.outcome === 'card_changed' ||
    applied.outcome === 'card_removed'
  ) {
    report.adopted.push({ paddleId, workspaceId: applied.workspaceId, amountMicros: null })
  }
  if (applied.outcome !== 'review') return
  report.misfits.push({ what: 'subscription', paddleId, workspaceId, why: applied.reason })
}

/** The oldest first, and those that wait for another once more, until none of them moves any more. */
async function adoptAdjustments(
  adopting: Adopting,
  report: Adopted,
  adjustments: readonly PaddleAdjustment[],
): Promise<void> {
  let left = adjustments.toSorted((one, other) => one.createdAt.getTime() - other.createdAt.getTime())
  for (;;) {
    const waiting: PaddleAdjustment[] = []
    for (const adjustment of left) {
      if (!(await adoptAdjustment(adopting, report, adjustment))) waiting.push(adjustment)
    }
    if (waiting.length === left.length) break
    left = waiting
  }
  for (const { adjustmentId: paddleId, action: what, transactionId } of left) {
    const why = `the payment ${transactionId} is not credited here, or what it wins back was never taken`
    report.misfits.push({ what, paddleId, workspaceId: null, why })
  }
}

/** Shape: false when it waits for something else to be booked first. */
async function adoptAdjustment(
  { db }: Adopting,
  report: Adopted,
  adjustment: PaddleAdjustment,
): Promise<boolean> {
  const applied = await db
    .transaction()
    .execute(async (trx) => applyPaddleAdjustment(trx, adjustment, await readClock(trx)))
  const paddleId = adjustment.adjustmentId
  if (applied.outcome === 'applied') {
    report.adopted.push({ paddleId, workspaceId: applied.workspaceId, amountMicros: null })
  } else if (applied.outcome === 'review') {
    const { workspaceId, reason } = applied
    report.misfits.push({ what: adjustment.action, paddleId, workspaceId, why: reason })
  }
  return applied.outcome !== 'waiting'
}
