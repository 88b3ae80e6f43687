import { sql, type Kysely } from 'kysely'

/** Rented numbers, the periods that were billed for them, and every step that a rental took. */
export async function up(db: Kysely<unknown>): Promise<void> {
  // Cards that are there already get the list price; they are immutable, and a column's default changes no row of theirs.
  await sql`alter table rate_card add column number_month_usd text not null default '5.00'`.execute(db)
  await sql`alter table workspace_rate drop constraint workspace_rate_meter_is_known`.execute(db)
  await sql`
    alter table workspace_rate add constraint workspace_rate_meter_is_known
    check (meter in ('voice', 'recording', 'inbound', 'telephony', 'message', 'number_rental'))`.execute(db)

  // Every due date is computed from `anchor_at`; `periods_billed` is the number of the next period.
  await sql`
    create table phone_number (
      workspace_id text not null,
      phone_number_id text not null,
      phone_number text not null,
      state text not null,
      anchor_at timestamptz not null,
      periods_billed integer not null default 0,
      paid_until timestamptz not null,
      next_look_at timestamptz,
      cancel_at timestamptz,
      past_due_at timestamptz,
      suspended_at timestamptz,
      released_at timestamptz,
      created_at timestamptz not null,
      primary key (workspace_id, phone_number_id),
      constraint phone_number_id_has_its_form check (phone_number_id ~ '^num_[0-9a-f]{24}$'),
      constraint phone_number_is_e164 check (phone_number ~ '^\\+[1-9][0-9]{1,14}$'),
      constraint phone_number_state_is_known check (state in ('active', 'past_due', 'suspended', 'released')),
      constraint phone_number_periods_count_up check (periods_billed >= 0),
      constraint phone_number_is_looked_at_until_released check ((state = 'released') = (next_look_at is null)),
      constraint phone_number_release_has_a_time check ((state = 'released') = (released_at is not null)),
      constraint phone_number_debt_has_a_time check (state not in ('past_due', 'suspended') or past_due_at is not null),
      constraint phone_number_suspension_has_a_time check (state <> 'suspended' or suspended_at is not null)
    )`.execute(db)
  await sql`
    create unique index phone_number_is_rented_once on phone_number (workspace_id, phone_number)
    where state <> 'released'`.execute(db)
  await sql`create index phone_number_due on phone_number (next_look_at) where next_look_at is not null`.execute(
    db,
  )

  // There exactly if the period was billed. One that costs nothing moves no money.
  await sql`
    create table rental_period (
      workspace_id text not null,
      phone_number_id text not null,
      period integer not null,
      starts_at timestamptz not null,
      ends_at timestamptz not null,
      amount_micros bigint not null,
      rate_card_id text not null,
      wallet_sequence bigint,
      billed_at timestamptz not null,
      primary key (workspace_id, phone_number_id, period),
      constraint rental_period_is_of_a_number
        foreign key (workspace_id, phone_number_id) references phone_number,
      constraint rental_period_starts_once unique (workspace_id, phone_number_id, starts_at),
      constraint rental_period_ends_after_it_starts check (ends_at > starts_at),
      constraint rental_period_costs_something_or_nothing check (amount_micros >= 0),
      constraint rental_period_is_booked_if_it_costs check ((amount_micros = 0) = (wallet_sequence is null))
    )`.execute(db)

  await sql`
    create table phone_number_step (
      workspace_id text not null,
      phone_number_id text not null,
      step integer not null,
      state text not null,
      reason text not null,
      detail jsonb not null default '{}',
      stepped_at timestamptz not null,
      primary key (workspace_id, phone_number_id, step)
    )`.execute(db)

  for (const table of ['rental_period', 'phone_number_step']) {
    const trigger = sql.id(`${table}_is_append_only`)
    await sql`
      create trigger ${trigger} before update or delete or truncate on ${sql.table(table)}
      for each statement execute function refuse_change()`.execute(db)
    await sql`alter table ${sql.table(table)} enable always trigger ${trigger}`.execute(db)
  }

  const worker = sql.id('wallet_worker')
  await sql`
    grant select on phone_number, rental_period, phone_number_step to ${worker}, wallet_auditor`.execute(db)
  await sql`grant insert on phone_number, rental_period, phone_number_step to ${worker}`.execute(db)
  await sql`
    grant update (state, periods_billed, paid_until, next_look_at, cancel_at, past_due_at, suspended_at, released_at)
    on phone_number to ${worker}`.execute(db)
}
