/**
 * Blocks: every 1,000 transactions of a wallet, closed once they are there, so that its pages need not walk them again. What a
 * closed block says is a function of ledger rows that never change: closing twice, by two at once or after a crash, writes the same
 * once, and readers take what is not closed from the ledger itself.
 */
import { sql, type RawBuilder } from 'kysely'

import type { WorkspaceId } from '../billing/ids.ts'
import { usageKinds } from '../billing/wallet-transaction.ts'
import type { Db } from './schema.ts'

/** The bits of `ledger_block_facet.transactions` are as many. */
export const blockSize = 1_000

/** From the first of these blocks up to, and without, the last. */
export type BlockSpan = { workspaceId: WorkspaceId; first: bigint; end: bigint }

/** Wallets with full blocks that are not closed yet: for each the blocks, `most` at most. Reads every wallet once. */
export async function listFullBlocks(
  db: Db,
  { wallets, most }: { wallets: number; most: number },
): Promise<BlockSpan[]> {
  const { rows } = await sql<BlockSpan>`
    select workspace_id as "workspaceId", first, least(first + ${most}, full_blocks) as end
    from (
      select w.workspace_id, w.sequence / 1000 as full_blocks, coalesce((
        select block + 1 from ledger_block closed where closed.workspace_id = w.workspace_id
        order by block desc limit 1), 0) as first
      from wallet w
      where w.sequence >= 1000
    ) as wallet
    where first < full_blocks
    limit ${wallets}`.execute(db)
  return rows
}

/**
 * One statement, so a block is there with all that it says or not at all.
 *
 * Shape: how many were closed now; one that somebody else has closed, or closes at the same time, is left to them.
 */
export async function closeBlocks(db: Db, span: BlockSpan): Promise<number> {
  const { rows } = await sql<{ closed: number }>`
    with ${rowsIn(span)},
    closed as (
      insert into ledger_block (workspace_id, block, earliest_posted_at, latest_posted_at)
      ${fullBlocks}
      order by block
      on conflict do nothing
      returning block
    ), new_facets as (
      insert into ledger_block_facet (workspace_id, block, facet, value, transactions, usages, used_micros)
      select * from (${facets}) as facet where block in (select block from closed)
    ), new_hours as (
      insert into ledger_block_hour (workspace_id, block, hour, usages, used_micros, topped_up_micros)
      select * from (${hours}) as hour where block in (select block from closed)
    ), new_lines as (
      insert into ledger_block_line (workspace_id, block, account, prefix, lines, quantity, amount_micros)
      select * from (${lines}) as line where block in (select block from closed)
    )
    select count(*)::integer as closed from closed`.execute(db)
  return rows[0]?.closed ?? 0
}

/** What full blocks say, selected from the rows of a span; and then what besides is written of each. */
export const fullBlocks = sql`
    select workspace_id, block, min(posted_at), max(posted_at)
    from transaction_in_span as t
    group by workspace_id, block having count(*) = 1000`

/** Which transactions have which kind, agent and campaign. */
export const facets = sql`
    select workspace_id, block, facet, value, bit_or(set_bit(0::bit(1000), place, 1)),
      (count(*) filter (where is_usage))::integer, (coalesce(sum(-amount_micros) filter (where is_usage), 0))::bigint
    from transaction_in_span as t
    cross join lateral (values ('kind', kind::text), ('agent', agent_id), ('campaign', campaign_id)) as facet (facet, value)
    where value is not null
    group by workspace_id, block, facet, value`

export const hours = sql`
    select workspace_id, block, date_trunc('hour', posted_at, 'UTC') as hour,
      (count(*) filter (where is_usage))::integer, (coalesce(sum(-amount_micros) filter (where is_usage), 0))::bigint,
      (coalesce(sum(amount_micros) filter (where kind in ('top_up', 'grant')), 0))::bigint
    from transaction_in_span as t
    group by workspace_id, block, hour`

// By key, whatever the planner thinks of it: without statistics it would compare every transaction with every posting.
export const lines = sql`
    select workspace_id, block, p.credit_account, coalesce(p.prefix, '') as prefix, count(*)::integer,
      coalesce(sum(p.quantity), 0)::bigint, sum(p.amount_micros)::bigint
    from transaction_in_span as t
    cross join lateral (
      select credit_account, prefix, quantity, amount_micros from posting
      where posting.workspace_id = t.workspace_id and posting.wallet_sequence = t.wallet_sequence
      offset 0
    ) as p
    where is_usage
    group by workspace_id, block, p.credit_account, coalesce(p.prefix, '')`

/** A span's transactions, each with its place in its block, as `transaction_in_span`. */
export function rowsIn({ workspaceId, first, end }: BlockSpan): RawBuilder<unknown> {
  return sql`transaction_in_span as materialized (
    select workspace_id, wallet_sequence, (wallet_sequence - 1) / 1000 as block, ((wallet_sequence - 1) % 1000)::integer as place,
      kind, kind = any(${usageKinds}::ledger_transaction_kind[]) as is_usage, agent_id, campaign_id, amount_micros, posted_at
    from ledger_transaction
    where workspace_id = ${workspaceId}
      and wallet_sequence > ${first}::bigint * 1000 and wallet_sequence <= ${end}::bigint * 1000
  )`
}
