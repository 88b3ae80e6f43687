/** A database whose clock stands still until a test moves it: then every second that passes is one that the test let pass. */
import { sql } from 'kysely'

import type { Db } from '../../db/schema.ts'

/**
 * Puts a clock that reads a row in the place of `wallet_now()`, to which a session's setting can only give another start.
 *
 * Shape: sets the clock. It shows the year 2020 at first.
 */
export async function freezeClock(db: Db): Promise<(shown: Date) => Promise<void>> {
  await sql`create table frozen_clock (shown timestamptz not null)`.execute(db)
  await sql`insert into frozen_clock values ('2020-01-01Z')`.execute(db)
  await sql`grant select on frozen_clock to public`.execute(db)
  await sql`
    create or replace function wallet_now() returns timestamptz language sql volatile
    as 'select shown from frozen_clock'`.execute(db)
  return async (shown) => {
    await sql`update frozen_clock set shown = ${shown}`.execute(db)
  }
}
