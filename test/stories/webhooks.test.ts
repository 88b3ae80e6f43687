// Paddle's news on their way: early, twice, backwards, late, lost and told again. The books are the same, and nobody is credited
// with what another one paid.
import type { Queue } from 'bullmq'
import { sql } from 'kysely'
import { beforeEach, describe, expect } from 'vitest'

import { openCheckout } from '../../api/checkout.ts'
import type { WorkspaceId } from '../../billing/ids.ts'
import { parseUsd } from '../../billing/money.ts'
import { findAutoRecharge } from '../../db/auto-recharge.ts'
import { findUsableCard } from '../../db/saved-card.ts'
import type { Db } from '../../db/schema.ts'
import { listTopUps } from '../../db/top-up.ts'
import { findBalance, lockWallet } from '../../db/wallet.ts'
import { createProducer } from '../../jobs/producer.ts'
import type { CommandInput } from '../../paddle/simulator/control-commands.ts'
import { openWalletWithCard, switchOn } from '../../scripts/drills/recharging-wallet.ts'
import { relayStagedJobs } from '../../workers/relay.ts'
import { startApiProcess, type ApiProcess } from '../support/api-process.ts'
import { findBreaks, readBalances } from '../support/books.ts'
import { test as base } from '../support/fixtures.ts'
import { aCall, givenWorkspace, newWorkspaceId } from '../support/given.ts'
import { whileHeld } from '../support/held.ts'
import { quickCharges, startTestPaddle, type TestPaddle } from '../support/paddle.ts'
import { countLockWaits } from '../support/lock-waits.ts'
import { until } from '../support/until.ts'
import { startWorkerProcess, type WorkerProcess } from '../support/worker-process.ts'

type Stack = {
  paddle: TestPaddle
  api: ApiProcess
  workers: WorkerProcess
  environment: Record<string, string>
}

const test = base.extend<{ stack: Stack }>({
  stack: [
    async ({ place }, use) => {
      const paddle = await startTestPaddle()
      const environment = { ...paddle.environment, ...quickCharges }
      const [api, workers] = await Promise.all([
        startApiProcess(place.databaseUrl, environment),
        startWorkerProcess(place, environment),
      ])
      await paddle.control.limits({ requestsPerMinute: null })
      await paddle.control.setWebhookUrl(`${api.url}/webhooks/paddle`)
      await use({ paddle, api, workers, environment })
      await Promise.all([api.kill(), workers.kill()])
      await paddle.close()
    },
    { scope: 'file' },
  ],
})

beforeEach<{ stack: Stack }>(async ({ stack }) => {
  await stack.paddle.control.webhooks(asEver)
})

const asEver = {
  mode: 'deliver',
  duplicate: 0,
  delayMs: 0,
  beforeResponse: false,
  unknownTypes: false,
} as const

describe('whatever becomes of webhooks on their way, the books are the same', () => {
  type Way = { policy: CommandInput<'webhooks'>; afterwards?: 'release' | 'replay' }
  const ways: [how: string, way: Way][] = [
    ['come as they should', { policy: {} }],
    ['come before the answer that they are about', { policy: { beforeResponse: true } }],
    ['come three times each, mixed', { policy: { duplicate: 2, order: 'shuffled', seed: 7 } }],
    [
      'come backwards, with news of kinds that nobody knows',
      { policy: { order: 'reversed', unknownTypes: true } },
    ],
    ['are held back and come in order', { policy: { mode: 'hold', order: 'sent' }, afterwards: 'release' }],
    [
      'are held back and come backwards',
      { policy: { mode: 'hold', order: 'reversed' }, afterwards: 'release' },
    ],
    [
      'are held back and come twice, mixed',
      { policy: { mode: 'hold', order: 'shuffled', seed: 11, duplicate: 1 }, afterwards: 'release' },
    ],
    [
      'are dropped, and told again by whoever has found that',
      { policy: { mode: 'drop' }, afterwards: 'replay' },
    ],
  ]

  test.for(ways)('when they %s', async ([, { policy, afterwards }], { place, db, stack: { paddle } }) => {
    const { control } = paddle
    const before = (await control.events()).length
    await control.webhooks(policy)

    const workspaceId = await liveThrough(db, paddle)
    if (afterwards === 'release') await control.releaseWebhooks()
    if (afterwards === 'replay') {
      await control.webhooks({ mode: 'deliver' })
      const missed = (await control.events()).slice(before)
      for (const { eventId } of missed.toReversed()) await control.replay(eventId)
    }
    await untilAllIsApplied(db, paddle)

    expect(await booksOf(db, workspaceId)).toEqual({
      // Signup 10, recharge 50, checkout 25; of that 10 refunded, and 50 disputed and won back.
      balance: parseUsd('75'),
      booked: [
        'chargeback -50000000',
        'chargeback 50000000',
        'grant 10000000',
        'refund -10000000',
        'top_up 25000000',
        'top_up 50000000',
      ],
      topUps: ['auto_recharge succeeded 50000000', 'checkout succeeded 25000000'],
      frozen: false,
      card: 'active 4242',
    })
    expect(await findBreaks(place.databaseUrl)).toEqual([])
    expect(await listDoubtful(db)).toEqual([])
  })
})

