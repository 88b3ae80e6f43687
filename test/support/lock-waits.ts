/** Who waits in Postgres for what another transaction holds. */
import { sql } from 'kysely'

import type { Db } from '../../db/schema.ts'

/** Shape: how many sessions of this database wait for a lock, with a statement that contains `words`. */
export async function countLockWaits(db: Db, words = ''): Promise<number> {
  const { rows } = await sql`
    select from pg_stat_activity
    where datname = current_database() and wait_event_type = 'Lock' and position(${words} in query) > 0`.execute(
    db,
  )
  return rows.length
}
