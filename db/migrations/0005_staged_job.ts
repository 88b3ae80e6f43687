import { sql, type Kysely } from 'kysely'

/** The outbox: jobs committed together with their cause. The relay moves them to BullMQ and deletes them. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`
    create table staged_job (
      workspace_id text not null,
      id bigint generated always as identity,
      queue text not null,
      name text not null,
      job_id text not null,
      data jsonb not null,
      options jsonb not null,
      staged_at timestamptz not null default clock_timestamp(),
      primary key (workspace_id, id)
    )`.execute(db)
  await sql`create index staged_job_oldest_first on staged_job (id)`.execute(db)

  await sql`
    create table heartbeat (
      name text primary key,
      beat_at timestamptz not null
    )`.execute(db)
}