describe('what Paddle says later', () => {
  test('a refund takes back what it says when it is approved, and not before; a rejected one takes nothing', async ({
    db,
    stack: { paddle },
  }) => {
    const { control } = paddle
    const { workspaceId, transactionId } = await givenPaidCheckout(db, paddle, '25')

    const first = await control.refund({ transactionId, amount: '1000', status: 'pending_approval' })
    await untilAllIsApplied(db, paddle)
    const pending = await findBalance(db, workspaceId)
    await control.approveAdjustment(first.adjustmentId)
    await untilAllIsApplied(db, paddle)
    const approved = await findBalance(db, workspaceId)
    const second = await control.refund({ transactionId, amount: '500', status: 'pending_approval' })
    await control.rejectAdjustment(second.adjustmentId)
    await untilAllIsApplied(db, paddle)

    expect({ pending, approved }).toEqual({ pending: parseUsd('35'), approved: parseUsd('25') })
    expect(await findBalance(db, workspaceId)).toBe(parseUsd('25'))
  })

  test('a chargeback freezes the wallet, also against recharges, until it is taken back', async ({
    db,
    stack: { paddle },
  }) => {
    const { control } = paddle
    const workspaceId = await givenWorkspace(db)
    const { transactionId } = await payCheckout(db, paddle, workspaceId, { usd: '25', saveCard: true })
    await untilAllIsApplied(db, paddle)
    await switchOn(db, workspaceId, { threshold: '5', topUp: '50' })

    const { adjustmentId } = await control.chargeback(transactionId)
    await untilAllIsApplied(db, paddle)
    const disputed = await booksOf(db, workspaceId)
    const decided = await switchOn(db, workspaceId, { threshold: '20', topUp: '50' })
    await control.reverseChargeback(adjustmentId)
    await untilAllIsApplied(db, paddle)

    expect(disputed).toMatchObject({ balance: parseUsd('10'), frozen: true })
    expect(decided).toMatchObject({ decided: { decision: 'wait', reason: 'frozen' } })
    expect(await booksOf(db, workspaceId)).toMatchObject({ balance: parseUsd('35'), frozen: false })
    expect(await listTopUps(db, { workspaceId, limit: 10 })).toHaveLength(1)
  })

  test('a card that its owner removed at Paddle is not charged any more, and the reason is there to be read', async ({
    place,
    db,
    stack: { paddle },
  }) => {
    const { control } = paddle
    const workspaceId = newWorkspaceId()
    const { subscriptionId } = await openWalletWithCard(db, paddle, workspaceId)
    await switchOn(db, workspaceId, { threshold: '5', topUp: '50' })
    const producer = createProducer(place.redisUrl, { prefix: place.queuePrefix, timeoutMs: 10_000 })

    await control.removeCard(subscriptionId)
    await until('the card is gone', async () => (await findUsableCard(db, workspaceId)) === null)
    // Fifty minutes of talk for $9.
    const startedAt = new Date(Date.now() - 3_600_000).toISOString()
    await producer.callEnded(aCall(workspaceId, { startedAt, durationSeconds: 3_000 }))
    await until(
      'the wallet is below its threshold',
      async () => (await findBalance(db, workspaceId)) === parseUsd('1'),
    )
    await untilAllIsApplied(db, paddle)

    expect(await findAutoRecharge(db, workspaceId)).toMatchObject({ enabled: true, lastDecision: 'no_card' })
    expect(await booksOf(db, workspaceId)).toMatchObject({ card: 'removed 4242', topUps: [] })
    expect(await switchOn(db, workspaceId, { threshold: '5', topUp: '50' })).toEqual({ outcome: 'no_card' })
    await producer.close()
  })

  test('a card that may not be charged for a while is charged again when it may', async ({
    db,
    stack: { paddle },
  }) => {
    const { control } = paddle
    const workspaceId = newWorkspaceId()
    const { subscriptionId } = await openWalletWithCard(db, paddle, workspaceId)
    await switchOn(db, workspaceId, { threshold: '5', topUp: '50' })

    await control.pauseSubscription(subscriptionId)
    await until('that is known', async () => (await findUsableCard(db, workspaceId)) === null)
    const refused = await switchOn(db, workspaceId, { threshold: '15', topUp: '50' })
    await control.resumeSubscription(subscriptionId)
    await until('that is known', async () => (await findUsableCard(db, workspaceId)) !== null)
    await switchOn(db, workspaceId, { threshold: '15', topUp: '50' })
    await until('it is charged', async () => (await findBalance(db, workspaceId)) === parseUsd('60'))

    expect(refused).toEqual({ outcome: 'no_card' })
  })
})

