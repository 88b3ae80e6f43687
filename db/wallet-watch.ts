/** Many wallets in one look, for those who want to know whether anything about them has changed. */
import { sql } from 'kysely'

import type { WorkspaceId } from '../billing/ids.ts'
import type { Micros } from '../billing/money.ts'
import { textArray } from './array-parameter.ts'
import type { Db } from './schema.ts'

/** `mark` changes with the wallet, its top-ups, its card and its auto-recharge. */
export type WalletSeen = { balanceMicros: Micros; mark: string }

export async function watchWallets(
  db: Db,
  workspaceIds: readonly WorkspaceId[],
): Promise<ReadonlyMap<WorkspaceId, WalletSeen>> {
  if (workspaceIds.length === 0) return new Map()
  const { rows } = await sql<WalletSeen & { workspaceId: WorkspaceId }>`/* watch-wallets */
    select w.workspace_id as "workspaceId", w.balance_micros as "balanceMicros",
      concat_ws(' ', w.sequence, w.held_micros, w.frozen_at, a.changed_at, a.last_decision, a.suspended_at, a.cooling_until,
        (select max(t.changed_at) from top_up t where t.workspace_id = w.workspace_id),
        (select concat_ws(' ', max(c.state_at), max(c.card_at)) from saved_card c where c.workspace_id = w.workspace_id)) as mark
    from wallet w
    left join auto_recharge a using (workspace_id)
    where w.workspace_id = any(${textArray(workspaceIds)}::text[])`.execute(db)
  return new Map(rows.map(({ workspaceId, ...seen }) => [workspaceId, seen]))
}
