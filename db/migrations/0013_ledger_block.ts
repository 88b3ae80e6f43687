import { sql, type Kysely } from 'kysely'

/**
 * What the wallet's pages look up instead of walking a long ledger: every 1,000 transactions of a wallet, one after the other in
 * its numbers, are a block, and once a block is full it is closed, after the fact and never by a posting. What is written here is
 * computed from ledger rows that never change, so it can be deleted and closed again at any time: the ledger is the truth.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  // Block 0 is transactions 1 to 1,000. Times of posting may lie in any order inside it: a clock may be put back.
  await sql`
    create table ledger_block (
      workspace_id text not null,
      block bigint not null,
      earliest_posted_at timestamptz not null,
      latest_posted_at timestamptz not null,
      primary key (workspace_id, block),
      constraint ledger_block_is_not_negative check (block >= 0),
      constraint ledger_block_ends_after_it_begins check (earliest_posted_at <= latest_posted_at)
    )`.execute(db)

  // Which transactions of a block have a value, a bit for each, the first first; so filters meet by "and". The value comes before
  // the block: a filter reads the blocks of one value, however many values there are.
  await sql`
    create table ledger_block_facet (
      workspace_id text not null,
      facet text not null,
      value text not null,
      block bigint not null,
      transactions bit(1000) not null,
      usages integer not null,
      used_micros bigint not null,
      primary key (workspace_id, facet, value, block),
      constraint ledger_block_facet_is_known check (facet in ('kind', 'agent', 'campaign')),
      constraint ledger_block_facet_is_of_something check (bit_count(transactions) between greatest(usages, 1) and 1000)
    )`.execute(db)

  // By the hour in which they were posted, UTC: what usage took, and what was bought or given.
  await sql`
    create table ledger_block_hour (
      workspace_id text not null,
      block bigint not null,
      hour timestamptz not null,
      usages integer not null,
      used_micros bigint not null,
      topped_up_micros bigint not null,
      primary key (workspace_id, block, hour)
    )`.execute(db)

  // What the postings of usage say: meters, and telephony's prefixes. An empty prefix is none.
  await sql`
    create table ledger_block_line (
      workspace_id text not null,
      block bigint not null,
      account account_code not null,
      prefix text not null,
      lines integer not null,
      quantity bigint not null,
      amount_micros bigint not null,
      primary key (workspace_id, block, account, prefix)
    )`.execute(db)

  await sql`
    grant select on ledger_block, ledger_block_facet, ledger_block_hour, ledger_block_line
    to wallet_worker, wallet_auditor`.execute(db)
  // A closed block is never changed. To have it closed again, its owner deletes it.
  await sql`
    grant insert on ledger_block, ledger_block_facet, ledger_block_hour, ledger_block_line to wallet_worker`.execute(
    db,
  )
}
