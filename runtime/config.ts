/** The environment, read once and checked. Every setting is listed here and in .env.example. */
import { z } from 'zod'

import { BillingError } from '../billing/billing-error.ts'
import { parseUsd, type Micros } from '../billing/money.ts'
import { describeIssues } from '../billing/parse-issues.ts'
import {
  defaultChargeTiming,
  leastTopUpMicros,
  mostTopUpMicros,
  type ChargeTiming,
} from '../billing/top-up.ts'
import { defaultQueuePrefix } from '../jobs/queues.ts'
import { parseClock, type BusinessClock } from './clock.ts'

const url = (protocols: readonly string[], example: string) =>
  z
    .string(`is missing; expected a URL such as ${example}`)
    .refine(
      (text) => URL.canParse(text) && protocols.includes(new URL(text).protocol),
      `expected a URL such as ${example}`,
    )

const count = (fallback: number, most: number) =>
  z.coerce.number().pipe(z.int().min(1).max(most)).prefault(fallback)

const milliseconds = (fallback: number, most = 600_000) =>
  z.coerce.number().pipe(z.int().min(100).max(most)).prefault(fallback)

/** Compose passes on what is not set as nothing. */
const unlessEmpty = <Schema extends z.ZodType>(schema: Schema) =>
  z.preprocess((text) => (text === '' ? undefined : text), schema.optional())

const clock = z.string().transform((text, context) => {
  try {
    return parseClock(text)
  } catch (error) {
    context.addIssue(error instanceof BillingError ? error.message : 'cannot be read')
    return z.NEVER
  }
})

const processFields = {
  DATABASE_URL: url(['postgres:', 'postgresql:'], 'postgres://user:password@localhost:5432/wallet'),
  LOG_LEVEL: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']).prefault('info'),
  WALLET_CLOCK: unlessEmpty(clock),
}

const paddleFields = {
  PADDLE_API_KEY: z.string('is missing; expected a key of Paddle').min(1),
  PADDLE_ENVIRONMENT: z.string('is missing; expected production, sandbox or the URL of a simulator').min(1),
  PADDLE_PRODUCT_ID: z
    .string('is missing; npm run -s paddle-setup makes one')
    .regex(/^pro_[a-z\d]{26}$/, 'expected a product id such as pro_01h...'),
  PADDLE_SETUP_PRICE_ID: z
    .string('is missing; npm run -s paddle-setup makes one')
    .regex(/^pri_[a-z\d]{26}$/, 'expected a price id such as pri_01h...'),
}

const workerEnvironment = z.object({
  ...processFields,
  REDIS_URL: url(['redis:', 'rediss:'], 'redis://:password@localhost:6379'),
  QUEUE_PREFIX: z.string().min(1).prefault(defaultQueuePrefix),
  USAGE_WORKERS: count(8, 64),
  USAGE_CONCURRENCY: count(128, 1_000),
  POSTING_BATCH_SIZE: count(500, 5_000),
  LOCK_DURATION_MS: milliseconds(30_000),
  STALLED_INTERVAL_MS: milliseconds(10_000),
  CHARGES_PER_MINUTE: count(80, 10_000),
  CHARGE_SEND_WITHIN_MS: milliseconds(defaultChargeTiming.sendWithinMs),
  CHARGE_TIMEOUT_MS: milliseconds(defaultChargeTiming.chargeTimeoutMs),
  CHARGE_QUIET_PERIOD_MS: milliseconds(defaultChargeTiming.quietPeriodMs, 86_400_000),
  CHARGE_RETRY_MS: milliseconds(defaultChargeTiming.retryMs),
})

/** Micro-dollars. */
const topUpMaximum = z
  .string()
  .regex(/^[1-9]\d{0,4}(?:\.\d{1,2})?$/, 'expected dollars such as 2000')
  .transform(parseUsd)
  .refine(
    (amount) => amount >= leastTopUpMicros && amount <= mostTopUpMicros,
    'expected dollars from 5 to 10000',
  )
  .prefault('2000')

