/** The worker process: reads the environment, wires everything by hand, and ends well. */
import { Queue } from 'bullmq'
import { Redis } from 'ioredis'

import type { ChargeTiming } from '../billing/top-up.ts'
import { connect } from '../db/connect.ts'
import { assertMigrated } from '../db/migrate.ts'
import { openPaddleGateway } from '../paddle/open-gateway.ts'
import { readWorkerConfig, type PaddleConfig, type WorkerConfig } from '../runtime/config.ts'
import { createLog, type Log } from '../runtime/log.ts'
import { createWorkerMetrics, serveMetrics, type PaddleCallSeen } from '../runtime/metrics.ts'
import { closeOnSignal } from '../runtime/shutdown.ts'
import { startBlockSweep } from './block-sweep.ts'
import { startHeartbeatWorker, watchHeartbeat } from './heartbeat.ts'
import { startChargeWorker, type Charging } from './charge-worker.ts'
import { startChargingWatch } from './charging-watch.ts'
import { startMoneyInSweeps } from './money-in-sweep.ts'
import { startPaddleEventWorker } from './paddle-event-worker.ts'
import { createPostingBatch } from './posting-batch.ts'
import { assertDurableRedis } from './redis-check.ts'
import { startRelay } from './relay.ts'
import { startRentalWorker } from './rental-worker.ts'
import { createRounds } from './rounds.ts'
import { startSchedules } from './schedule-worker.ts'
import type { StartedWorker, WorkerContext } from './start-worker.ts'
import { startSweeps } from './sweep.ts'
import { startUsageWorkers } from './usage-worker.ts'
import { startWorkspaceWorker } from './workspace-worker.ts'

async function main(): Promise<void> {
  const config = readWorkerConfig(process.env)
  const log = createLog(config.logLevel, 'workers')
  // A signal may come while we start: it then ends what has been started by that time.
  const started = startWorkers(config, log)
  closeOnSignal(async () => (await started)(), { log })
  await started
  process.send?.('ready')
}

