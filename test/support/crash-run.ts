/**
 * Processes that die at every point of a piece of work, one for each point, each on something of its own; and after each one that
 * lives, takes up what it left, and is held to the same end as if nobody had died.
 */
import type { Queue } from 'bullmq'
import type { Redis } from 'ioredis'
import { sql } from 'kysely'

import type { Db } from '../../db/schema.ts'
import { queueNames } from '../../jobs/queues.ts'
import { startApiProcess, type ApiProcess } from './api-process.ts'
import { startCrashWires, type CrashPoint, type CrashWires } from './crash-points.ts'
import type { Place } from './fixtures.ts'
import { quickCharges, startTestPaddle, type TestPaddle } from './paddle.ts'
import { until } from './until.ts'
import { startWorkerProcess, type WorkerProcess } from './worker-process.ts'

export type Stage = {
  /** Past the wires. */
  db: Db
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

/** Every point of the work when nobody dies. */
export async function findPoints<Subject>(
  stage: Stage,
  work: Scenario<Subject>,
): Promise<readonly CrashPoint[]> {
  // What a process reads once and remembers, it has read after this; so will those that are to die, which take something up first.
  await perform(stage, work, await work.given(stage), null)
  const subject = await work.given(stage)
  const { points } = await perform(stage, work, subject, null)
  await work.check(stage, subject)
  return points
}

/** Shape: the points that no process came to although it was tried twice, because what comes first is not always the same. */
export async function dieAt<Subject>(
  stage: Stage,
  work: Scenario<Subject>,
  points: readonly string[],
): Promise<{ missed: string[] }> {
  const subjects: Subject[] = []
  const missed: string[] = []
  for (const point of points) {
    let hasDied = false
    for (let time = 1; time <= 2 && !hasDied; time += 1) {
      const subject = await work.given(stage)
      subjects.push(subject)
      hasDied = (await perform(stage, work, subject, point)).hasDied
      if (hasDied) await takeUp(stage, work, subject, point)
      await work.check(stage, subject)
    }
    if (!hasDied) missed.push(point)
  }
  // Nor did anything come of it later.
  await untilQueuesAreEmpty(stage)
  for (const subject of subjects) await work.check(stage, subject)
  return { missed }
}

/** Shape: whether a process died at that point, which is before the work is done and nothing is said about it any more. */
async function perform<Subject>(
  stage: Stage,
  work: Scenario<Subject>,
  subject: Subject,
  at: string | null,
): Promise<{ points: readonly CrashPoint[]; hasDied: boolean }> {
  await stage.start(work.process)
  const { points, died } = stage.wires.arm(work.names(subject), { at, kill: stage.kill })
  const isOver = new AbortController()
  const begun = work.begin(stage, subject)
  if (at !== null) begun.catch(() => undefined)
  const lived = untilQuiet(points, () => isOver.signal.aborted || work.isDone(stage, subject))
  try {
    await Promise.race([died, lived])
    // Whoever has come to that point is dying, although what it did before may be all that was to be done.
    const hasDied = points.some(({ name }) => name === at)
    if (hasDied) await died
    if (!hasDied) await begun
    return { points: [...points], hasDied }
  } catch (error) {
    throw new Error(
      `nobody died, and it is not done:\n${points.map(({ name }) => name).join('\n')}\n${stage.lastWords()}`,
      {
        cause: error,
      },
    )
  } finally {
    isOver.abort()
    stage.wires.disarm()
    await lived.catch(() => undefined)
  }
}

async function untilQuiet(points: readonly unknown[], isDone: () => Promise<boolean> | true): Promise<void> {
  await until('it is done', isDone, { everyMs: 25, withinMs: 60_000 })
  // What is said after that, such as that the job is finished, has its points too.
  let seen = -1
  const isQuiet = (): boolean => seen === (seen = points.length)
  await until('nothing is said about it any more', isQuiet, { everyMs: 300 })
}

async function takeUp<Subject>(
  stage: Stage,
  work: Scenario<Subject>,
  subject: Subject,
  point: string,
): Promise<void> {
  await stage.start(work.process)
  if (work.process === 'api') {
    // For that long a request whose process died is thought to be under way.
    await sql`update idempotent_request set claimed_at = claimed_at - interval '1 minute'`.execute(stage.db)
    await work.begin(stage, subject)
  }
  try {
    await until('it is done', () => work.isDone(stage, subject), { everyMs: 25, withinMs: 60_000 })
  } catch (error) {
    throw new Error(`a process died ${point}, and nobody finishes it\n${stage.lastWords()}`, { cause: error })
  }
}

async function untilQueuesAreEmpty({ queueNamed }: Stage): Promise<void> {
  for (const name of queueNames) {
    if (name === 'schedule' || name === 'ops') continue
    await until(`no job of ${name} is left over`, async () => {
      const counts = await queueNamed(name).getJobCounts('wait', 'active', 'prioritized', 'failed')
      return Object.values(counts).every((count) => count === 0)
    })
  }
}

export async function openStage({
  place,
  db,
  redis,
  queueNamed,
}: {
  place: Place
  db: Db
  redis: Redis
  queueNamed: (name: string) => Queue
}): Promise<Stage> {
  const paddle = await startTestPaddle()
  await paddle.control.webhooks({ mode: 'drop' })
  await paddle.control.limits({ requestsPerMinute: null })
  await queueNamed('usage').waitUntilReady()
  const wires = await startCrashWires({ ...place, paddleUrl: paddle.url }, scriptNames(redis))
  const environment = {
    ...paddle.environment,
    ...quickCharges,
    PADDLE_ENVIRONMENT: wires.paddleUrl,
    LOG_LEVEL: 'error',
    // One of each is enough to die, and starts sooner.
    USAGE_WORKERS: '1',
    USAGE_CONCURRENCY: '10',
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
    queueNamed,
    paddle,
    wires,
    apiUrl: () => (running !== null && 'url' in running ? running.url : ''),
    start: async (kind) => {
      if (running !== null) return
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

/** The scripts that BullMQ has taught a connection of its queues. */
function scriptNames(redis: Redis): Map<string, string> {
  const scripts: Record<string, { sha: string }> = Reflect.get(redis, 'scriptsSet')
  // A name is followed by the version of BullMQ.
  return new Map(Object.entries(scripts).map(([name, { sha }]) => [sha, name.replace(/:.*/, '')]))
}
