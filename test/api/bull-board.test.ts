// The queues are shown to whoever has the credential, and changed by nobody unless it was switched on.
import type { Redis } from 'ioredis'
import { describe, expect } from 'vitest'

import type { BullBoardOptions } from '../../api/bull-board.ts'
import { queueNames } from '../../jobs/queues.ts'
import { readApiConfig } from '../../runtime/config.ts'
import { test } from '../support/api-process.ts'
import type { Place } from '../support/fixtures.ts'
import { seeRoutes } from '../support/routes.ts'
import { until } from '../support/until.ts'
import { givenOps, opsPassword, opsUser, type GivenOps } from './given-ops.ts'

const credential = basic(opsUser, opsPassword)

/** What Bull Board listens to besides GET. */
async function changingRoutes(
  place: Place,
  redis: Redis,
): Promise<{ method: 'POST' | 'PUT' | 'PATCH' | 'DELETE'; url: string }[]> {
  const { routes } = await seeRoutes(() => givenOps(place, redis, { writable: true }))
  return routes.flatMap(({ method, url }) =>
    method === 'POST' || method === 'PUT' || method === 'PATCH' || method === 'DELETE'
      ? [{ method, url: url.replace(':queueName', 'usage').replaceAll(/:\w+/g, 'failed') }]
      : [],
  )
}

