/** The wallet row: the only mutable money row, and the lock before every other lock. */
import { sql, type Selectable } from 'kysely'

import type { WorkspaceId } from '../billing/ids.ts'
import type { Micros } from '../billing/money.ts'
import { textArray } from './array-parameter.ts'
import type { Db, Schema, Tx } from './schema.ts'

const locked = Symbol('locked')

/** A wallet whose row this transaction holds: the proof that nobody else moves its balance. */
export type LockedWallet = {
  readonly workspaceId: WorkspaceId
  readonly balanceMicros: Micros
  /** How many ledger transactions it has; the newest one's number. */
  readonly sequence: bigint
  /** The newest ledger transaction's hash. */
  readonly headHash: Buffer
  /** Set aside for calls in progress. */
  readonly heldMicros: Micros
  /** The threshold of its auto-recharge; null while that is switched off. */
  readonly rechargeBelowMicros: Micros | null
  readonly frozen: boolean
  readonly [locked]: true
}

/** Waits for the row. Null when the workspace has no wallet. */
export async function lockWallet(trx: Tx, workspaceId: WorkspaceId): Promise<LockedWallet | null> {
  const row = await trx
    .selectFrom('wallet')
    .select([
      'workspace_id',
      'balance_micros',
      'sequence',
      'head_hash',
      'held_micros',
      'recharge_below_micros',
      'frozen_at',
    ])
    .where('workspace_id', '=', workspaceId)
    .forNoKeyUpdate()
    .executeTakeFirst()
  return row === undefined ? null : lockedWallet(row)
}

export type LockedWallets = {
  locked: ReadonlyMap<string, LockedWallet>
  /** Wallets that exist and that another transaction holds just now. */
  busy: ReadonlySet<string>
}

/**
 * Locks many wallets in one order, without waiting: a wallet in use elsewhere is named as busy, so that one held row
 * never stops the others. A workspace in neither set has no wallet.
 */
export async function lockFreeWallets(trx: Tx, workspaceIds: readonly string[]): Promise<LockedWallets> {
  const { rows } = await sql<WalletRow>`/* lock-free-wallets */
    select workspace_id, balance_micros, sequence, head_hash, held_micros, recharge_below_micros, frozen_at
    from wallet
    where workspace_id = any(${textArray(workspaceIds)}::text[])
    order by workspace_id for no key update skip locked`.execute(trx)
  const wallets = new Map(rows.map((row) => [row.workspace_id as string, lockedWallet(row)]))
  const missing = workspaceIds.filter((workspaceId) => !wallets.has(workspaceId))
  return { locked: wallets, busy: missing.length === 0 ? new Set() : await existing(trx, missing) }
}

/** The balance as last committed. */
export async function findBalance(db: Db, workspaceId: WorkspaceId): Promise<Micros | null> {
  const row = await db
    .selectFrom('wallet')
    .select('balance_micros')
    .where('workspace_id', '=', workspaceId)
    .executeTakeFirst()
  return row?.balance_micros ?? null
}

async function existing(trx: Tx, workspaceIds: readonly string[]): Promise<Set<string>> {
  const { rows } = await sql<{ workspace_id: string }>`
    select workspace_id from wallet where workspace_id = any(${workspaceIds}::text[])`.execute(trx)
  return new Set(rows.map((row) => row.workspace_id))
}

/**
 * Opens a transaction with the wallet locked, for what is decided on one wallet.
 *
 * Shape: null, and nothing done, when the workspace has no wallet.
 */
export async function withLockedWallet<Result>(
  db: Db,
  workspaceId: WorkspaceId,
  work: (trx: Tx, wallet: LockedWallet) => Promise<Result>,
): Promise<Result | null> {
  return await db.transaction().execute(async (trx) => {
    const wallet = await lockWallet(trx, workspaceId)
    return wallet === null ? null : await work(trx, wallet)
  })
}

type WalletRow = Pick<
  Selectable<Schema['wallet']>,
  | 'workspace_id'
  | 'balance_micros'
  | 'sequence'
  | 'head_hash'
  | 'held_micros'
  | 'recharge_below_micros'
  | 'frozen_at'
>

function lockedWallet(row: WalletRow): LockedWallet {
  return {
    workspaceId: row.workspace_id,
    balanceMicros: row.balance_micros,
    sequence: row.sequence,
    headHash: row.head_hash,
    heldMicros: row.held_micros,
    rechargeBelowMicros: row.recharge_below_micros,
    frozen: row.frozen_at !== null,
    [locked]: true,
  }
}
