// The API process from outside: what it refuses to start with, how it ends, and what it does when something is away.
import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'

import { sql } from 'kysely'
import { describe, expect } from 'vitest'

import { connect } from '../../db/connect.ts'
import { migrateToLatest } from '../../db/migrate.ts'
import { startApiUntilItEnds, test } from '../support/api-process.ts'
import { othersTake } from '../support/busy-machine.ts'
import { startTestPaddle } from '../support/paddle.ts'
import { anEvent, sendWebhook, webhookSecret } from '../support/paddle-sender.ts'
import { until } from '../support/until.ts'

describe('the API process refuses to start', () => {
  test('when its environment is wrong, and names every variable but no secret', async ({ place }) => {
    const { code, output } = await startApiUntilItEnds(place.databaseUrl, {
      PADDLE_WEBHOOK_SECRET: `${webhookSecret},short-secret`,
      API_PORT: 'eighty',
      PADDLE_WEBHOOK_TOLERANCE_MS: '5s',
    })

    expect(code).toBe(1)
    expect(output).toMatch(/malformed_configuration/)
    for (const name of ['API_PORT', 'PADDLE_WEBHOOK_SECRET', 'PADDLE_WEBHOOK_TOLERANCE_MS']) {
      expect(output).toContain(`${name}: `)
    }
    expect(output).not.toMatch(/short-secret|current_secret/)
  })

  test('on a database that lacks a migration', async ({ emptyDatabaseUrl }) => {
    const { code, output } = await startApiUntilItEnds(emptyDatabaseUrl, {})

    expect(code).toBe(1)
    expect(output).toMatch(/lacks 0001_.*npm run -s migrate/)
  })

  test('on a port that somebody else has, and names it', async ({ place, startApi }) => {
    const { url } = await startApi()

    const { code, output } = await startApiUntilItEnds(place.databaseUrl, { API_PORT: new URL(url).port })

    expect(code).toBe(1)
    expect(output).toContain('EADDRINUSE')
  })
})

test('the API process ends with 0 when it is told to, writes down what it counted, and takes no connection with it', async ({
  ownPlace: place,
  ownDb: db,
  startApi,
}) => {
  const api = await startApi({ place })
  await sendWebhook(api.url, anEvent().body, { signature: null })

  const code = await api.stop()

  expect(code).toBe(0)
  expect(api.log.at(-1)).toMatchObject({ level: 'info', msg: 'shut down' })
  expect(await db.selectFrom('refused_webhook').select(['reason', 'refused']).execute()).toEqual([
    { reason: 'missing_signature', refused: 1n },
  ])
  await until('its connections are gone', async () => {
    const { rows } = await sql`
      select from pg_stat_activity where datname = current_database() and application_name = 'wallet api'`.execute(
      db,
    )
    return rows.length === 0
  })
})

test('refused webhooks are counted while it runs, a few seconds later', async ({
  ownPlace: place,
  ownDb: db,
  startApi,
}) => {
  const { url } = await startApi({ place })

  await sendWebhook(url, anEvent().body, { signature: null })

  await until('it is counted', async () => {
    const rows = await db.selectFrom('refused_webhook').select('refused').execute()
    return rows.some(({ refused }) => refused === 1n)
  })
})

test('a webhook is stored within a second while Redis is away, and nobody asks for Redis', async ({
  db,
  startApi,
}) => {
  const asked: string[] = []
  const silence = createServer((socket) => {
    asked.push('a connection')
    socket.destroy()
  }).listen(0, '127.0.0.1')
  await once(silence, 'listening')
  const { port } = addressOf(silence.address())
  const { url, log } = await startApi({
    environment: { REDIS_URL: `redis://127.0.0.1:${port}`, LOG_LEVEL: 'trace' },
  })

  const took: number[] = []
  for (const { body } of Array.from({ length: 20 }, () => anEvent())) {
    const startedAt = performance.now()
    expect((await sendWebhook(url, body)).status).toBe(200)
    took.push(performance.now() - startedAt)
  }

  expect(Math.max(...took)).toBeLessThan(1_000 * othersTake())
  expect(asked).toEqual([])
  expect(JSON.stringify(log)).not.toMatch(/redis/i)
  const { rows } = await sql<{ count: bigint }>`select count(*) from paddle_event`.execute(db)
  expect(rows[0]?.count).toBe(20n)
  silence.close()
})

test('while Postgres is away the answer is 503, and what Paddle tells again afterwards is stored', async ({
  place,
  startApi,
  startServers,
}) => {
  const { postgres, databaseUrl } = await startServers({ redisUrl: place.redisUrl })
  await migrateToLatest(databaseUrl)
  const paddle = await startTestPaddle()
  const api = await startApi({ place: { databaseUrl }, environment: paddle.environment })
  await paddle.control.setWebhookUrl(`${api.url}/webhooks/paddle`)
  await paddle.control.webhooks({ retryDelaysMs: Array.from({ length: 200 }, () => 100) })

  await postgres.kill()
  await paddle.control.saveCard({ workspaceId: 'ws_1' })
  const told = await until('every one was answered', async () => {
    const { deliveries, events } = await paddle.control.journal()
    const answered = new Set(deliveries.map(({ eventId }) => eventId))
    return answered.size === events.length && { deliveries, events }
  })
  await postgres.start()
  await until('every one is delivered', async () => (await paddle.control.pendingWebhooks()).length === 0)

  expect(new Set(told.deliveries.map(({ status }) => status))).toEqual(new Set([503]))
  const db = connect(databaseUrl, { profile: 'operator', name: 'test', poolSize: 1 })
  const stored = await db.selectFrom('paddle_event').select('event_id').execute()
  const staged = await db.selectFrom('staged_job').select('job_id').execute()
  expect(stored.map((row) => row.event_id).toSorted()).toEqual(
    told.events.map(({ eventId }) => eventId).toSorted(),
  )
  expect(staged).toHaveLength(stored.length)
  expect(await api.stop()).toBe(0)
  await db.destroy()
  await paddle.close()
})

function addressOf(address: string | AddressInfo | null): AddressInfo {
  if (address === null || typeof address === 'string') throw new Error('the server has no port')
  return address
}
