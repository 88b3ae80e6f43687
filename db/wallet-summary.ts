/** What a wallet has, and what has come and gone since it was opened. */
import { sql } from 'kysely'

import type { WorkspaceId } from '../billing/ids.ts'
import type { LedgerTransactionKind } from '../billing/ledger-draft.ts'
import { micros, sumMicros, type Micros } from '../billing/money.ts'
import { typeOfKind, usageKinds } from '../billing/wallet-transaction.ts'
import type { Db } from './schema.ts'

/** A wallet as last committed. */
export type WalletState = {
  balanceMicros: Micros
  heldMicros: Micros
  /** The balance without what is held: it may be below zero. */
  availableMicros: Micros
  /** The number of its newest transaction, and how many there are. */
  newest: bigint
  frozen: boolean
}

/** Shape: null when the workspace has no wallet. */
export async function findWalletState(db: Db, workspaceId: WorkspaceId): Promise<WalletState | null> {
  const row = await db
    .selectFrom('wallet')
    .select(['balance_micros', 'held_micros', 'sequence', 'frozen_at'])
    .where('workspace_id', '=', workspaceId)
    .executeTakeFirst()
  if (row === undefined) return null
  return {
    balanceMicros: row.balance_micros,
    heldMicros: row.held_micros,
    availableMicros: micros(row.balance_micros - row.held_micros),
    newest: row.sequence,
    frozen: row.frozen_at !== null,
  }
}

export type WalletSummary = {
  /** Bought. */
  toppedUpMicros: Micros
  /** Given, such as the signup credit. */
  grantedMicros: Micros
  /** What usage took: zero or above. */
  usedMicros: Micros
  /** Refunds, disputes and corrections: the signed effect on the wallet. */
  refundedMicros: Micros
  topUps: bigint
  usages: bigint
  lastTopUpAt: Date | null
  lastUsageAt: Date | null
}

/**
 * Sums over the whole ledger of a wallet, at the cost of its few transactions that are not usage: what usage took is what the
 * balance lacks.
 */
export async function summarizeWallet(
  db: Db,
  workspaceId: WorkspaceId,
  { balanceMicros, newest }: Pick<WalletState, 'balanceMicros' | 'newest'>,
): Promise<WalletSummary> {
  const [kinds, lastTopUpAt, lastUsageAt] = await Promise.all([
    sumBesidesUsage(db, workspaceId, newest),
    lastPostedAt(
      db,
      workspaceId,
      newest,
      sql`kind = 'top_up' and kind not in ('call', 'message', 'number_rental')`,
    ),
    lastPostedAt(db, workspaceId, newest, sql`kind = any(${usageKinds}::ledger_transaction_kind[])`),
  ])
  const sumOf = (isMeant: (kind: LedgerTransactionKind) => boolean): Micros =>
    sumMicros(kinds.filter(({ kind }) => isMeant(kind)).map(({ amountMicros }) => amountMicros))
  const besides = kinds.reduce((total, { count }) => total + count, 0n)
  return {
    toppedUpMicros: sumOf((kind) => kind === 'top_up'),
    grantedMicros: sumOf((kind) => kind === 'grant'),
    refundedMicros: sumOf((kind) => typeOfKind(kind) === 'refund'),
    usedMicros: micros(sumOf(() => true) - balanceMicros),
    topUps: kinds.find(({ kind }) => kind === 'top_up')?.count ?? 0n,
    usages: newest - besides,
    lastTopUpAt,
    lastUsageAt,
  }
}

type KindSum = { kind: LedgerTransactionKind; amountMicros: Micros; count: bigint }

async function sumBesidesUsage(db: Db, workspaceId: WorkspaceId, newest: bigint): Promise<KindSum[]> {
  const { rows } = await sql<KindSum>`
    select kind, sum(amount_micros)::bigint as "amountMicros", count(*) as count
    from ledger_transaction
    where workspace_id = ${workspaceId} and wallet_sequence <= ${newest}
      and kind not in ('call', 'message', 'number_rental')
    group by kind`.execute(db)
  return rows
}

async function lastPostedAt(
  db: Db,
  workspaceId: WorkspaceId,
  newest: bigint,
  isMeant: ReturnType<typeof sql>,
): Promise<Date | null> {
  const { rows } = await sql<{ posted_at: Date }>`
    select posted_at from ledger_transaction
    where workspace_id = ${workspaceId} and wallet_sequence <= ${newest} and ${isMeant}
    order by wallet_sequence desc limit 1`.execute(db)
  return rows[0]?.posted_at ?? null
}
