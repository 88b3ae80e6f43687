import { sql, type Kysely } from 'kysely'

/**
 * The double-entry ledger. One posting is one movement from an account to another, so an unbalanced transaction cannot
 * be written down. Rows are append-only for everybody, superusers included: a correction is a reversal.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`
    create type account_code as enum (
      'wallet',
      'voice_revenue', 'telephony_revenue', 'recording_revenue', 'message_revenue', 'number_rental_revenue',
      'paddle_clearing', 'signup_grants', 'adjustments'
    )`.execute(db)
  await sql`
    create type ledger_transaction_kind as enum (
      'call', 'message', 'number_rental', 'top_up', 'grant', 'refund', 'chargeback', 'adjustment', 'reversal'
    )`.execute(db)

  // The chart of accounts. Where a workspace's money sits is (workspace_id, account): the wallet account of ws_a is
  // the postings of ws_a on 'wallet'; voice revenue of the house is the postings of all workspaces on 'voice_revenue'.
  await sql`
    create table account (
      account account_code primary key,
      title text not null,
      normal_side text not null,
      constraint account_normal_side_is_known check (normal_side in ('debit', 'credit'))
    )`.execute(db)
  await sql`
    insert into account (account, title, normal_side) values
      ('wallet', 'Customer wallet', 'credit'),
      ('voice_revenue', 'Voice revenue', 'credit'),
      ('telephony_revenue', 'Telephony revenue', 'credit'),
      ('recording_revenue', 'Recording revenue', 'credit'),
      ('message_revenue', 'Message revenue', 'credit'),
      ('number_rental_revenue', 'Number rental revenue', 'credit'),
      ('paddle_clearing', 'Money at Paddle', 'debit'),
      ('signup_grants', 'Signup grants given', 'debit'),
      ('adjustments', 'Adjustments', 'debit')`.execute(db)

  // The key comes first in its index: were it the workspace, then on a young database, whose statistics say nothing yet,
  // Postgres could take that index for the primary key's lookups and read a whole wallet for every posting.
  await sql`
    create table ledger_transaction (
      workspace_id text not null,
      wallet_sequence bigint not null,
      idempotency_key text not null,
      kind ledger_transaction_kind not null,
      reference text not null,
      agent_id text,
      campaign_id text,
      amount_micros bigint not null,
      balance_after_micros bigint not null,
      rate_card_id text,
      reverses text,
      occurred_at timestamptz not null,
      posted_at timestamptz not null,
      payload_hash bytea not null,
      hash bytea not null,
      primary key (workspace_id, wallet_sequence),
      constraint ledger_transaction_is_booked_once unique (idempotency_key, workspace_id),
      constraint ledger_transaction_sequence_is_positive check (wallet_sequence > 0),
      constraint ledger_transaction_moves_money check (amount_micros <> 0),
      constraint ledger_transaction_payload_hash_is_a_hash check (octet_length(payload_hash) = 32),
      constraint ledger_transaction_hash_is_a_hash check (octet_length(hash) = 32),
      constraint ledger_transaction_reversal_names_its_target check ((kind = 'reversal') = (reverses is not null))
    )`.execute(db)
  await sql`
    create unique index ledger_transaction_is_reversed_once
    on ledger_transaction (workspace_id, reverses) where reverses is not null`.execute(db)

  await sql`
    create table posting (
      workspace_id text not null,
      wallet_sequence bigint not null,
      line smallint not null,
      debit_account account_code not null,
      credit_account account_code not null,
      amount_micros bigint not null,
      quantity integer,
      prefix text,
      primary key (workspace_id, wallet_sequence, line),
      constraint posting_line_is_positive check (line > 0),
      constraint posting_amount_is_positive check (amount_micros > 0),
      constraint posting_moves_between_two_accounts check (debit_account <> credit_account)
    )`.execute(db)

  // What foreign keys would say, and more, once for each statement instead of once for each row: a row-by-row check costs
  // more than all else that posting does. Rows are never changed or removed, so looking at new ones is enough. The plans
  // are held to indexes, because they are kept and a young database's statistics would make them read whole tables.
  const byIndex = sql`set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off`
  await sql`
    create function ledger_transaction_is_whole() returns trigger language plpgsql ${byIndex} as $$
    declare
      broken record;
    begin
      -- Scalar subqueries, so that each row is looked up by its key: an "exists" or a join might be answered from a
      -- hash of the whole table.
      select b.workspace_id, b.wallet_sequence into broken
      from booked b
      where coalesce((select w.sequence from wallet w where w.workspace_id = b.workspace_id), 0) < b.wallet_sequence
        or (select p.line from posting p
            where p.workspace_id = b.workspace_id and p.wallet_sequence = b.wallet_sequence and p.line = 1) is null
      limit 1;
      if found then
        raise exception 'transaction % of % has no posting, or its wallet has not moved',
          broken.wallet_sequence, broken.workspace_id
          using errcode = 'check_violation', constraint = 'ledger_transaction_is_whole';
      end if;
      return null;
    end $$`.execute(db)
  await sql`
    create function posting_fits_its_transaction() returns trigger language plpgsql ${byIndex} as $$
    declare
      broken record;
    begin
      -- A transaction's postings come in one statement: whatever comes later has no line 1 left to begin with.
      select m.workspace_id, m.wallet_sequence into broken
      from (
        select workspace_id, wallet_sequence, min(line) as first_line,
          sum(case when credit_account = 'wallet' then amount_micros
                   when debit_account = 'wallet' then -amount_micros else 0 end) as amount_micros
        from moved group by workspace_id, wallet_sequence) m
      where m.first_line <> 1 or m.amount_micros is distinct from (
        select t.amount_micros from ledger_transaction t
        where t.workspace_id = m.workspace_id and t.wallet_sequence = m.wallet_sequence)
      limit 1;
      if found then
        raise exception 'the postings of transaction % of % do not move what it says, or there is no such transaction',
          broken.wallet_sequence, broken.workspace_id
          using errcode = 'check_violation', constraint = 'posting_fits_its_transaction';
      end if;
      return null;
    end $$`.execute(db)
  await sql`
    create trigger ledger_transaction_is_whole after insert on ledger_transaction
    referencing new table as booked for each statement execute function ledger_transaction_is_whole()`.execute(
    db,
  )
  await sql`
    create trigger posting_fits_its_transaction after insert on posting
    referencing new table as moved for each statement execute function posting_fits_its_transaction()`.execute(
    db,
  )
  for (const [table, trigger] of [
    ['ledger_transaction', 'ledger_transaction_is_whole'],
    ['posting', 'posting_fits_its_transaction'],
  ] as const) {
    await sql`alter table ${sql.table(table)} enable always trigger ${sql.id(trigger)}`.execute(db)
  }

  await sql`
    create view account_entry with (security_invoker = true) as
      select workspace_id, wallet_sequence, line, debit_account as account, -amount_micros as amount_micros from posting
      union all
      select workspace_id, wallet_sequence, line, credit_account, amount_micros from posting`.execute(db)

  // One function for every append-only table. The triggers are ALWAYS ones: they fire in replica sessions too.
  await sql`
    create function refuse_change() returns trigger language plpgsql as $$
    begin
      raise exception '% is append-only: % is refused', tg_table_name, tg_op
        using errcode = 'restrict_violation', hint = 'Book a reversal, or add a newer row, instead.';
    end $$`.execute(db)
  for (const table of ['ledger_transaction', 'posting', 'account']) {
    const trigger = sql.id(`${table}_is_append_only`)
    await sql`
      create trigger ${trigger} before update or delete or truncate on ${sql.table(table)}
      for each statement execute function refuse_change()`.execute(db)
    await sql`alter table ${sql.table(table)} enable always trigger ${trigger}`.execute(db)
  }
}
