// A service that wants a promise tells its usage over HTTP: what was answered with 202 is posted once, whoever dies.
import { expect } from 'vitest'

import { test } from '../support/api-process.ts'
import { countTransactions, countUsage, findBreaks, readBalances } from '../support/books.ts'
import { eachOf } from '../support/each-of.ts'
import { aCall, givenWorkspace } from '../support/given.ts'
import { givenWriteKey, moneyOf, spend } from '../support/given-calls.ts'
import { httpClient } from '../support/http-client.ts'
import { until } from '../support/until.ts'
import { eventOf, givenTraffic, oracleOf } from '../support/usage-traffic.ts'

test('every event that was accepted over HTTP is posted once, with the API and the workers killed meanwhile and all told twice', async ({
  place,
  db,
  startApi,
  startWorkers,
}) => {
  const workspaceId = await givenWorkspace(db)
  const key = await givenWriteKey(db, workspaceId)
  const traffic = givenTraffic({ records: 2_000, workspaceIds: [workspaceId], seed: 17, now: new Date() })
  const oracle = oracleOf(traffic, [workspaceId])
  const pages = Array.from({ length: 20 }, (_, page) =>
    traffic.slice(page * 100, page * 100 + 100).map(eventOf),
  )
  const worker = await startWorkers({ environment: { POSTING_BATCH_SIZE: '25' } })
  const first = await startApi()
  const doomed = httpClient(first.url, [key])

  const killed: Promise<void>[] = []
  const told: (number | null)[] = []
  await eachOf(pages, 4, async (events) => {
    const answer = await doomed.post('/v1/usage', { events }).catch(() => null)
    told.push(answer?.status ?? null)
    // What is sent from the third answer on is accepted and finds no worker, until the API is gone as well.
    if (told.length === 3) killed.push(worker.kill())
    if (told.length === 12) killed.push(first.kill())
  })
  await Promise.all(killed)
  const atKill = await countUsage(db)
  const second = await startApi()
  await startWorkers()
  const client = httpClient(second.url, [key])
  const again: number[] = []
  for (const events of pages) again.push((await client.post('/v1/usage', { events })).status)
  await until('everything is decided', async () => {
    const states = await countUsage(db)
    return (states.received ?? 0) === 0 && (states.posted ?? 0) + (states.free ?? 0) === oracle.distinct
  })

  expect(new Set(told)).toEqual(new Set([202, null]))
  expect(atKill.received).toBeGreaterThan(0)
  expect(new Set(again)).toEqual(new Set([202]))
  expect(await countUsage(db)).toEqual({ posted: oracle.billable, free: oracle.distinct - oracle.billable })
  expect(await countTransactions(db, ['call', 'message'])).toBe(oracle.billable)
  expect(await readBalances(db)).toEqual(oracle.balances)
  expect(await findBreaks(place.databaseUrl)).toEqual([])
})

test('a call over HTTP: admitted, extended, ended with its duration, and billed; the money it held is free again', async ({
  db,
  startApi,
  startWorkers,
}) => {
  const workspaceId = await givenWorkspace(db)
  const { url } = await startApi()
  await startWorkers()
  const client = httpClient(url, [await givenWriteKey(db, workspaceId)])

  const admitted = await client.post('/v1/calls', { to_number: '+14155550100' })
  const callId = String(Reflect.get(Object(admitted.body), 'call_id'))
  const extended = await client.post(`/v1/calls/${callId}/extend`, { duration_seconds: 45 })
  const ended = await client.post(`/v1/calls/${callId}/end`, { duration_seconds: 61 })
  const billed = await until('it is billed', async () => {
    const { body } = await client.get(`/v1/calls/${callId}`)
    return Reflect.get(Object(body), 'status') === 'completed' && body
  })

  expect([admitted.status, extended.status, ended.status]).toEqual([201, 200, 202])
  // 61 seconds at $0.10 and $0.08 a minute.
  expect(billed).toMatchObject({ cost_usd: '0.183000', hold_state: 'settled' })
  expect(await moneyOf(db, workspaceId)).toEqual({ balance: 9_817_000n, held: 0n, openHolds: 0n })
})

test('an event that no worker has posted is not lost for the workspace: it is posted when one starts', async ({
  db,
  startApi,
  startWorkers,
}) => {
  const workspaceId = await givenWorkspace(db)
  await spend(db, workspaceId, 900)
  const { url } = await startApi()
  const client = httpClient(url, [await givenWriteKey(db, workspaceId)])

  const { status } = await client.post('/v1/usage', { events: [{ kind: 'call', ...aCall(workspaceId) }] })
  const before = await countUsage(db, workspaceId)
  await startWorkers()
  await until('it is posted', async () => (await countUsage(db, workspaceId)).posted === 2)

  expect(status).toBe(202)
  expect(before).toEqual({ posted: 1, received: 1 })
  expect(await moneyOf(db, workspaceId)).toMatchObject({ balance: 820_000n })
})
