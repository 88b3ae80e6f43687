/**
 * Cards are charged only by somebody who knows what Paddle has taken. After a gap in which nobody watched, because every worker was
 * away or because the database was restored from a backup, Paddle is asked first: a wallet that looks empty may have been
 * recharged meanwhile.
 */
import { readClock } from '../db/clock.ts'
import { beat, heartbeatAgeMs } from '../db/heartbeat.ts'
import type { Db } from '../db/schema.ts'
import type { Log } from '../runtime/log.ts'
import { repeat, type Repeating } from '../runtime/repeat.ts'
import { adoptFromPaddle, type Adopting } from './adopt-from-paddle.ts'

/** Longer than a restart, shorter than the quickest restore. */
const gapMs = 60_000
const everyMs = 10_000
/** What was on its way when the gap began, and clocks that differ. */
const lookBackMs = 3_600_000

/** Beats in Postgres, so that a gap is seen by every process, and a database that was restored beneath them too. */
export function startChargingWatch(watching: Adopting & { log: Log }): Repeating {
  const { db, log } = watching
  return repeat('watch charging', {
    everyMs,
    log,
    run: async () => {
      const ageMs = await heartbeatAgeMs(db, 'charging')
      if (isGap(ageMs)) await catchUp(watching, ageMs)
      await beat(db, 'charging')
    },
  })
}

/** False while what Paddle took in a gap is not known yet: a charge waits then. */
export async function mayCharge(db: Db): Promise<boolean> {
  return !isGap(await heartbeatAgeMs(db, 'charging'))
}

/** Before the first beat there was nobody who could have charged. */
function isGap(ageMs: number | null): ageMs is number {
  return ageMs !== null && ageMs > gapMs
}

/** Throws: when Paddle cannot be asked, so that it is asked again; nothing is charged until then. */
async function catchUp({ log, ...adopting }: Adopting & { log: Log }, ageMs: number): Promise<void> {
  const since = new Date((await readClock(adopting.db)).getTime() - ageMs - lookBackMs)
  const gap = { gapSeconds: Math.round(ageMs / 1_000), since }
  log.warn(gap, 'nobody watched the charges for a while: Paddle is asked before a card is charged')
  const result = await adoptFromPaddle(adopting, { since })
  if (result.outcome !== 'adopted') throw new Error(`Paddle could not be asked: ${JSON.stringify(result)}`)
  const { adopted, misfits } = result
  const level = misfits.length > 0 ? 'error' : 'info'
  log[level]({ ...gap, adopted, misfits: misfits.slice(0, 20) }, 'Paddle was asked: cards are charged again')
}
