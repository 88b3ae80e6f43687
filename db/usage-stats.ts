/** What usage took from a wallet in some time, by whatever one may ask. Times are those of posting; days and hours are UTC. */
import { sql } from 'kysely'

import type { WorkspaceId } from '../billing/ids.ts'
import { usageKinds } from '../billing/wallet-transaction.ts'
import { micros, sumMicros, type Micros } from '../billing/money.ts'
import type { Meter } from '../billing/rating.ts'
import type { Db } from './schema.ts'

/** Of the wallet's transactions up to `newest`, those posted from `since` on. */
export type StatsWindow = { since: Date; newest: bigint }

/** What usage took, zero or above, and by how many transactions. */
export type UsageSum = { usedMicros: Micros; count: bigint }

export type UsageStats = {
  total: UsageSum & { calls: bigint; messages: bigint; rentals: bigint }
  /** `quantity`: billed seconds, or messages. */
  byMeter: (UsageSum & { meter: Meter; quantity: bigint })[]
  /** Null where the usage named none. The costliest first; 100 at most of each. */
  byAgent: (UsageSum & { agentId: string | null })[]
  byCampaign: (UsageSum & { campaignId: string | null })[]
  /** By the telephony prefix that was priced; null for withheld numbers. Telephony alone. */
  byPrefix: (UsageSum & { prefix: string | null; seconds: bigint })[]
  /** Days without usage are left out. */
  byDay: (UsageSum & { day: string })[]
}

const mostListed = 100

export async function readUsageStats(
  db: Db,
  workspaceId: WorkspaceId,
  window: StatsWindow,
): Promise<UsageStats> {
  const [sums, lines] = await Promise.all([
    sumTransactions(db, workspaceId, window),
    sumPostings(db, workspaceId, window),
  ])
  const of = (dimension: SumRow['dimension']): SumRow[] => sums.filter((row) => row.dimension === dimension)
  const [all] = of('all')
  const kinds = of('kind')
  const countOf = (kind: string): bigint => kinds.find((row) => row.name === kind)?.count ?? 0n
  return {
    total: {
      usedMicros: all?.usedMicros ?? nothing,
      count: all?.count ?? 0n,
      calls: countOf('call'),
      messages: countOf('message'),
      rentals: countOf('number_rental'),
    },
    byMeter: meterSums(lines),
    byAgent: costliest(of('agent')).map(({ name, ...sum }) => ({ agentId: name, ...amounts(sum) })),
    byCampaign: costliest(of('campaign')).map(({ name, ...sum }) => ({ campaignId: name, ...amounts(sum) })),
    byPrefix: costliest(lines.filter(({ meter }) => meter === 'telephony')).map((line) => ({
      prefix: line.prefix,
      seconds: line.quantity,
      ...amounts(line),
    })),
    byDay: of('day').map(({ name, ...sum }) => ({ day: name ?? '', ...amounts(sum) })),
  }
}

export type WalletActivity = {
  /** What came in and what usage took, by day, the first first; days with neither are left out. */
  byDay: (UsageSum & { day: string; toppedUpMicros: Micros })[]
  /** By the hour of the day, 0 to 23, all days together; hours without usage are left out. */
  byHour: (UsageSum & { hour: number })[]
  byMeter: UsageStats['byMeter']
}

export async function readWalletActivity(
  db: Db,
  workspaceId: WorkspaceId,
  window: StatsWindow,
): Promise<WalletActivity> {
  const [{ rows }, lines] = await Promise.all([
    sql<HourRow>`
      select
        to_char(posted_at at time zone 'UTC', 'YYYY-MM-DD') as day,
        extract(hour from posted_at at time zone 'UTC')::integer as hour,
        (coalesce(sum(-amount_micros) filter (where kind = any(${usageKinds}::ledger_transaction_kind[])), 0))::bigint as "usedMicros",
        count(*) filter (where kind = any(${usageKinds}::ledger_transaction_kind[])) as count,
        (coalesce(sum(amount_micros) filter (where kind in ('top_up', 'grant')), 0))::bigint as "toppedUpMicros"
      from ledger_transaction
      where workspace_id = ${workspaceId} and wallet_sequence <= ${window.newest} and posted_at >= ${window.since}
      group by day, hour
      order by day, hour`.execute(db),
    sumPostings(db, workspaceId, window),
  ])
  const days = Map.groupBy(rows, ({ day }) => day)
  const hours = Map.groupBy(
    rows.filter(({ count }) => count > 0n),
    ({ hour }) => hour,
  )
  return {
    byDay: [...days].map(([day, of]) => ({
      day,
      ...added(of),
      toppedUpMicros: sumMicros(of.map(({ toppedUpMicros }) => toppedUpMicros)),
    })),
    byHour: [...hours]
      .map(([hour, of]) => ({ hour, ...added(of) }))
      .toSorted((one, other) => one.hour - other.hour),
    byMeter: meterSums(lines),
  }
}

