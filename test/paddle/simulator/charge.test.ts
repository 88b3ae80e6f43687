// Money from a saved card, through Paddle's own SDK: what it leaves behind, and what it is refused for.
import { describe, expect, test } from 'vitest'

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
})
