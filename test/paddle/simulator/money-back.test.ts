// Refunds and chargebacks: what Paddle's adjustments say, and what is left of a transaction.
import { describe, expect, test } from 'vitest'

import { aCharge, givenSimulator, type Given } from './given-simulator.ts'

describe('a refund', () => {
  test('waits for approval, and takes the tax with it', async () => {
    const given = await givenSimulator()
    const { control, paddle } = given
    const transactionId = await givenPaid(given)

    const { adjustmentId } = await control.refund({ transactionId, amount: '2500' })
    const asked = await paddle.adjustments.list({ transactionId: [transactionId] }).next()
    await control.approveAdjustment(adjustmentId)
    const approved = await paddle.adjustments.list({ id: [adjustmentId] }).next()

    expect(asked).toMatchObject([{ action: 'refund', type: 'partial', status: 'pending_approval' }])
    expect(approved).toMatchObject([
      {
        status: 'approved',
        totals: { subtotal: '2500', tax: '500', total: '3000' },
        items: [{ amount: '3000' }],
      },
    ])
    expect(await paddle.transactions.get(transactionId, { include: ['adjustment'] })).toMatchObject({
      adjustments: [{ id: adjustmentId }],
      details: { totals: { subtotal: '10000' }, adjustedTotals: { subtotal: '7500', total: '9000' } },
    })
    expect((await control.journal()).events.map(({ eventType }) => eventType)).toEqual(
      expect.arrayContaining(['adjustment.created', 'adjustment.updated']),
    )
  })

  test('can be asked for through the API, with the tax in the amount or beside it', async () => {
    const given = await givenSimulator()
    const { paddle } = given
    const transactionId = await givenPaid(given)
    const line = (await paddle.transactions.get(transactionId)).details?.lineItems[0]
    const part = (amount: string, taxMode: 'internal' | 'external') =>
      paddle.adjustments.create({
        action: 'refund',
        transactionId,
        reason: 'asked',
        taxMode,
        items: [{ itemId: line?.id ?? '', type: 'partial', amount }],
      })

    const inside = await part('1200', 'internal')
    const beside = await part('1000', 'external')
    const rest = await paddle.adjustments.create({
      action: 'refund',
      transactionId,
      reason: 'asked',
      type: 'full',
    })

    expect([inside, beside, rest].map(({ totals }) => totals?.subtotal)).toEqual(['1000', '1000', '8000'])
    await expect(part('1', 'external')).rejects.toMatchObject({
      code: 'adjustment_amount_above_remaining_allowed',
    })
  })

  test('that is rejected gives nothing back, and leaves room for another', async () => {
    const given = await givenSimulator()
    const { control, paddle } = given
    const transactionId = await givenPaid(given)

    const { adjustmentId } = await control.refund({ transactionId })
    await control.rejectAdjustment(adjustmentId)
    await control.refund({ transactionId, status: 'approved' })

    const { adjustments } = await control.journal()
    expect(adjustments).toMatchObject([
      { action: 'refund', status: 'rejected', net: '10000' },
      { action: 'refund', status: 'approved', net: '10000' },
    ])
    expect((await paddle.transactions.get(transactionId)).details?.adjustedTotals).toMatchObject({
      total: '0',
    })
  })

  test('is approved by itself after a while, when that is switched on', async () => {
    const given = await givenSimulator()
    const { control } = given
    const transactionId = await givenPaid(given)
    await control.switches({ refundApprovalMs: 600_000 })

    await control.refund({ transactionId })
    await control.advance(600_000)

    expect((await control.journal()).adjustments).toMatchObject([{ status: 'approved' }])
  })
})

test('a chargeback, its warning, and what reverses them', async () => {
  const given = await givenSimulator()
  const { control } = given
  const transactionId = await givenPaid(given)

  const warning = await control.chargebackWarning(transactionId)
  await control.reverseChargebackWarning(warning.adjustmentId)
  const chargeback = await control.chargeback(transactionId, '4000')
  await control.reverseChargeback(chargeback.adjustmentId)

  expect((await control.journal()).adjustments).toMatchObject([
    { action: 'chargeback_warning', status: 'reversed', net: '10000' },
    { action: 'chargeback_warning_reverse', status: 'approved', net: '10000' },
    { action: 'chargeback', status: 'reversed', net: '4000' },
    { action: 'chargeback_reverse', status: 'approved', net: '4000' },
  ])
  await expect(control.reverseChargeback(chargeback.adjustmentId)).rejects.toThrow(
    'takes no chargeback_reverse',
  )
})

test('what Paddle owes a customer lowers what the card pays, never what was bought', async () => {
  const { control, paddle } = await givenSimulator()
  const { subscriptionId, customerId } = await control.saveCard({ workspaceId: 'ws_1' })
  await control.giveCredit({ customerId, amount: '3000' })

  await paddle.subscriptions.createOneTimeCharge(subscriptionId, aCharge('topup_1'))

  const [charge] = await paddle.transactions.list({ origin: ['subscription_charge'] }).next()
  expect(charge?.details?.totals).toMatchObject({ subtotal: '10000', credit: '3000', grandTotal: '7000' })
  expect((await control.journal()).captures).toMatchObject([{ net: '10000' }])
  expect(await paddle.customers.getCreditBalance(customerId)).toMatchObject([{ balance: { available: '0' } }])
})

/** $100.00 before tax, £120.00-like with the British one. */
async function givenPaid({ control, paddle }: Given): Promise<string> {
  const { subscriptionId } = await control.saveCard({ workspaceId: 'ws_1', country: 'GB' })
  await paddle.subscriptions.createOneTimeCharge(subscriptionId, aCharge('topup_1'))
  const { captures } = await control.journal()
  return captures[0]?.transactionId ?? ''
}