/** Addresses and networks, separated by commas. */
const addressList = z
  .string()
  .transform((text) => text.split(',').map((address) => address.trim()))
  .pipe(
    z.array(z.union([z.ipv4(), z.ipv6(), z.cidrv4(), z.cidrv6()], 'expected addresses such as 10.0.0.0/8')),
  )

const apiEnvironment = z.object({
  ...processFields,
  API_HOST: z.string().min(1).prefault('127.0.0.1'),
  API_PORT: z.coerce.number().pipe(z.int().min(0).max(65_535)).prefault(8080),
  PADDLE_WEBHOOK_SECRET: z
    .string('is missing; expected the secret key of the notification destination at Paddle')
    .transform((text) => text.split(',').map((secret) => secret.trim()))
    .refine(
      (secrets) => secrets.every((secret) => secret.length >= 16),
      'expected secrets of at least 16 characters, separated by commas',
    ),
  PADDLE_WEBHOOK_TOLERANCE_MS: milliseconds(60_000),
  TOP_UP_MAX_USD: topUpMaximum,
  PADDLE_CLIENT_TOKEN: unlessEmpty(
    z.string().regex(/^(?:live|test)_[A-Za-z0-9]{20,64}$/, 'expected a client-side token such as test_...'),
  ),
  CALL_SILENT_AFTER_MS: milliseconds(900_000, 86_400_000),
  OPERATOR_KEY: unlessEmpty(
    z.string().regex(/^[\x21-\x7e]{24,256}$/, 'expected 24 to 256 characters without spaces'),
  ),
  API_RATE_LIMIT: count(600, 1_000_000),
  API_TRUSTED_PROXIES: unlessEmpty(addressList),
})

const paddleEnvironment = z.object(paddleFields)

const portNumber = z.coerce.number().pipe(z.int().min(0).max(65_535))

const opsHost = z.string().min(1).prefault('127.0.0.1')

const opsEnvironment = z
  .object({
    OPS_HOST: opsHost,
    OPS_PORT: portNumber.prefault(9464),
    OPS_USER: unlessEmpty(z.string().regex(/^[^:]+$/, 'expected a name without a colon')),
    OPS_PASSWORD: unlessEmpty(z.string().min(12, 'expected at least 12 characters')),
    BULL_BOARD_WRITABLE: z.enum(['true', 'false']).prefault('false'),
    REDIS_URL: unlessEmpty(url(['redis:', 'rediss:'], 'redis://:password@localhost:6379')),
    QUEUE_PREFIX: z.string().min(1).prefault(defaultQueuePrefix),
  })
  .refine(({ OPS_USER, OPS_PASSWORD }) => (OPS_USER === undefined) === (OPS_PASSWORD === undefined), {
    path: ['OPS_PASSWORD'],
    error: 'expected with OPS_USER, or neither',
  })

const workerMetricsEnvironment = z.object({
  OPS_HOST: opsHost,
  WORKER_METRICS_PORT: unlessEmpty(portNumber),
})

export type WorkerConfig = {
  databaseUrl: string
  redisUrl: string
  /** What every Redis key of the queues begins with. */
  queuePrefix: string
  logLevel: z.infer<typeof workerEnvironment>['LOG_LEVEL']
  /** BullMQ workers on the usage queue in this process. They feed one posting batch. */
  usageWorkers: number
  /** Jobs that each of them holds at once. */
  usageConcurrency: number
  /** The most events in one Postgres transaction. */
  postingBatchSize: number
  /** How long a job belongs to a worker that has not been heard of; a living one renews in half that time. */
  lockDurationMs: number
  /** How often workers look for jobs whose worker is gone. A crashed worker's jobs run again after at most both together. */
  stalledIntervalMs: number
  /** Null without a Paddle key: usage is posted and recharges are decided, but no card is charged. */
  paddle: PaddleConfig | null
  /** The most charges that are begun in a minute, over all processes. Paddle allows 240 requests; a charge takes two or three. */
  chargesPerMinute: number
  chargeTiming: ChargeTiming
  /** Absent in production: the books are dated by the real time. */
  clock?: BusinessClock
  /** Where this process serves its own metrics; absent: nowhere. */
  metrics?: { host: string; port: number }
}

