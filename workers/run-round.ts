/** One round of a schedule, by one process at a time: claimed in Postgres, done, and written down, whatever comes of it. */
import { claimRound, endRound, keepRound, type RungBy } from '../db/schedule.ts'
import type { Db } from '../db/schema.ts'
import type { Pace, ScheduleName } from '../jobs/schedules.ts'
import type { Log } from '../runtime/log.ts'
import type { Round } from './rounds.ts'

/** A process that has not said for this long that it is at a round is taken for dead. */
const claimMs = 30_000

/**
 * Shape:  false when somebody else is at it; with `after`, also when a round has begun since that one. A round that fails is written
 *         down as such and stays due.
 * Throws: when Postgres cannot be told.
 */
export async function runRound(
  { db, log, signal }: { db: Db; log: Log; signal: AbortSignal },
  { schedule, pace, round }: { schedule: ScheduleName; pace: Pace; round: Round },
  { rungBy, after }: { rungBy: RungBy; after?: bigint },
): Promise<boolean> {
  const claimed = await claimRound(db, schedule, { rungBy, claimMs, after: after ?? null })
  if (claimed === null) return false
  // Should Postgres not hear of it in time, another process begins a round as well: that is harmless.
  const keeping = setInterval(() => void keepRound(db, claimed, claimMs).catch(() => undefined), claimMs / 3)
  try {
    // Told to end while it was being claimed: who listens to the signal from now on would never hear of it.
    if (signal.aborted) throw new Error('the process was told to end')
    const outcome = await round(signal)
    await endRound(db, claimed, pace, outcome)
    log.debug({ schedule, rungBy, did: outcome.did }, 'scheduled round done')
  } catch (error) {
    if (!signal.aborted) log.error({ schedule, rungBy, err: error }, 'scheduled round failed and stays due')
    await endRound(db, claimed, pace, { error: error instanceof Error ? error.message : String(error) })
  } finally {
    clearInterval(keeping)
  }
  return true
}