describe('the queues are shown', () => {
  test('to whoever has the credential: the page, every queue and a job', async ({ place, redis }) => {
    const { server, queues } = await givenOps(place, redis, {})
    const job = await queueOf(queues, 'ops').add('heartbeat', {})

    const page = await ask(server, 'GET', '/queues')
    const listed = await ask(server, 'GET', '/queues/api/queues?activeQueue=ops')
    const shown = await ask(server, 'GET', `/queues/api/queues/ops/${job.id}`)

    expect(page.statusCode).toBe(200)
    expect(page.headers['content-type']).toMatch(/^text\/html/)
    const { queues: names }: { queues: { name: string; readOnlyMode: boolean }[] } = listed.json()
    expect(names.map(({ name }) => name).toSorted()).toEqual([...queueNames].toSorted())
    expect(names.every(({ readOnlyMode }) => readOnlyMode)).toBe(true)
    expect(shown.json()).toMatchObject({ job: { name: 'heartbeat' } })
  })

  test('on a page that lets nothing in from elsewhere, and whose every file is there', async ({
    place,
    redis,
  }) => {
    const { server } = await givenOps(place, redis, {})

    const page = await ask(server, 'GET', '/queues')

    const policy = String(page.headers['content-security-policy'])
    expect(policy).toMatch(/default-src 'none'; script-src 'self';/)
    expect(policy).not.toMatch(/script-src[^;]*unsafe|https?:/)
    expect(page.headers['cache-control']).toBe('no-store')
    expect(page.body).not.toMatch(/(?:src|href)="https?:/)
    const files = [...page.body.matchAll(/(?:src|href)="(static\/[^"]+)"/g)].map(([, file]) => file)
    expect(files.length).toBeGreaterThan(3)
    for (const file of files) {
      expect({ file, status: (await ask(server, 'GET', `/queues/${file}`)).statusCode }).toEqual({
        file,
        status: 200,
      })
    }
    // Scripts that stand in the page itself are data: the policy would not run them.
    const inPage = [...page.body.matchAll(/<script(?![^>]*\bsrc=)([^>]*)>/g)].map(
      ([, attributes]) => attributes,
    )
    expect(inPage.every((attributes) => attributes?.includes('application/json'))).toBe(true)
  })

  const strangers: [who: string, authorization: string | undefined][] = [
    ['nobody', undefined],
    ['another password', basic(opsUser, 'a-long-password-of-opS')],
    ['another user', basic('root', opsPassword)],
    ['the beginning of the password', basic(opsUser, opsPassword.slice(0, -1))],
    ['nothing as both', basic('', '')],
    ['the credential as a key', `Bearer ${opsPassword}`],
    ['what is no base64', 'Basic ???'],
    ['half of it', `Basic ${Buffer.from(opsUser).toString('base64')}`],
  ]

  test.for(strangers)('not to %s', async ([, authorization], { place, redis }) => {
    const { server, queues } = await givenOps(place, redis, {})
    await queueOf(queues, 'usage').add('call-ended', {})
    const urls = [
      '/queues',
      '/queues/',
      '/queues/api/queues',
      '/queues/queue/usage',
      '/queues/static/favicon.ico',
    ]

    for (const url of urls) {
      const answer = await server.inject({
        url,
        headers: authorization === undefined ? {} : { authorization },
      })
      expect({ url, status: answer.statusCode }).toEqual({ url, status: 401 })
      expect(answer.headers['www-authenticate']).toMatch(/^Basic /)
      expect(answer.body).not.toMatch(/call-ended|usage/)
    }
  })

  test('not at all unless a credential is set', async ({ place, redis }) => {
    const { server } = await givenOps(place, redis)

    expect((await ask(server, 'GET', '/queues')).statusCode).toBe(404)
    expect((await ask(server, 'GET', '/queues/api/queues')).statusCode).toBe(404)
  })

  test('without phone numbers, addresses or keys, wherever a job has them', async ({ place, redis }) => {
    const { server, queues } = await givenOps(place, redis, {})
    const queue = queueOf(queues, 'usage')
    const key = `sk_call2me_${'a'.repeat(48)}`
    const job = await queue.add('call-ended', {
      callId: 'call_1',
      to: '+14155550100',
      nested: [
        { note: 'call +1 415 555 0101 or ann@example.com', apiKey: 'abc', recorded: true, seconds: 61 },
      ],
      text: `used ${key}`,
    })
    await job.log('dialled +14155550102')
    await job.updateProgress({ from: '+14155550103' })

    const texts = await Promise.all(
      [
        '/queues/api/queues?activeQueue=usage',
        `/queues/api/queues/usage/${job.id}`,
        `/queues/api/queues/usage/${job.id}/logs`,
      ].map(async (url) => (await ask(server, 'GET', url)).body),
    )

    expect(texts.join('\n')).not.toMatch(/415\D?555|ann@|a{9}|\babc\b/)
    expect(texts[0]).toContain('call_1')
    expect(texts[0]).toContain('61')
  })
})

describe('the queues are changed', () => {
  test('by no stranger, on any route that changes anything', async ({ place, redis }) => {
    const routes = await changingRoutes(place, redis)
    const { server } = await givenOps(place, redis, { writable: true })

    expect(routes.length).toBeGreaterThan(15)
    for (const { method, url } of routes) {
      const { statusCode } = await server.inject({ method, url, payload: {} })
      expect({ method, url, statusCode }).toEqual({ method, url, statusCode: 401 })
    }
  })

  test('by nobody while they are only shown, and stay as they are', async ({ ownPlace, redis }) => {
    const routes = await changingRoutes(ownPlace, redis)
    const { server, queues } = await givenOps(ownPlace, redis, {})
    const queue = queueOf(queues, 'usage')
    await queue.add('call-ended', {}, { delay: 600_000 })

    for (const { method, url } of routes) {
      const answer = await server.inject({ method, url, payload: {}, headers: { authorization: credential } })
      expect({ method, url, status: answer.statusCode }).toEqual({ method, url, status: 405 })
      expect(answer.json()).toMatchObject({ error: { code: 'read_only' } })
    }

    expect(await queue.getJobCounts('delayed', 'waiting')).toEqual({ delayed: 1, waiting: 0 })
    expect(await queue.isPaused()).toBe(false)
  })

  test('by whoever has the credential where it is switched on, and not for a page of somebody else', async ({
    ownPlace,
    redis,
  }) => {
    const { server, queues } = await givenOps(ownPlace, redis, { writable: true })
    const queue = queueOf(queues, 'usage')
    const put = async (url: string, site: string): Promise<number> =>
      (
        await server.inject({
          method: 'PUT',
          url,
          headers: { authorization: credential, 'sec-fetch-site': site },
        })
      ).statusCode

    const elsewhere = await put('/queues/api/queues/usage/pause', 'cross-site')
    const pausedByOther = await queue.isPaused()
    const here = await put('/queues/api/queues/usage/pause', 'same-origin')

    expect({ elsewhere, pausedByOther, here, paused: await queue.isPaused() }).toEqual({
      elsewhere: 403,
      pausedByOther: false,
      here: 200,
      paused: true,
    })
  })
})

test('the port of the customers knows nothing of the queues or the metrics, and the ops port nothing of the API', async ({
  place,
  startApi,
}) => {
  const api = await startApi({
    place,
    environment: {
      REDIS_URL: place.redisUrl,
      QUEUE_PREFIX: place.queuePrefix,
      OPS_USER: opsUser,
      OPS_PASSWORD: opsPassword,
    },
  })
  const opsUrl = await until('it said where', () => {
    const said = api.log.find((line) => line.msg === 'metrics are served')
    return said !== undefined && String(said['url'])
  })
  const headers = { authorization: credential }
  const statusOf = async (url: string): Promise<number> => (await fetch(url, { headers })).status

  expect(await statusOf(`${opsUrl}/metrics`)).toBe(200)
  expect(await statusOf(`${opsUrl}/queues`)).toBe(200)
  expect(await statusOf(`${opsUrl}/v1/wallet`)).toBe(404)
  expect(await statusOf(`${api.url}/metrics`)).toBe(404)
  expect(await statusOf(`${api.url}/queues`)).toBe(404)
  expect(new URL(opsUrl).hostname).toBe('127.0.0.1')
  expect(await api.stop()).toBe(0)
})

const wrongCredentials: [what: string, environment: Record<string, string>, named: string][] = [
  ['a short password', { OPS_USER: 'ops', OPS_PASSWORD: 'elevenchars' }, 'OPS_PASSWORD'],
  ['a password without a user', { OPS_PASSWORD: 'long-enough-for-ops' }, 'OPS_PASSWORD'],
  ['a user without a password', { OPS_USER: 'ops' }, 'OPS_PASSWORD'],
  ['a user with a colon', { OPS_USER: 'o:ps', OPS_PASSWORD: 'long-enough-for-ops' }, 'OPS_USER'],
]

test.for(wrongCredentials)(
  'the API is not configured with %s, and the secret is not told',
  ([, environment, named]) => {
    const wrong = (): unknown =>
      readApiConfig({
        DATABASE_URL: 'postgres://localhost/wallet',
        PADDLE_WEBHOOK_SECRET: 'a-secret-of-sixteen',
        ...environment,
      })

    expect(wrong).toThrow(named)
    expect(wrong).not.toThrow(/elevenchars|long-enough/)
  },
)

function ask(server: GivenOps['server'], method: 'GET', url: string) {
  return server.inject({ method, url, headers: { authorization: credential } })
}

function queueOf(queues: BullBoardOptions['queues'], name: string) {
  const queue = queues.find((each) => each.name === name)
  if (queue === undefined) throw new Error(`there is no queue ${name}`)
  return queue
}

function basic(user: string, password: string): string {
  return `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`
}
