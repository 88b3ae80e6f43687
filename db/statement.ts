/** A wallet's ledger as a person reads it: its transactions, newest first, with the postings that each consists of. */
import { sql } from 'kysely'

import type { Account, LedgerTransactionKind } from '../billing/ledger-draft.ts'
import { micros, type Micros } from '../billing/money.ts'
import type { Db } from './schema.ts'

export type StatementLine = {
  workspaceId: string
  sequence: bigint
  kind: LedgerTransactionKind
  idempotencyKey: string
  reference: string
  occurredAt: Date
  postedAt: Date
  amountMicros: Micros
  balanceAfterMicros: Micros
  postings: {
    debitAccount: Account
    creditAccount: Account
    amountMicros: Micros
    quantity: number | null
    prefix: string | null
  }[]
}

export type StatementFilter = {
  workspaceId?: string | undefined
  /** The call, chat, number or top-up. */
  reference?: string | undefined
  limit: number
}

export async function listStatement(
  db: Db,
  { workspaceId, reference, limit }: StatementFilter,
): Promise<StatementLine[]> {
  const rows = await db
    .selectFrom('ledger_transaction as t')
    .selectAll('t')
    .select(
      sql<StoredPosting[]>`(
        select jsonb_agg(jsonb_build_object(
          'debit', debit_account, 'credit', credit_account, 'micros', amount_micros::text, 'quantity', quantity,
          'prefix', prefix) order by line)
        from posting p where p.workspace_id = t.workspace_id and p.wallet_sequence = t.wallet_sequence)`.as(
        'postings',
      ),
    )
    .$if(workspaceId !== undefined, (query) => query.where(sql`t.workspace_id`, '=', workspaceId))
    .$if(reference !== undefined, (query) => query.where('t.reference', '=', reference ?? ''))
    .orderBy('t.posted_at', 'desc')
    .orderBy('t.workspace_id')
    .orderBy('t.wallet_sequence', 'desc')
    .limit(limit)
    .execute()
  return rows.map((row) => ({
    workspaceId: row.workspace_id,
    sequence: row.wallet_sequence,
    kind: row.kind,
    idempotencyKey: row.idempotency_key,
    reference: row.reference,
    occurredAt: row.occurred_at,
    postedAt: row.posted_at,
    amountMicros: row.amount_micros,
    balanceAfterMicros: row.balance_after_micros,
    postings: row.postings.map((posting) => ({
      debitAccount: posting.debit,
      creditAccount: posting.credit,
      amountMicros: micros(BigInt(posting.micros)),
      quantity: posting.quantity,
      prefix: posting.prefix,
    })),
  }))
}

/** Money travels as text: JSON numbers would lose micro-dollars above nine billion dollars. */
type StoredPosting = {
  debit: Account
  credit: Account
  micros: string
  quantity: number | null
  prefix: string | null
}
