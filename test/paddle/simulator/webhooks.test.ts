// Webhooks as Paddle sends them, and every way in which they come late, twice, backwards, forged or not at all.
import { EventName } from '@paddle/paddle-node-sdk'
import { describe, expect, test } from 'vitest'

import { verifyPaddleSignature } from '../../../paddle/webhook.ts'
import { startClock } from '../../../runtime/clock.ts'
import { until } from '../../support/until.ts'
import { aCharge, givenInbox, givenSimulator, type Given } from './given-simulator.ts'

test("a webhook is the event, signed so that Paddle's SDK believes it", async () => {
  const inbox = await givenInbox()
  const { simulator, control, paddle } = await givenSimulator({ webhookUrl: inbox.url })

  const { subscriptionId, transactionId } = await control.saveCard({ workspaceId: 'ws_1' })

  await until('all have come', () => inbox.deliveries.length === 9)
  const events = await Promise.all(
    inbox.deliveries.map(({ body, signature }) =>
      paddle.webhooks.unmarshal(body, simulator.webhookSecret, signature),
    ),
  )
  const created = events.find(({ eventType }) => eventType === EventName.SubscriptionCreated)
  expect(created).toMatchObject({
    eventId: expect.stringMatching(/^evt_[a-z\d]{26}$/),
    notificationId: expect.stringMatching(/^ntf_[a-z\d]{26}$/),
    data: { id: subscriptionId, transactionId, customData: { workspace_id: 'ws_1' } },
  })
  const told = await control.events()
  expect(new Set(told.map(({ eventId }) => eventId))).toEqual(new Set(events.map(({ eventId }) => eventId)))
  expect(await control.pendingWebhooks()).toEqual([])
})

test('what is not answered with 2xx is sent again, signed anew, until it is', async () => {
  const inbox = await givenInbox()
  const { control } = await givenSimulator({ webhookUrl: inbox.url })
  await control.webhooks({ order: 'sent', retryDelaysMs: [60_000, 60_000] })
  inbox.answers.push(500, 503)

  await control.createTransaction({ amount: '10000', paid: false })
  await until('the first two have failed', async () => (await waiting(control)) === 2)
  await control.advance(60_000)

  await until('nothing waits any more', async () => (await control.pendingWebhooks()).length === 0)
  const [first] = inbox.deliveries
  const again = inbox.deliveries.filter(({ event }) => event.event_id === first?.event.event_id)
  expect(again.map(({ event }) => event.notification_id)).toEqual([
    first?.event.notification_id,
    first?.event.notification_id,
  ])
  expect((await control.journal()).deliveries.map(({ status }) => status)).toEqual([500, 503, 200, 200, 200])
})

test('a receiver that nobody hears of is given up after the last try', async () => {
  const inbox = await givenInbox()
  const { control, paddle } = await givenSimulator({ webhookUrl: inbox.url })
  await control.webhooks({ retryDelaysMs: [] })
  inbox.answers.push(500)

  await paddle.customers.create({ email: 'ada@example.com' })

  await until(
    'it is given up',
    async () => (await paddle.notifications.list({ status: ['failed'] }).next()).length === 1,
  )
  const [notification] = await paddle.notifications.list().next()
  const replayed = await paddle.notifications.replay(notification?.id ?? '')
  await until('it has come again', () => inbox.deliveries.length === 2)
  expect(replayed.notificationId).not.toBe(notification?.id)
  expect(inbox.deliveries[1]?.event).toMatchObject({
    event_id: inbox.deliveries[0]?.event.event_id,
    notification_id: replayed.notificationId,
  })
  const logs = await paddle.notifications.getLogs(notification?.id ?? '', { after: '', perPage: 10 }).next()
  expect(logs).toMatchObject([{ responseCode: 500 }])
})

