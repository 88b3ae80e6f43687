// The edges: what comes in is looked at before anybody works on it, and what goes out tells browsers to run nothing.
import { describe, expect } from 'vitest'
import { z } from 'zod'

import type { Api } from '../../api/api.ts'
import { test as base, type TestApi } from '../support/api-server.ts'

/** A route that takes any JSON, and tells what it was given. */
const echo = (api: Api): void => {
  api.post('/v1/echo', { config: { scope: 'write' }, schema: { body: z.unknown() } }, (request) => ({
    got: request.body ?? null,
  }))
  api.get(
    '/v1/find/:id',
    { config: { scope: 'read' }, schema: { params: z.object({ id: z.string() }) } },
    () => 'ok',
  )
}

const test = base.extend<{ echoApi: TestApi }>({
  echoApi: async ({ startTestApi }, use) => {
    await use(await startTestApi({ routes: echo }))
  },
})

const nested = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth)

describe('a body', () => {
  const refused: [what: string, body: string, field?: string][] = [
    ['is no JSON', '{"a":1'],
    ['is JSON with a comma too many', '{"a":1,}'],
    ['is JSON with a comment', '{"a":1} // one'],
    ['is a number that JSON does not have', '{"a":NaN}'],
    ['has a mark of byte order', '\ufeff{"a":1}'],
    ['is eleven levels deep', nested(11)],
    ['is a hundred thousand levels deep', nested(100_000)],
    ['is deep in its objects', '{"a":'.repeat(11) + '1' + '}'.repeat(11)],
    ['has a list of 1001', JSON.stringify({ list: Array.from({ length: 1_001 }, () => 0) }), 'list'],
    ['would change what every object is', '{"a":{"__proto__":{"polluted":true}}}', 'a.__proto__'],
    ['would do so with an escaped name', '{"\\u005f_proto__":{"polluted":true}}', '__proto__'],
    ['would do so by the constructor', '{"constructor":{"prototype":{"polluted":true}}}', 'constructor'],
  ]

  test.for(refused)('is refused with 400 where it %s', async ([, body, field], { echoApi: api }) => {
    const answer = await api.post('/v1/echo', { body })

    expect(answer).toMatchObject({
      status: 400,
      body: {
        error: {
          code: 'malformed_json',
          message: expect.stringMatching(/^[A-Z].{20,}\.$/),
          request_id: answer.headers['x-request-id'],
          ...(field === undefined ? {} : { field }),
        },
      },
    })
    expect(Reflect.get({}, 'polluted')).toBeUndefined()
  })

  test('may be ten levels deep, have a list of a thousand, and any other name', async ({ echoApi: api }) => {
    const body = {
      constructor: 'Acme Builders',
      prototype: 1,
      list: Array.from({ length: 1_000 }, () => 0),
      toString: { deep: JSON.parse(nested(8)) },
    }

    const answer = await api.post('/v1/echo', { body: JSON.stringify(body) })

    expect(answer).toMatchObject({ status: 200, body: { got: body } })
  })

  test('is JSON in UTF-8 and nothing else', async ({ echoApi: api }) => {
    const send = async (payload: string | Buffer, type?: string): Promise<[number, unknown]> => {
      const answer = await api.server.inject({
        method: 'POST',
        url: '/v1/echo',
        headers: {
          authorization: `Bearer ${api.keys.write}`,
          ...(type === undefined ? {} : { 'content-type': type }),
        },
        payload,
      })
      return [answer.statusCode, answer.json<{ error?: { code: string } }>().error?.code]
    }

    const answers = [
      await send('{"a":1}', 'application/json; charset=utf-8'),
      await send('{"a":1}', 'text/plain'),
      await send('a=1', 'application/x-www-form-urlencoded'),
      await send('<a/>', 'application/xml'),
      await send('{"a":1}', 'nonsense'),
      await send(Buffer.from([0x22, 0xc3, 0x28, 0x22]), 'application/json'),
      await send(Buffer.from('{"a":1}', 'utf16le'), 'application/json'),
      await send(`"${'a'.repeat(300_000)}"`, 'application/json'),
    ]

    expect(answers).toEqual([
      [200, undefined],
      [415, 'unknown_content_type'],
      [415, 'unknown_content_type'],
      [415, 'unknown_content_type'],
      [415, 'unknown_content_type'],
      [400, 'malformed_json'],
      [400, 'malformed_json'],
      [413, 'too_large'],
    ])
  })

  test('that is empty is no body', async ({ echoApi: api }) => {
    expect(await api.post('/v1/echo', { body: '' })).toMatchObject({ status: 200, body: { got: null } })
  })
})

