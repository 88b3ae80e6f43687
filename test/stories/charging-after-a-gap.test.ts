// Nobody was there for a while, or the database is a backup: what Paddle took meanwhile is known before a card is charged.
import { sql } from 'kysely'
import { expect, onTestFinished } from 'vitest'

import type { WorkspaceId } from '../../billing/ids.ts'
import { parseUsd } from '../../billing/money.ts'
import { beat } from '../../db/heartbeat.ts'
import type { Db } from '../../db/schema.ts'
import { listTopUps, newTopUpId, type TopUp } from '../../db/top-up.ts'
import { findBalance } from '../../db/wallet.ts'
import type { SavedCard } from '../../paddle/simulator/control.ts'
import { openWalletWithCard, switchOn } from '../../scripts/drills/recharging-wallet.ts'
import { test } from '../support/fixtures.ts'
import { newWorkspaceId } from '../support/given.ts'
import { quickCharges, startTestPaddle, type TestPaddle } from '../support/paddle.ts'
import { capturedBy, creditsBy } from '../support/recharges.ts'
import { until } from '../support/until.ts'

test('workers that begin on a backup ask Paddle what it took since, and charge nobody for it again', async ({
  ownPlace: place,
  ownDb: db,
  startWorkers,
}) => {
  const paddle = await givenPaddle()
  const [same, other, owing] = await Promise.all([
    givenRecharge(db, paddle),
    givenRecharge(db, paddle),
    givenRecharge(db, paddle),
  ])
  await lastWatched(db, '10 minutes')
  // What the lost life did after the backup: sent this recharge, and on the next wallet one that the backup never heard of.
  await chargeAtPaddle(paddle, same, same.topUp.topUpId)
  await chargeAtPaddle(paddle, other, newTopUpId(new Date()))
  await paddle.control.fault({ on: 'list_transactions', kind: 'http_500' })

  const workers = await startWorkers({ place, environment: { ...paddle.environment, ...quickCharges } })
  await until('Paddle could not be asked', () =>
    workers.log.some((line) => line.msg?.includes('will be tried again')),
  )
  const whileUnasked = await capturedSince(paddle)
  await until(
    'everything is settled',
    async () =>
      (await statesOf(db, owing)).includes('succeeded') && (await statesOf(db, other)).includes('canceled'),
  )

  expect(whileUnasked).toBe(2)
  expect(await capturedSince(paddle)).toBe(3)
  expect(await statesOf(db, same)).toEqual(['succeeded'])
  expect((await statesOf(db, other)).toSorted()).toEqual(['canceled', 'succeeded'])
  expect(await creditsBy(db)).toEqual(capturedBy(await paddle.control.journal()))
  expect(
    await Promise.all([same, other, owing].map(({ workspaceId }) => findBalance(db, workspaceId))),
  ).toEqual([110_000_000n, 110_000_000n, 110_000_000n])
})

test('workers that were away for a moment charge at once, and ask nothing first', async ({
  ownPlace: place,
  ownDb: db,
  startWorkers,
}) => {
  const paddle = await givenPaddle()
  const owing = await givenRecharge(db, paddle)
  await lastWatched(db, '30 seconds')

  await startWorkers({ place, environment: { ...paddle.environment, ...quickCharges } })
  await until('it is charged', async () => (await statesOf(db, owing)).includes('succeeded'))

  const { requests } = await paddle.control.journal()
  expect(requests).not.toHaveProperty(['GET /adjustments'])
})

async function givenPaddle(): Promise<TestPaddle> {
  const paddle = await startTestPaddle()
  onTestFinished(() => paddle.close())
  await paddle.control.webhooks({ mode: 'drop' })
  return paddle
}

type Recharge = { workspaceId: WorkspaceId; card: SavedCard; topUp: TopUp }

/** A wallet of $10 with a recharge of $100 that is decided and not sent. */
async function givenRecharge(db: Db, paddle: TestPaddle): Promise<Recharge> {
  const workspaceId = newWorkspaceId()
  const card = await openWalletWithCard(db, paddle, workspaceId)
  await switchOn(db, workspaceId, { threshold: '20', topUp: '100' })
  const [topUp] = await listTopUps(db, { workspaceId, limit: 1 })
  if (topUp?.state !== 'ready') throw new Error(`the recharge is ${topUp?.state}`)
  return { workspaceId, card, topUp }
}

async function lastWatched(db: Db, ago: string): Promise<void> {
  await beat(db, 'charging')
  await sql`update heartbeat set beat_at = beat_at - ${ago}::interval where name = 'charging'`.execute(db)
}

async function chargeAtPaddle(
  { gateway }: TestPaddle,
  { workspaceId, card }: Recharge,
  topUpId: TopUp['topUpId'],
): Promise<void> {
  const answer = await gateway.charge({
    workspaceId,
    topUpId,
    subscriptionId: card.subscriptionId,
    source: 'auto_recharge',
    amountMicros: parseUsd('100'),
    sendBefore: performance.now() + 10_000,
  })
  expect(answer).toEqual({ outcome: 'accepted' })
}

async function capturedSince({ control }: TestPaddle): Promise<number> {
  return capturedBy(await control.journal()).size
}

async function statesOf(db: Db, { workspaceId }: Recharge): Promise<TopUp['state'][]> {
  return (await listTopUps(db, { workspaceId, limit: 10 })).map(({ state }) => state)
}
