/**
 * Where Paddle is for a database: what PADDLE_API_KEY names, else the simulator of an `npm start` that runs on that database,
 * else a simulator of our own. Everything that talks to Paddle is told the same way, by its environment.
 */
import { createHash } from 'node:crypto'
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { BillingError } from '../billing/billing-error.ts'
import type { PaddleGateway } from '../paddle/gateway.ts'
import { openPaddleGateway } from '../paddle/open-gateway.ts'
import { controlSimulator } from '../paddle/simulator/control.ts'
import { startPaddleSimulator } from '../paddle/simulator/simulator.ts'
import type { BusinessClock } from '../runtime/clock.ts'
import { readPaddleConfig } from '../runtime/config.ts'
import { identityOf } from './embedded/process-table.ts'
import { dataDirectory, type Stack } from './stack.ts'

/** The PADDLE_ variables. */
export type PaddlePlace = {
  environment: Record<string, string>
  /** The simulator's own URL; null when this is the real Paddle. */
  simulatorUrl: string | null
}

/** What the environment names; null when it names nothing. */
export function configuredPaddle(): PaddlePlace | null {
  const names = [
    'PADDLE_API_KEY',
    'PADDLE_ENVIRONMENT',
    'PADDLE_PRODUCT_ID',
    'PADDLE_SETUP_PRICE_ID',
    'PADDLE_WEBHOOK_SECRET',
  ]
  if (!process.env['PADDLE_API_KEY']) return null
  const environment = Object.fromEntries(
    names.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name] ?? '']])),
  )
  const url = environment['PADDLE_ENVIRONMENT'] ?? ''
  return { environment, simulatorUrl: url.startsWith('http:') ? url : null }
}

type OwnSimulator = PaddlePlace & { simulatorUrl: string; stop: () => Promise<void> }

/**
 * A simulator in this process, which other scripts find while we run. Its cards outlive it, in a file beside the database, unless
 * that does not outlive us either.
 */
export async function startOwnSimulator(stack: Stack, clock?: BusinessClock): Promise<OwnSimulator> {
  await mkdir(dataDirectory, { recursive: true })
  const { placePath, stateFile } = filesOf({ ...stack, ours: stack.ours && !stack.fresh })
  const simulator = await startPaddleSimulator({ clock, ...(stack.fresh ? {} : { stateFile }) })
  const environment = {
    PADDLE_API_KEY: simulator.apiKey,
    PADDLE_ENVIRONMENT: simulator.url,
    PADDLE_PRODUCT_ID: simulator.productId,
    PADDLE_SETUP_PRICE_ID: simulator.setupPriceId,
    PADDLE_WEBHOOK_SECRET: simulator.webhookSecret,
  }
  const place: FoundPlace = {
    pid: process.pid,
    identity: await identityOf(process.pid),
    database: fingerprint(stack),
    environment,
  }
  await writeFile(placePath, JSON.stringify(place), { mode: 0o600 })
  return {
    environment,
    simulatorUrl: simulator.url,
    stop: async () => {
      await rm(placePath, { force: true })
      await simulator.close()
    },
  }
}

/** Where a simulator says that it runs, and where it keeps its cards: one of each for a database. */
export function filesOf(stack: Pick<Stack, 'databaseUrl' | 'ours'>): {
  placePath: string
  stateFile: string
} {
  const name = stack.ours ? '' : `-${fingerprint(stack)}`
  return {
    placePath: join(dataDirectory, `paddle${name}.json`),
    stateFile: join(dataDirectory, `paddle-simulator${name}.json`),
  }
}

/** Has the webhooks of a simulator sent to an API; the real Paddle is told on its own pages. */
export async function sendWebhooksTo({ simulatorUrl }: PaddlePlace, apiUrl: string): Promise<void> {
  if (simulatorUrl === null) return
  await controlSimulator(simulatorUrl).setWebhookUrl(`${apiUrl}/webhooks/paddle`)
}

/**
 * Paddle as a script finds it that works on this database.
 *
 * Throws: BillingError `no_paddle` when there is none.
 */
export async function findPaddle(stack: Stack): Promise<PaddlePlace> {
  const configured = configuredPaddle()
  if (configured !== null) return configured
  const database = fingerprint(stack)
  // The servers of an `npm start` are its own, and not those of the script that works on them.
  for (const ours of [true, false]) {
    const { placePath } = filesOf({ ...stack, ours })
    const found = await readFile(placePath, 'utf8').catch(() => null)
    const place: unknown = found === null ? null : JSON.parse(found)
    if (!isFoundPlace(place) || place.database !== database) continue
    if ((await identityOf(place.pid)) !== place.identity) continue
    const { environment } = place
    return { environment, simulatorUrl: environment['PADDLE_ENVIRONMENT'] ?? null }
  }
  throw new BillingError(
    'no_paddle',
    'there is no Paddle to talk to: run this while npm start runs in this checkout,\n' +
      'or set PADDLE_API_KEY and its companions (npm run -s paddle-simulator prints some)',
  )
}

/** A gateway for as long as `work` lasts. */
export async function withGateway<Result>(
  place: PaddlePlace,
  work: (gateway: PaddleGateway, productId: string) => Promise<Result>,
): Promise<Result> {
  const config = readPaddleConfig(place.environment)
  const { gateway, close } = await openPaddleGateway(config)
  try {
    return await work(gateway, config.productId)
  } finally {
    await close()
  }
}

/** Written by whoever runs a simulator, for as long as it runs. */
type FoundPlace = {
  pid: number
  identity: string | null
  database: string
  environment: Record<string, string>
}

function isFoundPlace(value: unknown): value is FoundPlace {
  return (
    typeof value === 'object' &&
    value !== null &&
    'pid' in value &&
    'identity' in value &&
    'database' in value &&
    'environment' in value
  )
}

/** Which database it is, without its password. */
function fingerprint({ databaseUrl }: Pick<Stack, 'databaseUrl'>): string {
  const { host, pathname } = new URL(databaseUrl)
  return createHash('sha256').update(`${host}${pathname}`).digest('hex').slice(0, 12)
}
