/**
 * The head of every wallet's chain: how many transactions it has, and the hash of the last, which covers all of them. Kept somewhere
 * else, heads tell whether anything that was there then has been cut off or rewritten since, by whoever may do anything here.
 */
import { sql } from 'kysely'

import { bigintArray, byteaArray, textArray } from './array-parameter.ts'
import type { Db } from './schema.ts'
import type { Break } from './verify.ts'

/** Shape: `hash` is 64 hexadecimal digits. */
export type WalletHead = { workspaceId: string; sequence: bigint; hash: string }

/** What the given heads say was there, and is not, or not as it was. */
export async function findLostHeads(db: Db, heads: readonly WalletHead[]): Promise<Break[]> {
  const { rows } = await sql<{ workspace_id: string; sequence: bigint; is_there: boolean }>`
    select head.workspace_id, head.sequence, t.hash is not null as is_there
    from unnest(
      ${textArray(heads.map((head) => head.workspaceId))}::text[],
      ${bigintArray(heads.map((head) => head.sequence))}::bigint[],
      ${byteaArray(heads.map((head) => Buffer.from(head.hash, 'hex')))}::bytea[]
    ) as head (workspace_id, sequence, hash)
    left join ledger_transaction t
      on t.workspace_id = head.workspace_id and t.wallet_sequence = head.sequence
    where t.hash is distinct from head.hash
    order by head.workspace_id`.execute(db)
  return rows.map((row) => ({
    workspaceId: row.workspace_id,
    where: `transaction ${row.sequence}`,
    what: row.is_there
      ? 'is not the one, or does not follow the ones, that the heads were written of'
      : 'was there when the heads were written, and is gone',
  }))
}
