/**
 * One clock for all that is dated: the database's, `wallet_now()`. Workers may be skewed or frozen; what is written down must
 * not be. How long something has waited for one of our processes is measured by `clock_timestamp()` instead; ADR 17 has the line.
 */
import { sql } from 'kysely'

import type { Db } from './schema.ts'

/** Whole milliseconds, so that a Date holds it without loss. */
export async function readClock(db: Db): Promise<Date> {
  const { now } = await db.selectNoFrom(sql<Date>`wallet_now()`.as('now')).executeTakeFirstOrThrow()
  return now
}