describe('what is not for this wallet credits nobody, although Paddle signed it', () => {
  type Odd = (paddle: TestPaddle, named: { workspaceId: WorkspaceId }) => Promise<{ transactionId: string }>
  const odd: [what: string, make: Odd, outcome: string][] = [
    [
      'was paid by another customer',
      ({ control }, { workspaceId }) => control.createTransaction({ amount: '10000', ...names(workspaceId) }),
      'another_customer',
    ],
    [
      'names a workspace that there is not',
      ({ control }) => control.createTransaction({ amount: '10000', ...names(newWorkspaceId()) }),
      'unknown_customer',
    ],
    ['names nobody', ({ control }) => control.createTransaction({ amount: '10000' }), 'unknown_customer'],
  ]

  test.for(odd)(
    'it %s: a person has to look',
    async ([, make, outcome], { place, db, stack: { paddle, workers } }) => {
      const { workspaceId } = await givenPaidCheckout(db, paddle, '25')
      const credited = await readBalances(db)

      const { transactionId } = await make(paddle, { workspaceId })
      await untilAllIsApplied(db, paddle)

      expect(await readBalances(db)).toEqual(credited)
      const doubtful = await listDoubtful(db)
      expect(doubtful.map((event) => `${event.event_type} ${event.outcome}`).toSorted()).toEqual([
        `transaction.completed ${outcome}`,
        `transaction.paid ${outcome}`,
      ])
      expect(doubtful.every(({ body }) => body.includes(transactionId))).toBe(true)
      await until('its log asks for the review of each', () =>
        doubtful.every(({ event_id }) =>
          workers.log.some(
            (line) => line.msg === 'a Paddle event needs a review' && line['eventId'] === event_id,
          ),
        ),
      )
      expect(await findBreaks(place.databaseUrl)).toEqual([])
      await sql`update paddle_event set state = 'ignored' where state = 'needs_review'`.execute(db)
    },
  )

  test('the subscription of another customer is no card of this wallet', async ({
    db,
    stack: { paddle },
  }) => {
    const { control } = paddle
    const { workspaceId } = await givenPaidCheckout(db, paddle, '25')

    await control.saveCard({ workspaceId, email: `${newWorkspaceId()}@example.com` })
    await untilAllIsApplied(db, paddle)

    expect(await findUsableCard(db, workspaceId)).toBeNull()
    const doubtful = await listDoubtful(db)
    expect(new Set(doubtful.map(({ outcome }) => outcome))).toEqual(new Set(['another_customer']))
    await sql`update paddle_event set state = 'ignored' where state = 'needs_review'`.execute(db)
  })
})