const traps = ['%00', '%0a', "'--", '%ff', '%ed%a0%80', '..%2f..', '__proto__', '%', 'a'.repeat(1_000)]

test.for(traps)('an address with %s in it is answered with a 4xx', async (trap, { api }) => {
  const answers = await Promise.all([
    api.delete(`/v1/keys/${trap}`),
    api.get(`/v1/keys?limit=${trap}`),
    api.get(`/v1/keys?${trap}=1`),
    api.get(`/v1/${trap}`),
  ])

  for (const answer of answers) {
    expect(answer.status).toBeGreaterThanOrEqual(400)
    expect(answer.status).toBeLessThan(500)
    expect(answer.body).toMatchObject({ error: { request_id: answer.headers['x-request-id'] } })
  }
})

test('what a route does not read is refused by its name, also where it reads nothing', async ({ api }) => {
  const answers = [
    await api.get('/v1/wallet?workspace_id=ws_1'),
    await api.get('/v1/keys?limit=1&page=2'),
    await api.post('/v1/keys', { body: { scope: 'read', workspace_id: 'ws_1' } }),
    await api.post('/v1/keys?scope=admin', { body: {} }),
    await api.post('/v1/wallet/auto-recharge/resume', { body: { enabled: true } }),
  ]

  const names = ['workspace_id', 'page', 'workspace_id', 'scope', 'enabled']
  expect(answers).toMatchObject(
    names.map((name) => ({
      status: 400,
      body: { error: { code: 'invalid_request', message: expect.stringContaining(`"${name}"`) } },
    })),
  )
})

test('a route that reads no body takes none, an empty one, and one with nothing in it', async ({ api }) => {
  const path = '/v1/wallet/auto-recharge/resume'

  const answers = [
    await api.post(path),
    await api.post(path, { body: '' }),
    await api.post(path, { body: {} }),
    await api.get('/healthz?probe=1', { key: null }),
  ]

  expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200])
})

test('an id may be as long as ids are, with every character escaped', async ({ echoApi: api }) => {
  expect((await api.get(`/v1/find/${'%E2%82%AC'.repeat(128)}`)).status).toBe(200)
})

describe('every answer', () => {
  const strict = {
    'content-security-policy': "default-src 'none';base-uri 'none';form-action 'none';frame-ancestors 'none'",
    'x-content-type-options': 'nosniff',
    'x-frame-options': 'DENY',
    'referrer-policy': 'no-referrer',
    'strict-transport-security': 'max-age=31536000; includeSubDomains',
    'cross-origin-resource-policy': 'same-origin',
    'cross-origin-opener-policy': 'same-origin',
    'cache-control': 'no-store',
  }
  const paths: [path: string, key: 'admin' | null][] = [
    ['/v1/wallet', 'admin'],
    ['/v1/wallet', null],
    ['/v1/keys?limit=0', 'admin'],
    ['/nowhere', null],
    ['/healthz', null],
  ]

  test.for(paths)('tells browsers to run, frame and keep nothing: %s as %s', async ([path, key], { api }) => {
    const { headers } = await api.get(path, { key })

    expect(headers).toMatchObject(strict)
    expect(headers['x-powered-by']).toBeUndefined()
    expect(headers['server']).toBeUndefined()
  })

  test('that is a page runs its own scripts only, and none that is written into it', async ({ api }) => {
    const { status, headers, body } = await api.get('/docs', { key: null })

    const policy = headers['content-security-policy'] ?? ''
    expect(status).toBe(200)
    expect(policy).toContain("default-src 'none'")
    expect(policy).toContain("frame-ancestors 'none'")
    expect(policy).not.toMatch(/unsafe|https?:|\*/)
    expect(String(body)).not.toMatch(/<script>|<style>|\son\w+=|style="/)
    expect(headers).toMatchObject({ 'x-content-type-options': 'nosniff', 'x-frame-options': 'DENY' })
  })

  test('lets no other origin in, asked beforehand or not', async ({ api }) => {
    const headers = { origin: 'https://elsewhere.example', 'access-control-request-method': 'POST' }

    const answers = [
      await api.get('/v1/wallet', { headers }),
      await api.post('/v1/keys', { headers, body: {} }),
      await api.get('/docs', { key: null, headers }),
    ]
    const preflight = await api.server.inject({ method: 'OPTIONS', url: '/v1/wallet', headers })

    expect(preflight.statusCode).toBe(404)
    for (const each of [...answers.map((answer) => answer.headers), preflight.headers]) {
      expect(Object.keys(each).filter((name) => name.startsWith('access-control-'))).toEqual([])
    }
  })
})
