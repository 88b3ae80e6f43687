/**
 * What usage took from a wallet in some time, by whatever one may ask. Times are those of posting; days and hours are UTC. Exact:
 * closed blocks that lie in the time whole are added up, and everything else is read row by row.
 */
import { sql, type RawBuilder } from 'kysely'

import type { WorkspaceId } from '../billing/ids.ts'
import { usageKinds } from '../billing/wallet-transaction.ts'
import { micros, sumMicros, type Micros } from '../billing/money.ts'
import type { Meter } from '../billing/rating.ts'
import { blocksIn, rowsBesidesBlocks, type LedgerRange } from './ledger-range.ts'
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
  const range = { workspaceId, newest: window.newest, from: window.since }
  const [sums, lines] = await Promise.all([sumTransactions(db, range), sumLines(db, range)])
  const of = (facet: SumRow['facet']): SumRow[] => sums.filter((row) => row.facet === facet)
  const kinds = of('kind')
  const total = added(kinds)
  const countOf = (kind: string): bigint => kinds.find(({ value }) => value === kind)?.count ?? 0n
  return {
    total: {
      ...total,
      calls: countOf('call'),
      messages: countOf('message'),
      rentals: countOf('number_rental'),
    },
    byMeter: meterSums(lines),
    byAgent: costliest(withTheRest(total, of('agent'))).map(({ value, ...sum }) => ({
      agentId: value,
      ...amounts(sum),
    })),
    byCampaign: costliest(withTheRest(total, of('campaign'))).map(({ value, ...sum }) => ({
      campaignId: value,
      ...amounts(sum),
    })),
    byPrefix: costliest(lines.filter(({ meter }) => meter === 'telephony')).map((line) => ({
      prefix: line.prefix,
      seconds: line.quantity,
      ...amounts(line),
    })),
    byDay: of('day').map(({ value, ...sum }) => ({ day: value, ...amounts(sum) })),
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
  const range = { workspaceId, newest: window.newest, from: window.since }
  const [hourly, lines] = await Promise.all([sumHours(db, range), sumLines(db, range)])
  const days = Map.groupBy(hourly, ({ day }) => day)
  const hours = Map.groupBy(
    hourly.filter(({ count }) => count > 0n),
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

/** What usage took from a wallet between two instants. */
export async function readUsed(db: Db, range: LedgerRange): Promise<Micros> {
  const { rows } = await sql<{ usedMicros: Micros }>`
    with block_in_range as materialized (${blocksIn(range)})
    select coalesce(sum(used_micros), 0)::bigint as "usedMicros"
    from (
      select used_micros from block_in_range
      join ledger_block_hour closed on closed.workspace_id = ${range.workspaceId} and closed.block = block_in_range.block
      where is_whole
      union all
      select -amount_micros from (${usageBesidesBlocks(range)}) as row
    ) as used`.execute(db)
  return rows[0]?.usedMicros ?? nothing
}

type HourRow = UsageSum & { day: string; hour: number; toppedUpMicros: Micros }

async function sumHours(db: Db, range: LedgerRange): Promise<HourRow[]> {
  const { rows } = await sql<HourRow>`
    with block_in_range as materialized (${blocksIn(range)})
    select
      to_char(hour at time zone 'UTC', 'YYYY-MM-DD') as day,
      extract(hour from hour at time zone 'UTC')::integer as hour,
      sum(used_micros)::bigint as "usedMicros", sum(usages)::bigint as count, sum(topped_up_micros)::bigint as "toppedUpMicros"
    from (
      select closed.hour, used_micros, usages, topped_up_micros
      from block_in_range
      join ledger_block_hour closed on closed.workspace_id = ${range.workspaceId} and closed.block = block_in_range.block
      where is_whole
      union all
      select date_trunc('hour', posted_at, 'UTC'),
        case when ${isUsage} then -amount_micros else 0 end, case when ${isUsage} then 1 else 0 end,
        case when kind in ('top_up', 'grant') then amount_micros else 0 end
      from (${rowsBesidesBlocks(range, sql`kind, amount_micros, posted_at`)}) as row
    ) as booked
    group by booked.hour
    order by booked.hour`.execute(db)
  return rows
}

type SumRow = UsageSum & { facet: 'kind' | 'agent' | 'campaign' | 'day'; value: string }

/** All that the transactions themselves say of usage. What names no agent, or no campaign, has no row. */
async function sumTransactions(db: Db, range: LedgerRange): Promise<SumRow[]> {
  const { rows } = await sql<SumRow>`
    with block_in_range as materialized (${blocksIn(range)})
    select facet, value, sum(used_micros)::bigint as "usedMicros", sum(usages)::bigint as count
    from (
      select facet, value, used_micros, usages
      from block_in_range
      join ledger_block_facet closed on closed.workspace_id = ${range.workspaceId} and closed.block = block_in_range.block
      where is_whole
      union all
      select 'day', to_char(hour at time zone 'UTC', 'YYYY-MM-DD'), used_micros, usages
      from block_in_range
      join ledger_block_hour closed on closed.workspace_id = ${range.workspaceId} and closed.block = block_in_range.block
      where is_whole
      union all
      select facet.facet, facet.value, -amount_micros, 1
      from (${usageBesidesBlocks(range)}) as row
      cross join lateral (values
        ('kind', kind::text), ('agent', agent_id), ('campaign', campaign_id),
        ('day', to_char(posted_at at time zone 'UTC', 'YYYY-MM-DD'))
      ) as facet (facet, value)
      where facet.value is not null
    ) as used
    group by facet, value
    having sum(usages) > 0
    order by facet, value`.execute(db)
  return rows
}

type LineRow = UsageSum & { meter: Meter; prefix: string | null; quantity: bigint }

/** What the postings say besides: the meters, and where calls went. */
async function sumLines(db: Db, range: LedgerRange): Promise<LineRow[]> {
  const { rows } = await sql<LineRow>`
    with block_in_range as materialized (${blocksIn(range)})
    select left(account::text, -length('_revenue')) as meter, nullif(prefix, '') as prefix,
      sum(quantity)::bigint as quantity, sum(amount_micros)::bigint as "usedMicros", sum(lines)::bigint as count
    from (
      select account, prefix, quantity, closed.amount_micros, lines
      from block_in_range
      join ledger_block_line closed on closed.workspace_id = ${range.workspaceId} and closed.block = block_in_range.block
      where is_whole
      union all
      select p.credit_account, coalesce(p.prefix, ''), coalesce(p.quantity, 0), p.amount_micros, 1
      from (${usageBesidesBlocks(range)}) as row
      cross join lateral (
        select credit_account, prefix, quantity, amount_micros from posting
        where posting.workspace_id = ${range.workspaceId} and posting.wallet_sequence = row.wallet_sequence
        offset 0
      ) as p
    ) as line
    group by account, prefix
    order by account, prefix`.execute(db)
  return rows
}

/** What a meter took on a day, UTC. */
export type DaySpend = { day: string; meter: Meter; usedMicros: Micros }

/** The first day first; days and meters without usage are left out. */
export async function listSpendByDay(
  db: Db,
  workspaceId: WorkspaceId,
  { since, newest }: StatsWindow,
): Promise<DaySpend[]> {
  const range = { workspaceId, newest, from: since }
  // The lines of a block know no day: a block stands for its rows only where all of it is of one.
  const { rows } = await sql<DaySpend>`
    with block_in_range as materialized (
      select seen.block, to_char(closed.earliest_posted_at at time zone 'UTC', 'YYYY-MM-DD') as day,
        seen.is_whole and date_trunc('day', closed.earliest_posted_at, 'UTC') = date_trunc('day', closed.latest_posted_at, 'UTC')
          as is_whole
      from (${blocksIn(range)}) as seen
      left join ledger_block closed on closed.workspace_id = ${workspaceId} and closed.block = seen.block
    )
    select day, left(account::text, -length('_revenue')) as meter, sum(amount_micros)::bigint as "usedMicros"
    from (
      select day, account, closed.amount_micros
      from block_in_range
      join ledger_block_line closed on closed.workspace_id = ${workspaceId} and closed.block = block_in_range.block
      where is_whole
      union all
      select to_char(row.posted_at at time zone 'UTC', 'YYYY-MM-DD'), p.credit_account, p.amount_micros
      from (${usageBesidesBlocks(range)}) as row
      cross join lateral (
        select credit_account, amount_micros from posting
        where posting.workspace_id = ${workspaceId} and posting.wallet_sequence = row.wallet_sequence
        offset 0
      ) as p
    ) as line
    group by day, account
    order by day, account`.execute(db)
  return rows
}

const isUsage = sql`kind = any(${usageKinds}::ledger_transaction_kind[])`

function usageBesidesBlocks(range: LedgerRange): RawBuilder<unknown> {
  const columns = sql`kind, agent_id, campaign_id, amount_micros, posted_at`
  return rowsBesidesBlocks(range, columns, [isUsage])
}

/** With what names none, as null: whatever of the total the named ones lack. */
function withTheRest(total: UsageSum, named: readonly SumRow[]): (UsageSum & { value: string | null })[] {
  const { usedMicros, count } = added(named)
  if (count === total.count) return [...named]
  const rest = { usedMicros: micros(total.usedMicros - usedMicros), count: total.count - count }
  return [...named, { value: null, ...rest }]
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