describe('an event that is stored is applied', () => {
  test('although Redis forgot its job before anybody took it', async ({
    ownPlace: place,
    ownDb: db,
    redis,
    ownQueueNamed,
  }) => {
    const { paddle, workspaceId, environment, end } = await givenCheckoutWithoutWorkers(place.databaseUrl, db)

    expect(await relayStagedJobs(db, ownQueueNamed)).toBeGreaterThan(0)
    expect(await countJobs(ownQueueNamed('paddle-event'))).toBeGreaterThan(0)
    const keys = await redis.keys(`${place.queuePrefix}:*`)
    await redis.del(...keys)
    // What is younger is thought to be on its way still.
    await sql`update paddle_event set received_at = received_at - interval '1 minute'`.execute(db)
    const workers = await startWorkerProcess(place, environment)
    await untilAllIsApplied(db, paddle)

    expect(await db.selectFrom('staged_job').select('id').execute()).toEqual([])
    expect(await findBalance(db, workspaceId)).toBe(parseUsd('35'))
    expect(await findBreaks(place.databaseUrl)).toEqual([])
    await workers.kill()
    await end()
  })

  test('once, although the worker was killed while it was at it', async ({ ownPlace: place, ownDb: db }) => {
    const { paddle, workspaceId, environment, end } = await givenCheckoutWithoutWorkers(place.databaseUrl, db)
    await whileHeld(
      db,
      (trx) => lockWallet(trx, workspaceId),
      async () => {
        const first = await startWorkerProcess(place, environment)
        await until('it is about to credit', async () => (await countLockWaits(db)) > 0)
        await first.kill()
      },
    )
    const between = await findBalance(db, workspaceId)
    const second = await startWorkerProcess(place, environment)
    await untilAllIsApplied(db, paddle)

    expect(between).toBe(parseUsd('10'))
    expect(await findBalance(db, workspaceId)).toBe(parseUsd('35'))
    expect(await findBreaks(place.databaseUrl)).toEqual([])
    await second.kill()
    await end()
  })
})

/** What our own transactions are written on with. */
function names(workspaceId: WorkspaceId) {
  return {
    customData: { workspace_id: workspaceId },
    priceCustomData: { workspace_id: workspaceId, top_up_id: 'topup_made_up', source: 'api' },
  }
}

/** A recharge, a checkout with a refund that takes a while, and a dispute that is won: nothing of it waits for news. */
async function liveThrough(db: Db, paddle: TestPaddle): Promise<WorkspaceId> {
  const { control } = paddle
  const workspaceId = newWorkspaceId()
  await openWalletWithCard(db, paddle, workspaceId)
  await switchOn(db, workspaceId, { threshold: '15', topUp: '50' })
  const recharge = await until('the card is charged', async () => {
    const [topUp] = await listTopUps(db, { workspaceId, limit: 1 })
    return topUp?.state === 'succeeded' ? topUp.paddleTransactionId : null
  })
  const { transactionId } = await payCheckout(db, paddle, workspaceId, { usd: '25', saveCard: false })
  const refund = await control.refund({ transactionId, amount: '1000', status: 'pending_approval' })
  await control.approveAdjustment(refund.adjustmentId)
  const dispute = await control.chargeback(recharge)
  await control.reverseChargeback(dispute.adjustmentId)
  return workspaceId
}

