import { sql, type Kysely } from 'kysely'

/** What rings, as Postgres knows it: when each schedule is due, who is at it, and what its last rounds did. */
export async function up(db: Kysely<unknown>): Promise<void> {
  // `rounds` is the number of the last round begun, and so the claim of whoever is at it until `claimed_until`. `due_at` moves on
  // when a round is done, and not when one fails.
  await sql`
    create table schedule (
      name text primary key,
      due_at timestamptz not null,
      asked_at timestamptz,
      started_at timestamptz,
      claimed_until timestamptz,
      done_at timestamptz,
      found integer not null default 0,
      rounds bigint not null default 0,
      failures bigint not null default 0,
      constraint schedule_found_is_a_count check (found >= 0)
    )`.execute(db)
  await sql`
    create table schedule_round (
      schedule text not null references schedule,
      round bigint not null,
      rung_by text not null,
      started_at timestamptz not null,
      finished_at timestamptz,
      did json,
      found json,
      error text,
      primary key (schedule, round),
      constraint schedule_round_is_rung_by_somebody check (rung_by in ('scheduler', 'fallback', 'person')),
      constraint schedule_round_ends_one_way
        check (case when finished_at is null then num_nonnulls(did, found, error) = 0
          else (error is null) = (did is not null) and (did is null) = (found is null) end)
    )`.execute(db)

  const worker = sql.id('wallet_worker')
  await sql`grant select on schedule, schedule_round to ${worker}, wallet_auditor`.execute(db)
  await sql`grant insert, update on schedule, schedule_round to ${worker}`.execute(db)
  await sql`grant delete on schedule_round to ${worker}`.execute(db)
}