describe('on command, webhooks', () => {
  test('are held, and released backwards', async () => {
    const given = await givenStaged({ mode: 'hold', order: 'reversed' })
    const { control, types } = given

    await control.saveCard({ workspaceId: 'ws_1' })
    const held = await control.pendingWebhooks()
    const { released } = await control.releaseWebhooks()

    await until('all have come', () => types().length === released)
    expect(held).toHaveLength(9)
    expect(types()).toEqual(held.map(({ eventType }) => eventType).toReversed())
  })

  test('are mixed the same way for the same seed', async () => {
    const orders = await Promise.all(
      [7, 7, 8].map(async (seed) => {
        const { control, types } = await givenStaged({ mode: 'hold', order: 'shuffled', seed })
        await control.saveCard({ workspaceId: 'ws_1' })
        await control.releaseWebhooks()
        await until('all have come', () => types().length === 9)
        return types()
      }),
    )

    expect(orders[0]).toEqual(orders[1])
    expect(orders[0]).not.toEqual(orders[2])
  })

  test('come more than once, each copy the same', async () => {
    const { control, inbox, types, paddle } = await givenStaged({ duplicate: 2 })

    await paddle.customers.create({ email: 'ada@example.com' })

    await until('all have come', () => types().length === 3)
    expect(new Set(inbox.deliveries.map(({ body }) => body)).size).toBe(1)
    expect(await control.pendingWebhooks()).toEqual([])
  })

  test('are dropped, and come when they are replayed', async () => {
    const { control, types, paddle } = await givenStaged({ mode: 'drop' })
    await paddle.customers.create({ email: 'ada@example.com' })
    const [event] = await control.events()

    await control.replay(event?.eventId ?? '')

    await until('it has come', () => types().length === 1)
    expect((await control.journal()).deliveries).toHaveLength(1)
  })

  test('are late by the clock', async () => {
    const { control, types, paddle } = await givenStaged({ delayMs: 3_600_000 })
    await paddle.customers.create({ email: 'ada@example.com' })

    expect(await control.pendingWebhooks()).toMatchObject([{ state: 'waiting' }])
    await control.advance(3_600_000)

    await until('it has come', () => types().length === 1)
  })

  test('come before the answer', async () => {
    const { control, types, paddle } = await givenStaged({ mode: 'drop' })
    const { subscriptionId } = await control.saveCard({ workspaceId: 'ws_1' })
    await control.webhooks({ mode: 'deliver', beforeResponse: true })

    await paddle.subscriptions.createOneTimeCharge(subscriptionId, aCharge('topup_1'))

    expect(types().toSorted()).toEqual([
      'transaction.billed',
      'transaction.completed',
      'transaction.created',
      'transaction.paid',
    ])
  })

  test('are signed wrongly, twice, or long ago', async () => {
    const given = await givenStaged({ badSignature: true })
    const { control, paddle, simulator } = given
    const isBelieved = async (): Promise<boolean> => {
      const last = given.inbox.deliveries.at(-1)
      return await paddle.webhooks.isSignatureValid(
        last?.body ?? '',
        simulator.webhookSecret,
        last?.signature ?? '',
      )
    }
    const believed: boolean[] = []
    const signatures: (string | undefined)[] = []
    for (const policy of [
      {},
      { badSignature: false, twoSignatures: 'good_last' },
      { twoSignatures: 'good_first' },
      { twoSignatures: 'off', staleSeconds: 6 },
      { staleSeconds: 0 },
    ] as const) {
      await control.webhooks(policy)
      const before = given.inbox.deliveries.length
      await paddle.customers.create({ email: `${before}@example.com` })
      await until('it has come', () => given.inbox.deliveries.length === before + 1)
      believed.push(await isBelieved())
      signatures.push(given.inbox.deliveries.at(-1)?.signature)
    }

    // The SDK reads only the last of two signatures.
    expect(believed).toEqual([false, true, false, false, true])
    expect(signatures[1]).toMatch(/^ts=\d+;h1=[\da-f]{64};h1=[\da-f]{64}$/)
  })

  test('speak of things that nobody knows', async () => {
    const { control, types, paddle } = await givenStaged({ unknownTypes: true, order: 'sent' })

    await paddle.customers.create({ email: 'ada@example.com' })

    await until('both have come', () => types().length === 2)
    expect(types()).toEqual(['customer.created', 'wallet_simulator.unheard_of'])
    expect((await paddle.events.list().next()).map(({ eventId }) => eventId)).toEqual(
      (await control.events()).map(({ eventId }) => eventId),
    )
  })

  test('go elsewhere, or nowhere', async () => {
    const { control, types, paddle } = await givenStaged({})
    const other = await givenInbox()

    await control.deliverTo(other.url)
    await paddle.customers.create({ email: 'ada@example.com' })
    await until('it has come', () => other.deliveries.length === 1)
    await control.webhooks({ delayMs: 1_000 })
    await paddle.customers.create({ email: 'bob@example.com' })
    await control.setWebhookUrl(null)
    await paddle.customers.create({ email: 'eve@example.com' })
    await control.advance(1_000)

    await until('nothing waits any more', async () => (await control.pendingWebhooks()).length === 0)
    expect(types()).toEqual([])
    expect((await control.journal()).deliveries).toHaveLength(1)
  })
})

async function givenStaged(policy: Parameters<Given['control']['webhooks']>[0]) {
  const inbox = await givenInbox()
  const given = await givenSimulator({ webhookUrl: inbox.url })
  await given.control.webhooks(policy)
  return { ...given, inbox, types: () => inbox.deliveries.map(({ event }) => event.event_type) }
}

async function waiting(control: Given['control']): Promise<number> {
  return (await control.pendingWebhooks()).filter(({ state }) => state === 'waiting').length
}

test('on a clock that runs a day each second, waits take a second a day, and dates are its own; signatures are not', async () => {
  const inbox = await givenInbox()
  const clock = startClock(new Date('2027-01-31T09:00:00.000Z'), { rate: 86_400 })
  const { simulator, control, paddle } = await givenSimulator({ webhookUrl: inbox.url, clock })
  await control.webhooks({ delayMs: 86_400_000 })

  const created = await paddle.customers.create({ email: 'ada@example.com' })
  await until('it has come', () => inbox.deliveries.length === 1)

  const [{ body, signature } = { body: '', signature: '' }] = inbox.deliveries
  expect(created.createdAt.slice(0, 4)).toBe('2027')
  expect(clock.now().getTime() - Date.parse(created.createdAt)).toBeGreaterThanOrEqual(86_400_000)
  const verdict = verifyPaddleSignature({
    rawBody: Buffer.from(body),
    header: signature,
    secrets: [simulator.webhookSecret],
    now: new Date(),
    toleranceMs: 60_000,
  })
  expect(verdict).toEqual({ outcome: 'genuine' })
})
