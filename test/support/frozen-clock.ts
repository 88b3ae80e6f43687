/** A clock that stands still until a test moves it: then every second that passes is one that the test let pass. */
import { sql } from 'kysely'

import type { Db } from '../../db/schema.ts'

/** Lets sessions of this database stop `wallet_now()`, to which `wallet.clock` can only give another start and pace. */
export async function letClocksStop(owner: Db): Promise<void> {
  await sql`
    create or replace function wallet_now() returns timestamptz language sql volatile return coalesce(
      nullif(current_setting('test.clock', true), '')::timestamptz, date_trunc('milliseconds', clock_timestamp()))`.execute(
    owner,
  )
}

/** In this session, which is the only one of its pool. */
export async function stopClock(db: Db, shown: Date): Promise<void> {
  await sql`select set_config('test.clock', ${shown.toISOString()}, false)`.execute(db)
}
