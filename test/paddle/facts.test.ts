// Paddle's JSON as facts: the same from a webhook, a list or an object of the SDK's.
import { Adjustment, Subscription, Transaction } from '@paddle/paddle-node-sdk'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import type { PaddleTransaction } from '../../billing/paddle-facts.ts'
import {
  readAdjustment,
  readCustomer,
  readSubscription,
  readTransaction,
  wireOf,
  type Reading,
} from '../../paddle/facts.ts'
import {
  adjustmentWire,
  ids,
  itemWire,
  lineItemWire,
  noted,
  paymentWire,
  subscriptionWire,
  transactionWire,
} from './wire.ts'

const usd = (amount: bigint) => ({ amount, currency: 'USD' })

describe('a transaction', () => {
  test('is read whole', () => {
    expect(transactionOf(transactionWire())).toEqual({
      transactionId: ids.transaction,
      status: 'completed',
      origin: 'subscription_charge',
      customerId: ids.customer,
      subscriptionId: ids.subscription,
      workspaceId: 'ws_1',
      lines: [
        {
          productId: ids.product,
          net: usd(10_000n),
          topUpId: 'top_1',
          workspaceId: 'ws_1',
          source: 'auto_recharge',
        },
      ],
      grandTotal: usd(12_000n),
      payments: [
        {
          status: 'captured',
          errorCode: null,
          paymentMethodId: 'paymtd_01hv8x6vx0y5ms2qj1qrs4ny3v',
          card: { brand: 'visa', last4: '4242', expiryMonth: 5, expiryYear: 2031 },
          createdAt: new Date('2026-04-12T10:18:48.100Z'),
        },
      ],
      createdAt: new Date('2026-04-12T10:18:47.635Z'),
      updatedAt: new Date('2026-04-12T10:18:49Z'),
    })
  })

  test('says the same after it went through the SDK', () => {
    const wire = transactionWire()
    // @ts-expect-error -- the wire's JSON, which the SDK takes at its word
    const object = new Transaction(wire)

    expect(readTransaction(wireOf(object))).toEqual(readTransaction(wire))
  })

  test('is worth the subtotal less the discount, whatever tax is on it', () => {
    const { lines } = transactionOf(
      transactionWire({
        details: {
          totals: { grand_total: '10800', currency_code: 'USD' },
          line_items: [lineItemWire({ subtotal: '10000', discount: '1000' })],
        },
      }),
    )

    expect(lines.map(({ net }) => net)).toEqual([usd(9_000n)])
  })

  test('is worth unit price times quantity before Paddle has worked out its totals', () => {
    const items = [itemWire({}, { quantity: 3 })]

    for (const details of [null, undefined, { totals: null, line_items: [] }]) {
      const transaction = transactionOf(transactionWire({ details, items, payments: undefined }))
      expect(transaction.lines[0]?.net).toEqual(usd(30_000n))
      expect(transaction.grandTotal).toEqual(usd(30_000n))
      expect(transaction.payments).toEqual([])
    }
  })

  test('gives each of its items its own total, in whatever order the totals come', () => {
    const setup = 'pri_01hv8x1cq6c1r7gkz3gkx2t9s2'
    const { lines } = transactionOf(
      transactionWire({
        items: [itemWire({ id: setup, custom_data: null }), itemWire(), itemWire()],
        details: {
          totals: { grand_total: '300', currency_code: 'USD' },
          line_items: [
            lineItemWire({ subtotal: '100' }),
            lineItemWire({ subtotal: '200' }),
            lineItemWire({ priceId: setup, subtotal: '0' }),
          ],
        },
      }),
    )

    expect(lines.map(({ net, topUpId }) => [net.amount, topUpId])).toEqual([
      [0n, null],
      [100n, 'top_1'],
      [200n, 'top_1'],
    ])
  })

  test('whose totals leave one of its items out is unreadable', () => {
    const details = {
      totals: { grand_total: '12000', currency_code: 'USD' },
      line_items: [lineItemWire({ priceId: 'pri_other' })],
    }

    expect(readTransaction(transactionWire({ details }))).toEqual({
      outcome: 'unreadable',
      detail: 'details.line_items: do not match the items',
      id: ids.transaction,
    })
  })

  test('lists its payments newest first', () => {
    const payments = ['10:01:00Z', '10:03:00.5Z', '10:02:00.123456Z'].map((time) =>
      paymentWire({ created_at: `2026-04-12T${time}` }),
    )

    const times = transactionOf(transactionWire({ payments })).payments.map(({ createdAt }) => createdAt)

    expect(times).toEqual(times.toSorted((one, other) => other.getTime() - one.getTime()))
  })

  test('is read although its card is of a kind that cannot be shown', () => {
    for (const method_details of [null, { type: 'paypal' }, { type: 'card', card: { last4: 4242 } }]) {
      const transaction = transactionOf(transactionWire({ payments: [paymentWire({ method_details })] }))
      expect(transaction.payments[0]?.card).toBeNull()
    }
  })

  test('keeps every digit of an amount that no float could', () => {
    const { grandTotal } = transactionOf(
      transactionWire({
        details: {
          totals: { grand_total: '90071992547409931', currency_code: 'USD' },
          line_items: [lineItemWire()],
        },
      }),
    )

    expect(grandTotal.amount).toBe(90_071_992_547_409_931n)
  })

  test.for([12_000, '12000.00', '1e4', '', ' 12000', '0x10', '1'.repeat(19), null])(
    'with %j for an amount is unreadable',
    (grand_total) => {
      const details = { totals: { grand_total, currency_code: 'USD' }, line_items: [lineItemWire()] }

      expect(readTransaction(transactionWire({ details }))).toMatchObject({
        outcome: 'unreadable',
        detail: expect.stringContaining('details.totals.grand_total'),
      })
    },
  )
})

