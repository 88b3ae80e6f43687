import { describe, expect, test } from 'vitest'

import { BillingError } from '../../billing/billing-error.ts'
import { defaultChargeTiming } from '../../billing/top-up.ts'
import { readWorkerConfig } from '../../runtime/config.ts'

const complete = {
  DATABASE_URL: 'postgres://wallet:secret-1@localhost:5432/wallet',
  REDIS_URL: 'redis://:secret-2@localhost:6379',
}

const fastClock = '2026-01-31T09:00:00Z/2026-11-26T14:00:00.000Z/86400'

function paddleAt(environment: string): Record<string, string> {
  return {
    PADDLE_API_KEY: 'pdl_sdbx_apikey_any',
    PADDLE_ENVIRONMENT: environment,
    PADDLE_PRODUCT_ID: `pro_${'0'.repeat(26)}`,
    PADDLE_SETUP_PRICE_ID: `pri_${'0'.repeat(26)}`,
  }
}

const wrong: Record<string, string> = {
  DATABASE_URL: 'mysql://wallet:secret-1@localhost/wallet',
  REDIS_URL: 'localhost:6379',
  QUEUE_PREFIX: '',
  LOG_LEVEL: 'loud',
  USAGE_WORKERS: '0',
  USAGE_CONCURRENCY: 'many',
  POSTING_BATCH_SIZE: '5001',
  LOCK_DURATION_MS: '30s',
  STALLED_INTERVAL_MS: '0',
  CHARGES_PER_MINUTE: '0',
  CHARGE_SEND_WITHIN_MS: '99',
  CHARGE_TIMEOUT_MS: '90s',
  CHARGE_QUIET_PERIOD_MS: '86400001',
  CHARGE_RETRY_MS: '-1',
  WALLET_CLOCK: 'fast',
}

describe('the configuration of the workers', () => {
  test('needs to know two servers, and has a default for everything else', () => {
    expect(readWorkerConfig(complete)).toEqual({
      databaseUrl: complete.DATABASE_URL,
      redisUrl: complete.REDIS_URL,
      queuePrefix: '{wallet}',
      logLevel: 'info',
      usageWorkers: 8,
      usageConcurrency: 128,
      postingBatchSize: 500,
      lockDurationMs: 30_000,
      stalledIntervalMs: 10_000,
      paddle: null,
      chargesPerMinute: 80,
      chargeTiming: defaultChargeTiming,
    })
  })

  test('takes what is set, and ignores what it does not know', () => {
    const config = readWorkerConfig({
      ...complete,
      DATABASE_URL: 'postgresql://localhost/wallet',
      REDIS_URL: 'rediss://localhost',
      QUEUE_PREFIX: '{staging}',
      LOG_LEVEL: 'debug',
      USAGE_WORKERS: '1',
      USAGE_CONCURRENCY: '1000',
      POSTING_BATCH_SIZE: '5000',
      LOCK_DURATION_MS: '1000',
      STALLED_INTERVAL_MS: '500',
      CHARGES_PER_MINUTE: '7',
      CHARGE_SEND_WITHIN_MS: '1000',
      CHARGE_TIMEOUT_MS: '2000',
      CHARGE_QUIET_PERIOD_MS: '3001',
      CHARGE_RETRY_MS: '100',
      HOME: '/home/somebody',
    })

    expect(config).toEqual({
      databaseUrl: 'postgresql://localhost/wallet',
      redisUrl: 'rediss://localhost',
      queuePrefix: '{staging}',
      logLevel: 'debug',
      usageWorkers: 1,
      usageConcurrency: 1_000,
      postingBatchSize: 5_000,
      lockDurationMs: 1_000,
      stalledIntervalMs: 500,
      paddle: null,
      chargesPerMinute: 7,
      chargeTiming: { sendWithinMs: 1_000, chargeTimeoutMs: 2_000, quietPeriodMs: 3_001, retryMs: 100 },
    })
  })

  test('takes a clock of its own, by whose speed charges then wait, and no other of its settings changes', () => {
    const { clock, chargeTiming, ...rest } = readWorkerConfig({ ...complete, WALLET_CLOCK: fastClock })
    const { chargeTiming: _real, ...real } = readWorkerConfig(complete)

    expect(clock).toMatchObject({ setting: fastClock, rate: 86_400 })
    expect(chargeTiming).toEqual({ ...defaultChargeTiming, clockRate: 86_400 })
    expect(rest).toEqual(real)
    expect(readWorkerConfig({ ...complete, WALLET_CLOCK: '' })).toEqual(readWorkerConfig(complete))
  })

  test.for(['production', 'sandbox'])(
    'takes no clock of its own beside the real Paddle (%s)',
    (environment) => {
      const refusal = refusalFor({ ...complete, ...paddleAt(environment), WALLET_CLOCK: fastClock })

      expect(refusal).toMatchObject({ code: 'malformed_configuration' })
      expect(refusal?.message).toMatch(/^WALLET_CLOCK is for demos and tests/)
      expect(refusalFor({ ...complete, ...paddleAt(environment) })).toBeNull()
      expect(
        refusalFor({ ...complete, ...paddleAt('http://127.0.0.1:8081'), WALLET_CLOCK: fastClock }),
      ).toBeNull()
    },
  )

  test.for(Object.entries(wrong))('refuses %s=%s by name', ([name, value]) => {
    const refusal = refusalFor({ ...complete, [name]: value })

    expect(refusal).toMatchObject({ code: 'malformed_configuration' })
    expect(refusal?.message).toContain(`${name}: `)
  })

  test('refuses to give up on a charge while it may still be under way, also by defaults', () => {
    const most = { CHARGE_SEND_WITHIN_MS: '1000', CHARGE_TIMEOUT_MS: '2000' }

    for (const [env, isRefused] of [
      [{ ...most, CHARGE_QUIET_PERIOD_MS: '3000' }, true],
      [{ ...most, CHARGE_QUIET_PERIOD_MS: '3001' }, false],
      [{ CHARGE_QUIET_PERIOD_MS: '95000' }, true],
      [{ CHARGE_QUIET_PERIOD_MS: '95001' }, false],
      [{ CHARGE_TIMEOUT_MS: '600000', CHARGE_SEND_WITHIN_MS: '300000' }, true],
    ] as const) {
      const refusal = refusalFor({ ...complete, ...env })

      expect(refusal?.message ?? '').toMatch(isRefused ? /^CHARGE_QUIET_PERIOD_MS must be longer than/ : /^$/)
    }
  })

  test('names every variable that is wrong, not only the first ones', () => {
    const refusal = refusalFor(wrong)

    const unnamed = Object.keys(wrong).filter((name) => !refusal?.message.includes(`${name}: `))
    expect(unnamed).toEqual([])
  })

  test('says what is missing and what it should look like', () => {
    const refusal = refusalFor({})

    expect(refusal?.message).toContain('DATABASE_URL: is missing; expected a URL such as postgres://')
    expect(refusal?.message).toContain('REDIS_URL: is missing; expected a URL such as redis://')
    expect(refusal?.message).toContain('.env.example')
  })

  test('repeats no password', () => {
    const refusal = refusalFor({
      DATABASE_URL: wrong['DATABASE_URL'],
      REDIS_URL: 'http://:secret-2@localhost',
    })

    expect(refusal?.message).not.toMatch(/secret-[12]/)
  })
})

function refusalFor(env: NodeJS.ProcessEnv): BillingError | null {
  try {
    readWorkerConfig(env)
    return null
  } catch (error) {
    if (error instanceof BillingError) return error
    throw error
  }
}
