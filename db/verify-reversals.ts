/**
 * Does every reversal undo what it says it undoes? It comes after it, moves the same amounts between the same accounts the other
 * way round, and is of the same thing.
 */
import { sql } from 'kysely'

import type { Tx } from './schema.ts'

/** Shape: at most `most`, of all wallets; of one transaction when it is named. */
export async function findWrongReversals(
  trx: Tx,
  most: number,
  only: { workspaceId: string; sequence: bigint } | null = null,
): Promise<{ workspaceId: string; where: string; what: string }[]> {
  const { rows } = await sql<{ workspace_id: string; wallet_sequence: bigint; idempotency_key: string }>`
    select t.workspace_id, t.wallet_sequence, t.idempotency_key
    from ledger_transaction t
    left join ledger_transaction undone on undone.workspace_id = t.workspace_id and undone.idempotency_key = t.reverses
    where t.reverses is not null
      and (${only === null} or (t.workspace_id = ${only?.workspaceId ?? ''} and t.wallet_sequence = ${only?.sequence ?? 0n}))
      and (undone.workspace_id is null
        or undone.wallet_sequence >= t.wallet_sequence
        or (t.idempotency_key, t.reference, t.amount_micros, t.occurred_at)
          is distinct from ('reversal/' || t.reverses, undone.reference, -undone.amount_micros, undone.occurred_at)
        or (
          select array_agg((line, credit_account, debit_account, amount_micros, quantity, prefix) order by line)
          from posting p where p.workspace_id = t.workspace_id and p.wallet_sequence = t.wallet_sequence
        ) is distinct from (
          select array_agg((line, debit_account, credit_account, amount_micros, quantity, prefix) order by line)
          from posting p where p.workspace_id = undone.workspace_id and p.wallet_sequence = undone.wallet_sequence))
    order by 1, 2 limit ${most}`.execute(trx)
  return rows.map((row) => ({
    workspaceId: row.workspace_id,
    where: `transaction ${row.wallet_sequence} (${row.idempotency_key})`,
    what: 'does not undo the transaction that it names, or there is none',
  }))
}
