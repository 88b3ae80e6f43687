import { sql, type Kysely } from 'kysely'

/**
 * Prices: dated and immutable. The card in force is the newest one that began before the usage did; a workspace may have
 * rates of its own. Every new price moves `price_list.version`, so that a worker sees in one read whether the prices it
 * holds in memory are still all there are.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`
    create table price_list (
      only_row boolean primary key default true check (only_row),
      version bigint not null
    )`.execute(db)
  await sql`insert into price_list (version) values (1)`.execute(db)
  await sql`
    create table rate_card (
      rate_card_id text primary key,
      effective_from timestamptz not null unique,
      voice jsonb not null,
      recording jsonb not null,
      inbound jsonb,
      message_usd text not null,
      created_at timestamptz not null default now()
    )`.execute(db)
  await sql`
    create table telephony_rate (
      rate_card_id text not null references rate_card,
      prefix text not null,
      place text not null,
      rate jsonb not null,
      primary key (rate_card_id, prefix),
      constraint telephony_rate_prefix_is_digits check (prefix ~ '^[1-9][0-9]{0,14}$')
    )`.execute(db)
  await sql`
    create table workspace_rate (
      workspace_id text not null references workspace,
      meter text not null,
      prefix text not null default '',
      effective_from timestamptz not null,
      rate jsonb not null,
      created_at timestamptz not null default now(),
      primary key (workspace_id, meter, prefix, effective_from),
      constraint workspace_rate_meter_is_known
        check (meter in ('voice', 'recording', 'inbound', 'telephony', 'message')),
      constraint workspace_rate_prefix_goes_with_telephony check ((meter = 'telephony') = (prefix <> '')),
      constraint workspace_rate_is_not_backdated check (effective_from >= created_at)
    )`.execute(db)

  await sql`
    create function price_list_moves() returns trigger language plpgsql as $$
    begin
      update price_list set version = version + 1;
      return null;
    end $$`.execute(db)
  for (const table of ['rate_card', 'telephony_rate', 'workspace_rate']) {
    const frozen = sql.id(`${table}_is_append_only`)
    await sql`
      create trigger ${frozen} before update or delete or truncate on ${sql.table(table)}
      for each statement execute function refuse_change()`.execute(db)
    await sql`alter table ${sql.table(table)} enable always trigger ${frozen}`.execute(db)
    await sql`
      create trigger ${sql.id(`${table}_moves_the_price_list`)} after insert on ${sql.table(table)}
      for each statement execute function price_list_moves()`.execute(db)
  }
}