type HourRow = UsageSum & { day: string; hour: number; toppedUpMicros: Micros }

type SumRow = UsageSum & { dimension: 'all' | 'kind' | 'agent' | 'campaign' | 'day'; name: string | null }

/** One look at the window for all that the transactions themselves say. */
async function sumTransactions(
  db: Db,
  workspaceId: WorkspaceId,
  { since, newest }: StatsWindow,
): Promise<SumRow[]> {
  const { rows } = await sql<SumRow>`
    select
      case grouping(kind, agent_id, campaign_id, day)
        when 7 then 'kind' when 11 then 'agent' when 13 then 'campaign' when 14 then 'day' else 'all'
      end as dimension,
      coalesce(kind::text, agent_id, campaign_id, day) as name,
      coalesce(sum(used_micros), 0)::bigint as "usedMicros",
      count(*) as count
    from (
      select kind, agent_id, campaign_id, to_char(posted_at at time zone 'UTC', 'YYYY-MM-DD') as day,
        -amount_micros as used_micros
      from ledger_transaction
      where workspace_id = ${workspaceId} and wallet_sequence <= ${newest} and posted_at >= ${since}
        and kind = any(${usageKinds}::ledger_transaction_kind[])
    ) as used
    group by grouping sets ((), (kind), (agent_id), (campaign_id), (day))
    order by name`.execute(db)
  return rows
}

type LineRow = UsageSum & { meter: Meter; prefix: string | null; quantity: bigint }

/** What the postings say besides: the meters, and where calls went. */
async function sumPostings(
  db: Db,
  workspaceId: WorkspaceId,
  { since, newest }: StatsWindow,
): Promise<LineRow[]> {
  const { rows } = await sql<LineRow>`
    select
      left(p.credit_account::text, -length('_revenue')) as meter, p.prefix,
      coalesce(sum(p.quantity), 0)::bigint as quantity,
      sum(p.amount_micros)::bigint as "usedMicros",
      count(*) as count
    from ledger_transaction t
    join posting p using (workspace_id, wallet_sequence)
    where t.workspace_id = ${workspaceId} and t.wallet_sequence <= ${newest} and t.posted_at >= ${since}
      and t.kind = any(${usageKinds}::ledger_transaction_kind[])
    group by p.credit_account, p.prefix
    order by p.credit_account, p.prefix`.execute(db)
  return rows
}

function meterSums(lines: readonly LineRow[]): UsageStats['byMeter'] {
  const byMeter = Map.groupBy(lines, ({ meter }) => meter)
  return [...byMeter].map(([meter, of]) => ({
    meter,
    quantity: of.reduce((sum, { quantity }) => sum + quantity, 0n),
    ...added(of),
  }))
}

function added(sums: readonly UsageSum[]): UsageSum {
  return {
    usedMicros: sumMicros(sums.map(({ usedMicros }) => usedMicros)),
    count: sums.reduce((total, { count }) => total + count, 0n),
  }
}

function amounts({ usedMicros, count }: UsageSum): UsageSum {
  return { usedMicros, count }
}

function costliest<Sum extends UsageSum>(sums: readonly Sum[]): Sum[] {
  return sums
    .toSorted((one, other) =>
      one.usedMicros < other.usedMicros ? 1 : one.usedMicros > other.usedMicros ? -1 : 0,
    )
    .slice(0, mostListed)
}

const nothing = micros(0n)
