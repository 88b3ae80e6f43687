// What processes that have to do with Paddle need to be told, and what they refuse to begin with.
import { readFile } from 'node:fs/promises'

import { describe, expect, test as unit } from 'vitest'

import { BillingError } from '../../billing/billing-error.ts'
import { readApiConfig, readPaddleConfig, readWorkerConfig } from '../../runtime/config.ts'
import { test } from '../support/fixtures.ts'

const databaseUrl = 'postgres://wallet:secret-1@localhost:5432/wallet'
const webhookSecret = 'pdl_ntfset_canary'
const api = { DATABASE_URL: databaseUrl, PADDLE_WEBHOOK_SECRET: webhookSecret }
const paddle = {
  PADDLE_API_KEY: 'pdl_sdbx_apikey_canary',
  PADDLE_ENVIRONMENT: 'sandbox',
  PADDLE_PRODUCT_ID: 'pro_01h04vsc0qhwtsbsxh3422wjs4',
  PADDLE_SETUP_PRICE_ID: 'pri_01h04vsc0qhwtsbsxh3422wjs4',
}

describe('the configuration of the API', () => {
  unit('needs a database and a webhook secret, and neither Redis nor a key of Paddle', () => {
    expect(readApiConfig(api)).toMatchObject({
      databaseUrl,
      logLevel: 'info',
      host: '127.0.0.1',
      port: 8080,
      webhookSecrets: [webhookSecret],
      webhookToleranceMs: 60_000,
    })
  })

  unit('takes what is set, and several secrets while one is being replaced', () => {
    const config = readApiConfig({
      ...api,
      LOG_LEVEL: 'debug',
      API_HOST: '0.0.0.0',
      API_PORT: '0',
      PADDLE_WEBHOOK_SECRET: ` ${webhookSecret}_new , ${webhookSecret}_old `,
      PADDLE_WEBHOOK_TOLERANCE_MS: '5000',
    })

    expect(config).toMatchObject({
      databaseUrl,
      logLevel: 'debug',
      host: '0.0.0.0',
      port: 0,
      webhookSecrets: [`${webhookSecret}_new`, `${webhookSecret}_old`],
      webhookToleranceMs: 5_000,
    })
  })

  unit.for([
    ['DATABASE_URL', undefined],
    ['DATABASE_URL', 'redis://localhost'],
    ['LOG_LEVEL', 'loud'],
    ['API_HOST', ''],
    ['API_PORT', 'http'],
    ['API_PORT', '65536'],
    ['API_PORT', '-1'],
    ['API_PORT', '80.5'],
    ['PADDLE_WEBHOOK_SECRET', undefined],
    ['PADDLE_WEBHOOK_SECRET', ''],
    ['PADDLE_WEBHOOK_SECRET', 'pdl_ntfset_shrt'],
    ['PADDLE_WEBHOOK_SECRET', `${webhookSecret},`],
    ['PADDLE_WEBHOOK_SECRET', `${webhookSecret},pdl_ntfset_shrt`],
    ['PADDLE_WEBHOOK_TOLERANCE_MS', '0'],
    ['PADDLE_WEBHOOK_TOLERANCE_MS', '5s'],
    ['PADDLE_WEBHOOK_TOLERANCE_MS', '600001'],
  ] as const)('refuses %s=%s by name, and repeats no secret', ([name, value]) => {
    const refusal = refusalOf(() => readApiConfig({ ...api, [name]: value }))

    expect(refusal).toMatchObject({ code: 'malformed_configuration' })
    expect(refusal?.message).toContain(`${name}: `)
    expect(refusal?.message).not.toMatch(/pdl_ntfset_|secret-1/)
  })
})

