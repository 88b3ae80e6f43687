/** Given: a wallet with a history, whatever it is; written straight into the tables, because only its looks matter. */
import { sql } from 'kysely'

import type { WorkspaceId } from '../../billing/ids.ts'
import type { LedgerTransactionKind } from '../../billing/ledger-draft.ts'
import { micros } from '../../billing/money.ts'
import { bigintArray, instantArray, textArray } from '../../db/array-parameter.ts'
import { postUsage } from '../../db/post-usage.ts'
import { createRateBookCache } from '../../db/rate-book.ts'
import type { Db } from '../../db/schema.ts'
import type { UsageArrival } from '../../jobs/usage-arrival.ts'

export type HistoryRow = {
  kind: LedgerTransactionKind
  reference: string
  agentId: string | null
  campaignId: string | null
  amountMicros: bigint
  postedAt: Date
}

/** Appends them to the wallet, the first first. Hashes are of nothing. */
export async function givenHistory(
  db: Db,
  workspaceId: WorkspaceId,
  rows: readonly HistoryRow[],
): Promise<void> {
  await db.transaction().execute(async (trx) => {
    const wallet = await trx
      .selectFrom('wallet')
      .select(['sequence', 'balance_micros'])
      .where('workspace_id', '=', workspaceId)
      .forUpdate()
      .executeTakeFirstOrThrow()
    let balance: bigint = wallet.balance_micros
    const balances = rows.map((row) => (balance += row.amountMicros))
    const sequences = rows.map((_, index) => wallet.sequence + BigInt(index) + 1n)
    await trx
      .updateTable('wallet')
      .set({ sequence: wallet.sequence + BigInt(rows.length), balance_micros: micros(balance) })
      .where('workspace_id', '=', workspaceId)
      .execute()
    await sql`
      with row as (
        select * from unnest(
          ${bigintArray(sequences)}::bigint[],
          ${textArray(rows.map((row) => row.kind))}::text[],
          ${textArray(rows.map((row) => row.reference))}::text[],
          ${textArray(rows.map((row) => row.agentId))}::text[],
          ${textArray(rows.map((row) => row.campaignId))}::text[],
          ${bigintArray(rows.map((row) => row.amountMicros))}::bigint[],
          ${bigintArray(balances)}::bigint[],
          ${instantArray(rows.map((row) => row.postedAt))}::timestamptz[]
        ) as row (sequence, kind, reference, agent_id, campaign_id, amount_micros, balance_micros, posted_at)
      ), booked as (
        insert into ledger_transaction (workspace_id, wallet_sequence, idempotency_key, kind, reference, agent_id,
          campaign_id, amount_micros, balance_after_micros, reverses, occurred_at, posted_at, payload_hash, hash)
        select ${workspaceId}, sequence, kind || '/' || reference || '/' || sequence, kind::ledger_transaction_kind,
          reference, agent_id, campaign_id, amount_micros, balance_micros,
          case kind when 'reversal' then sequence::text end, posted_at, posted_at,
          decode(repeat('00', 32), 'hex'), decode(repeat('00', 32), 'hex')
        from row
      )
      insert into posting (workspace_id, wallet_sequence, line, debit_account, credit_account, amount_micros)
      select ${workspaceId}, sequence, 1,
        case when amount_micros < 0 then 'wallet' else 'adjustments' end::account_code,
        case when amount_micros >= 0 then 'wallet' when kind = 'call' then 'voice_revenue' else 'adjustments' end
          ::account_code, abs(amount_micros)
      from row`.execute(trx)
  })
}

const rateBookOf = createRateBookCache()

/** Posts usage as a worker does: what meets a wallet that somebody else has locked is posted after that. */
export async function givenUsage(db: Db, arrivals: readonly UsageArrival[]): Promise<void> {
  let waiting = arrivals
  while (waiting.length > 0) {
    const now = waiting
    const outcomes = await db.transaction().execute((trx) => postUsage(trx, now, rateBookOf))
    waiting = now.filter((_, index) => outcomes[index]?.outcome === 'deferred')
  }
}
