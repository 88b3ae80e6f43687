/**
 * Processes that die at every point of a piece of work, one for each point, each on something of its own; and after each one that
 * lives, takes up what it left, and is held to the same end as if nobody had died.
 */
import type { Queue } from 'bullmq'
import { expect } from 'vitest'

import type { Db } from '../../db/schema.ts'
import { pause } from '../../runtime/repeat.ts'
import { startApiProcess, type ApiProcess } from './api-process.ts'
import { startCrashWires, type CrashWires } from './crash-points.ts'
import type { Place } from './fixtures.ts'
import { quickCharges, startTestPaddle, type TestPaddle } from './paddle.ts'
import { until } from './until.ts'
import { startWorkerProcess, type WorkerProcess } from './worker-process.ts'

export type Stage = {
  /** Past the wires. */
  db: Db
  place: Place
  queueNamed: (name: string) => Queue
  paddle: TestPaddle
  wires: CrashWires
  /** Of the API process that runs now. */
  apiUrl: () => string
  start: (kind: 'workers' | 'api') => Promise<void>
  kill: () => Promise<void>
  /** What the process that runs now has logged last. */
  lastWords: () => string
  close: () => Promise<void>
}

/** A piece of work, on something of its own each time. */
export type Scenario<Subject = unknown> = {
  name: string
  process: 'workers' | 'api'
  given: (stage: Stage) => Promise<Subject>
  /** How messages about it are known: ids that are in them, or in what they answer. */
  names: (subject: Subject) => string[]
  /** A job is added, a request sent. A request is sent again when no answer came, as clients do. */
  begin: (stage: Stage, subject: Subject) => Promise<unknown>
  isDone: (stage: Stage, subject: Subject) => Promise<boolean>
  check: (stage: Stage, subject: Subject) => Promise<void>
}

/** A scenario whose subject nobody but itself looks at. */
export function scenario<Subject>(of: Scenario<Subject>): Scenario<never> {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- `given` makes what the others take
  return of as unknown as Scenario<never>
}

export type CrashRun = {
  /** Every point of the work when nobody dies. */
  points: string[]
  /** Those at which a process died. */
  died: string[]
}

/** Shape: `chosen` takes some of the points; all when it is absent. */
export async function dieEverywhere<Subject>(
  stage: Stage,
  work: Scenario<Subject>,
  chosen: (point: string) => boolean = () => true,
): Promise<CrashRun> {
  await stage.start(work.process)
  const points = await countPoints(stage, work)
  const died: string[] = []
  for (const [index, point] of points.entries()) {
    if (!chosen(point)) continue
    const subject = await work.given(stage)
    const diedAt = await dieAt(stage, work, subject, index + 1)
    if (diedAt !== null) died.push(diedAt)
    await stage.start(work.process)
    if (work.process === 'api') await work.begin(stage, subject)
    await until(`what died ${diedAt ?? 'nowhere'} is done`, () => work.isDone(stage, subject), {
      everyMs: 30,
    })
    await work.check(stage, subject)
  }
  return { points, died }
}

/** Null when it was done before it came to that point. */
async function dieAt<Subject>(
  stage: Stage,
  work: Scenario<Subject>,
  subject: Subject,
  at: number,
): Promise<string | null> {
  const { died } = stage.wires.arm(work.names(subject), { at, kill: stage.kill })
  const begun = work.begin(stage, subject).catch(() => undefined)
  const isOver = new AbortController()
  const lived = until('it is done', () => isOver.signal.aborted || work.isDone(stage, subject), {
    everyMs: 30,
  })
    // What is said after that, such as that the job is finished, has its points too.
    .then(() => pause(1_000, isOver.signal))
    .catch(() => undefined)
  const diedAt = await Promise.race([died, lived.then(() => null)])
  isOver.abort()
  stage.wires.disarm()
  await Promise.all([begun, lived])
  return diedAt
}

async function countPoints<Subject>(stage: Stage, work: Scenario<Subject>): Promise<string[]> {
  const subject = await work.given(stage)
  const armed = stage.wires.arm(work.names(subject), { at: null, kill: () => Promise.resolve() })
  await work.begin(stage, subject)
  await until(`${work.name}: it is done`, () => work.isDone(stage, subject), { everyMs: 50 }).catch(
    (error: unknown) => {
      throw new Error(`nobody died, and it is not done:\n${armed.points.join('\n')}\n${stage.lastWords()}`, {
        cause: error,
      })
    },
  )
  let seen = -1
  await until(
    'nothing is said about it any more',
    () => {
      const isQuiet = armed.points.length === seen
      seen = armed.points.length
      return isQuiet
    },
    { everyMs: 400 },
  )
  await work.check(stage, subject)
  stage.wires.disarm()
  expect(armed.points.length).toBeGreaterThan(1)
  return [...armed.points]
}

export async function openStage(place: Place, db: Db, queueNamed: (name: string) => Queue): Promise<Stage> {
  const paddle = await startTestPaddle()
  await paddle.control.webhooks({ mode: 'drop' })
  await paddle.control.limits({ requestsPerMinute: null })
  const wires = await startCrashWires({ ...place, paddleUrl: paddle.url })
  const environment = {
    ...paddle.environment,
    ...quickCharges,
    PADDLE_ENVIRONMENT: wires.paddleUrl,
    LOG_LEVEL: 'error',
    // One of each is enough to die, and starts sooner.
    USAGE_WORKERS: '1',
    USAGE_CONCURRENCY: '10',
    LOCK_DURATION_MS: '600',
    STALLED_INTERVAL_MS: '300',
  }
  const through = { ...place, databaseUrl: wires.databaseUrl, redisUrl: wires.redisUrl }
  let running: WorkerProcess | ApiProcess | null = null
  const kill = async (): Promise<void> => {
    await running?.kill()
    running = null
  }
  return {
    db,
    place,
    queueNamed,
    paddle,
    wires,
    apiUrl: () => (running !== null && 'url' in running ? running.url : ''),
    start: async (kind) => {
      if (running !== null && 'url' in running === (kind === 'api')) return
      await kill()
      running =
        kind === 'api'
          ? await startApiProcess(through.databaseUrl, environment)
          : await startWorkerProcess(through, environment)
    },
    kill,
    lastWords: () => JSON.stringify(running?.log.slice(-5)),
    close: async () => {
      await kill()
      await wires.close()
      await paddle.close()
    },
  }
}
