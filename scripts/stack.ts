/**
 * What a script works on: the servers that DATABASE_URL and REDIS_URL name, else those of an `npm start` that runs in this
 * checkout, else embedded ones for as long as the script runs. And workers, when the script needs some and none are there.
 */
import { rm } from 'node:fs/promises'
import { join, relative, resolve } from 'node:path'

import { BillingError } from '../billing/billing-error.ts'
import { migrateToLatest } from '../db/migrate.ts'
import { defaultQueuePrefix } from '../jobs/queues.ts'
import { Misuse } from './command-line.ts'
import { findRunningServers, startEmbeddedServers, stopOrphanedServers } from './embedded/embedded-servers.ts'
import { startServiceProcess, type ServiceProcess } from './service-process.ts'

export type Stack = {
  databaseUrl: string
  redisUrl: string
  queuePrefix: string
  /** Whether this is the embedded Postgres, started by this script, and not somebody's database. */
  ours: boolean
  /** Whether its data are thrown away when the next such stack is opened. */
  fresh: boolean
  /** Where its processes write their logs. */
  logDirectory: string
  /** Which servers, in words. */
  description: string
  stop: () => Promise<void>
}

const checkout = resolve(import.meta.dirname, '..')

export const dataDirectory = join(checkout, '.data')

/** What is not to be mixed with anything: a year of dates to come. */
const freshDirectory = join(dataDirectory, 'fresh')

export type StackOptions = {
  log: (message: string) => void
  /** Refuse when the servers of this checkout run already, instead of working on them. */
  alone?: boolean
  /** Servers of their own, on data that begin anew, whatever else runs in this checkout. */
  fresh?: boolean
}

/** Finds or starts Postgres and Redis. Embedded ones are migrated; others are expected to be. */
export async function openStack({ log, alone = false, fresh = false }: StackOptions): Promise<Stack> {
  if (fresh) return await openFreshStack(log)
  const queuePrefix = process.env['QUEUE_PREFIX'] ?? defaultQueuePrefix
  const databaseUrl = process.env['DATABASE_URL']
  const redisUrl = process.env['REDIS_URL']
  if (databaseUrl && redisUrl) {
    const description = 'the servers that DATABASE_URL and REDIS_URL name'
    const servers = { databaseUrl, redisUrl, queuePrefix }
    return { ...servers, ...notOurs, description, stop: leaveRunning }
  }
  const running =
    (await findRunningServers(dataDirectory)) ?? (alone ? null : await findRunningServers(freshDirectory))
  if (running !== null && alone) throw alreadyRunning(running.pid)
  if (running !== null) {
    const description = `the servers of the npm start that runs as process ${running.pid}`
    return {
      databaseUrl: databaseUrl ?? running.databaseUrl,
      redisUrl: redisUrl ?? running.redisUrl,
      queuePrefix,
      ...notOurs,
      description,
      stop: leaveRunning,
    }
  }
  const servers = await startEmbeddedServers({ dataDirectory, log, databaseUrl, redisUrl })
  // A database that somebody else runs is theirs to migrate.
  const ours = !databaseUrl
  try {
    if (ours) await migrateToLatest(servers.databaseUrl)
  } catch (error) {
    await servers.stop()
    throw error
  }
  return {
    databaseUrl: servers.databaseUrl,
    redisUrl: servers.redisUrl,
    queuePrefix,
    ours,
    fresh: false,
    logDirectory: dataDirectory,
    description: ours ? `embedded servers, data in ${dataDirectory}` : 'the database that DATABASE_URL names',
    stop: () => servers.stop(),
  }
}

/**
 * The data of the one before are deleted when the next begins, so that what it left can be looked at until then.
 *
 * Throws: Misuse where other servers or another Paddle are named; BillingError `already_running`.
 */
async function openFreshStack(log: (message: string) => void): Promise<Stack> {
  const named = ['DATABASE_URL', 'REDIS_URL', 'PADDLE_API_KEY'].filter((name) => process.env[name])
  if (named.length > 0)
    throw new Misuse(`this runs on servers of its own, and a simulator: unset ${named.join(' and ')}`)
  const running = await findRunningServers(freshDirectory)
  if (running !== null) throw alreadyRunning(running.pid)
  await stopOrphanedServers(freshDirectory)
  await rm(freshDirectory, { recursive: true, force: true })
  const servers = await startEmbeddedServers({ dataDirectory: freshDirectory, durability: 'volatile', log })
  try {
    await migrateToLatest(servers.databaseUrl)
  } catch (error) {
    await servers.stop()
    throw error
  }
  return {
    databaseUrl: servers.databaseUrl,
    redisUrl: servers.redisUrl,
    queuePrefix: defaultQueuePrefix,
    ours: true,
    fresh: true,
    logDirectory: freshDirectory,
    description: `embedded servers of their own, data in ${relative(checkout, freshDirectory)}/ until the next start`,
    stop: () => servers.stop(),
  }
}

function alreadyRunning(pid: number): BillingError {
  return new BillingError(
    'already_running',
    `The servers of this checkout run already, started by process ${pid}. Use them, or stop them first: kill ${pid}`,
  )
}

const notOurs = { ours: false, fresh: false, logDirectory: dataDirectory } as const

/** Servers that were there before us stay. */
async function leaveRunning(): Promise<void> {}

/** Opens a stack, works on it, and closes it whatever happens; Ctrl-C and SIGTERM end the work. */
export async function withStack<Result>(
  options: StackOptions,
  work: (stack: Stack, signal: AbortSignal) => Promise<Result>,
): Promise<Result> {
  const interrupted = new AbortController()
  const interrupt = (): void => interrupted.abort()
  process.on('SIGINT', interrupt)
  process.on('SIGTERM', interrupt)
  const stack = await openStack(options)
  try {
    return await work(stack, interrupted.signal)
  } finally {
    await stack.stop()
    process.off('SIGINT', interrupt)
    process.off('SIGTERM', interrupt)
  }
}

/** A worker process. `environment`: what it needs besides the stack's URLs, such as where Paddle is. */
export async function startWorkerProcess(
  stack: Stack,
  log: (message: string) => void,
  environment: Record<string, string> = {},
): Promise<ServiceProcess> {
  return await startServiceProcess({
    name: 'workers',
    main: join(checkout, 'workers', 'main.ts'),
    environment: {
      ...environment,
      DATABASE_URL: stack.databaseUrl,
      REDIS_URL: stack.redisUrl,
      QUEUE_PREFIX: stack.queuePrefix,
    },
    logDirectory: stack.logDirectory,
    log,
  })
}

/** The API, on a free port unless API_PORT names one. Shape: where it answers. */
export async function startApiProcess(
  stack: Stack,
  log: (message: string) => void,
  environment: Record<string, string>,
): Promise<ServiceProcess & { url: string }> {
  const apiEnvironment: Record<string, string> = {
    ...environment,
    DATABASE_URL: stack.databaseUrl,
    API_PORT: process.env['API_PORT'] ?? '0',
    OPS_PORT: process.env['OPS_PORT'] ?? '0',
    REDIS_URL: stack.redisUrl,
    QUEUE_PREFIX: stack.queuePrefix,
  }
  const api = await startServiceProcess({
    name: 'api',
    main: join(checkout, 'api', 'main.ts'),
    environment: apiEnvironment,
    logDirectory: stack.logDirectory,
    log,
  })
  const { said } = api
  const url = typeof said === 'object' && said !== null && 'ready' in said ? String(said.ready) : ''
  // Should it have to be started again: where its webhooks are sent.
  apiEnvironment['API_PORT'] = new URL(url).port
  return { ...api, url }
}
