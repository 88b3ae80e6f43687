// Redis is killed and everything it knew is deleted. What Postgres has accepted is posted all the same, once.
import { Queue } from 'bullmq'
import { Redis } from 'ioredis'
import { expect } from 'vitest'

import { heartbeatAgeMs } from '../../db/heartbeat.ts'
import { receiveUsage } from '../../db/usage-event.ts'
import type { Db } from '../../db/schema.ts'
import { jobOf } from '../../jobs/contract.ts'
import { createProducer } from '../../jobs/producer.ts'
import type { UsageArrival } from '../../jobs/usage-arrival.ts'
import { usageReceived } from '../../jobs/usage-jobs.ts'
import { countTransactions, countUsage, findBreaks, readBalances } from '../support/books.ts'
import { test } from '../support/fixtures.ts'
import { aCall, callArrival, givenWorkspace, messageArrival } from '../support/given.ts'
import { refusalOf } from '../support/refusal.ts'
import { until } from '../support/until.ts'
import { givenTraffic, oracleOf, type TrafficRecord } from '../support/usage-traffic.ts'

/** Small bites, so that Redis goes while there is something to do. */
const environment = { POSTING_BATCH_SIZE: '5' }

test('events that Postgres has accepted are posted once when Redis is killed with its data, rings and schedules included', async ({
  place,
  db,
  startServers,
  startWorkers,
}) => {
  const { redis, redisUrl } = await startServers({ databaseUrl: place.databaseUrl })
  const workspaceIds = await Promise.all(Array.from({ length: 3 }, () => givenWorkspace(db)))
  const traffic = givenTraffic({ records: 2_000, workspaceIds, seed: 11, now: new Date() })
  const oracle = oracleOf(traffic, workspaceIds)
  const arrivals = traffic.map(arrivalOf)
  const early = arrivals.slice(0, 1_500)
  await receiveUsage(db, early)
  const worker = await startWorkers({ place: { ...place, redisUrl }, environment })
  await ring(redisUrl, place.queuePrefix)

  await until('some are posted', async () => (await countTransactions(db, ['call', 'message'])) >= 100)
  await redis.kill()
  const postedAtKill = await countTransactions(db, ['call', 'message'])
  await redis.wipe()
  // The run that was under way needs no Redis to finish. Whoever comes after it has only the sweep to ring for it.
  await until('the run under way is over', async () => (await undecided(db)) === 0)
  await receiveUsage(db, arrivals)
  await redis.start()
  const returnedAt = performance.now()
  await until('everything is posted', async () => (await undecided(db)) === 0)
  const schedulers = await until('the schedules are back', () => schedulersOf(redisUrl, place.queuePrefix))
  await until('the heart beats again', async () => {
    const ageMs = await heartbeatAgeMs(db)
    return ageMs !== null && ageMs < performance.now() - returnedAt
  })

  expect(postedAtKill).toBeLessThan(oracle.billable)
  expect(await countTransactions(db, ['call', 'message'])).toBe(oracle.billable)
  expect(await countUsage(db)).toEqual({ posted: oracle.billable, free: oracle.distinct - oracle.billable })
  expect(await readBalances(db)).toEqual(oracle.balances)
  expect(await findBreaks(place.databaseUrl)).toEqual([])
  expect(schedulers).toMatchObject([{ key: 'heartbeat', every: 10_000 }])
  expect(worker.isRunning()).toBe(true)
  expect(await worker.stop()).toBe(0)
})

test('a producer without Redis gives up in time and says what to do, and works again when Redis is back', async ({
  place,
  startServers,
}) => {
  const { redis, redisUrl } = await startServers({ databaseUrl: place.databaseUrl })
  const producer = createProducer(redisUrl, { prefix: place.queuePrefix, timeoutMs: 500 })
  await producer.callEnded(aCall('ws_any'))
  await redis.kill()

  const startedAt = performance.now()
  const refusals = await Promise.all(
    Array.from({ length: 20 }, () => refusalOf(producer.callEnded(aCall('ws_any')))),
  )
  const tookMs = performance.now() - startedAt

  for (const refusal of refusals) {
    expect(refusal).toMatchObject({ code: 'queue_unavailable' })
    expect(refusal.message).toMatch(/^Redis at 127\.0\.0\.1:\d+ cannot be reached .*Send it again/)
    expect(refusal.message).not.toContain(new URL(redisUrl).password)
  }
  expect(tookMs).toBeLessThan(2_000)

  await redis.start()
  const enqueued = await until('a call is enqueued', () =>
    producer.callEnded(aCall('ws_any', { callId: 'call_1' })),
  )

  expect(enqueued.jobId).toMatch(/^call-ended_call_1_/)
  await producer.close()
})

test('a producer that never finds Redis says so as well, and can be closed', async () => {
  const producer = createProducer('redis://:a-secret@127.0.0.1:1', { timeoutMs: 200 })

  const refusal = await refusalOf(
    producer.messageSent({
      messageId: 'msg_1',
      workspaceId: 'ws_any',
      sentAt: new Date(),
    }),
  )
  await producer.close()

  expect(refusal).toMatchObject({
    code: 'queue_unavailable',
    message: expect.stringMatching(/127\.0\.0\.1:1 .*ECONNREFUSED/),
  })
  expect(refusal.message).not.toContain('a-secret')
})

function arrivalOf(record: TrafficRecord): UsageArrival {
  return record.kind === 'call' ? callArrival(record.call) : messageArrival(record.message)
}

async function undecided(db: Db): Promise<number> {
  return (await countUsage(db)).received ?? 0
}

async function ring(redisUrl: string, prefix: string): Promise<void> {
  const job = jobOf(usageReceived, {})
  await withQueue(redisUrl, prefix, 'usage', (queue) =>
    queue.add(job.name, job.data, { ...job.options, jobId: job.jobId }),
  )
}

async function schedulersOf(redisUrl: string, prefix: string) {
  const schedulers = await withQueue(redisUrl, prefix, 'ops', (queue) => queue.getJobSchedulers())
  return schedulers.length > 0 && schedulers
}

async function withQueue<Result>(
  redisUrl: string,
  prefix: string,
  name: string,
  use: (queue: Queue) => Promise<Result>,
): Promise<Result> {
  const connection = new Redis(redisUrl, { maxRetriesPerRequest: null })
  const queue = new Queue(name, { connection, prefix })
  queue.on('error', () => undefined)
  try {
    return await use(queue)
  } finally {
    await queue.close()
    connection.disconnect()
  }
}