export type PaddleConfig = {
  apiKey: string
  /** `production`, `sandbox`, or the URL of a simulator on this machine. */
  environment: string
  /** What top-ups are sold as. */
  productId: string
  /** The price of nothing a year whose subscription keeps a card. */
  setupPriceId: string
}

export type ApiConfig = {
  databaseUrl: string
  logLevel: WorkerConfig['logLevel']
  host: string
  /** 0: a free one. */
  port: number
  /** Several while a secret is being replaced. */
  webhookSecrets: readonly string[]
  /** How far a webhook's time may be from ours, either way. */
  webhookToleranceMs: number
  /** Null without a Paddle key: the API opens no checkout and takes no top-up. */
  paddle: PaddleConfig | null
  /** Shows the checkout over the wallet page; null sends customers to the checkout's own page. */
  paddleClient: { token: string; environment: 'production' | 'sandbox' } | null
  /** The most that one top-up may bring. */
  mostTopUpMicros: Micros
  /** How long a call that nobody mentions keeps its hold. */
  callSilentAfterMs: number
  /** Of whoever runs this deployment; null: nobody opens workspaces by HTTP. */
  operatorKey: string | null
  /** How often one key, or one address without a key, may call in a minute. */
  callsPerMinute: number
  /** Proxies that say for whom they call. */
  trustedProxies: readonly string[]
  /** Absent in production: the books are dated by the real time. */
  clock?: BusinessClock
  ops: OpsConfig
}

/** The listener of whoever runs this. */
export type OpsConfig = {
  host: string
  /** 0: a free one. */
  port: number
  /** Who may see the queues, and whether they may change them; null: they are not shown. */
  board: { user: string; password: string; writable: boolean } | null
  /** Null: queues are neither counted nor shown. */
  redisUrl: string | null
  queuePrefix: string
}

/** Throws: BillingError `malformed_configuration`, naming every variable that is wrong. */
export function readWorkerConfig(env: NodeJS.ProcessEnv): WorkerConfig {
  const read = parse(workerEnvironment, env)
  const chargeTiming = {
    sendWithinMs: read.CHARGE_SEND_WITHIN_MS,
    chargeTimeoutMs: read.CHARGE_TIMEOUT_MS,
    quietPeriodMs: read.CHARGE_QUIET_PERIOD_MS,
    retryMs: read.CHARGE_RETRY_MS,
  }
  if (chargeTiming.quietPeriodMs <= chargeTiming.sendWithinMs + chargeTiming.chargeTimeoutMs) {
    throw new BillingError(
      'malformed_configuration',
      'CHARGE_QUIET_PERIOD_MS must be longer than CHARGE_SEND_WITHIN_MS and CHARGE_TIMEOUT_MS together: a charge that may ' +
        'still be under way would be sent again',
    )
  }
  const paddle = findPaddleConfig(env)
  const { WALLET_CLOCK: clock } = read
  assertClockBeside(paddle, clock)
  return {
    databaseUrl: read.DATABASE_URL,
    redisUrl: read.REDIS_URL,
    queuePrefix: read.QUEUE_PREFIX,
    logLevel: read.LOG_LEVEL,
    usageWorkers: read.USAGE_WORKERS,
    usageConcurrency: read.USAGE_CONCURRENCY,
    postingBatchSize: read.POSTING_BATCH_SIZE,
    lockDurationMs: read.LOCK_DURATION_MS,
    stalledIntervalMs: read.STALLED_INTERVAL_MS,
    paddle,
    chargesPerMinute: read.CHARGES_PER_MINUTE,
    ...(clock === undefined
      ? { chargeTiming }
      : { clock, chargeTiming: { ...chargeTiming, clockRate: clock.rate } }),
    ...readWorkerMetrics(env),
  }
}

