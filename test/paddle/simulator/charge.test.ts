// Money from a saved card, through Paddle's own SDK: what it leaves behind, and what it is refused for.
import { ApiError } from '@paddle/paddle-node-sdk'
import { describe, expect, test } from 'vitest'

import { until } from '../../support/until.ts'
import { aCharge, givenSimulator } from './given-simulator.ts'

test('a charge is captured once and found by what its price says', async () => {
  const { control, paddle } = await givenSimulator()
  const { subscriptionId, customerId, paymentMethodId } = await control.saveCard({ workspaceId: 'ws_1' })

  const subscription = await paddle.subscriptions.createOneTimeCharge(subscriptionId, aCharge('topup_1'))

  const listed = await paddle.transactions
    .list({ subscriptionId: [subscriptionId], origin: ['subscription_charge'], orderBy: 'created_at[DESC]' })
    .next()
  const { captures } = await control.journal()
  expect(subscription).toMatchObject({ id: subscriptionId, status: 'active', customerId })
  expect(listed).toHaveLength(1)
  expect(listed[0]).toMatchObject({
    status: 'completed',
    customData: { workspace_id: 'ws_1' },
    payments: [{ status: 'captured', paymentMethodId, amount: '10000' }],
    details: { totals: { subtotal: '10000', grandTotal: '10000', fee: '550', balance: '0' } },
  })
  expect(listed[0]?.items[0]?.price?.customData).toEqual({
    top_up_id: 'topup_1',
    workspace_id: 'ws_1',
    source: 'auto_recharge',
  })
  expect(captures).toEqual([
    expect.objectContaining({
      topUpId: 'topup_1',
      subscriptionId,
      customerId,
      paymentMethodId,
      net: '10000',
    }),
  ])
})

