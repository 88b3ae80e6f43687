/** Given: a wallet with a history as long as one likes, made by Postgres itself; hashes are of nothing and balances zero. */
import { sql } from 'kysely'

import type { WorkspaceId } from '../../billing/ids.ts'
import { micros } from '../../billing/money.ts'
import { closeBlocks, listFullBlocks } from '../../db/ledger-block.ts'
import type { Db } from '../../db/schema.ts'

export type LongHistory = { rows: number; firstPostedAt: Date; secondsApart: number }

/**
 * After the signup grant: nine in ten are calls, with voice and telephony and every fourth with recording, then messages, and a
 * top-up now and then; 50 agents and 10 campaigns, of which every agent knows two; 200 more agents are named once in a while.
 */
export async function givenLongHistory(
  db: Db,
  workspaceId: WorkspaceId,
  { rows, firstPostedAt, secondsApart }: LongHistory,
): Promise<void> {
  const atOnce = 100_000
  for (let done = 0; done < rows; done += atOnce) {
    const upTo = Math.min(rows, done + atOnce)
    await db.transaction().execute(async (trx) => {
      await trx
        .updateTable('wallet')
        .set({ sequence: BigInt(upTo + 1), balance_micros: micros(0n) })
        .where('workspace_id', '=', workspaceId)
        .execute()
      await sql`
        with row as materialized (
          select number + 1 as sequence, number,
            (case when number % 1000 = 0 then 'top_up' when number % 10 = 0 then 'message' else 'call' end)
              ::ledger_transaction_kind as kind,
            ${firstPostedAt}::timestamptz + make_interval(secs => number * ${secondsApart}::float8) as posted_at
          from generate_series(${done + 1}::integer, ${upTo}::integer) as number
        ), booked as (
          insert into ledger_transaction (workspace_id, wallet_sequence, idempotency_key, kind, reference, agent_id,
            campaign_id, amount_micros, balance_after_micros, occurred_at, posted_at, payload_hash, hash)
          select ${workspaceId}, sequence, kind || '/' || number, kind,
            case kind when 'call' then 'call_' || number when 'message' then 'chat_' || number / 10 % 97
              else 'topup_' || number end,
            case when kind = 'top_up' then null when number % 997 = 0 then 'rare_' || number % 200 else 'agent_' || number % 50 end,
            case when kind = 'top_up' then null else 'campaign_' || number % 20 / 2 end,
            case kind when 'top_up' then 20000000 when 'message' then -10000 else -180000 - (number % 4 / 3) * 20000 end, 0,
            posted_at, posted_at, sha256(number::text::bytea), sha256(number::text::bytea)
          from row
        )
        insert into posting (workspace_id, wallet_sequence, line, debit_account, credit_account, amount_micros, quantity, prefix)
        select ${workspaceId}, sequence, line, debit::account_code, credit::account_code, amount, quantity, prefix
        from row
        cross join lateral (values
          (1, 'wallet', 'voice_revenue', 100000, 60, null, kind = 'call'),
          (2, 'wallet', 'telephony_revenue', 80000, 60, (array['1', '44', '49', '33', '4477'])[1 + number % 5], kind = 'call'),
          (3, 'wallet', 'recording_revenue', 20000, 60, null, kind = 'call' and number % 4 = 3),
          (1, 'wallet', 'message_revenue', 10000, 1, null, kind = 'message'),
          (1, 'paddle_clearing', 'wallet', 20000000, null, null, kind = 'top_up')
        ) as posting (line, debit, credit, amount, quantity, prefix, is_there)
        where is_there`.execute(trx)
    })
  }
}

/** Closes all full blocks there are, or the first `most` of each wallet. */
export async function givenClosedBlocks(db: Db, most = 1_000_000): Promise<void> {
  for (const span of await listFullBlocks(db, { wallets: 1_000, most })) {
    for (let first = span.first; first < span.end; first += 20n) {
      const end = first + 20n < span.end ? first + 20n : span.end
      await closeBlocks(db, { ...span, first, end })
    }
  }
}
