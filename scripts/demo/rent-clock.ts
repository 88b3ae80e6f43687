/** The clock of the demo of rents: a day each second, from some days before a 31 January on. */
import { sql } from 'kysely'

import type { Db } from '../../db/schema.ts'
import { startClock, type BusinessClock } from '../../runtime/clock.ts'

/** Seconds in one: a day each. */
const rate = 86_400
const dayMs = 86_400_000
/** When the first number is rented: on a day that February does not have. */
export const rentedOn = new Date('2027-01-31T09:00:00.000Z')
/** Who tells of a rental later than this has it set aside as too old; far from it. */
const latestMs = 14 * dayMs

/** Shape: a clock that comes to the day of the renting in so many real seconds. */
export function startDemoClock(inSeconds: number): BusinessClock {
  return startClock(new Date(rentedOn.getTime() - inSeconds * 1_000 * rate), { rate })
}

/** Whether the story can still be told. On a slow machine the servers may take longer to start than was given them. */
export function isInTime(clock: BusinessClock): boolean {
  return clock.now().getTime() < rentedOn.getTime() + latestMs
}

/** Whoever connects to this database from now on sees the clock of `db`: scripts in a second terminal, psql. */
export async function moveEverybodysClock(db: Db): Promise<void> {
  await sql`
    do $$ begin
      execute format('alter database %I set wallet.clock = %L', current_database(), current_setting('wallet.clock'));
    end $$`.execute(db)
}
