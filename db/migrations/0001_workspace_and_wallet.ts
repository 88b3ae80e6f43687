import { sql, type Kysely } from 'kysely'

/** A workspace and its one wallet. The wallet row is the only mutable money row of the ledger. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`
    create table workspace (
      workspace_id text primary key,
      name text,
      created_at timestamptz not null default now(),
      constraint workspace_id_has_its_form check (workspace_id ~ '^ws_[A-Za-z0-9_-]{1,64}$')
    )`.execute(db)

  // Half of every page is left free, so that balances move within their page and no index has to follow them.
  await sql`
    create table wallet (
      workspace_id text primary key references workspace,
      balance_micros bigint not null default 0,
      sequence bigint not null default 0,
      head_hash bytea not null,
      constraint wallet_sequence_counts_up check (sequence >= 0),
      constraint wallet_head_is_a_hash check (octet_length(head_hash) = 32)
    ) with (fillfactor = 50)`.execute(db)
}
