/**
 * Refunds and disputes. What Paddle gives back is taken from the wallet that was credited, once for each adjustment, also where
 * that takes it below zero; a dispute freezes it until it is closed or a person says so.
 */
import { decideAdjustment, type AdjustmentReviewReason, type Dispute } from '../billing/paddle-adjustment.ts'
import { usdOfMinorUnits } from '../billing/credit.ts'
import type { WorkspaceId } from '../billing/ids.ts'
import { draftPaddleAdjustment } from '../billing/ledger-draft.ts'
import { micros, type Micros } from '../billing/money.ts'
import type { PaddleAdjustment } from '../billing/paddle-facts.ts'
import { freezeWallet, unfreezeWallet } from './freeze.ts'
import { hashOfKey, postLedgerTransaction } from './ledger.ts'
import { findCredit } from './paddle-transaction.ts'
import { decideWalletRecharge } from './recharge.ts'
import type { Tx } from './schema.ts'
import { lockWallet, type LockedWallet } from './wallet.ts'

export type AppliedAdjustment =
  | { outcome: 'applied'; workspaceId: WorkspaceId }
  | { outcome: 'already_applied'; workspaceId: WorkspaceId }
  /** Not approved yet, or turned down. */
  | { outcome: 'ignored' }
  /** Its transaction is not credited yet; when it is, this has to be looked at again. */
  | { outcome: 'waiting'; paddleTransactionId: string }
  | { outcome: 'review'; workspaceId: WorkspaceId; reason: AdjustmentReviewReason | 'another_customer' }

/** Shape: takes the wallet's lock; may be called any number of times with any news of the adjustment, in any order. */
export async function applyPaddleAdjustment(
  trx: Tx,
  adjustment: PaddleAdjustment,
  now: Date,
): Promise<AppliedAdjustment> {
  const paddleTransactionId = adjustment.transactionId
  const credit = await findCredit(trx, paddleTransactionId)
  const wallet = credit === null ? null : await lockWallet(trx, credit.workspaceId)
  if (credit === null || wallet === null) return { outcome: 'waiting', paddleTransactionId }
  const { workspaceId } = wallet
  const before = await trx
    .selectFrom('paddle_adjustment')
    .selectAll()
    .where('workspace_id', '=', workspaceId)
    .where('paddle_transaction_id', '=', paddleTransactionId)
    .execute()
  const known = before.find((row) => row.adjustment_id === adjustment.adjustmentId)
  if (known !== undefined && (known.status === 'reversed' || known.status === adjustment.status)) {
    return { outcome: 'already_applied', workspaceId }
  }
  const others = before.filter((row) => row.adjustment_id !== adjustment.adjustmentId)
  const decision = decideAdjustment(adjustment, {
    creditedMicros: credit.amountMicros,
    takenBackMicros: takenBack(others),
  })
  if (decision.decision === 'nothing') return { outcome: 'ignored' }
  if (decision.decision === 'review') return { outcome: 'review', workspaceId, reason: decision.reason }

  for (const move of decision.moves) {
    // Booking spends the proof of the lock; the row stays ours.
    const fresh = await lockWallet(trx, workspaceId)
    if (fresh === null) continue
    const draft = draftPaddleAdjustment({
      ...move,
      reference: credit.topUpId,
      occurredAt: adjustment.createdAt,
    })
    const payloadHash = hashOfKey(`${move.idempotencyKey} ${move.amountMicros}`)
    await postLedgerTransaction(trx, fresh, { draft, payloadHash }, now)
  }
  await keep(trx, wallet, adjustment, now)
  await settleDispute(trx, wallet, decision.dispute, adjustment, now)
  await decideWalletRecharge(trx, wallet, now)
  return { outcome: 'applied', workspaceId }
}

async function keep(trx: Tx, wallet: LockedWallet, adjustment: PaddleAdjustment, now: Date): Promise<void> {
  const row = {
    workspace_id: wallet.workspaceId,
    adjustment_id: adjustment.adjustmentId,
    paddle_transaction_id: adjustment.transactionId,
    action: adjustment.action,
    status: adjustment.status,
    amount_micros: usdOfMinorUnits(adjustment.net) ?? micros(0n),
    applied_at: now,
  }
  await trx
    .insertInto('paddle_adjustment')
    .values(row)
    .onConflict((conflict) =>
      conflict
        .columns(['workspace_id', 'adjustment_id'])
        .doUpdateSet({ status: row.status, applied_at: now }),
    )
    .execute()
}

/** Frozen while more disputes opened than closed, in whatever order the news of them came. */
async function settleDispute(
  trx: Tx,
  wallet: LockedWallet,
  dispute: Dispute,
  { action }: PaddleAdjustment,
  now: Date,
): Promise<void> {
  if (dispute === 'none') return
  const rows = await trx
    .selectFrom('paddle_adjustment')
    .select('action')
    .where('workspace_id', '=', wallet.workspaceId)
    .where('action', 'like', 'chargeback%')
    .execute()
  const closed = rows.filter((row) => row.action.endsWith('_reverse')).length
  const isOpen = rows.length - closed > closed
  if (dispute === 'opens' && isOpen) await freezeWallet(trx, wallet, { actor: 'paddle', reason: action, now })
  if (dispute === 'closes' && !isOpen) await unfreezeWallet(trx, wallet, { actor: 'paddle', reason: action })
}

/** What refunds and chargebacks took, less what came back. */
function takenBack(rows: readonly { action: string; status: string; amount_micros: Micros }[]): Micros {
  return micros(
    rows
      .filter((row) => row.status === 'approved')
      .reduce((sum, { action, amount_micros: amount }) => {
        if (action === 'refund' || action === 'chargeback') return sum + amount
        return action === 'chargeback_reverse' ? sum - amount : sum
      }, 0n),
  )
}
