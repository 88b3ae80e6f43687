/**
 * Wallet transactions: a wallet's ledger in pages, newest first. A page and a count are of the wallet as it was when `newest` was
 * its newest transaction; rows up to there never change, so pages that are read one after another fit without a snapshot.
 * However long the history is, a page costs its own rows, those of no closed block, and a few bits for each block.
 */
import { sql, type RawBuilder } from 'kysely'

import type { WorkspaceId } from '../billing/ids.ts'
import type { LedgerTransactionKind } from '../billing/ledger-draft.ts'
import type { Micros } from '../billing/money.ts'
import { kindsOfType } from '../billing/wallet-transaction.ts'
import { blocksIn, rowsBesidesBlocks } from './ledger-range.ts'
import type { Db } from './schema.ts'

export type WalletTransaction = {
  workspaceId: WorkspaceId
  sequence: bigint
  kind: LedgerTransactionKind
  idempotencyKey: string
  reference: string
  agentId: string | null
  campaignId: string | null
  amountMicros: Micros
  balanceAfterMicros: Micros
  occurredAt: Date
  postedAt: Date
}

/** All that are named must hold; no field means everything. */
export type WalletTransactionFilter = {
  kinds?: readonly LedgerTransactionKind[] | undefined
  /** The call, chat, number or top-up. */
  reference?: string | undefined
  agentId?: string | undefined
  campaignId?: string | undefined
  /** Posted at this instant or later. */
  from?: Date | undefined
  /** Posted before this instant. */
  until?: Date | undefined
}

/** Where a page begins: at `newest` or below it, after so many that the filter finds. */
export type WalletTransactionPage = { newest: bigint; offset?: number; limit: number }

/** Newest first. */
export async function listWalletTransactions(
  db: Db,
  workspaceId: WorkspaceId,
  filter: WalletTransactionFilter,
  page: WalletTransactionPage,
): Promise<WalletTransaction[]> {
  const { rows } = await listQuery(workspaceId, filter, page).execute(db)
  return rows.map((row) => ({
    workspaceId: row.workspace_id,
    sequence: row.wallet_sequence,
    kind: row.kind,
    idempotencyKey: row.idempotency_key,
    reference: row.reference,
    agentId: row.agent_id,
    campaignId: row.campaign_id,
    amountMicros: row.amount_micros,
    balanceAfterMicros: row.balance_after_micros,
    occurredAt: row.occurred_at,
    postedAt: row.posted_at,
  }))
}

/** How many the filter finds at `newest` and below it. */
export async function countWalletTransactions(
  db: Db,
  workspaceId: WorkspaceId,
  filter: WalletTransactionFilter,
  newest: bigint,
): Promise<bigint> {
  // The chain has no gaps: the number of the newest is how many there are.
  if (findsAll(filter)) return newest
  const { rows } = await countQuery(workspaceId, filter, newest).execute(db)
  return rows[0]?.found ?? 0n
}

/**
 * All that the filter finds, newest first, a page at a time: however many they are, one page is in memory.
 *
 * Shape: yields no empty page. Nothing is held in Postgres between two pages.
 */
export async function* walkWalletTransactions(
  db: Db,
  workspaceId: WorkspaceId,
  filter: WalletTransactionFilter,
  { newest, limit }: WalletTransactionPage,
): AsyncGenerator<WalletTransaction[]> {
  let from = newest
  for (;;) {
    const page = await listWalletTransactions(db, workspaceId, filter, { newest: from, limit })
    const last = page.at(-1)
    if (last === undefined) return
    yield page
    if (page.length < limit) return
    from = last.sequence - 1n
  }
}

type Row = {
  workspace_id: WorkspaceId
  wallet_sequence: bigint
  kind: LedgerTransactionKind
  idempotency_key: string
  reference: string
  agent_id: string | null
  campaign_id: string | null
  amount_micros: Micros
  balance_after_micros: Micros
  occurred_at: Date
  posted_at: Date
}

/** Which ones is known before any is read, and only they are then read. Exported for those who look at the plan. */
export function listQuery(
  workspaceId: WorkspaceId,
  filter: WalletTransactionFilter,
  { newest, offset = 0, limit }: WalletTransactionPage,
) {
  return sql<Row>`
    with page as (${pageQuery(workspaceId, filter, { newest, offset, limit })})
    select t.workspace_id, t.wallet_sequence, t.kind, t.idempotency_key, t.reference, t.agent_id, t.campaign_id,
      t.amount_micros, t.balance_after_micros, t.occurred_at, t.posted_at
    from page
    join ledger_transaction t on t.workspace_id = ${workspaceId} and t.wallet_sequence = page.wallet_sequence
    order by t.wallet_sequence desc`
}

export function countQuery(workspaceId: WorkspaceId, filter: WalletTransactionFilter, newest: bigint) {
  if (filter.reference !== undefined) {
    return sql<{ found: bigint }>`
      select count(*) as found from ledger_transaction where ${allConditions(workspaceId, filter, newest)}`
  }
  return sql<{ found: bigint }>`
    with ${foundByBlock(workspaceId, filter, newest)}
    select coalesce(sum(bit_count(transactions)), 0)::bigint as found from found`
}

