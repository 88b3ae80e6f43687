// Who is calling: taken from the key and from nothing else, looked up seldom, and never guessed while Postgres is away.
import type { KyselyPlugin } from 'kysely'
import { describe, expect } from 'vitest'

import { connect } from '../../db/connect.ts'
import { readApiConfig } from '../../runtime/config.ts'
import { test } from '../support/api-server.ts'
import { captureLog } from '../support/captured-log.ts'
import { refusalOf } from '../support/refusal.ts'

describe('a key', () => {
  const ways: [what: string, header: (key: string) => string, status: number][] = [
    ['as it is documented', (key) => `Bearer ${key}`, 200],
    ['with another spelling of the scheme', (key) => `bearer   ${key}`, 200],
    ['without the scheme', (key) => key, 401],
    ['by another scheme', (key) => `Basic ${Buffer.from(`${key}:`).toString('base64')}`, 401],
    ['in quotes', (key) => `Bearer "${key}"`, 401],
    ['twice', (key) => `Bearer ${key} ${key}`, 401],
    ['as nothing', () => 'Bearer ', 401],
    ['as a book', () => `Bearer ${'a'.repeat(8_000)}`, 401],
  ]

  test.for(ways)('that is sent %s', async ([, header, status], { api }) => {
    const headers = { authorization: header(api.keys.read) }

    expect((await api.get('/v1/wallet', { key: null, headers })).status).toBe(status)
  })

  test('is read from its header and from nowhere else', async ({ api }) => {
    const { admin: key } = api.keys

    const answers = [
      await api.get(`/v1/wallet?key=${key}&access_token=${key}`, { key: null }),
      await api.get('/v1/wallet', { key: null, headers: { cookie: `key=${key}`, 'x-api-key': key } }),
      await api.post('/v1/keys', { key: null, body: { key } }),
    ]

    expect(answers.map(({ status }) => status)).toEqual([401, 401, 401])
  })

  test('says whose wallet it is, whatever else the request says', async ({ api }) => {
    const another = await api.another()

    const headers = { 'x-workspace-id': another.workspaceId }
    await api.post('/v1/keys', { headers, body: {} })

    expect((await api.get('/v1/keys')).body).toMatchObject({ total: 4 })
    expect((await another.get('/v1/keys')).body).toMatchObject({ total: 3 })
  })

  test('is looked up once for all who send it at the same time', async ({ api, db, startTestApi }) => {
    const lookUps: string[] = []
    const counting: KyselyPlugin = {
      transformQuery: ({ node }) => {
        if (JSON.stringify(node).includes('"api_key"')) lookUps.push(node.kind)
        return node
      },
      transformResult: async ({ result }) => result,
    }
    const counted = await startTestApi({ context: { db: db.withPlugin(counting) } })

    const answers = await Promise.all(
      Array.from({ length: 50 }, () => counted.get('/v1/wallet', { key: api.keys.read })),
    )

    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]))
    expect(lookUps).toHaveLength(1)
  })
})

test('while Postgres is away nobody is let in and nobody is turned away for it; what needs no key is answered', async ({
  api,
  startTestApi,
}) => {
  const nowhere = connect('postgres://127.0.0.1:1/nowhere', { profile: 'worker', name: 'api' })
  const { log } = captureLog()
  const cutOff = await startTestApi({ context: { db: nowhere, log } })

  const genuine = await cutOff.get('/v1/wallet', { key: api.keys.read })
  const garbage = await cutOff.get('/v1/wallet', { key: `${api.keys.read.slice(0, -1)}!` })
  const health = await cutOff.get('/healthz', { key: null })

  expect(genuine).toMatchObject({ status: 503, body: { error: { code: 'unavailable' } } })
  expect([garbage.status, health.status]).toEqual([401, 200])
  await nowhere.destroy()
})

test('a route that does not say who may call it cannot be registered', async ({ startTestApi }) => {
  const starting = startTestApi({
    routes: (api) => void api.get('/v1/back-door', () => 'come in'),
  })

  expect((await refusalOf(starting)).code).toBe('route_without_scope')
})

describe('the configuration', () => {
  const complete = {
    DATABASE_URL: 'postgres://wallet@localhost/wallet',
    PADDLE_WEBHOOK_SECRET: 'pdl_ntfset_a_secret',
  }

  test('without an operator key has no operator, and 600 calls a minute', () => {
    for (const OPERATOR_KEY of [undefined, '']) {
      expect(readApiConfig({ ...complete, OPERATOR_KEY })).toMatchObject({
        operatorKey: null,
        callsPerMinute: 600,
        trustedProxies: [],
      })
    }
  })

  test('takes what is set', () => {
    const config = readApiConfig({
      ...complete,
      OPERATOR_KEY: 'op_0123456789abcdefghijklmn',
      API_RATE_LIMIT: '60',
      API_TRUSTED_PROXIES: '10.0.0.0/8, ::1',
    })

    expect(config).toMatchObject({
      operatorKey: 'op_0123456789abcdefghijklmn',
      callsPerMinute: 60,
      trustedProxies: ['10.0.0.0/8', '::1'],
    })
  })

  const wrong: [name: string, value: string][] = [
    ['OPERATOR_KEY', 'too-short'],
    ['OPERATOR_KEY', 'with spaces in between it all'],
    ['API_RATE_LIMIT', '0'],
    ['API_RATE_LIMIT', 'many'],
    ['API_TRUSTED_PROXIES', 'everybody'],
  ]

  test.for(wrong)('refuses %s=%s by its name, and does not repeat it', async ([name, value]) => {
    const refused = await refusalOf((async () => readApiConfig({ ...complete, [name]: value }))())

    expect(refused.code).toBe('malformed_configuration')
    expect(refused.message).toContain(name)
    expect(refused.message).not.toContain(value)
  })
})
