import { sql, type Kysely } from 'kysely'

/**
 * What telephony and chat told us, verbatim, and what came of it. No foreign key to the workspace: an event of a
 * workspace that we do not know is set aside, not refused.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`create type usage_event_state as enum ('received', 'posted', 'free', 'set_aside')`.execute(db)
  await sql`
    create table usage_event (
      workspace_id text not null,
      key text not null,
      kind text not null,
      payload json not null,
      payload_hash bytea not null,
      state usage_event_state not null,
      reason text,
      detail text,
      received_at timestamptz not null,
      decided_at timestamptz,
      primary key (workspace_id, key),
      constraint usage_event_kind_is_known check (kind in ('call', 'message', 'unknown')),
      constraint usage_event_payload_hash_is_a_hash check (octet_length(payload_hash) = 32),
      constraint usage_event_set_aside_has_a_reason check ((state = 'set_aside') = (reason is not null)),
      constraint usage_event_decision_has_a_time check ((state = 'received') = (decided_at is null))
    )`.execute(db)
  await sql`create index usage_event_received on usage_event (received_at) where state = 'received'`.execute(
    db,
  )
  await sql`create index usage_event_set_aside on usage_event (decided_at) where state = 'set_aside'`.execute(
    db,
  )
}
