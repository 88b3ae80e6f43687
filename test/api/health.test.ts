// Alive and ready: what each says while a part is away, and that asking often asks the parts seldom.
import { createServer as createTcpServer } from 'node:net'
import { once } from 'node:events'

import { Redis } from 'ioredis'
import { describe, expect, onTestFinished } from 'vitest'

import { beat } from '../../db/heartbeat.ts'
import { migrateToLatest } from '../../db/migrate.ts'
import { answerOf } from '../support/paddle-sender.ts'
import { test } from '../support/api-server.ts'
import { givenServer } from './given-server.ts'

describe('/readyz', () => {
  test('is 200 and names every part when all of them work', async ({
    startTestApi,
    place: { databaseUrl },
    db,
    redis,
  }) => {
    await beat(db)
    const api = await startTestApi({ databaseUrl, context: { pingRedis: () => redis.ping() } })

    const answer = await api.get('/readyz', { key: null })

    expect(answer.status).toBe(200)
    expect(answer.body).toEqual({
      status: 'ready',
      parts: {
        postgres: { status: 'ok', detail: expect.any(String) },
        migrations: { status: 'ok', detail: expect.any(String) },
        redis: { status: 'ok', detail: expect.any(String) },
        workers: { status: 'ok', detail: expect.any(String), heartbeat_age_seconds: expect.any(Number) },
      },
    })
  })

  test('stays 200, and says that it is degraded, without Redis or workers: requests need neither', async ({
    startTestApi,
    ownPlace: { databaseUrl },
  }) => {
    const nobody = new Redis('redis://127.0.0.1:1', { lazyConnect: true, maxRetriesPerRequest: 0 })
    nobody.on('error', () => undefined)
    onTestFinished(() => nobody.disconnect())
    const api = await startTestApi({ databaseUrl, context: { pingRedis: () => nobody.ping() } })

    const answer = await api.get('/readyz', { key: null })

    expect(answer).toMatchObject({
      status: 200,
      body: {
        status: 'degraded',
        parts: {
          postgres: { status: 'ok' },
          redis: { status: 'degraded' },
          workers: { status: 'degraded', heartbeat_age_seconds: null },
        },
      },
    })
  })

  test('is 503 on a database that lacks a migration', async ({
    emptyDatabaseUrl,
    startTestApi,
    db,
    place,
  }) => {
    const api = await startTestApi({ databaseUrl: place.databaseUrl })
    expect((await api.get('/readyz', { key: null })).status).toBe(200)
    await api.close()
    const { url } = await givenServer(emptyDatabaseUrl)
    await beat(db)

    const answer = await answerOf(await fetch(`${url}/readyz`))

    expect(answer).toMatchObject({
      status: 503,
      body: { status: 'not_ready', parts: { migrations: { status: 'failed' } } },
    })
    expect(answer.text).not.toMatch(/kysely|relation|0001_/)
  })

  test('is 503 within two seconds while Postgres says nothing at all, and asks it once for a hundred who ask', async () => {
    const connections: unknown[] = []
    const silence = createTcpServer((socket) => {
      connections.push(socket)
      onTestFinished(() => void socket.destroy())
    }).listen(0, '127.0.0.1')
    await once(silence, 'listening')
    onTestFinished(() => void silence.close())
    const address = silence.address()
    const port = typeof address === 'object' && address !== null ? address.port : 0
    const { url } = await givenServer(`postgres://nobody:nothing@127.0.0.1:${port}/none`)
    const startedAt = performance.now()

    const answers = await Promise.all(
      Array.from({ length: 100 }, async () => await answerOf(await fetch(`${url}/readyz`))),
    )

    expect(performance.now() - startedAt).toBeLessThan(4_000)
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([503]))
    expect(answers[0]?.body).toMatchObject({ status: 'not_ready', parts: { postgres: { status: 'failed' } } })
    expect(connections.length).toBeLessThan(5)
  })

  test('is ready again by itself when Postgres is back', async ({ startServers, place }) => {
    const { postgres, databaseUrl } = await startServers({ redisUrl: place.redisUrl })
    await migrateToLatest(databaseUrl)
    const { url } = await givenServer(databaseUrl)
    const statusOf = async (): Promise<number> => (await fetch(`${url}/readyz`)).status
    const before = await statusOf()

    await postgres.kill()
    await expect.poll(statusOf, { timeout: 60_000 }).toBe(503)
    await postgres.start()

    expect(before).toBe(200)
    await expect.poll(statusOf, { timeout: 60_000 }).toBe(200)
  })
})

test('/healthz asks nobody, and so is 200 whatever is away', async () => {
  const { url } = await givenServer('postgres://nobody:nothing@127.0.0.1:1/none')

  expect(await answerOf(await fetch(`${url}/healthz`))).toMatchObject({ status: 200, body: { status: 'ok' } })
})
