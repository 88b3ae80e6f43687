/**
 * Reconcile: what Paddle has against what we booked, both ways. What is missing here is adopted by the same functions that apply
 * webhooks; what does not fit is listed. On a fresh database Paddle's whole history gives every credit back.
 */
import { claimedWorkspace, centsToMicros, isCaptured } from '../billing/credit.ts'
import { workspaceId as workspaceIdSchema, type WorkspaceId } from '../billing/ids.ts'
import { micros, sumMicros, type Micros } from '../billing/money.ts'
import type { PaddleAdjustment, PaddleSubscription, PaddleTransaction } from '../billing/paddle-facts.ts'
import { readClock } from '../db/clock.ts'
import { applyPaddleAdjustment } from '../db/paddle-adjustment.ts'
import { bindPaddleCustomer, findPaddleCustomer } from '../db/paddle-customer.ts'
import { applyPaddleSubscription } from '../db/paddle-subscription.ts'
import { applyPaddleTransaction, listCredits } from '../db/paddle-transaction.ts'
import type { Db } from '../db/schema.ts'
import { listTopUps } from '../db/top-up.ts'
import { withLockedWallet } from '../db/wallet.ts'
import { openWorkspace } from '../db/workspace.ts'
import type { PaddleGateway } from '../paddle/gateway.ts'
import type { PaddleRefusal } from '../paddle/outcome.ts'

/** One thing that does not fit, and why. */
export type Misfit = { what: string; paddleId: string; workspaceId: string | null; why: string }

export type Reconciliation = {
  since: Date
  /** Paddle's captured transactions and its adjustments in that time. */
  transactions: number
  adjustments: number
  creditedMicros: Micros
  /** What was missing here and is booked now. */
  adopted: { paddleId: string; workspaceId: WorkspaceId; amountMicros: Micros | null }[]
  misfits: Misfit[]
}

export type Reconciling = {
  db: Db
  gateway: Pick<
    PaddleGateway,
    'listTransactions' | 'listAdjustments' | 'listSubscriptions' | 'getTransaction' | 'getCustomer'
  >
  productId: string
  onProgress?: (done: { transactions: number }) => void
}

/**
 * Shape: a `PaddleRefusal` when Paddle cannot be asked; what was adopted until then stays. Running it again changes nothing.
 */
export async function reconcile(
  reconciling: Reconciling,
  { since }: { since: Date },
): Promise<({ outcome: 'reconciled' } & Reconciliation) | PaddleRefusal> {
  const { gateway } = reconciling
  const transactions = await gateway.listTransactions({ updatedSince: since })
  if (transactions.outcome !== 'listed') return transactions
  const subscriptions = await gateway.listSubscriptions()
  if (subscriptions.outcome !== 'listed') return subscriptions
  const adjustments = await gateway.listAdjustments({ updatedSince: since })
  if (adjustments.outcome !== 'listed') return adjustments

  const report: Reconciliation = {
    since,
    transactions: transactions.transactions.filter(isCaptured).length,
    adjustments: adjustments.adjustments.length,
    creditedMicros: micros(0n),
    adopted: [],
    misfits: [...transactions.unreadable, ...subscriptions.unreadable, ...adjustments.unreadable].map(
      ({ detail, id }) => ({ what: 'unreadable', paddleId: id ?? '-', workspaceId: null, why: detail }),
    ),
  }
  for (const transaction of transactions.transactions) await bindClaimedCustomer(reconciling, transaction)
  for (const subscription of subscriptions.subscriptions)
    await adoptSubscription(reconciling, report, subscription)
  for (const [index, transaction] of transactions.transactions.entries()) {
    await adoptTransaction(reconciling, report, transaction)
    reconciling.onProgress?.({ transactions: index + 1 })
  }
  await adoptAdjustments(reconciling, report, adjustments.adjustments)
  const refusal = await compareOurs(reconciling, report, transactions.transactions)
  if (refusal !== null) return refusal
  await listOpenEnds(reconciling, report)
  return { outcome: 'reconciled', ...report }
}

/**
 * On a database that does not know the workspace's customer: a price that names a workspace was written by us, with our key, so
 * whoever paid it is that workspace's customer. One that is bound already is never bound again.
 */
async function bindClaimedCustomer(
  { db, gateway }: Reconciling,
  transaction: PaddleTransaction,
): Promise<void> {
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
  { db, productId }: Reconciling,
  report: Reconciliation,
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
  { db }: Reconciling,
  report: Reconciliation,
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
  reconciling: Reconciling,
  report: Reconciliation,
  adjustments: readonly PaddleAdjustment[],
): Promise<void> {
  let left = adjustments.toSorted((one, other) => one.createdAt.getTime() - other.createdAt.getTime())
  for (;;) {
    const waiting: PaddleAdjustment[] = []
    for (const adjustment of left) {
      if (!(await adoptAdjustment(reconciling, report, adjustment))) waiting.push(adjustment)
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
  { db }: Reconciling,
  report: Reconciliation,
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

/** The other way: every credit that we booked in that time must be captured money at Paddle, to the cent. */
async function compareOurs(
  { db, gateway }: Reconciling,
  report: Reconciliation,
  listed: readonly PaddleTransaction[],
): Promise<PaddleRefusal | null> {
  const known = new Map(listed.map((transaction) => [transaction.transactionId, transaction]))
  for (const credit of await listCredits(db, { since: report.since })) {
    const { paddleTransactionId: paddleId, workspaceId, amountMicros } = credit
    report.creditedMicros = sumMicros([report.creditedMicros, amountMicros])
    const asked = known.has(paddleId) ? null : await gateway.getTransaction(paddleId)
    const transaction = known.get(paddleId) ?? (asked?.outcome === 'found' ? asked.transaction : undefined)
    if (asked !== null && asked.outcome !== 'found' && asked.outcome !== 'not_found') return asked
    const what = 'credited here'
    if (transaction === undefined) {
      report.misfits.push({ what, paddleId, workspaceId, why: 'Paddle does not know it' })
    } else if (!isCaptured(transaction)) {
      report.misfits.push({ what, paddleId, workspaceId, why: `at Paddle it is ${transaction.status}` })
    } else if (netMicros(transaction) !== amountMicros) {
      report.misfits.push({ what, paddleId, workspaceId, why: 'at Paddle it is another amount' })
    }
  }
  return null
}

/** What waits for a person, or has waited longer than anything should. */
async function listOpenEnds({ db }: Reconciling, report: Reconciliation): Promise<void> {
  for (const topUp of await listTopUps(db, { states: ['needs_review'], limit: 1_000 })) {
    const { topUpId: paddleId, workspaceId, reason } = topUp
    report.misfits.push({ what: 'top-up needs a review', paddleId, workspaceId, why: reason ?? '-' })
  }
}

function netMicros(transaction: PaddleTransaction): Micros {
  return centsToMicros(transaction.lines.reduce((sum, line) => sum + line.net.amount, 0n))
}
