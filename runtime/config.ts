/** The environment, read once and checked. Every setting is listed here and in .env.example. */
import { z } from 'zod'

import { BillingError } from '../billing/billing-error.ts'
import { describeIssues } from '../billing/parse-issues.ts'
import { defaultQueuePrefix } from '../jobs/queues.ts'

const url = (protocols: readonly string[], example: string) =>
  z
    .string(`is missing; expected a URL such as ${example}`)
    .refine(
      (text) => URL.canParse(text) && protocols.includes(new URL(text).protocol),
      `expected a URL such as ${example}`,
    )

const count = (fallback: number, most: number) =>
  z.coerce.number().pipe(z.int().min(1).max(most)).prefault(fallback)

const milliseconds = (fallback: number) =>
  z.coerce.number().pipe(z.int().min(100).max(600_000)).prefault(fallback)

const environment = z.object({
  DATABASE_URL: url(['postgres:', 'postgresql:'], 'postgres://user:password@localhost:5432/wallet'),
  REDIS_URL: url(['redis:', 'rediss:'], 'redis://:password@localhost:6379'),
  QUEUE_PREFIX: z.string().min(1).prefault(defaultQueuePrefix),
  LOG_LEVEL: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']).prefault('info'),
  USAGE_WORKERS: count(8, 64),
  USAGE_CONCURRENCY: count(128, 1_000),
  POSTING_BATCH_SIZE: count(500, 5_000),
  LOCK_DURATION_MS: milliseconds(30_000),
  STALLED_INTERVAL_MS: milliseconds(10_000),
})

export type WorkerConfig = {
  databaseUrl: string
  redisUrl: string
  /** What every Redis key of the queues begins with. */
  queuePrefix: string
  logLevel: z.infer<typeof environment>['LOG_LEVEL']
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
}

/** Throws: BillingError `malformed_configuration`, naming every variable that is wrong. */
export function readWorkerConfig(env: NodeJS.ProcessEnv): WorkerConfig {
  const parsed = environment.safeParse(env)
  if (!parsed.success) {
    throw new BillingError(
      'malformed_configuration',
      `The environment is not complete. ${describeIssues(parsed.error, { most: Infinity })}. See .env.example.`,
    )
  }
  return {
    databaseUrl: parsed.data.DATABASE_URL,
    redisUrl: parsed.data.REDIS_URL,
    queuePrefix: parsed.data.QUEUE_PREFIX,
    logLevel: parsed.data.LOG_LEVEL,
    usageWorkers: parsed.data.USAGE_WORKERS,
    usageConcurrency: parsed.data.USAGE_CONCURRENCY,
    postingBatchSize: parsed.data.POSTING_BATCH_SIZE,
    lockDurationMs: parsed.data.LOCK_DURATION_MS,
    stalledIntervalMs: parsed.data.STALLED_INTERVAL_MS,
  }
}
