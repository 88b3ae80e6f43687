/** Letting time pass for everybody who works on a database: processes that run included, and those that start later. */
import { sql } from 'kysely'

import { connect } from '../../db/connect.ts'
import { readClock } from '../../db/clock.ts'
import type { Db } from '../../db/schema.ts'
import { until } from './until.ts'

/**
 * Puts `wallet_now()` forward for every session of this database, from where it is. A session reads its settings when it begins,
 * so all that there are end, those of `db` too: what is under way in them fails, and is tried again by whoever tries again.
 *
 * Shape: what the clock showed when it had been moved.
 */
export async function moveClock(
  { databaseUrl }: { databaseUrl: string },
  db: Db,
  by: { days?: number; hours?: number; seconds?: number },
): Promise<Date> {
  const { days = 0, hours = 0, seconds = 0 } = by
  const mover = connect(databaseUrl, { profile: 'operator', name: 'clock', poolSize: 1 })
  try {
    const moved = ((days * 24 + hours) * 3_600 + seconds) * 1_000
    const shown = new Date((await readClock(mover)).getTime() + moved)
    await setClock(mover, `${shown.toISOString()}/${new Date().toISOString()}/1`)
    await until('our own connections are new ones', async () => {
      const readings = await Promise.all(Array.from({ length: 8 }, () => readClock(db)))
      return readings.every((now) => now >= shown)
    })
    return shown
  } finally {
    await mover.destroy()
  }
}

async function setClock(mover: Db, setting: string): Promise<void> {
  const { rows } = await sql<{ name: string }>`select current_database() as name`.execute(mover)
  const database = sql.id(rows[0]?.name ?? '')
  await sql`alter database ${database} set ${sql.id('wallet', 'clock')} = ${sql.lit(setting)}`.execute(mover)
  await sql`
    select pg_terminate_backend(pid) from pg_stat_activity
    where datname = current_database() and pid <> pg_backend_pid()`.execute(mover)
}
