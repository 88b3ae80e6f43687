/** Signs of life, one row for each thing that must not stop: somebody writes the time there again and again. */
import { sql } from 'kysely'

import type { Db } from './schema.ts'

/**
 * `worker` is the pulse of the whole path: a job that went through Redis and a worker writes it. `charging` says that whoever
 * charges cards has known until then what Paddle took.
 */
export type Heart = 'worker' | 'charging'

/** On the database's clock, so that the age is right whatever the worker's clock says. */
export async function beat(db: Db, heart: Heart = 'worker'): Promise<void> {
  await sql`
    insert into heartbeat (name, beat_at) values (${heart}, clock_timestamp())
    on conflict (name) do update set beat_at = excluded.beat_at`.execute(db)
}

/** Milliseconds since the last beat; null when there never was one. */
export async function heartbeatAgeMs(db: Db, heart: Heart = 'worker'): Promise<number | null> {
  const { rows } = await sql<{ age_ms: number }>`
    select (extract(epoch from clock_timestamp() - beat_at) * 1000)::float8 as age_ms
    from heartbeat where name = ${heart}`.execute(db)
  return rows[0]?.age_ms ?? null
}