describe('what a charge is refused for', () => {
  test('a decline is an error, and the canceled transaction says why', async () => {
    const { control, paddle } = await givenSimulator()
    const { subscriptionId, paymentMethodId } = await control.saveCard({ workspaceId: 'ws_1' })
    await control.setCard(paymentMethodId, { decline: 'not_enough_balance', times: 1 })

    const charge = paddle.subscriptions.createOneTimeCharge(subscriptionId, aCharge('topup_1'))

    await expect(charge).rejects.toMatchObject({ code: 'subscription_payment_declined' })
    const [declined] = await paddle.transactions
      .list({ subscriptionId: [subscriptionId], origin: ['subscription_charge'] })
      .next()
    expect(declined).toMatchObject({ status: 'canceled', payments: [{ errorCode: 'not_enough_balance' }] })
    await paddle.subscriptions.createOneTimeCharge(subscriptionId, aCharge('topup_2'))
    expect((await control.journal()).captures).toMatchObject([{ topUpId: 'topup_2' }])
  })

  test('a decline leaves nothing at all, when that is how Paddle is', async () => {
    const { control, paddle } = await givenSimulator()
    const { subscriptionId, paymentMethodId } = await control.saveCard({ workspaceId: 'ws_1' })
    await control.switches({ declinedTransaction: 'absent' })
    await control.setCard(paymentMethodId, { decline: 'declined' })
    const before = (await control.events()).length

    const charge = paddle.subscriptions.createOneTimeCharge(subscriptionId, aCharge('topup_1'))

    await expect(charge).rejects.toMatchObject({ code: 'subscription_payment_declined' })
    expect(await paddle.transactions.list({ origin: ['subscription_charge'] }).next()).toEqual([])
    expect(await control.events()).toHaveLength(before)
  })

  test('a decline that is applied leaves the transaction past due, and blocks what follows', async () => {
    const { control, paddle } = await givenSimulator()
    const { subscriptionId, paymentMethodId } = await control.saveCard({ workspaceId: 'ws_1' })
    await control.setCard(paymentMethodId, { decline: 'declined' })

    await paddle.subscriptions.createOneTimeCharge(subscriptionId, {
      ...aCharge('topup_1'),
      onPaymentFailure: 'apply_change',
    })
    const next = paddle.subscriptions.createOneTimeCharge(subscriptionId, aCharge('topup_2'))

    await expect(next).rejects.toMatchObject({ code: 'subscription_outstanding_transaction' })
    const [pastDue] = await paddle.transactions.list({ status: ['past_due'] }).next()
    expect(pastDue?.items[0]?.price?.customData).toMatchObject({ top_up_id: 'topup_1' })
    await control.changeCard(subscriptionId, '4242424242424242')
    expect((await control.journal()).captures).toMatchObject([{ topUpId: 'topup_1' }])
    await paddle.subscriptions.createOneTimeCharge(subscriptionId, aCharge('topup_3'))
  })

  test('the test cards do what they are known for', async () => {
    const { control, paddle } = await givenSimulator()
    const { subscriptionId } = await control.saveCard({ workspaceId: 'ws_1', card: '4000 0027 6000 3184' })

    const later = paddle.subscriptions.createOneTimeCharge(subscriptionId, aCharge('topup_1'))

    await expect(later).rejects.toMatchObject({ code: 'subscription_payment_declined' })
    await expect(control.saveCard({ workspaceId: 'ws_2', card: '4000000000000069' })).rejects.toThrow(
      'expired_card',
    )
    await expect(control.saveCard({ workspaceId: 'ws_3', card: '4000000000000002' })).rejects.toThrow(
      'declined',
    )
  })

  test.for([
    ['removed', 'subscription_is_canceled_action_invalid'],
    ['paused', 'subscription_not_active'],
    ['past due', 'subscription_update_when_past_due'],
    ['of another customer', 'subscription_missing_payment_method_cannot_update'],
    ['about to renew', 'subscription_locked_renewal'],
  ] as const)('a card that is %s', async ([state, code]) => {
    const { control, paddle } = await givenSimulator()
    const { subscriptionId } = await control.saveCard({ workspaceId: 'ws_1' })
    if (state === 'removed') await control.removeCard(subscriptionId)
    if (state === 'paused') await control.pauseSubscription(subscriptionId)
    if (state === 'past due') await control.pastDue(subscriptionId)
    if (state === 'of another customer') {
      const { id } = await paddle.customers.create({ email: 'other@example.com' })
      await paddle.subscriptions.update(subscriptionId, { customerId: id })
    }
    if (state === 'about to renew') {
      const { nextBilledAt } = await paddle.subscriptions.get(subscriptionId)
      await control.advance(Date.parse(nextBilledAt ?? '') - Date.now() - 29 * 60_000)
    }

    const charge = paddle.subscriptions.createOneTimeCharge(subscriptionId, aCharge('topup_1'))

    await expect(charge).rejects.toMatchObject({ code })
    expect((await control.journal()).captures).toEqual([])
  })
})

describe('the limits of Paddle', () => {
  test('20 charges an hour and 100 a day on one subscription', async () => {
    const { control, paddle } = await givenSimulator()
    await control.limits({ requestsPerMinute: null })
    const { subscriptionId } = await control.saveCard({ workspaceId: 'ws_1' })
    const chargeUntilRefused = async (): Promise<[number, unknown, unknown]> => {
      for (let charged = 0; ; charged += 1) {
        const refusal: unknown = await paddle.subscriptions
          .createOneTimeCharge(subscriptionId, aCharge(`topup_${charged}`))
          .then(
            () => null,
            (error: unknown) => error,
          )
        if (refusal instanceof ApiError) return [charged, refusal.code, refusal.retryAfter]
      }
    }
    const hours: [number, unknown, unknown][] = []

    for (let hour = 0; hour < 6; hour += 1) {
      hours.push(await chargeUntilRefused())
      await control.advance(3_600_000)
    }

    const hourly = 'subscription_immediate_charge_hour_limit_exceeded'
    expect(hours.slice(0, 5)).toEqual(Array.from({ length: 5 }, () => [20, hourly, null]))
    expect(hours[5]).toEqual([0, 'subscription_immediate_charge_24_hour_limit_exceeded', null])
  })

  test('240 requests a minute, and when to come back', async () => {
    const { control, paddle } = await givenSimulator()
    await control.limits({ requestsPerMinute: 2 })

    await paddle.customers.list().next()
    await paddle.customers.list().next()
    const third = paddle.customers.list().next()

    await expect(third).rejects.toMatchObject({ code: 'too_many_requests', retryAfter: 60 })
    await control.advance(60_000)
    await paddle.customers.list().next()
    expect((await control.journal()).rateLimited).toBe(1)
  })
})

