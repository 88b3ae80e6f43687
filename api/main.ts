/** The API process: reads the environment, wires everything by hand, and ends well. */
import { connect } from '../db/connect.ts'
import { assertMigrated } from '../db/migrate.ts'
import { readApiConfig, type ApiConfig } from '../runtime/config.ts'
import { createLog, type Log } from '../runtime/log.ts'
import { createHttpMetrics } from '../runtime/metrics.ts'
import { closeOnSignal } from '../runtime/shutdown.ts'
import { startOps } from './ops.ts'
import { connectPaddle } from './paddle-context.ts'
import { createServer } from './server.ts'

async function main(): Promise<void> {
  const config = readApiConfig(process.env)
  const log = createLog(config.logLevel, 'api')
  const started = startApi(config, log)
  closeOnSignal(async () => (await started).close(), { log })
  const { url } = await started
  process.send?.({ ready: url })
}

async function startApi(config: ApiConfig, log: Log): Promise<{ url: string; close: () => Promise<void> }> {
  const onConnectionLost = (error: Error): void => {
    log.warn({ err: error }, 'lost a connection to Postgres; the pool opens another')
  }
  const { databaseUrl } = config
  const clock = config.clock?.setting
  if (clock !== undefined) log.warn({ clock }, 'the books are not dated by the real time')
  const db = connect(databaseUrl, { profile: 'worker', name: 'api', poolSize: 8, clock, onConnectionLost })
  // Admission uses one at a time; the others are for when one has died without saying so.
  const admissionDb = connect(databaseUrl, {
    profile: 'posting',
    name: 'admission',
    poolSize: 3,
    clock,
    onConnectionLost,
  })
  await assertMigrated(db)
  const http = createHttpMetrics()
  const paddle = await connectPaddle(config.paddle, log, http.onPaddleCall)
  if (paddle === null) log.warn('PADDLE_API_KEY is not set: no checkout is opened and no top-up is taken')
  const ops = await startOps(config.ops, { databaseUrl, clock, log, http })
  const server = createServer({
    db,
    log,
    http,
    pingRedis: ops.pingRedis,
    operatorKey: config.operatorKey,
    rateLimit: {
      perMinute: config.callsPerMinute,
      redisUrl: config.ops.redisUrl,
      prefix: config.ops.queuePrefix,
    },
    trustedProxies: config.trustedProxies,
    webhooks: { secrets: config.webhookSecrets, toleranceMs: config.webhookToleranceMs },
    paddle: paddle?.gateway ?? null,
    paddleClient: config.paddleClient,
    mostTopUpMicros: config.mostTopUpMicros,
    admission: { db: admissionDb, silentAfterMs: config.callSilentAfterMs },
  })
  const url = await server.listen({ host: config.host, port: config.port })
  log.info({ url }, 'the API answers')
  return {
    url,
    close: async () => {
      await Promise.all([server.close(), ops.close()])
      await Promise.all([db.destroy(), admissionDb.destroy(), paddle?.close()])
    },
  }
}

main().catch((error: unknown) => {
  createLog('info', 'api').fatal({ err: error }, 'the API cannot start')
  process.exit(1)
})
