/**
 * What a chaos run stands on: Postgres and Redis of its own, durable as in production, the Paddle simulator, two worker processes and
 * the API, all of it in a temporary directory, and all of it ours to kill. One worker's way to Postgres leads through a proxy.
 */
import { readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'

import { Redis } from 'ioredis'

import { connect } from '../../db/connect.ts'
import { migrateToLatest } from '../../db/migrate.ts'
import type { Db } from '../../db/schema.ts'
import { createProducer, type Producer } from '../../jobs/producer.ts'
import { controlSimulator, type SimulatorControl } from '../../paddle/simulator/control.ts'
import { startPaddleSimulator } from '../../paddle/simulator/simulator.ts'
import { pause } from '../../runtime/repeat.ts'
import { startTcpProxy, type TcpProxy } from '../drills/tcp-proxy.ts'
import { sweepDeadRuns } from '../embedded/dead-runs.ts'
import { startEmbeddedServers, type EmbeddedServers } from '../embedded/embedded-servers.ts'
import { pickFreePort } from '../embedded/server-process.ts'
import { startServiceProcess } from '../service-process.ts'
import { watchEvidence, type Evidence } from './evidence.ts'
import type { Hook } from './process-hooks.ts'

export type Stage = {
  directory: string
  servers: EmbeddedServers
  /** An operator's connections: what the run looks through, and never what it works through. */
  db: Db
  redis: Redis
  producer: Producer
  control: SimulatorControl
  workers: Member[]
  api: Member
  apiUrl: string
  operatorKey: string
  proxy: TcpProxy
  evidence: Evidence
  /** How long a job belongs to a worker that is not heard of, and then how long until somebody looks. */
  lockMs: number
  stalledMs: number
  /** Processes that ended although nobody had ended them. */
  endedByThemselves: string[]
  stop: () => Promise<void>
}

/** A process of ours that faults happen to. It is started again whenever it ends. */
export type Member = {
  name: string
  signal: (signal: NodeJS.Signals) => void
  tell: (hook: Hook) => void
  /** Sends the signal and waits until the process has gone. Shape: its exit code, or the signal that ended it. */
  end: (signal: 'SIGTERM' | 'SIGKILL') => Promise<string | number>
  /** Until it answers. */
  untilUp: () => Promise<void>
}

/** The names of our own connections begin so; a massacre of connections spares them. */
export const ownConnectionName = 'chaos'
export const queuePrefix = '{chaos}'

const checkout = resolve(import.meta.dirname, '..', '..')
const hooks = join(import.meta.dirname, 'process-hooks.ts')
const operatorKey = 'operator-of-the-chaos-run'
/** Under faults a dead worker's jobs shall come back within the run; in peace locks are as long as anywhere. */
const locksOf = {
  faults: { lockMs: 2_000, stalledMs: 1_000 },
  peace: { lockMs: 30_000, stalledMs: 10_000 },
} as const
/** How long the producer waits for Redis: short, so that an outage is an error and not only a delay. */
const producerTimeoutMs = 500
const upWithinMs = 120_000
const lookWithinMs = 60_000

/** The charge protocol's minutes as milliseconds, and no limit that Paddle sets: a run has no hours to wait. */
const workerTiming = {
  CHARGES_PER_MINUTE: '10000',
  CHARGE_SEND_WITHIN_MS: '1000',
  CHARGE_TIMEOUT_MS: '1000',
  CHARGE_QUIET_PERIOD_MS: '6000',
  CHARGE_RETRY_MS: '200',
}

const apiTiming = { API_RATE_LIMIT: '1000000', CALL_SILENT_AFTER_MS: '8000', OPERATOR_KEY: operatorKey }

const prefix = 'voice-wallet-chaos-'

/** `under`: whether anything is to break. */
export async function startStage({
  log,
  keep,
  under,
}: {
  log: (message: string) => void
  keep: boolean
  under: keyof typeof locksOf
}): Promise<Stage> {
  const { lockMs, stalledMs } = locksOf[under]
  const ending: (() => Promise<unknown>)[] = []
  const stop = async (): Promise<void> => {
    for (const end of ending.toReversed()) await end()
  }
  try {
    await sweepDeadRuns(prefix)
    const directory = await mkdtemp(join(tmpdir(), `${prefix}${process.pid}-`))
    ending.push(async () => {
      if (keep) log(`kept: ${directory}`)
      else await rm(directory, { recursive: true, force: true })
    })
    let isUp = false
    const servers = await startEmbeddedServers({
      dataDirectory: directory,
      durability: 'durable',
      // Once it runs, servers that end are what this is about.
      log: (message) => isUp || log(message),
    })
    isUp = true
    ending.push(() => servers.stop())
    await migrateToLatest(servers.databaseUrl)
    const db = connect(servers.databaseUrl, { profile: 'operator', name: ownConnectionName, poolSize: 4 })
    ending.push(() => db.destroy())
    const redis = new Redis(servers.redisUrl, { maxRetriesPerRequest: 1, commandTimeout: 1_000 })
    redis.on('error', () => undefined)
    ending.push(async () => redis.disconnect())
    const producer = createProducer(servers.redisUrl, { prefix: queuePrefix, timeoutMs: producerTimeoutMs })
    ending.push(() => producer.close())
    const { hostname: host, port } = new URL(servers.databaseUrl)
    const proxy = await startTcpProxy({ host, port: Number.parseInt(port, 10) })
    ending.push(() => proxy.close())

    const simulator = await startPaddleSimulator()
    ending.push(() => simulator.close())
    const control = controlSimulator(simulator.url)
    await control.limits({ requestsPerMinute: null, chargesPerHour: null, chargesPerDay: null })
    await control.webhooks({ retryDelaysMs: [50, 200, 500, ...Array.from({ length: 60 }, () => 1_000)] })
    const environment = {
      DATABASE_URL: servers.databaseUrl,
      REDIS_URL: servers.redisUrl,
      QUEUE_PREFIX: queuePrefix,
      PADDLE_API_KEY: simulator.apiKey,
      PADDLE_ENVIRONMENT: simulator.url,
      PADDLE_PRODUCT_ID: simulator.productId,
      PADDLE_SETUP_PRICE_ID: simulator.setupPriceId,
      PADDLE_WEBHOOK_SECRET: simulator.webhookSecret,
    }
    const endedByThemselves: string[] = []
    const onUnasked = (cause: string): number => endedByThemselves.push(cause)
    const startMember = async (
      options: Pick<MemberOptions, 'name' | 'main' | 'environment' | 'healthUrl'>,
    ): Promise<Member & { pid: () => number | undefined }> => {
      const member = await startMemberProcess({ ...options, directory, onUnasked })
      ending.push(() => member.stop())
      return member
    }
    const apiPort = await pickFreePort()
    const apiUrl = `http://127.0.0.1:${apiPort}`
    const ports = [await pickFreePort(), await pickFreePort()]
    await control.setWebhookUrl(`${apiUrl}/webhooks/paddle`)
    const [api, ...workers] = await Promise.all([
      startMember({
        name: 'api',
        main: 'api/main.ts',
        healthUrl: `${apiUrl}/healthz`,
        environment: { ...environment, ...apiTiming, API_PORT: String(apiPort), OPS_PORT: '0' },
      }),
      ...ports.map((metricsPort, index) =>
        startMember({
          name: `worker-${index + 1}`,
          main: 'workers/main.ts',
          healthUrl: metricsUrl(metricsPort),
          environment: {
            ...environment,
            LOCK_DURATION_MS: String(lockMs),
            STALLED_INTERVAL_MS: String(stalledMs),
            ...workerTiming,
            DATABASE_URL: index === 0 ? proxy.urlOf(servers.databaseUrl) : servers.databaseUrl,
            WORKER_METRICS_PORT: String(metricsPort),
          },
        }),
      ),
    ])
    const evidence = watchEvidence(
      [api, ...workers].map(({ name, pid }, index) => ({
        name,
        pid,
        logPath: join(directory, `${name}.log`),
        metricsUrl: index === 0 ? null : metricsUrl(ports[index - 1] ?? 0),
      })),
    )
    ending.push(() => evidence.stop())
    return {
      directory,
      servers,
      db,
      redis,
      producer,
      control,
      workers,
      api,
      apiUrl,
      operatorKey,
      proxy,
      evidence,
      lockMs,
      stalledMs,
      endedByThemselves,
      stop,
    }
  } catch (error) {
    await stop()
    throw error
  }
}

/** Tries until it holds. Shape: false when it did not in time. */
export async function holds(
  withinMs: number,
  condition: () => Promise<boolean> | boolean,
  everyMs = 50,
): Promise<boolean> {
  const until = performance.now() + withinMs
  for (;;) {
    if (await Promise.resolve(condition()).catch(() => false)) return true
    if (performance.now() >= until) return false
    await pause(everyMs)
  }
}

/**
 * A look at Postgres or Redis that may come while it is away, or while the machine is too busy to answer: the same look again. Only
 * for what we look at and bring about; what is under test gets no help.
 */
export async function lookAgain<Result>(look: () => Promise<Result>): Promise<Result> {
  const until = performance.now() + lookWithinMs
  for (;;) {
    try {
      return await look()
    } catch (error) {
      if (performance.now() >= until) throw error
      await pause(200)
    }
  }
}

type MemberOptions = {
  name: string
  main: string
  environment: Record<string, string>
  /** Answers when the process is up. */
  healthUrl: string
  directory: string
  onUnasked: (cause: string) => void
}

async function startMemberProcess({
  name,
  main,
  environment,
  healthUrl,
  directory,
  onUnasked,
}: MemberOptions): Promise<Member & { pid: () => number | undefined; stop: () => Promise<void> }> {
  let awaited: ((cause: string | number) => void) | null = null
  const service = await startServiceProcess({
    name,
    main: join(checkout, main),
    environment,
    logDirectory: directory,
    log: () => undefined,
    preload: hooks,
    onEnd: (cause) => {
      if (awaited === null)
        onUnasked(`${name} ended (${cause}): ${lastWords(join(directory, `${name}.log`))}`)
      else awaited(cause)
      awaited = null
    },
  })
  const signal = (sent: NodeJS.Signals): void => {
    const pid = service.pid()
    if (pid !== undefined) process.kill(pid, sent)
  }
  return {
    name,
    pid: service.pid,
    signal,
    tell: (hook) => void service.tell(hook),
    end: (sent) =>
      new Promise((done) => {
        awaited = done
        signal(sent)
      }),
    untilUp: async () => {
      if (!(await holds(upWithinMs, () => answers(healthUrl))))
        throw new Error(`${name} did not come back within two minutes`)
    },
    stop: async () => {
      try {
        // One that stands still would not hear the signal.
        signal('SIGCONT')
      } catch {
        // It is just being started again.
      }
      await service.stop()
    },
  }
}

/** The last line that it logged as fatal. */
function lastWords(logPath: string): string {
  const lines = readFileSync(logPath, 'utf8').split('\n')
  return lines.findLast((line) => line.includes('"level":"fatal"')) ?? 'it said nothing'
}

async function answers(url: string): Promise<boolean> {
  return (await fetch(url, { signal: AbortSignal.timeout(500) })).ok
}

function metricsUrl(port: number): string {
  return `http://127.0.0.1:${port}/metrics`
}
