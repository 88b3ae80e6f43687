/** Verifying money in: every credit has its top-up and every top-up its credit, and no wallet forgot its threshold. */
import { sql } from 'kysely'

import type { Tx } from './schema.ts'

/** Shape: where and what, by workspace; at most `limit`. */
export async function findUnbackedTopUps(
  trx: Tx,
  limit: number,
): Promise<{ workspaceId: string; where: string; what: string }[]> {
  const { rows } = await sql<{ workspaceId: string; where: string; what: string }>`
    with credited as (
      select workspace_id, reference, sum(amount_micros) as amount_micros
      from ledger_transaction where kind = 'top_up' group by workspace_id, reference
    ), broken as (
      select workspace_id, coalesce(t.top_up_id, c.reference) as "where",
        case
          when t.top_up_id is null then 'is credited in the ledger, and there is no such top-up'
          else 'says it brought ' || t.credited_micros || '; the ledger says ' || coalesce(c.amount_micros, 0)
        end as what
      from (select workspace_id, top_up_id, top_up_id as reference, credited_micros from top_up) t
      full join credited c using (workspace_id, reference)
      where t.top_up_id is null or t.credited_micros <> coalesce(c.amount_micros, 0)
      union all
      select workspace_id, 'auto-recharge', 'its threshold is not the one that its wallet goes by'
      from auto_recharge join wallet using (workspace_id)
      where recharge_below_micros is distinct from case when enabled then threshold_micros end
    )
    select workspace_id as "workspaceId", "where", what from broken order by 1, 2 limit ${limit}`.execute(trx)
  return rows
}
