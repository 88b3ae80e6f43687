/**
 * What a drill stands on: throwaway Postgres and Redis (or the ones that are named), a Paddle simulator, the API and workers, with
 * the charge protocol's minutes run as milliseconds, so that a quarter of an hour can be waited for.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'

import { defaultChargeTiming, type ChargeTiming } from '../../billing/top-up.ts'
import { connect } from '../../db/connect.ts'
import { migrateToLatest } from '../../db/migrate.ts'
import type { Db } from '../../db/schema.ts'
import { controlSimulator, type SimulatorControl } from '../../paddle/simulator/control.ts'
import { startPaddleSimulator } from '../../paddle/simulator/simulator.ts'
import { startEmbeddedServers } from '../embedded/embedded-servers.ts'
import { startServiceProcess, type ServiceProcess } from '../service-process.ts'

export type DrillStack = {
  db: Db
  /** Where the API answers. */
  apiUrl: string
  control: SimulatorControl
  /** Started again by itself when it is killed. */
  workers: ServiceProcess
  timing: ChargeTiming
  /** How many milliseconds of the protocol pass in one of ours. */
  speed: number
  paddleEnvironment: PaddleEnvironment
  stop: () => Promise<void>
}

const checkout = resolve(import.meta.dirname, '..', '..')

/** The protocol's quarter of an hour in six seconds. What is waited for in it is waited for as much less. */
const drillTiming: ChargeTiming = {
  sendWithinMs: 500,
  chargeTimeoutMs: 1_000,
  quietPeriodMs: 6_000,
  retryMs: 200,
}

/** What there is before the API and the workers start. */
export type DrillGround = {
  databaseUrl: string
  control: SimulatorControl
  paddleEnvironment: PaddleEnvironment
}

/** For processes that are to find the simulator. */
type PaddleEnvironment = Record<
  | 'PADDLE_API_KEY'
  | 'PADDLE_ENVIRONMENT'
  | 'PADDLE_PRODUCT_ID'
  | 'PADDLE_SETUP_PRICE_ID'
  | 'PADDLE_WEBHOOK_SECRET',
  string
>

/** Shape: `prepare` is done before anything runs that would act upon it. */
export async function startDrillStack(
  log: (message: string) => void,
  prepare: (ground: DrillGround) => Promise<void> = async () => undefined,
): Promise<DrillStack> {
  const ending: (() => Promise<unknown>)[] = []
  const stop = async (): Promise<void> => {
    for (const end of ending.toReversed()) await end()
  }
  try {
    const dataDirectory = await mkdtemp(join(tmpdir(), `voice-wallet-drill-${process.pid}-`))
    ending.push(() => rm(dataDirectory, { recursive: true, force: true }))
    const databaseUrl = process.env['DATABASE_URL']
    const servers = await startEmbeddedServers({
      dataDirectory,
      log,
      databaseUrl,
      redisUrl: process.env['REDIS_URL'],
    })
    ending.push(() => servers.stop())
    if (!databaseUrl) await migrateToLatest(servers.databaseUrl)
    const db = connect(servers.databaseUrl, { profile: 'operator', name: 'drill', poolSize: 4 })
    ending.push(() => db.destroy())

    const simulator = await startPaddleSimulator()
    ending.push(() => simulator.close())
    const paddleEnvironment = {
      PADDLE_API_KEY: simulator.apiKey,
      PADDLE_ENVIRONMENT: simulator.url,
      PADDLE_PRODUCT_ID: simulator.productId,
      PADDLE_SETUP_PRICE_ID: simulator.setupPriceId,
      PADDLE_WEBHOOK_SECRET: simulator.webhookSecret,
    }
    const environment = {
      DATABASE_URL: servers.databaseUrl,
      REDIS_URL: servers.redisUrl,
      API_PORT: '0',
      OPS_PORT: '0',
      LOCK_DURATION_MS: '1000',
      STALLED_INTERVAL_MS: '500',
      CHARGES_PER_MINUTE: '10000',
      CHARGE_SEND_WITHIN_MS: String(drillTiming.sendWithinMs),
      CHARGE_TIMEOUT_MS: String(drillTiming.chargeTimeoutMs),
      CHARGE_QUIET_PERIOD_MS: String(drillTiming.quietPeriodMs),
      CHARGE_RETRY_MS: String(drillTiming.retryMs),
      ...paddleEnvironment,
    }
    const startProcess = async (name: string, main: string): Promise<ServiceProcess> => {
      const service = await startServiceProcess({
        name,
        main: join(checkout, main),
        environment,
        logDirectory: dataDirectory,
        log,
      })
      ending.push(() => service.stop())
      return service
    }
    const control = controlSimulator(simulator.url)
    await control.limits({ requestsPerMinute: null, chargesPerHour: null, chargesPerDay: null })
    await prepare({ databaseUrl: servers.databaseUrl, control, paddleEnvironment })
    const api = await startProcess('api', 'api/main.ts')
    const apiUrl = readyUrl(api.said)
    await control.setWebhookUrl(`${apiUrl}/webhooks/paddle`)
    const workers = await startProcess('workers', 'workers/main.ts')
    const speed = defaultChargeTiming.quietPeriodMs / drillTiming.quietPeriodMs
    return { db, apiUrl, control, workers, timing: drillTiming, speed, paddleEnvironment, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

/** Where a service said that it answers. */
function readyUrl(said: unknown): string {
  if (typeof said === 'object' && said !== null && 'ready' in said) return String(said.ready)
  throw new Error('the API did not say where it answers')
}
