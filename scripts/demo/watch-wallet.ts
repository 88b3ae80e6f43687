/** What happens to a wallet, as it happens: every new ledger transaction with how long it took from the queue to the books. */
import { sql } from 'kysely'

import type { WorkspaceId } from '../../billing/ids.ts'
import type { Micros } from '../../billing/money.ts'
import type { LedgerTransactionKind } from '../../billing/ledger-draft.ts'
import type { Db } from '../../db/schema.ts'
import { listTopUps, type TopUp } from '../../db/top-up.ts'

export type WalletMovement = {
  sequence: bigint
  kind: LedgerTransactionKind
  reference: string
  amountMicros: Micros
  balanceAfterMicros: Micros
  postedAt: Date
  /** From the moment it was enqueued; null for what did not come as usage. */
  tookMs: number | null
  /** Number called and seconds of talk, of a call. */
  to: string | null
  seconds: number | null
}

/** Everything after a place in the wallet's chain, in order. */
export async function listMovementsAfter(
  db: Db,
  workspaceId: WorkspaceId,
  after: bigint,
): Promise<WalletMovement[]> {
  const { rows } = await sql<WalletMovement>`
    select
      t.wallet_sequence as sequence, t.kind, t.reference, t.amount_micros as "amountMicros",
      t.balance_after_micros as "balanceAfterMicros", t.posted_at as "postedAt",
      (extract(epoch from e.decided_at - e.received_at) * 1000)::float8 as "tookMs",
      e.payload ->> 'to' as to, (e.payload ->> 'durationSeconds')::float8 as seconds
    from ledger_transaction t
    left join usage_event e on e.workspace_id = t.workspace_id and e.key = t.idempotency_key
    where t.workspace_id = ${workspaceId} and t.wallet_sequence > ${after}
    order by t.wallet_sequence
    limit 1000`.execute(db)
  return rows
}

/** Everything at one moment: what is counted as decided is among the movements, and what a movement caused is there too. */
export async function readFrame(
  db: Db,
  workspaceId: WorkspaceId,
  after: bigint,
): Promise<{ counts: UsageCounts; movements: WalletMovement[]; topUps: TopUp[] }> {
  return await db
    .transaction()
    .setIsolationLevel('repeatable read')
    .execute(async (trx) => ({
      counts: await countUsage(trx, workspaceId),
      movements: await listMovementsAfter(trx, workspaceId, after),
      topUps: await listTopUps(trx, { workspaceId, limit: 100 }),
    }))
}

export type UsageCounts = { posted: number; free: number; received: number; setAside: number }

/** How much usage of a workspace there is in each state. */
export async function countUsage(db: Db, workspaceId: WorkspaceId): Promise<UsageCounts> {
  const rows = await db
    .selectFrom('usage_event')
    .select(['state', (expression) => expression.fn.countAll<bigint>().as('count')])
    .where('workspace_id', '=', workspaceId)
    .groupBy('state')
    .execute()
  const count = (state: string): number => Number(rows.find((row) => row.state === state)?.count ?? 0n)
  return {
    posted: count('posted'),
    free: count('free'),
    received: count('received'),
    setAside: count('set_aside'),
  }
}
