/** What happens to Redis: it dies and comes back with all, with less and with nothing, stays away, is slow, is full. */
import { readdir, stat, truncate } from 'node:fs/promises'
import { join } from 'node:path'

import { sql } from 'kysely'

import { countWaiting, during, seen, type Fault, type Scene } from './fault.ts'
import { holds, lookAgain } from './stage.ts'

/** Longer than a producer waits for an answer. */
const downMs = 1_200
const awayMs = 15_000
const slowMs = 5_000
const fullMs = 3_000
/** How much of the log a power cut takes, and the most of it: what was done since would be done again, all of it. */
const tailLost = 0.3
const mostBytesLost = 2_000_000
const heartbeatWithinMs = 30_000

export const redisFaults: Fault[] = [
  {
    name: 'redis-killed',
    family: 'redis',
    title: 'Redis is killed (-9) and reads its log again',
    takesMs: 3_000,
    inject: async (scene) => {
      const { redis } = scene.stage.servers
      const failed = queueFailuresFromNow(scene)
      await redis.kill()
      await during(scene, downMs)
      await redis.start()
      return { queueFailures: await seen(2_000, failed) }
    },
  },
  {
    name: 'redis-wiped',
    family: 'redis',
    title: 'Redis is killed and all that it had is gone',
    takesMs: 4_000,
    inject: async (scene) => {
      const { redis } = scene.stage.servers
      const { lostAt, queued } = await killWithJobsQueued(scene)
      await redis.wipe()
      await redis.start()
      thaw(scene)
      return { jobsLost: queued, ...(await retold(scene, lostAt)) }
    },
  },
  {
    name: 'redis-truncated',
    family: 'redis',
    title: 'Redis is killed and loses the last third of its log, as in a power cut',
    takesMs: 4_000,
    inject: async (scene) => {
      const { redis } = scene.stage.servers
      const { lostAt, queued } = await killWithJobsQueued(scene)
      const bytesLost = await truncateLog(join(scene.stage.directory, 'redis', 'appendonlydir'))
      await redis.start()
      // A log that ends in the middle of something is written anew; the next restart is another fault's business.
      await lookAgain(() => scene.stage.redis.bgrewriteaof())
      thaw(scene)
      return { jobsQueued: queued, bytesLost, ...(await retold(scene, lostAt)) }
    },
  },
  {
    name: 'redis-away',
    family: 'redis',
    title: 'Redis is away for 15 seconds',
    takesMs: 20_000,
    inject: async (scene) => {
      const { redis } = scene.stage.servers
      const failed = queueFailuresFromNow(scene)
      await redis.kill()
      await during(scene, awayMs)
      await redis.start()
      const beats = await beatsFromNow(scene)
      const heartbeats = await seen(heartbeatWithinMs, beats)
      if (heartbeats === 0) scene.violations.push('no heartbeat within 30 s after Redis came back')
      return { queueFailures: await seen(2_000, failed), heartbeats }
    },
  },
  {
    name: 'redis-slow',
    family: 'redis',
    title: 'Redis answers nobody for 5 seconds (SIGSTOP)',
    takesMs: 6_000,
    inject: async (scene) => {
      const { pid } = scene.stage.servers.redis
      if (pid === null) throw new Error('Redis does not run')
      const failed = queueFailuresFromNow(scene)
      process.kill(pid, 'SIGSTOP')
      await during(scene, slowMs).finally(() => process.kill(pid, 'SIGCONT'))
      return { queueFailures: await seen(2_000, failed) }
    },
  },
  {
    name: 'redis-full',
    family: 'redis',
    title: 'Redis has no memory left (maxmemory)',
    takesMs: 4_000,
    inject: async (scene) => {
      const { redis } = scene.stage
      const before = scene.driver.counts.outOfMemory
      await lookAgain(() => redis.config('SET', 'maxmemory', '1mb'))
      await during(scene, fullMs)
      const outOfMemory = await seen(3_000, () => scene.driver.counts.outOfMemory - before)
      await lookAgain(() => redis.config('SET', 'maxmemory', '0'))
      return { outOfMemory }
    },
  },
]

function queueFailuresFromNow({ driver }: Scene): () => number {
  const before = driver.counts.queueFailures
  return () => driver.counts.queueFailures - before
}

/** Holds the workers still until jobs lie in Redis that nobody else has, and kills it. */
async function killWithJobsQueued(scene: Scene): Promise<{ lostAt: number; queued: number }> {
  const { stage } = scene
  for (const worker of stage.workers) worker.signal('SIGSTOP')
  try {
    let queued = 0
    await holds(4_000, async () => (queued = await countWaiting(stage)) >= 4, 20)
    await stage.servers.redis.kill()
    return { lostAt: performance.now(), queued }
  } catch (error) {
    thaw(scene)
    throw error
  }
}

function thaw({ stage }: Scene): void {
  for (const worker of stage.workers) worker.signal('SIGCONT')
}

/** Telephony compares its records with what the wallet knows, as it does every hour. */
async function retold({ driver }: Scene, lostAt: number): Promise<{ retold: number }> {
  return { retold: await driver.retell(lostAt) }
}

/** Shape: how many bytes went. */
async function truncateLog(directory: string): Promise<number> {
  const files = await readdir(directory)
  const newest = files
    .filter((name) => name.endsWith('.incr.aof'))
    .toSorted()
    .at(-1)
  if (newest === undefined) throw new Error(`Redis has no log in ${directory}`)
  const { size } = await stat(join(directory, newest))
  const lost = Math.min(Math.ceil(size * tailLost), mostBytesLost)
  await truncate(join(directory, newest), size - lost)
  return lost
}

/** Shape: 1 once the heart has beaten, on the clock of Postgres. */
async function beatsFromNow({ stage }: Scene): Promise<() => Promise<number>> {
  const { rows } = await lookAgain(() =>
    sql<{ now: Date }>`select clock_timestamp() as now`.execute(stage.db),
  )
  const now = rows[0]?.now
  return async () => {
    const beats = await sql`select from heartbeat where name = 'worker' and beat_at > ${now}`.execute(
      stage.db,
    )
    return beats.rows.length
  }
}
