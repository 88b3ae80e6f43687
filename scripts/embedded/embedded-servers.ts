// Real Postgres and Redis for one checkout, with nothing installed: each is started here unless its URL is given. Whatever
// ends us (stop(), Ctrl-C, kill -9) ends them too, and the next start takes over what a crash left. Call it from the main
// thread: the kernel ties a server's life to the thread that started it.
import { access, constants, mkdir } from 'node:fs/promises'
import { join, resolve } from 'node:path'

import { type Durability, startEmbeddedPostgres, stopOrphanedPostgres } from './embedded-postgres.ts'
import { type ManagedRedis, startEmbeddedRedis, stopOrphanedRedis } from './embedded-redis.ts'
import { acquireInstanceLock, type Connections, findInstance, type InstanceLock } from './instance-lock.ts'
import { getRedisBinary } from './redis-binary.ts'
import { externalServer, type ManagedServer } from './server-process.ts'

export type EmbeddedServers = {
  databaseUrl: string
  redisUrl: string
  postgres: ManagedServer
  redis: ManagedRedis
  stop(): Promise<void>
}

const checkout = resolve(import.meta.dirname, '..', '..')

export async function startEmbeddedServers(options: {
  dataDirectory: string
  log: (message: string) => void
  durability?: Durability | undefined
  databaseUrl?: string | undefined
  redisUrl?: string | undefined
}): Promise<EmbeddedServers> {
  if (options.databaseUrl && options.redisUrl) return external(options.databaseUrl, options.redisUrl)
  // The servers work in directories of their own, where a relative path means something else.
  const dataDirectory = resolve(options.dataDirectory)
  const lock = await claimDataDirectory(dataDirectory)
  try {
    if (await stopOrphanedServers(dataDirectory))
      options.log('stopped servers that an earlier, killed run had left')
    const [postgres, redis] = await startBoth({ ...options, dataDirectory })
    await lock.publish({ databaseUrl: postgres.url, redisUrl: redis.url })
    let stopping: Promise<void> | null = null
    const stop = async (): Promise<void> => {
      await Promise.all([postgres.stop(), redis.stop()])
      await lock.release()
    }
    return {
      databaseUrl: postgres.url,
      redisUrl: redis.url,
      postgres,
      redis,
      stop: () => (stopping ??= stop()),
    }
  } catch (error) {
    await lock.release()
    throw error
  }
}

/** Where the servers of this data directory listen right now, for a script in a second terminal; null when they do not. */
export async function findRunningServers(
  dataDirectory: string,
): Promise<(Connections & { pid: number }) | null> {
  const instance = await findInstance(dataDirectory)
  return instance?.connections ? { ...instance.connections, pid: instance.pid } : null
}

/** Stops servers whose starter is gone; true when there were any. */
export async function stopOrphanedServers(dataDirectory: string): Promise<boolean> {
  const stopped = await Promise.all([stopOrphanedPostgres(dataDirectory), stopOrphanedRedis(dataDirectory)])
  return stopped.includes(true)
}

async function claimDataDirectory(dataDirectory: string): Promise<InstanceLock> {
  await mkdir(dataDirectory, { recursive: true })
  await access(dataDirectory, constants.W_OK).catch((cause: unknown) => {
    throw new Error(
      `${dataDirectory} belongs to another user; remove it, or start as the user who made it.`,
      { cause },
    )
  })
  const attempt = await acquireInstanceLock(dataDirectory)
  if (attempt.outcome === 'acquired') return attempt.lock
  throw new Error(
    `The servers of ${dataDirectory} are already running, started by process ${attempt.pid}. ` +
      `Use them, or stop them first: kill ${attempt.pid}`,
  )
}

/** Both or none. */
async function startBoth(
  options: Parameters<typeof startEmbeddedServers>[0],
): Promise<[ManagedServer, ManagedRedis]> {
  const { dataDirectory, log, databaseUrl, redisUrl, durability = 'durable' } = options
  const startRedis = async (): Promise<ManagedRedis> => {
    const binary = await getRedisBinary({
      environment: process.env,
      cacheDirectory: join(checkout, '.cache'),
      log,
    })
    return startEmbeddedRedis({ dataDirectory, durability, binary, log })
  }
  const [postgres, redis] = await Promise.allSettled([
    databaseUrl ? externalServer(databaseUrl) : startEmbeddedPostgres({ dataDirectory, durability, log }),
    redisUrl ? externalRedis(redisUrl) : startRedis(),
  ])
  if (postgres.status === 'fulfilled' && redis.status === 'fulfilled') return [postgres.value, redis.value]
  const failures: unknown[] = []
  for (const result of [postgres, redis]) {
    if (result.status === 'fulfilled') await result.value.stop()
    else failures.push(result.reason)
  }
  if (failures.length === 1) throw failures[0]
  throw new Error(failures.map(String).join('\n'), { cause: failures })
}

/** Nothing to start, and so nothing to lock. */
function external(databaseUrl: string, redisUrl: string): EmbeddedServers {
  const postgres = externalServer(databaseUrl)
  return { databaseUrl, redisUrl, postgres, redis: externalRedis(redisUrl), stop: async () => undefined }
}

function externalRedis(url: string): ManagedRedis {
  return { ...externalServer(url), wipe: () => Promise.reject(new Error('This Redis is not ours to wipe.')) }
}
