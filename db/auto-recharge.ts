/**
 * Auto-recharge settings and what declines did to them. Written under the wallet's lock, together with the threshold on the
 * wallet row that posting looks at, and followed by a decision, because every change may call for a charge.
 */
import type { Selectable } from 'kysely'

import { decideDecline } from '../billing/decline.ts'
import type { WorkspaceId } from '../billing/ids.ts'
import { formatUsd } from '../billing/money.ts'
import type { AutoRechargeSettings } from '../billing/recharge.ts'
import { writeAudit } from './audit-log.ts'
import { decideWalletRecharge, type Recharged } from './recharge.ts'
import { findUsableCard } from './saved-card.ts'
import type { Db, Schema, Tx } from './schema.ts'
import type { LockedWallet } from './wallet.ts'

export type AutoRecharge = AutoRechargeSettings & {
  workspaceId: WorkspaceId
  declinesInARow: number
  coolingUntil: Date | null
  suspendedAt: Date | null
  /** The decline or refusal that suspended it. */
  suspendedReason: string | null
  /** The last decision: `recharge`, or the reason why not. */
  lastDecision: Selectable<Schema['auto_recharge']>['last_decision']
  lastDecisionAt: Date | null
}

export async function findAutoRecharge(db: Db, workspaceId: WorkspaceId): Promise<AutoRecharge | null> {
  const row = await db
    .selectFrom('auto_recharge')
    .selectAll()
    .where('workspace_id', '=', workspaceId)
    .executeTakeFirst()
  if (row === undefined) return null
  return {
    workspaceId: row.workspace_id,
    enabled: row.enabled,
    thresholdMicros: row.threshold_micros,
    topUpMicros: row.top_up_micros,
    dailyLimit: row.daily_limit,
    monthlyCapMicros: row.monthly_cap_micros,
    declinesInARow: row.declines_in_a_row,
    coolingUntil: row.cooling_until,
    suspendedAt: row.suspended_at,
    suspendedReason: row.suspended_reason,
    lastDecision: row.last_decision,
    lastDecisionAt: row.last_decision_at,
  }
}

export type SavedSettings = { outcome: 'saved'; decided: Recharged } | { outcome: 'no_card' }

/**
 * Saves the settings and decides at once: below the threshold already, the card is charged now.
 *
 * Shape: `no_card`, and nothing saved, when it is to be switched on and no card is there to charge. Switching it on is the
 *        consent to charge the card.
 */
export async function saveAutoRecharge(
  trx: Tx,
  wallet: LockedWallet,
  settings: AutoRechargeSettings,
  { actor, now }: { actor: string; now: Date },
): Promise<SavedSettings> {
  const { workspaceId } = wallet
  if (settings.enabled && (await findUsableCard(trx, workspaceId)) === null) return { outcome: 'no_card' }
  const values = {
    enabled: settings.enabled,
    threshold_micros: settings.thresholdMicros,
    top_up_micros: settings.topUpMicros,
    daily_limit: settings.dailyLimit,
    monthly_cap_micros: settings.monthlyCapMicros,
    changed_at: now,
    ...(settings.enabled ? { consented_at: now } : {}),
  }
  await trx
    .insertInto('auto_recharge')
    .values({ workspace_id: workspaceId, ...values })
    .onConflict((conflict) => conflict.column('workspace_id').doUpdateSet(values))
    .execute()
  await trx
    .updateTable('wallet')
    .set({ recharge_below_micros: settings.enabled ? settings.thresholdMicros : null })
    .where('workspace_id', '=', workspaceId)
    .execute()
  await writeAudit(trx, {
    workspaceId,
    actor,
    action: 'auto_recharge.changed',
    detail: {
      enabled: settings.enabled,
      threshold_usd: formatUsd(settings.thresholdMicros),
      topup_usd: formatUsd(settings.topUpMicros),
      daily_limit: settings.dailyLimit,
      monthly_cap_usd: settings.monthlyCapMicros === null ? null : formatUsd(settings.monthlyCapMicros),
    },
  })
  return { outcome: 'saved', decided: await decideWalletRecharge(trx, wallet, now) }
}

/** A person, or another card, lets it go on after declines. Does nothing where it was not held up. */
export async function resumeAutoRecharge(
  trx: Tx,
  wallet: LockedWallet,
  { actor, cause, now }: { actor: string; cause: string; now: Date },
): Promise<Recharged> {
  const { numUpdatedRows } = await trx
    .updateTable('auto_recharge')
    .set({ declines_in_a_row: 0, cooling_until: null, suspended_at: null, suspended_reason: null })
    .where('workspace_id', '=', wallet.workspaceId)
    .where((where) => where.or([where('declines_in_a_row', '>', 0), where('suspended_at', 'is not', null)]))
    .executeTakeFirst()
  if (numUpdatedRows > 0n) {
    await writeAudit(trx, {
      workspaceId: wallet.workspaceId,
      actor,
      action: 'auto_recharge.resumed',
      detail: { cause },
    })
  }
  return await decideWalletRecharge(trx, wallet, now)
}

/** A charge went through: the declines before it are over. What a person has to lift stays. */
export async function forgetDeclines(trx: Tx, wallet: LockedWallet): Promise<void> {
  await trx
    .updateTable('auto_recharge')
    .set({ declines_in_a_row: 0, cooling_until: null })
    .where('workspace_id', '=', wallet.workspaceId)
    .where('suspended_at', 'is', null)
    .where('declines_in_a_row', '>', 0)
    .execute()
}

/** A recharge was declined: the next attempt waits, or none comes until something changes. */
export async function countDecline(trx: Tx, wallet: LockedWallet, code: string, now: Date): Promise<void> {
  const settings = await findAutoRecharge(trx, wallet.workspaceId)
  if (settings === null) return
  const declines = settings.declinesInARow + 1
  const verdict = decideDecline(code, declines)
  await trx
    .updateTable('auto_recharge')
    .set({
      declines_in_a_row: declines,
      cooling_until: verdict.next === 'cool_down' ? new Date(now.getTime() + verdict.coolingMs) : null,
    })
    .where('workspace_id', '=', wallet.workspaceId)
    .execute()
  if (verdict.next === 'suspend') await suspendAutoRecharge(trx, wallet, code, now)
}

/** No attempt until another card comes or a person resumes it. */
export async function suspendAutoRecharge(
  trx: Tx,
  wallet: LockedWallet,
  reason: string,
  now: Date,
): Promise<void> {
  const { numUpdatedRows } = await trx
    .updateTable('auto_recharge')
    .set({ suspended_at: now, suspended_reason: reason })
    .where('workspace_id', '=', wallet.workspaceId)
    .where('suspended_at', 'is', null)
    .executeTakeFirst()
  if (numUpdatedRows === 0n) return
  await writeAudit(trx, {
    workspaceId: wallet.workspaceId,
    actor: 'system',
    action: 'auto_recharge.suspended',
    detail: { reason },
  })
}
