import { sql, type Kysely } from 'kysely'

/** The front door: calls that were admitted and what is held for them, campaigns, keys, and answers given once. */
export async function up(db: Kysely<unknown>): Promise<void> {
  // A call here is what its price and its place need. `started_at` names the rate card that prices it.
  await sql`
    create table hold (
      workspace_id text not null,
      call_id text not null,
      state text not null default 'open',
      amount_micros bigint not null,
      direction text not null,
      to_number text,
      from_number text,
      recorded boolean not null,
      agent_id text,
      campaign_id text,
      started_at timestamptz not null,
      heard_at timestamptz not null,
      expires_at timestamptz not null,
      hung_up_at timestamptz,
      ended_at timestamptz,
      primary key (workspace_id, call_id),
      constraint hold_state_is_known check (state in ('open', 'settled', 'released', 'expired')),
      constraint hold_is_of_something check (amount_micros > 0),
      constraint hold_direction_is_known check (direction in ('outbound', 'inbound', 'web')),
      constraint hold_end_has_a_time check ((state = 'open') = (ended_at is null))
    )`.execute(db)
  await sql`create index hold_expiring on hold (expires_at) where state = 'open'`.execute(db)
  await sql`create index hold_unbilled on hold (workspace_id, ended_at) where state = 'expired'`.execute(db)
  await sql`create index hold_of_campaign on hold (workspace_id, campaign_id) where state = 'open'`.execute(
    db,
  )

  await sql`
    create table campaign (
      workspace_id text not null,
      campaign_id text not null,
      status text not null,
      paused_by text,
      resume_when_funded boolean not null default false,
      changed_at timestamptz not null,
      primary key (workspace_id, campaign_id),
      constraint campaign_status_is_known check (status in ('draft', 'running', 'paused', 'completed', 'cancelled')),
      constraint campaign_pause_has_a_cause check ((status = 'paused') = (paused_by is not null)),
      constraint campaign_is_paused_by_somebody check (paused_by in ('person', 'funds'))
    )`.execute(db)

  // 256 random bits need no slow hash. Looked up by its name, compared by its hash.
  await sql`
    create table api_key (
      workspace_id text not null,
      key_id text not null,
      hash bytea not null,
      scope text not null,
      label text,
      last4 text not null,
      created_at timestamptz not null default clock_timestamp(),
      created_by text not null,
      revoked_at timestamptz,
      primary key (workspace_id, key_id),
      constraint api_key_scope_is_known check (scope in ('read', 'write', 'admin')),
      constraint api_key_hash_is_a_hash check (octet_length(hash) = 32)
    )`.execute(db)
  await sql`create index api_key_by_id on api_key (key_id)`.execute(db)

  // Without a status it is under way: `claim` says which try it is of, so that one that was given up on answers nothing.
  // What `operator` asks has that word for its workspace. A sealed body can be read only with the key that asked.
  await sql`
    create table idempotent_request (
      workspace_id text not null,
      route text not null,
      idempotency_key text not null,
      body_hash bytea not null,
      claim uuid not null,
      claimed_at timestamptz not null default clock_timestamp(),
      status smallint,
      body text,
      sealed boolean not null default false,
      location text,
      created_at timestamptz not null default clock_timestamp(),
      primary key (workspace_id, route, idempotency_key),
      constraint idempotent_request_answer_is_whole check ((status is null) = (body is null))
    )`.execute(db)
  await sql`create index idempotent_request_oldest_first on idempotent_request (created_at)`.execute(db)

  // What the wallet's pages look up beside the primary key, which has a page in the wallet's order. No index but that begins with
  // the workspace and takes all rows: before there are statistics, Postgres could take such a one for the primary key's lookups and
  // read a whole wallet for every posting. Nor does the primary key carry what filters ask for: it made posting a third dearer.
  await sql`
    create index ledger_transaction_by_reference
    on ledger_transaction (reference, workspace_id, wallet_sequence) include (kind)`.execute(db)
  // Few beside the usage, so sums of them are quick, and the usage is what is left of the balance without them.
  await sql`
    create index ledger_transaction_besides_usage on ledger_transaction (workspace_id, wallet_sequence)
    include (kind, amount_micros) where kind not in ('call', 'message', 'number_rental')`.execute(db)

  // What the metrics count every few seconds: attempts that are under way, and those of the last day.
  await sql`
    create index top_up_under_way on top_up (state)
    where state in ('ready', 'submitting', 'unknown', 'processing', 'needs_review', 'awaiting_customer')`.execute(
    db,
  )
  await sql`create index top_up_last_changed on top_up (changed_at)`.execute(db)

  const worker = sql.id('wallet_worker')
  await sql`grant select on hold, campaign, api_key, idempotent_request to ${worker}, wallet_auditor`.execute(
    db,
  )
  await sql`grant insert, update on hold, campaign, idempotent_request to ${worker}`.execute(db)
  await sql`grant delete on idempotent_request to ${worker}`.execute(db)
  await sql`grant insert on api_key to ${worker}`.execute(db)
  await sql`grant update (revoked_at) on api_key to ${worker}`.execute(db)
}
