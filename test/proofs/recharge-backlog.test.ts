// After an outage everything comes at once: many wallets fall below their thresholds in the same moment.
import { expect } from 'vitest'

import { micros } from '../../billing/money.ts'
import { createProducer } from '../../jobs/producer.ts'
import { openWalletWithCard, switchOn } from '../../scripts/drills/recharging-wallet.ts'
import { countTransactions } from '../support/books.ts'
import { test } from '../support/fixtures.ts'
import { aCall, newWorkspaceId } from '../support/given.ts'
import { quickCharges, startTestPaddle } from '../support/paddle.ts'
import { capturedBy, countOpen, creditsBy } from '../support/recharges.ts'
import { until } from '../support/until.ts'

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
