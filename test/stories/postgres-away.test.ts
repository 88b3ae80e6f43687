// Postgres dies, connections are cut, the answer to a COMMIT is lost. No event is lost, none is booked twice, no job fails.
import { sql } from 'kysely'
import { describe, expect } from 'vitest'

import { connect } from '../../db/connect.ts'
import { migrateToLatest } from '../../db/migrate.ts'
import type { Db } from '../../db/schema.ts'
import { findBalance } from '../../db/wallet.ts'
import { createProducer } from '../../jobs/producer.ts'
import { createLog } from '../../runtime/log.ts'
import { createPostingBatch } from '../../workers/posting-batch.ts'
import { countTransactions, countUsage, findBreaks, isQuiet, readBalances } from '../support/books.ts'
import { test } from '../support/fixtures.ts'
import { aCall, callArrival, givenWorkspace } from '../support/given.ts'
import { startTcpProxy, type TcpProxy } from '../../scripts/drills/tcp-proxy.ts'
import { until } from '../support/until.ts'
import { givenTraffic, oracleOf, sendTraffic } from '../support/usage-traffic.ts'
import type { LogLine } from '../support/worker-process.ts'

/** Small bites, so that Postgres goes while there is something to do. */
const environment = { POSTING_BATCH_SIZE: '25' }

test('events that arrive while Postgres is killed and comes back are posted once, and their jobs do not fail', async ({
  place,
  queueNamed,
  startServers,
  startWorkers,
}) => {
  const { postgres, databaseUrl } = await startServers({ redisUrl: place.redisUrl })
  await migrateToLatest(databaseUrl)
  const db = connect(databaseUrl, { profile: 'operator', name: 'test', poolSize: 4 })
  const workspaceIds = await Promise.all(Array.from({ length: 3 }, () => givenWorkspace(db)))
  const traffic = givenTraffic({ records: 2_000, workspaceIds, seed: 3, now: new Date() })
  const oracle = oracleOf(traffic, workspaceIds)
  const worker = await startWorkers({ place: { ...place, databaseUrl }, environment })
  const producer = createProducer(place.redisUrl, { prefix: place.queuePrefix, timeoutMs: 10_000 })

  const sending = sendTraffic(producer, traffic)
  await until('some are posted', async () => (await countTransactions(db, ['call', 'message'])) >= 200)
  await postgres.kill()
  // The producer needs no Postgres, and the worker must have met its absence before it is over.
  await sending
  await until('the worker waits for Postgres', () =>
    worker.log.some((line) => line.msg === 'posting waits for the database'),
  )
  const waiting = await queueNamed('usage').getJobCounts()
  await postgres.start()
  await until('everything is decided', async () => {
    return (
      (await countTransactions(db, ['call', 'message'])) >= oracle.billable &&
      (await isQuiet(queueNamed('usage')))
    )
  })

  expect((waiting['active'] ?? 0) + (waiting['waiting'] ?? 0)).toBeGreaterThan(0)
  expect(await countUsage(db)).toEqual({ posted: oracle.billable, free: oracle.distinct - oracle.billable })
  expect(await countTransactions(db, ['call', 'message'])).toBe(oracle.billable)
  expect(await readBalances(db)).toEqual(oracle.balances)
  expect(await findBreaks(databaseUrl)).toEqual([])
  expect(failedUsageJobs(worker.log)).toEqual([])
  expect(await worker.stop()).toBe(0)
  await producer.close()
  await db.destroy()
})

test('cutting the connections of the workers again and again changes nothing', async ({
  place,
  db,
  queueNamed,
  startWorkers,
}) => {
  const workspaceIds = await Promise.all(Array.from({ length: 3 }, () => givenWorkspace(db)))
  const traffic = givenTraffic({ records: 2_000, workspaceIds, seed: 5, now: new Date() })
  const oracle = oracleOf(traffic, workspaceIds)
  const worker = await startWorkers({ environment })
  const producer = createProducer(place.redisUrl, { prefix: place.queuePrefix, timeoutMs: 10_000 })

  const sending = sendTraffic(producer, traffic)
  for (let cut = 1; cut <= 5; cut += 1) {
    const goal = Math.round((oracle.billable * cut) / 6)
    await until(`${goal} are posted`, async () => (await countTransactions(db, ['call', 'message'])) >= goal)
    await until('a connection is cut', async () => (await cutConnections(db)) > 0)
  }
  await sending
  await until('everything is decided', async () => {
    return (
      (await countTransactions(db, ['call', 'message'])) >= oracle.billable &&
      (await isQuiet(queueNamed('usage')))
    )
  })

  expect(await countTransactions(db, ['call', 'message'])).toBe(oracle.billable)
  expect(await readBalances(db)).toEqual(oracle.balances)
  expect(await findBreaks(place.databaseUrl)).toEqual([])
  expect(failedUsageJobs(worker.log)).toEqual([])
  await producer.close()
})

describe('when the connection dies at COMMIT', () => {
  test('and Postgres has committed, the retry finds the events booked', async ({ place, db }) => {
    const { batch, proxy, close } = await givenBatchThroughProxy(place.databaseUrl)
    const workspaceId = await givenWorkspace(db)

    const cut = proxy.dropAnswerTo('commit')
    const outcomes = await Promise.all([
      batch.post(callArrival(aCall(workspaceId))),
      batch.post(callArrival(aCall(workspaceId))),
    ])
    await cut

    expect(outcomes).toEqual([{ outcome: 'duplicate' }, { outcome: 'duplicate' }])
    expect(await findBalance(db, workspaceId)).toBe(10_000_000n - 2n * 180_000n)
    await close()
  })

  test('and Postgres never heard of it, the retry books them', async ({ place, db }) => {
    const { batch, proxy, close } = await givenBatchThroughProxy(place.databaseUrl)
    const workspaceId = await givenWorkspace(db)

    const cut = proxy.dropRequest('commit')
    const outcome = await batch.post(callArrival(aCall(workspaceId)))
    await cut

    expect(outcome).toMatchObject({ outcome: 'posted', balanceAfterMicros: 9_820_000n })
    expect(await findBalance(db, workspaceId)).toBe(9_820_000n)
    await close()
  })
})

async function givenBatchThroughProxy(databaseUrl: string) {
  const { hostname, port } = new URL(databaseUrl)
  const proxy: TcpProxy = await startTcpProxy({ host: hostname, port: Number(port) })
  const db = connect(proxy.urlOf(databaseUrl), { profile: 'posting', name: 'posting', poolSize: 1 })
  const batch = createPostingBatch({ db, log: createLog('silent', 'test'), most: 100 })
  const close = async (): Promise<void> => {
    await batch.close()
    await db.destroy()
    await proxy.close()
  }
  return { batch, proxy, close }
}

/** Of the worker processes alone: cutting our own would hide what it does to them. */
async function cutConnections(db: Db): Promise<number> {
  const { rows } = await sql`
    select pg_terminate_backend(pid) from pg_stat_activity
    where datname = current_database() and application_name in ('wallet posting', 'wallet workers')`.execute(
    db,
  )
  return rows.length
}

function failedUsageJobs(log: readonly LogLine[]): LogLine[] {
  return log.filter((line) => line.msg === 'job failed' && line.queue === 'usage')
}
