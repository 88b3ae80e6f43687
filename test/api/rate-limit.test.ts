// How often one may call: n times in any minute over all processes, with or without Redis, and never a process without a limit.
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'

import { Redis } from 'ioredis'
import { describe, expect, onTestFinished } from 'vitest'

import { networkOf } from '../../api/rate-limit.ts'
import { createWindowCounter, remainingOf, roomInMs } from '../../api/sliding-window.ts'
import { pickFreePort } from '../../scripts/embedded/server-process.ts'
import { newId } from '../support/given.ts'
import { test as base, type ApiAnswer, type TestApi } from '../support/api-server.ts'
import { anEvent, signatureOf } from '../support/paddle-sender.ts'
import { until } from '../support/until.ts'

type Limit = { perMinute: number; redisUrl?: string | null; prefix?: string; patienceMs?: number }

const test = base.extend<{ startLimited: (limit: Limit) => Promise<TestApi> }>({
  startLimited: async ({ startTestApi }, use) => {
    await use((rateLimit) => startTestApi({ context: { rateLimit } }))
  },
})

describe('a sliding window', () => {
  const rule = { limit: 10, windowMs: 1_000 }

  test('never lets through more than the limit and a tenth in any window, and all of it when asked evenly', () => {
    const count = createWindowCounter(rule)
    const letThrough: number[] = []
    for (let nowMs = 0; nowMs < 20_000; nowMs += 7) if (count('a', nowMs).counted) letThrough.push(nowMs)

    const most = Math.max(
      ...letThrough.map((start) => letThrough.filter((at) => at >= start && at < start + 1_000).length),
    )

    expect(most).toBeLessThanOrEqual(11)
    expect(letThrough.length).toBeGreaterThan(180)
  })

  test('does not begin anew when the clock strikes', () => {
    const count = createWindowCounter(rule)
    for (let n = 0; n < 10; n += 1) count('a', 999)

    expect(count('a', 1_000).counted).toBe(false)
    expect(count('b', 1_000).counted).toBe(true)
  })

  test('has room when it says that it will, and not a moment before', () => {
    for (const [burst, at] of [
      [10, 0],
      [10, 500],
      [7, 999],
      [10, 999],
    ] as const) {
      const count = createWindowCounter(rule)
      for (let n = 0; n < burst; n += 1) count('a', at)
      let later = at
      let refused = count('a', later)
      while (refused.counted) refused = count('a', (later += 1))

      const waitMs = roomInMs(refused, rule)

      expect(count('a', later + waitMs - 2).counted).toBe(false)
      expect(count('a', later + waitMs).counted).toBe(true)
    }
  })

  test('tells how many more there may be, to the last', () => {
    const count = createWindowCounter(rule)

    const told = Array.from({ length: 11 }, () => remainingOf(count('a', 0), rule))

    expect(told).toEqual([9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 0])
  })

  test('holds only so many names, and forgets the oldest', () => {
    const count = createWindowCounter(rule, { mostNames: 3 })
    for (const name of ['a', 'a', 'b', 'c', 'd']) count(name, 0)

    expect(count('a', 0).current).toBe(1)
    expect(count('d', 0).current).toBe(2)
  })
})

test('every answer says how many calls are left, and the one too many when to come again', async ({
  startLimited,
}) => {
  const api = await startLimited({ perMinute: 3 })
  const paths = ['/v1/wallet', '/v1/keys', '/nowhere', '/v1/wallet', '/v1/wallet']

  const answers: ApiAnswer[] = []
  for (const path of paths) answers.push(await api.get(path, { key: 'write' }))

  expect(answers.map(({ status }) => status)).toEqual([200, 403, 404, 429, 429])
  expect(answers.map(({ headers }) => headers['x-ratelimit-remaining'])).toEqual(['2', '1', '0', '0', '0'])
  for (const { headers } of answers) {
    expect(headers['x-ratelimit-limit']).toBe('3')
    const seconds = Number(headers['x-ratelimit-reset']) - Date.now() / 1_000
    expect(seconds).toBeGreaterThan(-1)
    expect(seconds).toBeLessThan(61)
  }
  const [refused] = answers.slice(-1)
  expect(refused?.body).toMatchObject({ error: { code: 'rate_limited', request_id: expect.any(String) } })
  expect(refused?.headers['retry-after']).toMatch(/^[1-9]\d{0,2}$/)
  expect(answers[0]?.headers['retry-after']).toBeUndefined()
})