describe('custom data', () => {
  test.for([
    undefined,
    null,
    [],
    'ws_1',
    {},
    { workspace_id: 7, top_up_id: {}, source: [] },
    { workspace_id: '', top_up_id: ' ', source: 'a\u0000b' },
    { workspace_id: 'w'.repeat(129), top_up_id: 't'.repeat(129), source: 's\n' },
    { workspaceId: 'ws_1', topUpId: 'top_1', Source: 'api' },
  ])('%j names nothing', (custom_data) => {
    const { workspaceId, lines } = transactionOf(
      transactionWire({ custom_data, items: [itemWire({ custom_data })] }),
    )

    expect(workspaceId).toBeNull()
    expect(lines).toMatchObject([{ topUpId: null, workspaceId: null, source: null }])
  })

  test('of the transaction names no top-up, because it is inherited by transactions that are none', () => {
    const { lines } = transactionOf(
      transactionWire({ custom_data: noted, items: [itemWire({ custom_data: null })] }),
    )

    expect(lines).toMatchObject([{ topUpId: null }])
  })

  test('of others is no more ours through the SDK than on the wire', () => {
    const wire = transactionWire({ items: [itemWire({ custom_data: { topUpId: 'top_9' } })] })
    // @ts-expect-error -- the wire's JSON, which the SDK takes at its word
    const object = new Transaction(wire)

    expect(readTransaction(wireOf(object))).toEqual(readTransaction(wire))
  })

  test('may hold anything without being in the way', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (custom_data) => {
        expect(readTransaction(transactionWire({ custom_data })).outcome).toBe('read')
      }),
    )
  })
})

test('a subscription is read, with its setup transaction where Paddle tells', () => {
  const wire = subscriptionWire()
  // @ts-expect-error -- the wire's JSON, which the SDK takes at its word
  const object = new Subscription(wire)

  expect(readSubscription({ ...wire, transaction_id: ids.transaction })).toEqual({
    outcome: 'read',
    fact: {
      subscriptionId: ids.subscription,
      status: 'active',
      customerId: ids.customer,
      workspaceId: 'ws_1',
      transactionId: ids.transaction,
      updatedAt: new Date('2026-04-12T10:38:00.761Z'),
    },
  })
  expect(readSubscription(wireOf(object))).toEqual(readSubscription(wire))
})

test('an adjustment is worth its subtotal, before tax', () => {
  const wire = adjustmentWire()
  // @ts-expect-error -- the wire's JSON, which the SDK takes at its word
  const object = new Adjustment(wire)

  expect(readAdjustment(wire)).toEqual({
    outcome: 'read',
    fact: {
      adjustmentId: ids.adjustment,
      action: 'refund',
      status: 'approved',
      transactionId: ids.transaction,
      customerId: ids.customer,
      net: usd(2_500n),
      createdAt: new Date('2026-04-15T08:01:00Z'),
      updatedAt: new Date('2026-04-15T08:02:00Z'),
    },
  })
  expect(readAdjustment(wireOf(object))).toEqual(readAdjustment(wire))
})

test('a customer is read, or is not', () => {
  const customer = { id: ids.customer, email: 'mara@example.com', custom_data: { workspace_id: 'ws_1' } }

  expect(readCustomer(customer)).toEqual({
    outcome: 'read',
    fact: { customerId: ids.customer, email: 'mara@example.com', workspaceId: 'ws_1' },
  })
  expect(readCustomer({ ...customer, email: null })).toMatchObject({
    outcome: 'unreadable',
    id: ids.customer,
  })
})

function transactionOf(wire: unknown): PaddleTransaction {
  return factOf(readTransaction(wire))
}

function factOf<Fact>(reading: Reading<Fact>): Fact {
  if (reading.outcome === 'read') return reading.fact
  throw new Error(reading.detail)
}
