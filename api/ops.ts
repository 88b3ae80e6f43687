/**
 * The ops listener of an API process, with what it needs and nothing that requests need: connections of its own to Postgres and
 * Redis, which are made when somebody first asks. So it costs nothing until then, and cannot make a customer wait.
 */
import { Queue } from 'bullmq'
import { Redis } from 'ioredis'

import { connect } from '../db/connect.ts'
import { askNothingFirst, queueNames } from '../jobs/queues.ts'
import type { OpsConfig } from '../runtime/config.ts'
import type { Log } from '../runtime/log.ts'
import type { HttpMetrics } from '../runtime/metrics.ts'
import { createOpsServer } from './ops-server.ts'

export type Ops = {
  /** Where it listens. */
  url: string
  /** Asks Redis for a sign of life; null when this process was given no Redis. */
  pingRedis: (() => Promise<unknown>) | null
  close: () => Promise<void>
}

/** Throws: Node's error when the port is taken. */
export async function startOps(
  { host, port, board, redisUrl, queuePrefix }: OpsConfig,
  {
    databaseUrl,
    clock,
    log,
    http,
  }: { databaseUrl: string; clock?: string | undefined; log: Log; http: HttpMetrics },
): Promise<Ops> {
  const db = connect(databaseUrl, {
    profile: 'auditor',
    name: 'ops',
    poolSize: 2,
    clock,
    onConnectionLost: (error) => log.debug({ err: error }, 'ops lost a connection to Postgres'),
  })
  const redis = redisUrl === null ? null : lazyRedis(redisUrl, log)
  const queues = redis === null ? null : lazyQueues(redis, queuePrefix, log)
  const server = createOpsServer({
    db,
    log,
    http,
    readQueues: queues?.all ?? (() => []),
    board: board === null || queues === null ? null : { ...board, queues: queues.all() },
  })
  const close = async (): Promise<void> => {
    await server.close()
    await queues?.close()
    redis?.disconnect()
    await db.destroy()
  }
  try {
    const url = await server.listen({ host, port })
    log.info({ url, queues: board !== null && queues !== null }, 'metrics are served')
    return { url, pingRedis: redis === null ? null : () => redis.ping(), close }
  } catch (error) {
    await close()
    throw error
  }
}

/** A connection that is made with its first command, and never lets one wait for long. */
function lazyRedis(redisUrl: string, log: Log): Redis {
  const redis = new Redis(redisUrl, {
    lazyConnect: true,
    maxRetriesPerRequest: 1,
    connectTimeout: 2_000,
    commandTimeout: 3_000,
    retryStrategy: (times) => Math.min(times * 200, 5_000),
  })
  redis.on('error', (error) => log.debug({ err: error }, 'ops redis connection error'))
  return redis
}

/** Opened together when first asked for. They write nothing of their own to Redis. */
function lazyQueues(connection: Redis, prefix: string, log: Log) {
  let opened: Queue[] | null = null
  return {
    all: (): Queue[] => {
      opened ??= queueNames.map((name) => {
        const queue = new Queue(name, { connection, prefix, skipMetasUpdate: true, ...askNothingFirst })
        queue.on('error', (error) => log.debug({ err: error }, 'queue error'))
        return queue
      })
      return opened
    },
    close: async (): Promise<void> => {
      await Promise.allSettled((opened ?? []).map((queue) => queue.close()))
    },
  }
}
