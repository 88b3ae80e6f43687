/**
 * The schedules of a worker process. Redis rings for them; should it lose its schedules they are put back within seconds, and should it
 * be away altogether, Postgres says which are overdue and they are done without a ring.
 */
import type { Queue } from 'bullmq'

import { readSchedules, registerSchedule, type ScheduleState } from '../db/schedule.ts'
import type { Db } from '../db/schema.ts'
import { paceOf, schedules, type Pace, type ScheduleName } from '../jobs/schedules.ts'
import { repeat } from '../runtime/repeat.ts'
import { placeSchedules } from './place-schedules.ts'
import type { Round, Rounds } from './rounds.ts'
import { runRound } from './run-round.ts'
import { startWorker, type WorkerContext } from './start-worker.ts'

/** How long after its time a ring may still come through Redis. */
const graceMs = 30_000
/** A round that failed, or whose process died in it, is tried again after this, or sooner when it rings sooner. */
const retryMs = 600_000

type Scheduled = { schedule: ScheduleName; pace: Pace; round: Round }

type ScheduleContext = WorkerContext & { db: Db; queueNamed: (name: string) => Queue }

/** Shape: `rate` is of a clock that runs so many times as fast. Every process knows the schedules that it has rounds for. */
export async function startSchedules(
  context: ScheduleContext,
  { rounds, rate = 1, signal }: { rounds: Rounds; rate?: number; signal: AbortSignal },
): Promise<{ close: () => Promise<void> }> {
  const { connection, db, log, queueNamed } = context
  const ours = new Map<string, Scheduled>()
  for (const schedule of schedules) {
    const round = rounds.get(schedule.name)
    if (round === undefined) continue
    const pace = paceOf(schedule, rate)
    ours.set(schedule.name, { schedule: schedule.name, pace, round })
    await registerSchedule(db, schedule.name, pace)
  }
  const running = { db, log, signal }
  const worker = startWorker(context, 'schedule', {
    // Each may be at a round: a night's verifying keeps no hold from expiring.
    concurrency: schedules.length,
    handle: async ({ name }) => {
      const rung = ours.get(name)
      // Of a newer release, or for a process that has Paddle: overdue in half a minute, and done by one that can.
      if (rung === undefined) return 'not here'
      // What Postgres was not told of is overdue, and the look below says why it cannot be done.
      return await runRound(running, rung, { rungBy: 'scheduler' }).then(
        (ran) => (ran ? 'ran' : 'under way elsewhere'),
        () => 'Postgres is away',
      )
    },
  })
  const placing = repeat('put schedules in place', {
    everyMs: 5_000,
    log,
    run: async () => {
      if (connection.status === 'ready') await placeSchedules(queueNamed, [...ours.values()])
    },
  })
  const underWay = new Set<Promise<unknown>>()
  const looking = repeat('do what is overdue', {
    everyMs: 2_000,
    log,
    run: async () => {
      for (const state of await readSchedules(db)) {
        const scheduled = ours.get(state.name)
        if (signal.aborted || scheduled === undefined || !isWanting(state, scheduled.pace)) continue
        const rungBy = state.isAskedFor ? 'person' : 'fallback'
        if (rungBy === 'fallback' && state.startedMsAgo !== null)
          log.warn(
            { schedule: state.name, overdueMs: Math.round(state.overdueMs) },
            'a schedule is overdue, and done without its ring',
          )
        const round = runRound(running, scheduled, { rungBy, after: state.rounds }).catch(
          (error: unknown) => {
            log.warn({ schedule: state.name, err: error }, 'a scheduled round could not be written down')
          },
        )
        underWay.add(round)
        void round.finally(() => underWay.delete(round))
      }
    },
  })
  return {
    close: async () => {
      await Promise.all([worker.close(), placing.stop(), looking.stop()])
      await Promise.all(underWay)
    },
  }
}

/** Whether a round has to be begun without a ring. */
function isWanting(state: ScheduleState, { everyMs }: Pace): boolean {
  const { isUnderWay, isAskedFor, startedMsAgo, overdueMs } = state
  if (isUnderWay) return false
  if (isAskedFor) return true
  if (startedMsAgo === null) return overdueMs > 0
  return overdueMs > graceMs && startedMsAgo > Math.min(everyMs, retryMs)
}
