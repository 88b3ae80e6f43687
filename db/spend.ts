/** What usage took from a wallet, as its page shows it: how fast it goes, and where it went by day and meter. */
import { sql } from 'kysely'

import { BillingError } from '../billing/billing-error.ts'
import type { Burn } from '../billing/burn.ts'
import type { WorkspaceId } from '../billing/ids.ts'
import type { Micros } from '../billing/money.ts'
import type { Meter } from '../billing/rating.ts'
import { usageKinds } from '../billing/wallet-transaction.ts'
import type { Db } from './schema.ts'
import type { StatsWindow } from './usage-stats.ts'

/** Up to `now`, which is that of the database. */
export async function readBurn(db: Db, workspaceId: WorkspaceId, now: Date): Promise<Burn> {
  const { rows } = await sql<Burn>`
    select
      coalesce(sum(-amount_micros) filter (where posted_at > ${now}::timestamptz - interval '1 hour'), 0)::bigint
        as "hourMicros",
      coalesce(sum(-amount_micros) filter (where posted_at > ${now}::timestamptz - interval '1 day'), 0)::bigint
        as "dayMicros",
      coalesce(sum(-amount_micros), 0)::bigint as "weekMicros"
    from ledger_transaction
    where workspace_id = ${workspaceId} and posted_at > ${now}::timestamptz - interval '7 days'
      and kind = any(${usageKinds}::ledger_transaction_kind[])`.execute(db)
  const [burn] = rows
  if (burn === undefined) throw new BillingError('no_row', 'A sum over rows gave no row')
  return burn
}

/** What a meter took on a day, UTC. */
export type DaySpend = { day: string; meter: Meter; usedMicros: Micros }

/** The first day first; days and meters without usage are left out. */
export async function listSpendByDay(
  db: Db,
  workspaceId: WorkspaceId,
  { since, newest }: StatsWindow,
): Promise<DaySpend[]> {
  const { rows } = await sql<DaySpend>`
    select to_char(t.posted_at at time zone 'UTC', 'YYYY-MM-DD') as day,
      left(p.credit_account::text, -length('_revenue')) as meter,
      sum(p.amount_micros)::bigint as "usedMicros"
    from ledger_transaction t
    join posting p using (workspace_id, wallet_sequence)
    where t.workspace_id = ${workspaceId} and t.wallet_sequence <= ${newest} and t.posted_at >= ${since}
      and t.kind = any(${usageKinds}::ledger_transaction_kind[])
    group by day, meter
    order by day, meter`.execute(db)
  return rows
}
