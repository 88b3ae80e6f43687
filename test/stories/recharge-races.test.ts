// Everything that can decide, charge and settle at once, on few wallets: never two recharges open, never a cent apart.
import { sql } from 'kysely'
import { expect, onTestFinished } from 'vitest'

import { createProducer } from '../../jobs/producer.ts'
import { openChargeStates } from '../../billing/top-up.ts'
import type { Db } from '../../db/schema.ts'
import { openWalletWithCard, switchOn } from '../../scripts/drills/recharging-wallet.ts'
import { createServer } from '../../api/server.ts'
import { createLog } from '../../runtime/log.ts'
import { pause } from '../../runtime/repeat.ts'
import { sweepRecharges } from '../../workers/money-in-sweep.ts'
import { reconcile } from '../../workers/reconcile.ts'
import { countTransactions, findBreaks, isQuiet } from '../support/books.ts'
import { test } from '../support/fixtures.ts'
import { aCall, newWorkspaceId } from '../support/given.ts'
import { quickCharges, startTestPaddle } from '../support/paddle.ts'
import { capturedBy, countOpen, creditsBy } from '../support/recharges.ts'
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
    again(racing.signal, async () => {
      await sweepRecharges(db, log)
    }),
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
    { withinMs: 120_000, everyMs: 100 },
  )
  await until('every webhook has come', async () => (await control.pendingWebhooks()).length === 0, {
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
})

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

async function countDeadlocks(db: Db): Promise<bigint> {
  const { rows } = await sql<{ deadlocks: bigint }>`
    select deadlocks from pg_stat_database where datname = current_database()`.execute(db)
  return rows[0]?.deadlocks ?? -1n
}
