// Everything that can decide, charge and settle at once, on few wallets: never two recharges open, never a cent apart.
import { sql } from 'kysely'
import { expect, onTestFinished } from 'vitest'

import { createProducer } from '../../jobs/producer.ts'
import { micros } from '../../billing/money.ts'
import { openChargeStates } from '../../billing/top-up.ts'
import type { Db } from '../../db/schema.ts'
import { openWalletWithCard, switchOn } from '../../scripts/drills/recharging-wallet.ts'
import type { Journal } from '../../paddle/simulator/control.ts'
import { createServer } from '../../api/server.ts'
import { createLog } from '../../runtime/log.ts'
import { pause } from '../../runtime/repeat.ts'
import { sweepRecharges } from '../../workers/money-in-sweep.ts'
import { reconcile } from '../../workers/reconcile.ts'
import { countTransactions, findBreaks, isQuiet } from '../support/books.ts'
import { test } from '../support/fixtures.ts'
import { aCall, newWorkspaceId } from '../support/given.ts'
import { quickCharges, startTestPaddle } from '../support/paddle.ts'
import { until } from '../support/until.ts'

test('6,000 debits on 16 wallets with five settlers racing: one recharge open at most, credits equal captures, no deadlock', async ({
  ownPlace: place,
  ownDb: db,
  ownQueueNamed: queueNamed,
  startWorkers,
}) => {
  const paddle = await startTestPaddle()
  const { control, gateway, productId } = paddle
  // Every webhook comes twice, in any order, and some before the answer.
  await control.webhooks({ duplicate: 1, order: 'shuffled', seed: 3 })
  await control.limits({ requestsPerMinute: null })
  const log = createLog('silent', 'test')
  const webhooks = { secrets: [paddle.environment['PADDLE_WEBHOOK_SECRET'] ?? ''], toleranceMs: 60_000 }
  const api = createServer({ db, log, webhooks })
  await control.setWebhookUrl(`${await api.listen({ host: '127.0.0.1', port: 0 })}/webhooks/paddle`)
  const workspaceIds = Array.from({ length: 16 }, newWorkspaceId)
  for (const workspaceId of workspaceIds) {
    await openWalletWithCard(db, paddle, workspaceId)
    await switchOn(db, workspaceId, { threshold: '5', topUp: '10' })
  }
  const environment = { ...paddle.environment, ...quickCharges }
  await Promise.all([startWorkers({ place, environment }), startWorkers({ place, environment })])

  const racing = new AbortController()
  onTestFinished(() => racing.abort())
  const racers = [
    again(racing.signal, () => sweepRecharges(db, log)),
    again(racing.signal, async () => {
      await reconcile({ db, gateway, productId }, { since: new Date(Date.now() - 3_600_000) })
    }),
  ]
  const most = watchOpenRecharges(db, racing.signal)
  const producer = createProducer(place.redisUrl, { prefix: place.queuePrefix, timeoutMs: 10_000 })
  const calls = Array.from({ length: 6_000 }, (_, index) => aCall(workspaceIds[index % 16] ?? ''))
  for (let start = 0; start < calls.length; start += 100) {
    const events = calls.slice(start, start + 100).map((call) => ({ kind: 'call' as const, ...call }))
    await producer.usageBatch(events)
  }
  await until(
    'every call is posted and every recharge has ended',
    async () =>
      (await countTransactions(db, ['call'])) === 6_000 &&
      (await isQuiet(queueNamed('usage'))) &&
      (await countOpen(db)) === 0,
    { withinMs: 60_000, everyMs: 100 },
  )
  await until('every webhook has come', async () => (await control.pendingWebhooks()).length === 0, {
    withinMs: 30_000,
    everyMs: 100,
  })
  racing.abort()
  await Promise.all(racers)

  const journal = await control.journal()
  const captured = capturedBy(journal)
  const credited = await creditsBy(db)
  expect(credited).toEqual(captured)
  // 375 calls of $0.18 make $67.50: seven recharges of $10 keep a wallet of $10 at or above its $5.
  expect(journal.captures.filter((capture) => capture.net !== '0')).toHaveLength(16 * 7)
  expect(await most).toBe(1)
  expect(await countDeadlocks(db)).toBe(0n)
  expect(await findBreaks(place.databaseUrl)).toEqual([])
  await producer.close()
  await api.close()
  await paddle.close()
}, 120_000)

