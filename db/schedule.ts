/**
 * The schedules as Postgres knows them. Guarantees: a round belongs to one process at a time, for as long as that process says so; a
 * schedule stays due until a round of it is done, whatever fails, dies or is never heard in between. All on the database's clock.
 */
import { sql, type RawBuilder } from 'kysely'

import type { Pace } from '../jobs/schedules.ts'
import type { Db } from './schema.ts'

export type RungBy = 'scheduler' | 'fallback' | 'person'

/** What a round did, in numbers by what they count, and what it found that a person has to look at. */
export type RoundOutcome = { did: Record<string, number>; found: string[] }

/** A round that a process is at. Its number is the proof: when another has begun since, it is lost. */
export type ClaimedRound = { schedule: string; round: bigint }

export type ScheduleRound = {
  round: bigint
  rungBy: RungBy
  startedAt: Date
  /** Null while it is under way, and for ever when its process died in it. */
  finishedAt: Date | null
  /** Null unless it was done. */
  outcome: RoundOutcome | null
  error: string | null
}

export type ScheduleState = {
  name: string
  /** Since it was due; below zero, the time until then. */
  overdueMs: number
  /** Somebody is at it now. */
  isUnderWay: boolean
  /** A person wants a round, and nobody has begun it. */
  isAskedFor: boolean
  startedMsAgo: number | null
  /** Since a round was last done, and how much that one found for a person to look at. */
  doneMsAgo: number | null
  found: number
  /** The number of the last round. */
  rounds: bigint
  failures: bigint
}

/** The rounds that are kept of each schedule. */
const mostRounds = 50
/** A ring may come this much before its time, by the clock of another machine, and is then that ring. */
const earlySeconds = 300

/** Lets Postgres know of a schedule: a new one is due at once, or in its first night; one that rings more often is due earlier. */
export async function registerSchedule(db: Db, name: string, pace: Pace): Promise<void> {
  const nextAt = dueAfter(pace, sql`clock_timestamp()`)
  await sql`
    insert into schedule (name, due_at) values (${name}, ${pace.dailyAt === null ? sql`clock_timestamp()` : nextAt})
    on conflict (name) do update set due_at = ${nextAt} where schedule.due_at > ${nextAt}`.execute(db)
}

/**
 * Begins a round, unless somebody is at one. Whoever has it must say so again within `claimMs`, or it is another's to begin.
 *
 * Shape: null when somebody else has it. With `after`, also when another round has begun since that one.
 */
export async function claimRound(
  db: Db,
  schedule: string,
  { rungBy, claimMs, after = null }: { rungBy: RungBy; claimMs: number; after?: bigint | null },
): Promise<ClaimedRound | null> {
  const { rows } = await sql<ClaimedRound>`
    with claimed as (
      update schedule
      set rounds = rounds + 1, started_at = clock_timestamp(), claimed_until = ${afterMs(claimMs)}, asked_at = null
      where name = ${schedule} and coalesce(claimed_until < clock_timestamp(), true)
        and (${after}::bigint is null or rounds = ${after}::bigint)
      returning name, rounds, started_at
    ), forgotten as (
      delete from schedule_round using claimed
      where schedule_round.schedule = claimed.name and round <= claimed.rounds - ${mostRounds}
    )
    insert into schedule_round (schedule, round, rung_by, started_at)
    select name, rounds, ${rungBy}, started_at from claimed
    returning schedule, round`.execute(db)
  return rows[0] ?? null
}

/** Says that its process lives. */
export async function keepRound(db: Db, { schedule, round }: ClaimedRound, claimMs: number): Promise<void> {
  await sql`
    update schedule set claimed_until = ${afterMs(claimMs)}
    where name = ${schedule} and rounds = ${round} and claimed_until is not null`.execute(db)
}

/** Writes down what came of a round. Of one that was lost it is kept, too, but decides nothing any more. */
export async function endRound(
  db: Db,
  { schedule, round }: ClaimedRound,
  pace: Pace,
  end: RoundOutcome | { error: string },
): Promise<void> {
  const { did, found, error } = 'error' in end ? { ...end, did: null, found: null } : { ...end, error: null }
  await sql`
    with ended as (
      update schedule_round
      set finished_at = clock_timestamp(), did = ${jsonOrNull(did)}, found = ${jsonOrNull(found)}, error = ${error}
      where schedule = ${schedule} and round = ${round} and finished_at is null
      returning schedule, round, started_at, finished_at
    )
    update schedule set
      claimed_until = null,
      failures = failures + ${error === null ? 0 : 1},
      done_at = case when ${error === null} then ended.finished_at else done_at end,
      found = case when ${error === null} then ${found?.length ?? 0} else found end,
      due_at = case when ${error === null} then ${dueAfter(pace, sql`ended.started_at`)} else due_at end
    from ended
    where schedule.name = ended.schedule and schedule.rounds = ended.round`.execute(db)
}

/** A person wants a round now: whoever looks next begins it. */
export async function askForRound(db: Db, schedule: string): Promise<void> {
  await sql`update schedule set asked_at = clock_timestamp() where name = ${schedule}`.execute(db)
}

/** Every schedule that a process has ever put in place. */
export async function readSchedules(db: Db): Promise<ScheduleState[]> {
  const { rows } = await sql<ScheduleState>`
    select name,
      (extract(epoch from clock_timestamp() - due_at) * 1000)::float8 as "overdueMs",
      coalesce(claimed_until >= clock_timestamp(), false) as "isUnderWay",
      asked_at is not null as "isAskedFor",
      (extract(epoch from clock_timestamp() - started_at) * 1000)::float8 as "startedMsAgo",
      (extract(epoch from clock_timestamp() - done_at) * 1000)::float8 as "doneMsAgo",
      found, rounds, failures
    from schedule`.execute(db)
  return rows
}

/** The newest first. */
export async function listRounds(db: Db, schedule: string, limit: number): Promise<ScheduleRound[]> {
  const rows = await db
    .selectFrom('schedule_round')
    .selectAll()
    .where('schedule', '=', schedule)
    .orderBy('round', 'desc')
    .limit(limit)
    .execute()
  return rows.map((row) => ({
    round: row.round,
    rungBy: row.rung_by,
    startedAt: row.started_at,
    finishedAt: row.finished_at,
    outcome: row.did === null || row.found === null ? null : { did: row.did, found: row.found },
    error: row.error,
  }))
}

/** When the ring after that of `at` is due. */
function dueAfter({ everyMs, dailyAt }: Pace, at: RawBuilder<unknown>): RawBuilder<Date> {
  const interval = sql`make_interval(secs => ${everyMs / 1000})`
  if (dailyAt === null) return sql`${at} + ${interval}`
  const rungAt = sql`${at} + make_interval(secs => ${earlySeconds})`
  return sql`date_bin(${interval}, ${rungAt}, ${`2000-01-01T${dailyAt}Z`}::timestamptz) + ${interval}`
}

function afterMs(milliseconds: number): RawBuilder<Date> {
  return sql`clock_timestamp() + make_interval(secs => ${milliseconds / 1000})`
}

function jsonOrNull(value: unknown): RawBuilder<unknown> {
  return sql`${value === null ? null : JSON.stringify(value)}::json`
}
