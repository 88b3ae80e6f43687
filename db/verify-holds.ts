/** Does every wallet hold what its live calls hold together? */
import { sql } from 'kysely'

import type { Tx } from './schema.ts'

/** Shape: the wallets whose `held_micros` is not the sum of their open holds. */
export async function findWrongHolds(
  trx: Tx,
  most: number,
): Promise<{ workspaceId: string; where: string; what: string }[]> {
  const { rows } = await sql<{ workspace_id: string; held_micros: bigint; open_micros: bigint }>`
    with open as (
      select workspace_id, sum(amount_micros)::bigint as open_micros from hold where state = 'open' group by workspace_id
    )
    select coalesce(wallet.workspace_id, open.workspace_id) as workspace_id,
      coalesce(held_micros, 0) as held_micros, coalesce(open_micros, 0) as open_micros
    from wallet full join open on open.workspace_id = wallet.workspace_id
    where coalesce(held_micros, 0) <> coalesce(open_micros, 0)
    order by 1 limit ${most}`.execute(trx)
  return rows.map((row) => ({
    workspaceId: row.workspace_id,
    where: 'wallet',
    what: `says it holds ${row.held_micros}; its live calls hold ${row.open_micros}`,
  }))
}
