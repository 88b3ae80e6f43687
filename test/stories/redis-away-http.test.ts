// Redis is away: balances are read, calls are admitted and usage is taken in as ever, and quickly; afterwards all is posted.
import { expect } from 'vitest'

import { test } from '../support/api-process.ts'
import { countUsage, findBreaks } from '../support/books.ts'
import { othersTake } from '../support/busy-machine.ts'
import { aCall, aMessage, givenWorkspace } from '../support/given.ts'
import { givenWriteKey, moneyOf } from '../support/given-calls.ts'
import { httpClient, type HttpAnswer } from '../support/http-client.ts'
import { until } from '../support/until.ts'

const rounds = 100
/** What the slowest in a hundred requests may take, on a machine of its own. */
const mostMs = 250

test('without Redis reads, admission and usage go on within a quarter of a second, and everything is posted once it is back', async ({
  place,
  db,
  startServers,
  startApi,
  startWorkers,
}) => {
  const { redis, redisUrl } = await startServers({ databaseUrl: place.databaseUrl })
  const workspaceId = await givenWorkspace(db)
  const { url } = await startApi({ environment: { REDIS_URL: redisUrl, QUEUE_PREFIX: place.queuePrefix } })
  const client = httpClient(url, [await givenWriteKey(db, workspaceId)])
  const worker = await startWorkers({ place: { ...place, redisUrl } })
  // The first request of a process is slow, its code is not compiled yet.
  await Promise.all([client.get('/v1/wallet'), client.get('/v1/calls/unbilled')])
  const live = await client.post('/v1/calls', { to_number: '+14155550100' })

  await redis.kill()
  const answers: HttpAnswer[] = []
  for (let round = 0; round < rounds; round += 1) {
    const inRound = await Promise.all([
      client.get('/v1/wallet'),
      client.post('/v1/calls', { direction: 'web', call_id: `call_redis_${round}` }),
      client.post('/v1/usage', {
        events: [
          { kind: 'call', ...aCall(workspaceId, { durationSeconds: 1 }) },
          { kind: 'message', ...aMessage(workspaceId) },
        ],
      }),
    ])
    answers.push(...inRound)
    await client.post(`/v1/calls/call_redis_${round}/release`)
  }
  const ended = await client.post(`${live.headers.get('location')}/end`, { duration_seconds: 60 })
  const whileAway = await countUsage(db, workspaceId)
  await redis.start()
  await until('everything is posted', async () => {
    return (await countUsage(db, workspaceId)).posted === 2 * rounds + 1
  })

  const statuses = answers.map((each) => each.status)
  expect(new Set(statuses)).toEqual(new Set([200, 201, 202]))
  const slowest = answers.map((each) => each.tookMs).toSorted((one, other) => one - other)
  expect(slowest[Math.floor(slowest.length * 0.99)]).toBeLessThan(mostMs * othersTake())
  expect(ended.status).toBe(202)
  expect(whileAway).toEqual({ received: 2 * rounds + 1 })
  expect(await moneyOf(db, workspaceId)).toEqual({
    // 100 calls of a second at $0.18 a minute, 100 messages at $0.01, and one minute.
    balance: 10_000_000n - 100n * 3_000n - 100n * 10_000n - 180_000n,
    held: 0n,
    openHolds: 0n,
  })
  expect(await findBreaks(place.databaseUrl)).toEqual([])
  expect(worker.isRunning()).toBe(true)
})