test('a backlog of 10,000 calls on 500 wallets recharges inside its limits and never hurries Paddle', async ({
  ownPlace: place,
  ownDb: db,
  startWorkers,
}) => {
  const paddle = await startTestPaddle()
  const { control } = paddle
  await control.webhooks({ mode: 'drop' })
  // A minute of Paddle's in one second: its 240 requests, and our 80 charges, are sixty times as many.
  await control.limits({ requestsPerMinute: null })
  const workspaceIds = Array.from({ length: 500 }, newWorkspaceId)
  for (const [index, workspaceId] of workspaceIds.entries()) {
    await openWalletWithCard(db, paddle, workspaceId)
    // Some could be recharged for ever, and may be only so often and so much.
    await switchOn(db, workspaceId, index % 10 === 0 ? greedy : index % 10 === 1 ? capped : usual)
  }
  await until('the greedy ones are known', async () => (await countOpen(db)) > 0)
  const producer = createProducer(place.redisUrl, { prefix: place.queuePrefix, timeoutMs: 10_000 })
  for (let start = 0; start < 10_000; start += 500) {
    const events = Array.from({ length: 500 }, (_, index) => ({
      kind: 'call' as const,
      ...aCall(workspaceIds[(start + index) % 500] ?? ''),
    }))
    await producer.usageBatch(events)
  }
  await control.limits({ requestsPerMinute: 240 * 60 })

  await startWorkers({
    place,
    environment: { ...paddle.environment, ...quickCharges, CHARGES_PER_MINUTE: String(80 * 60) },
  })
  await until(
    'every call is posted and every recharge has ended',
    async () => (await countTransactions(db, ['call'])) === 10_000 && (await countOpen(db)) === 0,
    { withinMs: 90_000, everyMs: 200 },
  )

  const journal = await control.journal()
  expect(journal.rateLimited).toBe(0)
  expect(await creditsBy(db)).toEqual(capturedBy(journal))
  const recharges = await db
    .selectFrom('top_up')
    .select(['workspace_id', (expression) => expression.fn.countAll<bigint>().as('count')])
    .groupBy('workspace_id')
    .execute()
  const countOf = new Map(recharges.map((row) => [row.workspace_id, row.count]))
  const counts = workspaceIds.map((workspaceId) => countOf.get(workspaceId) ?? 0n)
  // $10 less 20 calls of $0.18 is $6.40.
  const wanted = workspaceIds.map((_, index) => (index % 10 === 0 ? 3n : index % 10 === 1 ? 2n : 1n))
  expect(counts).toEqual(wanted)
  const reasons = await db
    .selectFrom('auto_recharge')
    .select(['last_decision', (expression) => expression.fn.countAll<bigint>().as('count')])
    .groupBy('last_decision')
    .orderBy('last_decision')
    .execute()
  expect(reasons).toEqual([
    { last_decision: 'above_threshold', count: 400n },
    { last_decision: 'daily_limit', count: 50n },
    { last_decision: 'monthly_cap', count: 50n },
  ])
  await producer.close()
  await paddle.close()
}, 180_000)

const usual = { threshold: '8', topUp: '20' }
const greedy = { threshold: '500', topUp: '5', dailyLimit: 3 }
const capped = { threshold: '500', topUp: '5', monthlyCapMicros: micros(12_000_000n) }

async function again(signal: AbortSignal, work: () => Promise<void>): Promise<void> {
  while (!signal.aborted) {
    await work()
    await pause(20)
  }
}

/** The most recharges that any wallet ever had open at once, as far as anybody could see. */
async function watchOpenRecharges(db: Db, signal: AbortSignal): Promise<number> {
  let most = 0
  await again(signal, async () => {
    const rows = await db
      .selectFrom('top_up')
      .select((expression) => expression.fn.countAll<bigint>().as('count'))
      .where('state', 'in', openChargeStates)
      .groupBy('workspace_id')
      .execute()
    most = Math.max(most, ...rows.map((row) => Number(row.count)))
  })
  return most
}

async function countOpen(db: Db): Promise<number> {
  const row = await db
    .selectFrom('top_up')
    .select((expression) => expression.fn.countAll<bigint>().as('count'))
    .where('state', 'in', openChargeStates)
    .executeTakeFirstOrThrow()
  return Number(row.count)
}

/** By Paddle transaction, in cents. */
function capturedBy({ captures }: Journal): Map<string, bigint> {
  return new Map(
    captures
      .filter((capture) => capture.net !== '0')
      .map((capture) => [capture.transactionId, BigInt(capture.net)] as const)
      .toSorted(([one], [other]) => one.localeCompare(other)),
  )
}

async function creditsBy(db: Db): Promise<Map<string, bigint>> {
  const rows = await db
    .selectFrom('ledger_transaction')
    .select(['idempotency_key', 'amount_micros'])
    .where('kind', '=', 'top_up')
    .execute()
  return new Map(
    rows
      .map(
        (row) =>
          [row.idempotency_key.replace('paddle_transaction/', ''), row.amount_micros / 10_000n] as const,
      )
      .toSorted(([one], [other]) => one.localeCompare(other)),
  )
}

async function countDeadlocks(db: Db): Promise<bigint> {
  const { rows } = await sql<{ deadlocks: bigint }>`
    select deadlocks from pg_stat_database where datname = current_database()`.execute(db)
  return rows[0]?.deadlocks ?? -1n
}
