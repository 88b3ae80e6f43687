/** Who changed what about money, cards and settings, and when. Append-only. */
import { sql } from 'kysely'

import type { WorkspaceId } from '../billing/ids.ts'
import type { Db, Tx } from './schema.ts'

/** What is written down, and read aloud on the wallet page. */
export type AuditAction =
  | 'auto_recharge.changed'
  | 'auto_recharge.suspended'
  | 'auto_recharge.resumed'
  | 'card.saved'
  | 'card.changed'
  | 'card.removed'
  | 'card.removal_asked'
  | 'wallet.frozen'
  | 'wallet.unfrozen'
  | 'top_up.second_capture'
  | 'top_up.resolved'
  | 'customer.bound'
  | 'workspace.opened'
  | 'key.created'
  | 'key.revoked'
  | 'session.opened'
  | 'session.ended'

/** `actor`: `paddle`, `system`, or the person or key that asked. `detail` holds no secret and no card number. */
export async function writeAudit(
  trx: Tx,
  entry: { workspaceId: WorkspaceId; actor: string; action: AuditAction; detail?: Record<string, unknown> },
): Promise<void> {
  await trx
    .insertInto('audit_log')
    .values({
      workspace_id: entry.workspaceId,
      actor: entry.actor,
      action: entry.action,
      detail: JSON.stringify(entry.detail ?? {}),
    })
    .execute()
}

export type AuditEntry = { actor: string; action: string; detail: unknown; happenedAt: Date }

/** Newest first. */
export async function listAudit(
  db: Db,
  workspaceId: WorkspaceId,
  limit: number,
  offset = 0,
): Promise<AuditEntry[]> {
  const rows = await db
    .selectFrom('audit_log')
    .select(['actor', 'action', 'detail', 'happened_at as happenedAt'])
    .where('workspace_id', '=', workspaceId)
    .orderBy('entry', 'desc')
    .limit(limit)
    .offset(offset)
    .execute()
  return rows
}

export async function countAudit(db: Db, workspaceId: WorkspaceId): Promise<number> {
  const { count } = await db
    .selectFrom('audit_log')
    .select(sql<number>`count(*)::integer`.as('count'))
    .where('workspace_id', '=', workspaceId)
    .executeTakeFirstOrThrow()
  return count
}
