/** Freezing a wallet, as after a chargeback: no recharge and no admission, while usage that happened is posted as ever. */
import { writeAudit } from './audit-log.ts'
import type { Tx } from './schema.ts'
import type { LockedWallet } from './wallet.ts'

/** Freezes the wallet: no recharge, and no admission. */
export async function freezeWallet(
  trx: Tx,
  wallet: LockedWallet,
  { actor, reason, now }: { actor: string; reason: string; now: Date },
): Promise<void> {
  await setFrozen(trx, wallet, { at: now, reason }, { actor, action: 'wallet.frozen' })
}

export async function unfreezeWallet(
  trx: Tx,
  wallet: LockedWallet,
  { actor, reason }: { actor: string; reason: string },
): Promise<void> {
  await setFrozen(trx, wallet, null, { actor, action: 'wallet.unfrozen', reason })
}

async function setFrozen(
  trx: Tx,
  wallet: LockedWallet,
  frozen: { at: Date; reason: string } | null,
  entry: { actor: string; action: 'wallet.frozen' | 'wallet.unfrozen'; reason?: string },
): Promise<void> {
  const { numUpdatedRows } = await trx
    .updateTable('wallet')
    .set({ frozen_at: frozen?.at ?? null, frozen_reason: frozen?.reason ?? null })
    .where('workspace_id', '=', wallet.workspaceId)
    .where('frozen_at', frozen === null ? 'is not' : 'is', null)
    .executeTakeFirst()
  if (numUpdatedRows === 0n) return
  const reason = frozen?.reason ?? entry.reason
  await writeAudit(trx, {
    workspaceId: wallet.workspaceId,
    actor: entry.actor,
    action: entry.action,
    detail: { reason },
  })
}