test('each key has its own count; calls without a valid key share one per address', async ({
  startLimited,
}) => {
  const api = await startLimited({ perMinute: 2 })
  const another = await api.another()

  const statuses = [
    await ask(api, 'read'),
    await ask(api, 'read'),
    await ask(api, 'read'),
    await ask(api, 'write'),
    await ask(another, 'read'),
    await ask(api, null),
    await ask(api, 'sk_call2me_made_up'),
    await ask(api, `sk_call2me_${'a'.repeat(48)}`),
    await ask(api, null),
    await ask(api, 'write'),
  ]

  expect(statuses).toEqual([200, 200, 429, 200, 200, 401, 401, 429, 429, 200])
})

test('the address is the one of the proxy, unless the proxy is trusted', async ({ startTestApi }) => {
  const rateLimit = { perMinute: 1 }
  const doubting = await startTestApi({ context: { rateLimit } })
  const trusting = await startTestApi({ context: { rateLimit, trustedProxies: ['127.0.0.0/8'] } })

  expect([await askFrom(doubting, '192.0.2.1'), await askFrom(doubting, '192.0.2.2')]).toEqual([200, 429])
  expect([
    await askFrom(trusting, '192.0.2.1'),
    await askFrom(trusting, '192.0.2.2'),
    await askFrom(trusting, '192.0.2.1'),
  ]).toEqual([200, 200, 429])
})

const addresses: [ip: string, network: string][] = [
  ['192.0.2.7', '192.0.2.7'],
  ['::ffff:192.0.2.7', '192.0.2.7'],
  ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
  ['2001:DB8:1:2::', '2001:db8:1:2::/64'],
  ['2001:db8::1', '2001:db8:0:0::/64'],
  ['::1', '0:0:0:0::/64'],
  ['fe80::1%eth0', 'fe80:0:0:0::/64'],
]

test.for(addresses)('who calls from %s is counted as %s', ([ip, network]) => {
  expect(networkOf(ip)).toBe(network)
})

test("what must come often is never counted: health, and Paddle's webhooks", async ({ startLimited }) => {
  const api = await startLimited({ perMinute: 1 })
  const { body } = anEvent()
  const webhook = { key: null, body, headers: { 'paddle-signature': signatureOf(body) } }

  const statuses = []
  for (let n = 0; n < 3; n += 1) {
    statuses.push((await api.get('/healthz', { key: null })).status)
    statuses.push((await api.post('/webhooks/paddle', webhook)).status)
  }

  expect(new Set(statuses)).toEqual(new Set([200]))
})