describe('charges at the same time on one subscription', () => {
  test.for([
    ['both', 2],
    ['conflict', 1],
  ] as const)('%s', async ([parallelCharges, captured]) => {
    const { control, paddle } = await givenSimulator()
    const { subscriptionId } = await control.saveCard({ workspaceId: 'ws_1' })
    await control.switches({ parallelCharges, captureAfterMs: 50 })

    const charges = await Promise.allSettled(
      ['topup_1', 'topup_2'].map((id) =>
        paddle.subscriptions.createOneTimeCharge(subscriptionId, aCharge(id)),
      ),
    )

    const refused = charges.flatMap((charge) => (charge.status === 'rejected' ? [charge.reason] : []))
    expect(refused).toMatchObject(captured === 2 ? [] : [{ code: 'concurrent_modification' }])
    expect((await control.journal()).captures).toHaveLength(captured)
  })
})

test('a charge may stand billed before the card answers, and paid before it is completed', async () => {
  const { control, paddle } = await givenSimulator()
  const { subscriptionId } = await control.saveCard({ workspaceId: 'ws_1' })
  await control.switches({ captureAfterMs: 30_000, completeAfterMs: 30_000 })
  const status = async (): Promise<string | undefined> =>
    (await paddle.transactions.list({ origin: ['subscription_charge'] }).next())[0]?.status

  const charge = paddle.subscriptions.createOneTimeCharge(subscriptionId, aCharge('topup_1'))
  await until('it is billed', async () => (await status()) === 'billed')
  await control.advance(30_000)
  await charge
  const afterCapture = await status()
  await control.advance(30_000)

  expect(afterCapture).toBe('paid')
  expect(await status()).toBe('completed')
})

describe('a transaction that no honest product made', () => {
  test('says what a tamperer makes it say', async () => {
    const { control, paddle } = await givenSimulator()
    const { subscriptionId } = await control.saveCard({ workspaceId: 'ws_1' })
    await paddle.subscriptions.createOneTimeCharge(subscriptionId, aCharge('topup_1'))
    const [charge] = await paddle.transactions.list({ origin: ['subscription_charge'] }).next()

    await control.tamper(charge?.id ?? '', { currency: 'EUR', unitAmount: '99999', dropCustomData: true })

    expect(await paddle.transactions.get(charge?.id ?? '')).toMatchObject({
      currencyCode: 'EUR',
      customData: null,
      items: [{ price: { customData: null, unitPrice: { amount: '99999', currencyCode: 'EUR' } } }],
      details: { totals: { subtotal: '99999', currencyCode: 'EUR' } },
    })
  })

  test("may be another customer's, with custom data of their choice", async () => {
    const { control, paddle } = await givenSimulator()

    const { transactionId, customerId } = await control.createTransaction({
      amount: '100',
      customData: { workspace_id: 'ws_of_a_stranger' },
      priceCustomData: { top_up_id: 'topup_of_a_stranger' },
    })

    expect(await paddle.transactions.get(transactionId)).toMatchObject({
      status: 'completed',
      origin: 'web',
      customerId,
      customData: { workspace_id: 'ws_of_a_stranger' },
    })
    expect((await control.journal()).captures).toMatchObject([{ topUpId: 'topup_of_a_stranger', net: '100' }])
  })
})
