/**
 * Wallet transactions: a wallet's ledger in pages, newest first. A page and a count are of the wallet as it was when `newest` was
 * its newest transaction; rows up to there never change, so pages that are read one after another fit without a snapshot.
 */
import { sql } from 'kysely'

import type { WorkspaceId } from '../billing/ids.ts'
import type { LedgerTransactionKind } from '../billing/ledger-draft.ts'
import type { Micros } from '../billing/money.ts'
import { kindsOfType, usageKinds } from '../billing/wallet-transaction.ts'
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
  if (findsAllUsage(filter)) {
    const besides = await countWalletTransactions(db, workspaceId, { kinds: besidesUsage }, newest)
    return newest - besides
  }
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

/**
 * Which ones is answered by an index alone, and only they are then read. Exported for those who look at the plan.
 */
export function listQuery(
  workspaceId: WorkspaceId,
  filter: WalletTransactionFilter,
  { newest, offset = 0, limit }: WalletTransactionPage,
) {
  // No gaps: without a filter, so many further down is so many numbers less.
  const skipsByNumber = findsAll(filter)
  const from = skipsByNumber ? newest - BigInt(offset) : newest
  return sql<Row>`
    select t.workspace_id, t.wallet_sequence, t.kind, t.idempotency_key, t.reference, t.agent_id, t.campaign_id,
      t.amount_micros, t.balance_after_micros, t.occurred_at, t.posted_at
    from (
      select workspace_id, wallet_sequence from ledger_transaction
      where ${conditions(workspaceId, filter, from)}
      order by wallet_sequence desc
      limit ${limit} offset ${skipsByNumber ? 0 : offset}
    ) as page
    join ledger_transaction t using (workspace_id, wallet_sequence)
    order by t.wallet_sequence desc`
}

export function countQuery(workspaceId: WorkspaceId, filter: WalletTransactionFilter, newest: bigint) {
  return sql<{ found: bigint }>`
    select count(*) as found from ledger_transaction where ${conditions(workspaceId, filter, newest)}`
}

function conditions(workspaceId: WorkspaceId, filter: WalletTransactionFilter, newest: bigint) {
  const { kinds, reference, agentId, campaignId, from, until } = filter
  return sql.join(
    [
      sql`workspace_id = ${workspaceId}`,
      sql`wallet_sequence <= ${newest}`,
      ...(kinds === undefined ? [] : [sql`kind = any(${kinds}::ledger_transaction_kind[])`]),
      // In the words of the index that has only these.
      ...(kinds !== undefined && kinds.every((kind) => rare.has(kind))
        ? [sql`kind not in ('call', 'message', 'number_rental')`]
        : []),
      ...(reference === undefined ? [] : [sql`reference = ${reference}`]),
      ...(agentId === undefined ? [] : [sql`agent_id = ${agentId}`]),
      ...(campaignId === undefined ? [] : [sql`campaign_id = ${campaignId}`]),
      ...(from === undefined ? [] : [sql`posted_at >= ${from}`]),
      ...(until === undefined ? [] : [sql`posted_at < ${until}`]),
    ],
    sql` and `,
  )
}

const besidesUsage = [...kindsOfType('topup'), ...kindsOfType('refund')]
const rare: ReadonlySet<LedgerTransactionKind> = new Set(besidesUsage)

function findsAll(filter: WalletTransactionFilter): boolean {
  return Object.values(filter).every((value) => value === undefined)
}

function findsAllUsage({ kinds, ...others }: WalletTransactionFilter): boolean {
  if (kinds === undefined || !findsAll(others)) return false
  return kinds.every((kind) => usage.has(kind)) && new Set(kinds).size === usage.size
}

const usage: ReadonlySet<LedgerTransactionKind> = new Set(usageKinds)
