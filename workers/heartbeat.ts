/**
 * The heartbeat: a scheduled job that every ten seconds goes through Redis and a worker into Postgres. Health checks that
 * only ping Redis stay green while a worker consumes nothing; this one does not.
 */
import { beat, heartbeatAgeMs } from '../db/heartbeat.ts'
import type { Db } from '../db/schema.ts'
import { repeat, type Repeating } from '../runtime/repeat.ts'
import { startWorker, type StartedWorker, type WorkerContext } from './start-worker.ts'

/** Older than this, with Redis and Postgres both answering, means that this process no longer takes jobs. */
const staleHeartbeatMs = 60_000
const everyMs = 10_000

export function startHeartbeatWorker(context: WorkerContext, db: Db): StartedWorker {
  return startWorker(context, 'ops', { concurrency: 1, handle: () => beat(db) })
}

/**
 * Calls `onWedged` when no heartbeat has arrived for a minute although Redis and Postgres answer. Whoever runs the process
 * then starts a new one; a worker that has lost its queue this way never finds it again by itself.
 */
export function watchHeartbeat(
  { connection, log }: WorkerContext,
  { db, onWedged }: { db: Db; onWedged: () => void },
): Repeating {
  const bootedAt = performance.now()
  let answeredSince: number | null = null
  return repeat('watch heartbeat', {
    everyMs,
    log,
    run: async () => {
      const askedAt = performance.now()
      try {
        await connection.ping()
      } catch (error) {
        answeredSince = null
        throw error
      }
      // An answer that took as long as a turn was a silence: the schedules have their minute again from here.
      if (performance.now() - askedAt > everyMs) answeredSince = null
      answeredSince ??= performance.now()
      const ageMs = await heartbeatAgeMs(db)
      const waitedMs = performance.now() - Math.max(answeredSince, bootedAt)
      if (waitedMs < staleHeartbeatMs || (ageMs !== null && ageMs < staleHeartbeatMs)) return
      log.fatal(
        { ageMs: ageMs === null ? null : Math.round(ageMs) },
        'no heartbeat although Redis and Postgres answer',
      )
      onWedged()
    },
  })
}
