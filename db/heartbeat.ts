/** The pulse of the whole path: a job that went through Redis and a worker writes the time here. */
import { sql } from 'kysely'

import type { Db } from './schema.ts'

const name = 'worker'

/** On the database's clock, so that the age is right whatever the worker's clock says. */
export async function beat(db: Db): Promise<void> {
  await sql`
    insert into heartbeat (name, beat_at) values (${name}, clock_timestamp())
    on conflict (name) do update set beat_at = excluded.beat_at`.execute(db)
}

/** Milliseconds since the last beat; null when there never was one. */
export async function heartbeatAgeMs(db: Db): Promise<number | null> {
  const { rows } = await sql<{ age_ms: number }>`
    select (extract(epoch from clock_timestamp() - beat_at) * 1000)::float8 as age_ms
    from heartbeat where name = ${name}`.execute(db)
  return rows[0]?.age_ms ?? null
}