async function payCheckout(
  db: Db,
  { control, gateway }: TestPaddle,
  workspaceId: WorkspaceId,
  { usd, saveCard }: { usd: string; saveCard: boolean },
): Promise<{ transactionId: string }> {
  const payer = { workspaceId, email: `${workspaceId}@example.com`, actor: 'test' }
  const amountMicros = parseUsd(usd)
  const opened = await openCheckout({ db, gateway }, payer, { amountMicros, saveCard })
  if (opened.outcome !== 'created') throw new Error(`no checkout: ${opened.outcome}`)
  const transactionId = opened.paddleTransactionId
  // A country with a tax, which is nothing to us.
  await control.payCheckout(transactionId, { country: 'DE', saveCard })
  return { transactionId }
}

async function givenPaidCheckout(
  db: Db,
  paddle: TestPaddle,
  usd: string,
): Promise<{ workspaceId: WorkspaceId; transactionId: string }> {
  const workspaceId = await givenWorkspace(db)
  const { transactionId } = await payCheckout(db, paddle, workspaceId, { usd, saveCard: false })
  await untilAllIsApplied(db, paddle)
  return { workspaceId, transactionId }
}

/** $25 are paid and told, and nobody has looked at it. */
async function givenCheckoutWithoutWorkers(databaseUrl: string, db: Db) {
  const paddle = await startTestPaddle()
  const environment = { ...paddle.environment, ...quickCharges }
  const api = await startApiProcess(databaseUrl, environment)
  await paddle.control.setWebhookUrl(`${api.url}/webhooks/paddle`)
  const workspaceId = await givenWorkspace(db)
  await payCheckout(db, paddle, workspaceId, { usd: '25', saveCard: false })
  await until('all is told', async () => (await paddle.control.pendingWebhooks()).length === 0)
  const end = async (): Promise<void> => {
    await api.kill()
    await paddle.close()
  }
  return { paddle, workspaceId, environment, end }
}

/** Everything that happened at Paddle is stored, and somebody has decided what it means. */
async function untilAllIsApplied(db: Db, { control }: TestPaddle): Promise<void> {
  await until('every webhook has come', async () => (await control.pendingWebhooks()).length === 0)
  await until('every one is decided', async () => {
    // What began to wait in the very moment of its credit is woken after ten minutes: for such, they are over at once.
    await sql`
      update paddle_event set decided_at = decided_at - interval '1 hour'
      where state = 'waiting' and decided_at > clock_timestamp() - interval '30 minutes'`.execute(db)
    const happened = await control.events()
    const rows = await db.selectFrom('paddle_event').select(['event_id', 'state']).execute()
    const states = new Map(rows.map((row) => [row.event_id, row.state]))
    return happened.every(({ eventId }) => !['received', 'waiting', undefined].includes(states.get(eventId)))
  })
}

async function booksOf(db: Db, workspaceId: WorkspaceId) {
  const wallet = await db
    .selectFrom('wallet')
    .select(['balance_micros', 'frozen_at'])
    .where('workspace_id', '=', workspaceId)
    .executeTakeFirstOrThrow()
  const booked = await db
    .selectFrom('ledger_transaction')
    .select(['kind', 'amount_micros'])
    .where('workspace_id', '=', workspaceId)
    .execute()
  const topUps = await listTopUps(db, { workspaceId, limit: 10 })
  const cards = await db
    .selectFrom('saved_card')
    .select(['state', 'last4'])
    .where('workspace_id', '=', workspaceId)
    .execute()
  return {
    balance: wallet.balance_micros,
    booked: booked.map((row) => `${row.kind} ${row.amount_micros}`).toSorted(),
    topUps: topUps.map((topUp) => `${topUp.source} ${topUp.state} ${topUp.creditedMicros}`).toSorted(),
    frozen: wallet.frozen_at !== null,
    card: cards.map((card) => `${card.state} ${card.last4}`).join(),
  }
}

/** What a person has to look at. */
async function listDoubtful(
  db: Db,
): Promise<{ event_id: string; event_type: string; outcome: string | null; body: string }[]> {
  return await db
    .selectFrom('paddle_event')
    .select(['event_id', 'event_type', 'outcome', 'body'])
    .where('state', '=', 'needs_review')
    .execute()
}

async function countJobs(queue: Queue): Promise<number> {
  return Object.values(await queue.getJobCounts()).reduce((sum, count) => sum + count, 0)
}
