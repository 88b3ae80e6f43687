/** A database whose clock stands still until a test moves it: then every second that passes is one that the test let pass. */
import { sql } from 'kysely'

import type { Db } from '../../db/schema.ts'

/**
 * Puts a clock that reads a row in the place of Postgres' own, for all sessions that begin afterwards.
 *
 * Shape: sets the clock; what has begun by then may still see the old time.
 */
export async function freezeClock(db: Db): Promise<(shown: Date) => Promise<void>> {
  await sql`create table frozen_clock (shown timestamptz not null)`.execute(db)
  await sql`insert into frozen_clock values ('2020-01-01Z')`.execute(db)
  await sql`grant select on frozen_clock to public`.execute(db)
  await sql`
    create function public.clock_timestamp() returns timestamptz language sql volatile
    as 'select shown from public.frozen_clock'`.execute(db)
  const { rows } = await sql<{ name: string }>`select current_database() as name`.execute(db)
  // Named, the catalog comes where it is named, and not before everything else.
  await sql`alter database ${sql.id(rows[0]?.name ?? '')} set search_path = public, pg_catalog`.execute(db)
  return async (shown) => {
    await sql`update frozen_clock set shown = ${shown}`.execute(db)
  }
}
