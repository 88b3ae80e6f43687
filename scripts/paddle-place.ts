/**
 * Where Paddle is for this checkout: what PADDLE_API_KEY names, else the simulator of an `npm start` that runs here, else a
 * simulator of our own. Everything that talks to Paddle is told the same way, by its environment.
 */
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { BillingError } from '../billing/billing-error.ts'
import { createPaddleGateway, type PaddleGateway } from '../paddle/gateway.ts'
import { controlSimulator } from '../paddle/simulator/control.ts'
import { startPaddleSimulator } from '../paddle/simulator/simulator.ts'
import { installPaddleTransport } from '../paddle/transport.ts'
import { readPaddleConfig } from '../runtime/config.ts'
import { isAlive } from './embedded/process-table.ts'
import { dataDirectory } from './stack.ts'

/** The PADDLE_ variables. */
export type PaddlePlace = {
  environment: Record<string, string>
  /** The simulator's own URL; null when this is the real Paddle. */
  simulatorUrl: string | null
}

const placePath = join(dataDirectory, 'paddle.json')

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

/** A simulator in this process, which other scripts of this checkout find while we run. Its cards outlive it, in a file. */
export async function startOwnSimulator(): Promise<
  PaddlePlace & {
    simulatorUrl: string
    setWebhookUrl: (url: string) => Promise<void>
    stop: () => Promise<void>
  }
> {
  const simulator = await startPaddleSimulator({ stateFile: join(dataDirectory, 'paddle-simulator.json') })
  const environment = {
    PADDLE_API_KEY: simulator.apiKey,
    PADDLE_ENVIRONMENT: simulator.url,
    PADDLE_PRODUCT_ID: simulator.productId,
    PADDLE_SETUP_PRICE_ID: simulator.setupPriceId,
    PADDLE_WEBHOOK_SECRET: simulator.webhookSecret,
  }
  await writeFile(placePath, JSON.stringify({ pid: process.pid, environment }), { mode: 0o600 })
  return {
    environment,
    simulatorUrl: simulator.url,
    setWebhookUrl: async (url) => {
      await controlSimulator(simulator.url).setWebhookUrl(url)
    },
    stop: async () => {
      await rm(placePath, { force: true })
      await simulator.close()
    },
  }
}

/**
 * Paddle as a script finds it.
 *
 * Throws: BillingError `no_paddle` when there is none.
 */
export async function findPaddle(): Promise<PaddlePlace> {
  const configured = configuredPaddle()
  if (configured !== null) return configured
  const found = await readFile(placePath, 'utf8').catch(() => null)
  const place: unknown = found === null ? null : JSON.parse(found)
  if (isPlace(place) && (await isAlive(place.pid))) {
    return { environment: place.environment, simulatorUrl: place.environment['PADDLE_ENVIRONMENT'] ?? null }
  }
  throw new BillingError(
    'no_paddle',
    'There is no Paddle to talk to: run this while npm start runs in this checkout, or set PADDLE_API_KEY and its companions ' +
      '(see .env.example)',
  )
}

/** A gateway for as long as `work` lasts. */
export async function withGateway<Result>(
  place: PaddlePlace,
  work: (gateway: PaddleGateway, productId: string) => Promise<Result>,
): Promise<Result> {
  const transport = installPaddleTransport()
  const config = readPaddleConfig(place.environment)
  try {
    return await work(createPaddleGateway(config), config.productId)
  } finally {
    await transport.close()
  }
}

function isPlace(value: unknown): value is { pid: number; environment: Record<string, string> } {
  return typeof value === 'object' && value !== null && 'pid' in value && 'environment' in value
}