/** Nobody moves Paddle's own clock: beside another one, what it did today would look months old, and be charged again. */
function assertClockBeside(paddle: PaddleConfig | null, clock: BusinessClock | undefined): void {
  if (clock !== undefined && paddle !== null && !paddle.environment.startsWith('http:')) {
    throw new BillingError(
      'malformed_configuration',
      `WALLET_CLOCK is for demos and tests: it must not be set where PADDLE_ENVIRONMENT is ${paddle.environment}`,
    )
  }
}

function readWorkerMetrics(env: NodeJS.ProcessEnv): Pick<WorkerConfig, 'metrics'> {
  const { OPS_HOST: host, WORKER_METRICS_PORT: port } = parse(workerMetricsEnvironment, env)
  return port === undefined ? {} : { metrics: { host, port } }
}

function readOpsConfig(env: NodeJS.ProcessEnv): OpsConfig {
  const read = parse(opsEnvironment, env)
  const { OPS_USER: user, OPS_PASSWORD: password } = read
  return {
    host: read.OPS_HOST,
    port: read.OPS_PORT,
    board:
      user === undefined || password === undefined
        ? null
        : { user, password, writable: read.BULL_BOARD_WRITABLE === 'true' },
    redisUrl: read.REDIS_URL ?? null,
    queuePrefix: read.QUEUE_PREFIX,
  }
}

/** Throws: BillingError `malformed_configuration`, naming every variable that is wrong. */
export function readPaddleConfig(env: NodeJS.ProcessEnv): PaddleConfig {
  const read = parse(paddleEnvironment, env)
  return {
    apiKey: read.PADDLE_API_KEY,
    environment: read.PADDLE_ENVIRONMENT,
    productId: read.PADDLE_PRODUCT_ID,
    setupPriceId: read.PADDLE_SETUP_PRICE_ID,
  }
}

function findPaddleConfig(env: NodeJS.ProcessEnv): PaddleConfig | null {
  return env['PADDLE_API_KEY'] === undefined || env['PADDLE_API_KEY'] === '' ? null : readPaddleConfig(env)
}

/** Paddle.js knows Paddle's two environments and no simulator. */
function paddleClientOf(paddle: PaddleConfig | null, token: string | undefined): ApiConfig['paddleClient'] {
  const environment = paddle?.environment
  if (token === undefined || (environment !== 'production' && environment !== 'sandbox')) return null
  if ((environment === 'production') === token.startsWith('live_')) return { token, environment }
  throw new BillingError(
    'malformed_configuration',
    'PADDLE_CLIENT_TOKEN is of the other environment than PADDLE_ENVIRONMENT: live_ goes with production, test_ with sandbox',
  )
}

/** Throws: BillingError `malformed_configuration`, naming every variable that is wrong. */
export function readApiConfig(env: NodeJS.ProcessEnv): ApiConfig {
  const read = parse(apiEnvironment, env)
  const paddle = findPaddleConfig(env)
  const { WALLET_CLOCK: clock } = read
  assertClockBeside(paddle, clock)
  return {
    databaseUrl: read.DATABASE_URL,
    logLevel: read.LOG_LEVEL,
    host: read.API_HOST,
    port: read.API_PORT,
    webhookSecrets: read.PADDLE_WEBHOOK_SECRET,
    webhookToleranceMs: read.PADDLE_WEBHOOK_TOLERANCE_MS,
    paddle,
    paddleClient: paddleClientOf(paddle, read.PADDLE_CLIENT_TOKEN),
    mostTopUpMicros: read.TOP_UP_MAX_USD,
    callSilentAfterMs: read.CALL_SILENT_AFTER_MS,
    operatorKey: read.OPERATOR_KEY ?? null,
    callsPerMinute: read.API_RATE_LIMIT,
    trustedProxies: read.API_TRUSTED_PROXIES ?? [],
    ...(clock === undefined ? {} : { clock }),
    ops: readOpsConfig(env),
  }
}

function parse<Schema extends z.ZodType>(schema: Schema, env: NodeJS.ProcessEnv): z.output<Schema> {
  const parsed = schema.safeParse(env)
  if (parsed.success) return parsed.data
  throw new BillingError(
    'malformed_configuration',
    `The environment is not complete. ${describeIssues(parsed.error, { most: Infinity })}. See .env.example.`,
  )
}