async function startWorkers(config: WorkerConfig, log: Log): Promise<() => Promise<void>> {
  const stopping = new AbortController()
  const connection = new Redis(config.redisUrl, { maxRetriesPerRequest: null })
  let ready = false
  connection.on('error', (error) => {
    // Once it runs, every worker reports the loss of its queue; the connection need not say it again.
    if (ready) log.debug({ err: error }, 'redis connection error')
    else log.warn({ err: error }, 'waiting for Redis')
  })
  await assertDurableRedis(connection)
  ready = true

  const onConnectionLost = (error: Error): void => {
    log.warn({ err: error }, 'lost a connection to Postgres; the pool opens another')
  }
  const clock = config.clock?.setting
  if (clock !== undefined) log.warn({ clock }, 'the books are not dated by the real time')
  const postingDb = connect(config.databaseUrl, {
    profile: 'posting',
    name: 'posting',
    poolSize: 1,
    clock,
    onConnectionLost,
  })
  const db = connect(config.databaseUrl, {
    profile: 'worker',
    name: 'workers',
    poolSize: 8,
    clock,
    onConnectionLost,
  })
  await assertMigrated(db)
  const metrics = config.metrics === undefined ? null : createWorkerMetrics()
  const context = {
    connection,
    onJob: metrics?.onJob,
    prefix: config.queuePrefix,
    log,
    lockDurationMs: config.lockDurationMs,
    stalledIntervalMs: config.stalledIntervalMs,
  }
  const queues = queuesOf(connection, config.queuePrefix, log)
  const paddle =
    config.paddle === null
      ? null
      : await connectPaddle(config.paddle, config.chargeTiming, log, metrics?.onPaddleCall)
  if (paddle === null) log.warn('PADDLE_API_KEY is not set: recharges are decided, but no card is charged')

  const lane = createPostingBatch({
    db: postingDb,
    log,
    most: config.postingBatchSize,
    onBatch: ({ events, durationMs }) => {
      log.debug({ events, durationMs: Math.round(durationMs) }, 'usage posted')
      metrics?.onBatch({ events, durationMs })
    },
  })
  const batch = metrics === null ? lane : { ...lane, post: metrics.measured(lane.post) }
  const workers = [
    ...startUsageWorkers(context, {
      db,
      batch,
      workers: config.usageWorkers,
      concurrency: config.usageConcurrency,
    }),
    startWorkspaceWorker(context, { db, batch, stopping: stopping.signal }),
    startRentalWorker(context, { db, batch, stopping: stopping.signal }),
    startHeartbeatWorker(context, db),
    ...(paddle === null ? [] : startMoneyInWorkers(context, { db, log, ...paddle }, config.chargesPerMinute)),
  ]
  const repeating = [
    startRelay({ db, log, queueNamed: queues.named }),
    ...startSweeps({ db, log, batch, queueNamed: queues.named }),
    ...startMoneyInSweeps({ db, log, queueNamed: queues.named }),
    startBlockSweep({ db, log }),
    ...(paddle === null ? [] : [startChargingWatch({ db, log, ...paddle })]),
    watchHeartbeat(context, { db, onWedged: () => process.exit(1) }),
  ]
  const rounds = createRounds({
    db,
    databaseUrl: config.databaseUrl,
    log,
    redis: connection,
    queueNamed: queues.named,
    paddle,
  })
  const scheduling = await startSchedules(
    { ...context, db, queueNamed: queues.named },
    { rounds, rate: config.clock?.rate ?? 1, signal: stopping.signal },
  )
  const listener =
    metrics === null || config.metrics === undefined
      ? null
      : await serveMetrics({ ...config.metrics, log, text: metrics.text })
  log.info(
    { usageWorkers: config.usageWorkers, usageConcurrency: config.usageConcurrency },
    'workers are ready',
  )

  return async () => {
    stopping.abort()
    const closed = Promise.all([scheduling, ...workers].map((worker) => worker.close()))
    // Jobs in hand finish within moments, unless Postgres is away: then they are given back.
    const givingUp = setTimeout(() => void batch.close(), 10_000)
    await closed
    clearTimeout(givingUp)
    await batch.close()
    await Promise.all(repeating.map((each) => each.stop()))
    await Promise.all([queues.close(), listener?.close()])
    connection.disconnect()
    await Promise.all([db.destroy(), postingDb.destroy(), paddle?.close()])
  }
}

function startMoneyInWorkers(context: WorkerContext, charging: Charging, perMinute: number): StartedWorker[] {
  return [startChargeWorker(context, charging, { perMinute }), startPaddleEventWorker(context, charging)]
}

async function connectPaddle(
  { productId, ...paddle }: PaddleConfig,
  timing: ChargeTiming,
  log: Log,
  onCall?: (call: PaddleCallSeen) => void,
) {
  const { gateway, close } = await openPaddleGateway({
    ...paddle,
    productId,
    timeouts: { chargeMs: timing.chargeTimeoutMs },
    onCall: (call) => {
      log.debug({ call }, 'asked Paddle')
      onCall?.(call)
    },
  })
  return { gateway, productId, timing, close }
}

function queuesOf(connection: Redis, prefix: string, log: Log) {
  const queues = new Map<string, Queue>()
  return {
    named: (name: string): Queue => {
      const queue = queues.get(name) ?? new Queue(name, { connection, prefix })
      if (!queues.has(name)) queue.on('error', (error) => log.debug({ err: error }, 'queue error'))
      queues.set(name, queue)
      return queue
    },
    close: async (): Promise<void> => {
      await Promise.all([...queues.values()].map((queue) => queue.close()))
    },
  }
}

main().catch((error: unknown) => {
  createLog('info', 'workers').fatal({ err: error }, 'the workers cannot start')
  process.exit(1)
})
