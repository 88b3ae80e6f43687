/**
 * Refunds and disputes. What Paddle gives back is taken from the wallet that was credited, once for each adjustment, also where
 * that takes it below zero; a dispute freezes it until it is closed or a person says so.
 */
import {
  decideAdjustment,
  isDisputed,
  opensDispute,
  takenBack,
  winsBackTooEarly,
  type AdjustmentReviewReason,
  type AppliedPaddleAdjustment,
} from '../billing/paddle-adjustment.ts'
import { usdOfMinorUnits } from '../billing/credit.ts'
import type { WorkspaceId } from '../billing/ids.ts'
import { draftPaddleAdjustment } from '../billing/ledger-draft.ts'
import { micros } from '../billing/money.ts'
import type { PaddleAdjustment } from '../billing/paddle-facts.ts'
import { freezeWallet, unfreezeWallet } from './freeze.ts'
import { hashOfKey, postLedgerTransaction } from './ledger.ts'
import { wakeEventsAbout } from './paddle-event.ts'
import { findCredit, serializeOnTransaction } from './paddle-transaction.ts'
import { decideWalletRecharge } from './recharge.ts'
import { wakeOwedRentals } from './rental.ts'
import type { Tx } from './schema.ts'
import { lockWallet, type LockedWallet } from './wallet.ts'

export type AppliedAdjustment =
  | { outcome: 'applied'; workspaceId: WorkspaceId }
  | { outcome: 'already_applied'; workspaceId: WorkspaceId }
  /** Not approved yet, or turned down. */
  | { outcome: 'ignored' }
  /** Its transaction is not credited yet, or what it wins back was not taken yet; then this has to be looked at again. */
  | { outcome: 'waiting'; paddleTransactionId: string }
  | { outcome: 'review'; workspaceId: WorkspaceId; reason: AdjustmentReviewReason }

/** Shape: takes the wallet's lock; may be called any number of times with any news of the adjustment, in any order. */
export async function applyPaddleAdjustment(
  trx: Tx,
  adjustment: PaddleAdjustment,
  now: Date,
): Promise<AppliedAdjustment> {
  const paddleTransactionId = adjustment.transactionId
  const credit =
    (await findCredit(trx, paddleTransactionId)) ?? (await findCreditAtLast(trx, paddleTransactionId))
  const wallet = credit === null ? null : await lockWallet(trx, credit.workspaceId)
  if (credit === null || wallet === null) return { outcome: 'waiting', paddleTransactionId }
  const { workspaceId } = wallet
  const before = await listApplied(trx, wallet)
  const known = before.find((each) => each.adjustmentId === adjustment.adjustmentId)
  if (known !== undefined && (known.status === 'reversed' || known.status === adjustment.status)) {
    return { outcome: 'already_applied', workspaceId }
  }
  const others = before.filter((each) => each !== known && each.paddleTransactionId === paddleTransactionId)
  const decision = decideAdjustment(adjustment, {
    creditedMicros: credit.amountMicros,
    takenBackMicros: takenBack(others),
  })
  if (decision.decision === 'nothing') return { outcome: 'ignored' }
  if (decision.decision === 'review') {
    // Whatever is odd about it, whoever disputes one payment should not have the next one charged.
    if (opensDispute(adjustment))
      await freezeWallet(trx, wallet, { actor: 'paddle', reason: adjustment.action, now })
    return { outcome: 'review', workspaceId, reason: decision.reason }
  }
  if (winsBackTooEarly(decision, others)) return { outcome: 'waiting', paddleTransactionId }
  const { move } = decision
  if (move !== null) {
    const draft = draftPaddleAdjustment({
      ...move,
      reference: credit.topUpId,
      occurredAt: adjustment.createdAt,
    })
    const payloadHash = hashOfKey(`${move.idempotencyKey} ${move.amountMicros}`)
    const posting = await postLedgerTransaction(trx, wallet, { draft, payloadHash }, now)
    if (posting.outcome === 'contradicted') return { outcome: 'review', workspaceId, reason: 'contradicted' }
  }
  await keep(trx, wallet, adjustment, now)
  await wakeEventsAbout(trx, wallet, paddleTransactionId)
  await settleDispute(trx, wallet, { before, adjustment }, now)
  await decideWalletRecharge(trx, wallet, now)
  if (move !== null && move.amountMicros > 0n) await wakeOwedRentals(trx, wallet, now)
  return { outcome: 'applied', workspaceId }
}

/** Its credit may be under way this moment: then this waits for it, and otherwise the credit will find this waiting. */
async function findCreditAtLast(trx: Tx, paddleTransactionId: string): ReturnType<typeof findCredit> {
  await serializeOnTransaction(trx, paddleTransactionId)
  return await findCredit(trx, paddleTransactionId)
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

/**
 * Freezes the wallet when a payment becomes disputed, and unfreezes it when none is any longer, in whatever order the news came.
 * What a person decided about another payment does not hold for this one, and a person's own freeze stands.
 */
async function settleDispute(
  trx: Tx,
  wallet: LockedWallet,
  { before, adjustment }: { before: readonly Applied[]; adjustment: PaddleAdjustment },
  now: Date,
): Promise<void> {
  const { action: reason, transactionId } = adjustment
  const ofPayment = (applied: readonly Applied[]): Applied[] =>
    applied.filter((each) => each.paddleTransactionId === transactionId)
  const after = await listApplied(trx, wallet)
  const is = isDisputed(ofPayment(after))
  if (is === isDisputed(ofPayment(before))) return
  if (is) await freezeWallet(trx, wallet, { actor: 'paddle', reason, now })
  else if (!isDisputed(after) && (await isFrozenByDispute(trx, wallet))) {
    await unfreezeWallet(trx, wallet, { actor: 'paddle', reason })
  }
}

async function isFrozenByDispute(trx: Tx, wallet: LockedWallet): Promise<boolean> {
  const row = await trx
    .selectFrom('wallet')
    .select('frozen_reason')
    .where('workspace_id', '=', wallet.workspaceId)
    .executeTakeFirst()
  return row?.frozen_reason === 'chargeback' || row?.frozen_reason === 'chargeback_warning'
}

type Applied = AppliedPaddleAdjustment & { adjustmentId: string; status: string }

/** All that was applied to the wallet, whatever transaction it was about. */
async function listApplied(trx: Tx, wallet: LockedWallet): Promise<Applied[]> {
  return await trx
    .selectFrom('paddle_adjustment')
    .select([
      'adjustment_id as adjustmentId',
      'paddle_transaction_id as paddleTransactionId',
      'action',
      'status',
      'amount_micros as amountMicros',
    ])
    .where('workspace_id', '=', wallet.workspaceId)
    .execute()
}