/** The numbers of the transactions on a page. */
function pageQuery(
  workspaceId: WorkspaceId,
  filter: WalletTransactionFilter,
  { newest, offset, limit }: Required<WalletTransactionPage>,
): RawBuilder<unknown> {
  const isEverything = findsAll(filter)
  // A call, a chat or a number is looked up in an index of the ledger; and without a filter, so many further down is so many
  // numbers less, because the chain has no gaps.
  if (isEverything || filter.reference !== undefined) {
    return sql`
      select wallet_sequence from ledger_transaction
      where ${allConditions(workspaceId, filter, isEverything ? newest - BigInt(offset) : newest)}
      order by wallet_sequence desc
      limit ${limit} offset ${isEverything ? 0 : offset}`
  }
  return sql`
    with ${foundByBlock(workspaceId, filter, newest)},
    counted as (
      select block, transactions, bit_count(transactions) as here, sum(bit_count(transactions)) over (order by block desc) as so_far
      from found
    )
    select block * 1000 + 1 + place as wallet_sequence
    from counted
    join generate_series(0, 999) as place on get_bit(transactions, place) = 1
    where so_far > ${offset} and so_far - here < ${offset}::bigint + ${limit}
    order by wallet_sequence desc
    limit ${limit} offset ${offset} - (select coalesce(max(so_far), 0) from counted where so_far <= ${offset})`
}

/** `found`: which transactions of each block the filter finds, as bits. */
function foundByBlock(
  workspaceId: WorkspaceId,
  filter: WalletTransactionFilter,
  newest: bigint,
): RawBuilder<unknown> {
  const range = { workspaceId, newest, from: filter.from, until: filter.until }
  const facets = facetsOf(workspaceId, filter)
  const ofWholeBlocks =
    facets.length === 0
      ? sql`select block, ~ 0::bit(1000) as transactions from block_in_range where is_whole`
      : sql`
          select block, bit_and(facet.transactions) as transactions
          from block_in_range join (${sql.join(facets, sql` union all `)}) as facet using (block)
          where is_whole
          group by block having count(*) = ${facets.length}`
  return sql`
    block_in_range as materialized (${blocksIn(range)}),
    found as materialized (
      ${ofWholeBlocks}
      union all
      select block, bit_or(set_bit(0::bit(1000), (wallet_sequence - block * 1000 - 1)::integer, 1))
      from (${rowsBesidesBlocks(range, sql`null`, conditions(filter))}) as row
      group by block
    )`
}

/** What a filter asks of blocks: for each of its fields, which transactions of which blocks fit it. */
function facetsOf(
  workspaceId: WorkspaceId,
  { kinds, agentId, campaignId }: WalletTransactionFilter,
): RawBuilder<unknown>[] {
  const of = (facet: 'kind' | 'agent' | 'campaign', values: readonly string[]) => sql`
    select block, bit_or(transactions) as transactions from ledger_block_facet
    where workspace_id = ${workspaceId} and facet = ${facet} and value = any(${values}::text[])
    group by block`
  return [
    ...(kinds === undefined ? [] : [of('kind', kinds)]),
    ...(agentId === undefined ? [] : [of('agent', [agentId])]),
    ...(campaignId === undefined ? [] : [of('campaign', [campaignId])]),
  ]
}

function allConditions(
  workspaceId: WorkspaceId,
  filter: WalletTransactionFilter,
  newest: bigint,
): RawBuilder<unknown> {
  const { from, until } = filter
  return sql.join(
    [
      sql`workspace_id = ${workspaceId}`,
      sql`wallet_sequence <= ${newest}`,
      ...conditions(filter),
      ...(from === undefined ? [] : [sql`posted_at >= ${from}`]),
      ...(until === undefined ? [] : [sql`posted_at < ${until}`]),
    ],
    sql` and `,
  )
}

/** What a row must be, its place and its time apart. */
function conditions({
  kinds,
  reference,
  agentId,
  campaignId,
}: WalletTransactionFilter): RawBuilder<unknown>[] {
  return [
    ...(kinds === undefined ? [] : [sql`kind = any(${kinds}::ledger_transaction_kind[])`]),
    // In the words of the index that has only these.
    ...(kinds !== undefined && kinds.every((kind) => rare.has(kind))
      ? [sql`kind not in ('call', 'message', 'number_rental')`]
      : []),
    ...(reference === undefined ? [] : [sql`reference = ${reference}`]),
    ...(agentId === undefined ? [] : [sql`agent_id = ${agentId}`]),
    ...(campaignId === undefined ? [] : [sql`campaign_id = ${campaignId}`]),
  ]
}

const rare: ReadonlySet<LedgerTransactionKind> = new Set([...kindsOfType('topup'), ...kindsOfType('refund')])

function findsAll(filter: WalletTransactionFilter): boolean {
  return Object.values(filter).every((value) => value === undefined)
}