describe('with Redis', () => {
  test('all processes count together, to the last call', async ({ place, redis, startLimited }) => {
    const limit = { perMinute: 20, redisUrl: place.redisUrl, prefix: newId('rate'), patienceMs: 10_000 }
    const apis = [await startLimited(limit), await startLimited(limit)]
    const key = apis[0]?.keys.read ?? ''
    for (const api of apis) await untilCountedIn(redis, limit.prefix, api)

    const answers = await Promise.all(
      apis.flatMap((api) => Array.from({ length: 15 }, () => api.get('/v1/wallet', { key }))),
    )

    expect(answers.filter(({ status }) => status === 200)).toHaveLength(20)
    expect(answers.filter(({ status }) => status === 429)).toHaveLength(10)
  })

  test('nothing is kept of who called two minutes ago', async ({ place, redis, startLimited }) => {
    const prefix = newId('rate')
    const api = await startLimited({ perMinute: 20, redisUrl: place.redisUrl, prefix, patienceMs: 10_000 })
    await untilCountedIn(redis, prefix, api)

    await api.get('/v1/wallet')

    const keys = await redis.keys(`${prefix}:*`)
    expect(keys).toContain(`${prefix}:rate:key:${api.keys.admin.slice(11, 21)}`)
    for (const key of keys) {
      const left = await redis.pttl(key)
      expect(left).toBeGreaterThan(0)
      expect(left).toBeLessThanOrEqual(120_000)
    }
  })

  test('that is away, each process counts by itself', async ({ startLimited }) => {
    const port = await pickFreePort()
    const api = await startLimited({ perMinute: 3, redisUrl: `redis://127.0.0.1:${port}` })

    const statuses = []
    for (let n = 0; n < 4; n += 1) statuses.push((await api.get('/v1/wallet')).status)

    expect(statuses).toEqual([200, 200, 200, 429])
  })

  test('that falls silent, one call waits a moment, and the next ones not at all', async ({
    place,
    redis,
    startLimited,
  }) => {
    const { url, fallSilent } = await startRelay(place.redisUrl)
    const prefix = newId('rate')
    const api = await startLimited({ perMinute: 3, redisUrl: url, prefix })
    await untilCountedIn(redis, prefix, api)
    fallSilent()

    const took: number[] = []
    const statuses = []
    for (let n = 0; n < 4; n += 1) {
      const startedAt = performance.now()
      statuses.push((await api.get('/v1/wallet')).status)
      took.push(performance.now() - startedAt)
    }

    expect(statuses).toEqual([200, 200, 200, 429])
    // Each that waited took its 75 ms at least.
    expect(took[0]).toBeGreaterThan(70)
    expect(Math.min(...took.slice(1))).toBeLessThan(70)
    expect(api.log.filter(({ msg }) => msg.startsWith('rate limit: Redis does not count'))).toHaveLength(1)
  })

  test('that is killed and comes back, all count together again', async ({
    place,
    startServers,
    startLimited,
  }) => {
    const servers = await startServers({ databaseUrl: place.databaseUrl })
    const redis = new Redis(servers.redisUrl)
    redis.on('error', () => undefined)
    onTestFinished(() => redis.disconnect())
    const limit = { perMinute: 1_000, redisUrl: servers.redisUrl, prefix: newId('rate') }
    const apis = [await startLimited(limit), await startLimited(limit)]
    for (const api of apis) await untilCountedIn(redis, limit.prefix, api)

    await servers.redis.kill()
    const meanwhile = await Promise.all(apis.map((api) => api.get('/v1/wallet', { key: 'read' })))
    await servers.redis.start()

    expect(meanwhile.map(({ status }) => status)).toEqual([200, 200])
    for (const api of apis) await untilCountedIn(redis, limit.prefix, api)
  })
})

async function ask(api: TestApi, key: string | null): Promise<number> {
  return (await api.get('/v1/wallet', { key })).status
}

/** By way of a proxy that says for whom it calls. */
async function askFrom(api: TestApi, address: string): Promise<number> {
  return (await api.get('/openapi.json', { key: null, headers: { 'x-forwarded-for': address } })).status
}

/** Until Redis counts for it: it connects when it is first asked, and until then it counts by itself. */
async function untilCountedIn(redis: Redis, prefix: string, api: TestApi): Promise<void> {
  const read = () => redis.hget(`${prefix}:rate:ip:127.0.0.1`, 'current')
  await until('Redis counts', async () => {
    const before = await read()
    await api.get('/nowhere', { key: null })
    return (await read()) !== before
  })
}

/** Redis by way of a relay that may fall silent, which it does without a word. */
async function startRelay(redisUrl: string): Promise<{ url: string; fallSilent: () => void }> {
  const target = new URL(redisUrl)
  const sockets = new Set<Socket>()
  const answers = new Set<Socket>()
  const server = createServer((client) => {
    const upstream = connect(Number(target.port), target.hostname)
    client.pipe(upstream).pipe(client)
    answers.add(upstream)
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      socket.on('error', () => undefined)
    }
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const address = server.address()
  const relayed = new URL(redisUrl)
  relayed.hostname = '127.0.0.1'
  relayed.port = String(typeof address === 'object' && address !== null ? address.port : 0)
  return {
    url: relayed.href,
    fallSilent: () => {
      for (const upstream of answers) upstream.unpipe()
    },
  }
}
