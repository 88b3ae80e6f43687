import { sql, type Kysely } from 'kysely'

/**
 * Money in: the card that a workspace saved, when to charge it, every attempt to bring money in, and what Paddle told us.
 * The facts that move by themselves (Paddle's news, attempts) are kept beside the ledger, which alone says what a wallet has.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  // Posting reads both with the lock it takes anyway, so that asking "below the threshold?" costs nothing.
  await sql`
    alter table wallet
      add column held_micros bigint not null default 0,
      add column recharge_below_micros bigint,
      add column frozen_at timestamptz,
      add column frozen_reason text,
      add constraint wallet_held_is_not_negative check (held_micros >= 0),
      add constraint wallet_frozen_has_a_reason check ((frozen_at is null) = (frozen_reason is null))`.execute(
    db,
  )

  // The customer is not unique: Paddle knows people by their e-mail address, and one person may have several workspaces.
  await sql`
    create table paddle_customer (
      workspace_id text primary key,
      customer_id text not null,
      email text not null,
      created_at timestamptz not null default clock_timestamp()
    )`.execute(db)
  await sql`create index paddle_customer_by_customer on paddle_customer (customer_id)`.execute(db)

  // State and card come by different news in any order, so each has its own clock.
  await sql`
    create table saved_card (
      workspace_id text not null,
      saved_card_id text not null,
      subscription_id text not null,
      customer_id text not null,
      state text not null,
      state_at timestamptz not null,
      payment_method_id text,
      brand text,
      last4 text,
      expiry_month smallint,
      expiry_year smallint,
      card_at timestamptz,
      created_at timestamptz not null default clock_timestamp(),
      primary key (workspace_id, saved_card_id),
      constraint saved_card_is_kept_by_one_subscription unique (subscription_id, workspace_id),
      constraint saved_card_state_is_known
        check (state in ('pending', 'active', 'paused', 'past_due', 'removed', 'replaced')),
      constraint saved_card_never_holds_a_card_number check (last4 ~ '^[0-9]{4}$')
    )`.execute(db)
  await sql`
    create unique index saved_card_one_in_use on saved_card (workspace_id)
    where state in ('active', 'paused', 'past_due')`.execute(db)

  await sql`
    create table auto_recharge (
      workspace_id text primary key,
      enabled boolean not null,
      threshold_micros bigint not null,
      top_up_micros bigint not null,
      daily_limit smallint not null default 10,
      monthly_cap_micros bigint,
      consented_at timestamptz,
      declines_in_a_row smallint not null default 0,
      cooling_until timestamptz,
      suspended_at timestamptz,
      suspended_reason text,
      last_decision text,
      last_decision_at timestamptz,
      changed_at timestamptz not null default clock_timestamp(),
      constraint auto_recharge_threshold_is_not_negative check (threshold_micros >= 0),
      constraint auto_recharge_brings_something check (top_up_micros > 0),
      constraint auto_recharge_stays_within_paddles_limits check (daily_limit between 1 and 20),
      constraint auto_recharge_was_consented_to check (not enabled or consented_at is not null),
      constraint auto_recharge_suspension_has_a_reason check ((suspended_at is null) = (suspended_reason is null))
    )`.execute(db)

  await sql`
    create table top_up (
      workspace_id text not null,
      top_up_id text not null,
      source text not null,
      state text not null,
      amount_micros bigint not null,
      credited_micros bigint not null default 0,
      subscription_id text,
      paddle_transaction_id text,
      checkout_url text,
      submissions smallint not null default 0,
      tries smallint not null default 0,
      searches smallint not null default 0,
      first_sent_at timestamptz,
      sent_at timestamptz,
      due_at timestamptz,
      reason text,
      created_at timestamptz not null,
      changed_at timestamptz not null,
      primary key (workspace_id, top_up_id),
      constraint top_up_source_is_known check (source in ('checkout', 'api', 'auto_recharge')),
      constraint top_up_state_is_known check (state in (
        'ready', 'submitting', 'unknown', 'processing', 'awaiting_customer', 'needs_review',
        'succeeded', 'declined', 'failed', 'canceled', 'abandoned')),
      constraint top_up_brings_something check (amount_micros > 0),
      constraint top_up_credit_is_not_negative check (credited_micros >= 0),
      constraint top_up_success_has_credit check (state <> 'succeeded' or credited_micros > 0)
    )`.execute(db)
  // These two, and no lock in Redis, are what stops a double charge.
  await sql`
    create unique index top_up_one_open_recharge on top_up (workspace_id)
    where source = 'auto_recharge' and state in ('ready', 'submitting', 'unknown', 'processing', 'needs_review')`.execute(
    db,
  )
  await sql`
    create unique index top_up_one_charge_under_way on top_up (workspace_id)
    where subscription_id is not null and state in ('submitting', 'unknown', 'processing', 'needs_review')`.execute(
    db,
  )
  await sql`create index top_up_due on top_up (due_at) where due_at is not null`.execute(db)
  await sql`create index top_up_newest_first on top_up (workspace_id, created_at desc)`.execute(db)
  await sql`
    create index top_up_by_paddle_transaction on top_up (paddle_transaction_id)
    where paddle_transaction_id is not null`.execute(db)

  // Reconcile compares the credits of some days with Paddle's.
  await sql`
    create index ledger_transaction_top_ups on ledger_transaction (posted_at) where kind = 'top_up'`.execute(
    db,
  )

  // Every step that an attempt took, for the page that has to explain it and the person who has to believe it.
  await sql`
    create table top_up_step (
      workspace_id text not null,
      top_up_id text not null,
      step integer not null,
      state text not null,
      reason text,
      paddle_transaction_id text,
      stepped_at timestamptz not null,
      primary key (workspace_id, top_up_id, step)
    )`.execute(db)

  await sql`
    create table paddle_adjustment (
      workspace_id text not null,
      adjustment_id text not null,
      paddle_transaction_id text not null,
      action text not null,
      status text not null,
      amount_micros bigint not null,
      applied_at timestamptz not null,
      primary key (workspace_id, adjustment_id)
    )`.execute(db)

  // As received, before anybody knows whose it is. Text, not jsonb: what was signed is kept to the byte.
  await sql`
    create table paddle_event (
      event_id text primary key,
      event_type text not null,
      occurred_at timestamptz not null,
      body text not null,
      received_at timestamptz not null default clock_timestamp(),
      state text not null default 'received',
      outcome text,
      detail text,
      waits_for_transaction text,
      applied_workspace text,
      decided_at timestamptz,
      constraint paddle_event_state_is_known
        check (state in ('received', 'applied', 'ignored', 'waiting', 'needs_review')),
      constraint paddle_event_decision_has_a_time check ((state = 'received') = (decided_at is null)),
      constraint paddle_event_waits_for_something check ((state = 'waiting') = (waits_for_transaction is not null))
    )`.execute(db)
  await sql`create index paddle_event_received on paddle_event (received_at) where state = 'received'`.execute(
    db,
  )
  await sql`
    create index paddle_event_waiting on paddle_event (waits_for_transaction) where state = 'waiting'`.execute(
    db,
  )
  await sql`
    create index paddle_event_needs_review on paddle_event (decided_at) where state = 'needs_review'`.execute(
    db,
  )

  await sql`
    create table refused_webhook (
      reason text primary key,
      refused bigint not null,
      last_at timestamptz not null
    )`.execute(db)

  await sql`
    create table audit_log (
      workspace_id text not null,
      entry bigint generated always as identity,
      actor text not null,
      action text not null,
      detail jsonb not null default '{}',
      happened_at timestamptz not null default clock_timestamp(),
      primary key (workspace_id, entry)
    )`.execute(db)
  await sql`create index audit_log_newest_first on audit_log (workspace_id, happened_at desc)`.execute(db)

  for (const table of ['top_up_step', 'audit_log']) {
    const trigger = sql.id(`${table}_is_append_only`)
    await sql`
      create trigger ${trigger} before update or delete or truncate on ${sql.table(table)}
      for each statement execute function refuse_change()`.execute(db)
    await sql`alter table ${sql.table(table)} enable always trigger ${trigger}`.execute(db)
  }

  const worker = sql.id('wallet_worker')
  const moneyIn = sql`paddle_customer, saved_card, auto_recharge, top_up, paddle_event, refused_webhook`
  await sql`grant select on ${moneyIn}, top_up_step, paddle_adjustment, audit_log to ${worker}, wallet_auditor`.execute(
    db,
  )
  await sql`grant insert on ${moneyIn}, paddle_adjustment to ${worker}`.execute(db)
  // What a row is about stays as it was written; only what becomes of it may change.
  await sql`
    grant update (state, state_at, payment_method_id, brand, last4, expiry_month, expiry_year, card_at)
    on saved_card to ${worker}`.execute(db)
  await sql`
    grant update (enabled, threshold_micros, top_up_micros, daily_limit, monthly_cap_micros, consented_at,
      declines_in_a_row, cooling_until, suspended_at, suspended_reason, last_decision, last_decision_at, changed_at)
    on auto_recharge to ${worker}`.execute(db)
  await sql`
    grant update (state, credited_micros, paddle_transaction_id, checkout_url, submissions, tries, searches,
      first_sent_at, sent_at, due_at, reason, changed_at)
    on top_up to ${worker}`.execute(db)
  await sql`
    grant update (state, outcome, detail, waits_for_transaction, applied_workspace, decided_at)
    on paddle_event to ${worker}`.execute(db)
  await sql`grant update (status, applied_at) on paddle_adjustment to ${worker}`.execute(db)
  await sql`grant update (refused, last_at) on refused_webhook to ${worker}`.execute(db)
  await sql`grant insert on top_up_step, audit_log to ${worker}`.execute(db)
  await sql`grant update (held_micros, recharge_below_micros, frozen_at, frozen_reason) on wallet to ${worker}`.execute(
    db,
  )
}
