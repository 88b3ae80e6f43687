import { sql, type Kysely } from 'kysely'

/**
 * Who is signed in on the wallet page. A session is of an API key and may what that key may, for as long as the key is in force.
 * Of its token only the hash is here: a copy of the database signs nobody in.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`
    create table dashboard_session (
      workspace_id text not null,
      token_hash bytea not null,
      key_id text not null,
      created_at timestamptz not null,
      seen_at timestamptz not null,
      ends_at timestamptz not null,
      primary key (workspace_id, token_hash),
      constraint dashboard_session_is_of_a_key foreign key (workspace_id, key_id) references api_key,
      constraint dashboard_session_hash_is_a_hash check (octet_length(token_hash) = 32),
      constraint dashboard_session_ends_after_it_began check (ends_at > created_at)
    )`.execute(db)
  // The cookie names no workspace: the session does.
  await sql`create index dashboard_session_by_token on dashboard_session (token_hash)`.execute(db)
  await sql`create index dashboard_session_over on dashboard_session (ends_at)`.execute(db)

  // A link that signs in once. Whoever uses it deletes it, so it cannot be used twice.
  await sql`
    create table sign_in_link (
      workspace_id text not null,
      token_hash bytea not null,
      key_id text not null,
      expires_at timestamptz not null,
      primary key (workspace_id, token_hash),
      constraint sign_in_link_is_of_a_key foreign key (workspace_id, key_id) references api_key,
      constraint sign_in_link_hash_is_a_hash check (octet_length(token_hash) = 32)
    )`.execute(db)
  await sql`create index sign_in_link_by_token on sign_in_link (token_hash)`.execute(db)

  const worker = sql.id('wallet_worker')
  await sql`grant select on dashboard_session, sign_in_link to ${worker}, wallet_auditor`.execute(db)
  await sql`grant insert, delete on dashboard_session, sign_in_link to ${worker}`.execute(db)
  await sql`grant update (seen_at) on dashboard_session to ${worker}`.execute(db)
}
