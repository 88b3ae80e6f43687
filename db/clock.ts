/** One clock for all: the database's. Workers may be skewed or frozen; what is written down must not be. */
import { sql } from 'kysely'

import type { Db } from './schema.ts'

/** Whole milliseconds, so that a Date holds it without loss. */
export async function readClock(db: Db): Promise<Date> {
  const { now } = await db
    .selectNoFrom(sql<Date>`date_trunc('milliseconds', clock_timestamp())`.as('now'))
    .executeTakeFirstOrThrow()
  return now
}