describe('the configuration of Paddle', () => {
  unit('is read where there is a key, and is nothing where there is none', () => {
    const workers = { DATABASE_URL: databaseUrl, REDIS_URL: 'redis://localhost' }
    const expected = {
      apiKey: paddle.PADDLE_API_KEY,
      environment: 'sandbox',
      productId: paddle.PADDLE_PRODUCT_ID,
      setupPriceId: paddle.PADDLE_SETUP_PRICE_ID,
    }

    expect(readPaddleConfig(paddle)).toEqual(expected)
    expect(readWorkerConfig({ ...workers, ...paddle }).paddle).toEqual(expected)
    expect(readWorkerConfig({ ...workers, ...paddle, PADDLE_API_KEY: '' }).paddle).toBeNull()
    expect(readWorkerConfig(workers).paddle).toBeNull()
  })

  unit.for([
    ['PADDLE_API_KEY', undefined],
    ['PADDLE_API_KEY', ''],
    ['PADDLE_ENVIRONMENT', undefined],
    ['PADDLE_ENVIRONMENT', ''],
    ['PADDLE_PRODUCT_ID', undefined],
    ['PADDLE_PRODUCT_ID', 'pri_01h04vsc0qhwtsbsxh3422wjs4'],
    ['PADDLE_PRODUCT_ID', 'pro_01h04vsc0qhwtsbsxh3422wjs'],
    ['PADDLE_PRODUCT_ID', 'pro_01h04vsc0qhwtsbsxh3422wjs4 '],
    ['PADDLE_SETUP_PRICE_ID', undefined],
    ['PADDLE_SETUP_PRICE_ID', 'pro_01h04vsc0qhwtsbsxh3422wjs4'],
  ] as const)('refuses %s=%s by name, and repeats no secret', ([name, value]) => {
    const refusal = refusalOf(() => readPaddleConfig({ ...paddle, [name]: value }))

    expect(refusal).toMatchObject({ code: 'malformed_configuration' })
    expect(refusal?.message).toContain(`${name}: `)
    expect(refusal?.message).not.toContain('canary')
  })

  // Which key belongs where is told in full by the tests of its target; here it is that a process asks, before it does anything.
  test.for([
    ['pdl_live_apikey_canary', 'http://127.0.0.1:8081', 'moves real money'],
    ['pdl_sdbx_apikey_canary', 'http://169.254.169.254', 'must be "production", "sandbox", or'],
    ['sandbox', 'pdl_sdbx_apikey_canary', 'must be "production", "sandbox", or'],
  ] as const)(
    'keeps workers from starting with the key %s at %s',
    async ([key, environment, why], { startWorkers }) => {
      const starting = startWorkers({
        environment: { ...paddle, PADDLE_API_KEY: key, PADDLE_ENVIRONMENT: environment },
      })

      const refusal: unknown = await starting.then(
        () => null,
        (error: unknown) => error,
      )
      expect(String(refusal)).toContain('the workers cannot start')
      expect(String(refusal)).toContain(JSON.stringify(why).slice(1, -1))
      expect(String(refusal)).not.toContain('canary')
    },
  )
})

unit('.env.example describes every variable that a process reads, and none besides', async () => {
  const [example, config, compose] = await Promise.all(
    ['.env.example', 'runtime/config.ts', 'docker-compose.yml'].map(readHere),
  )
  const described = new Set(namesIn(example ?? '', /^(?:# )?([A-Z][A-Z_]+)=/gm))
  const understood = new Set(namesIn(config ?? '', /^ {2,4}([A-Z][A-Z_]+):/gm))
  const passedOn = new Set(namesIn(compose ?? '', /\$\{([A-Z][A-Z_]+)[:}]/g))

  expect([...understood].filter((name) => !described.has(name))).toEqual([])
  expect([...passedOn].filter((name) => !described.has(name))).toEqual([])
  // What scripts read, and nobody else.
  expect([...described].filter((name) => !understood.has(name) && !passedOn.has(name))).toEqual([
    'REDIS_SERVER_BIN',
    'CHROMIUM_PATH',
    'DEBUG',
  ])
})

async function readHere(path: string): Promise<string> {
  return await readFile(new URL(`../../${path}`, import.meta.url), 'utf8')
}

function namesIn(text: string, pattern: RegExp): string[] {
  return [...text.matchAll(pattern)].map((match) => match[1] ?? '')
}

function refusalOf(work: () => unknown): BillingError | null {
  try {
    work()
    return null
  } catch (error) {
    if (error instanceof BillingError) return error
    throw error
  }
}
