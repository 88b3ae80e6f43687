import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import {
  claimedWorkspace,
  creditReviewReasons,
  decideCredit,
  explainCreditReview,
  isCaptured,
  usdOfMinorUnits,
  type CreditFacts,
} from '../../billing/credit.ts'
import { micros } from '../../billing/money.ts'
import type { PaddleTransaction } from '../../billing/paddle-facts.ts'
import { aLine, aPayment, aTransaction, cents, productId } from '../support/paddle-news.ts'

const payer = { workspaceId: 'ws_1', customerId: 'ctm_1' }
const facts: CreditFacts = { customerId: 'ctm_1', productId, expectedMicros: micros(20_000_000n) }
const line = aLine({ topUpId: 'topup_1', workspaceId: 'ws_1' })

function paid(transaction: Partial<PaddleTransaction> = {}): PaddleTransaction {
  return aTransaction(payer, { lines: [line], ...transaction })
}

describe('captured money', () => {
  test.for(['paid', 'completed'])(
    'is credit when the transaction is %s and exactly what was asked for',
    (status) => {
      expect(decideCredit(paid({ status }), facts)).toEqual({
        decision: 'credit',
        amountMicros: 20_000_000n,
        topUpId: 'topup_1',
      })
    },
  )

  test('is credited without tax and without fees, whatever the customer paid in all', () => {
    const decision = decideCredit(paid({ grandTotal: cents(999_999n) }), facts)

    expect(decision).toMatchObject({ decision: 'credit', amountMicros: 20_000_000n })
  })

  test('is credited also when no row of ours says what to expect, as after a restore', () => {
    const decision = decideCredit(paid({ lines: [aLine({ net: cents(1_234n) })] }), {
      ...facts,
      expectedMicros: null,
    })

    expect(decision).toEqual({ decision: 'credit', amountMicros: 12_340_000n, topUpId: null })
  })

  test('of several items of one top-up is credited as their sum, and an item for nothing changes nothing', () => {
    const lines = [
      aLine({ topUpId: 'topup_1', net: cents(1_500n) }),
      aLine({ topUpId: 'topup_1', net: cents(500n) }),
      aLine({ productId: 'pro_card', net: cents(0n) }),
    ]

    expect(decideCredit(paid({ lines }), facts)).toMatchObject({
      amountMicros: 20_000_000n,
      topUpId: 'topup_1',
    })
  })
})

describe('no credit and no review', () => {
  const unpaid = ['draft', 'ready', 'billed', 'canceled', 'past_due', 'a_status_of_next_year']

  test.for(unpaid)('comes of a transaction that is %s, even if a payment says captured', (status) => {
    const transaction = paid({ status, payments: [aPayment({ status: 'captured' })] })

    expect(decideCredit(transaction, facts)).toEqual({ decision: 'nothing', reason: 'not_paid' })
    expect(isCaptured(transaction)).toBe(false)
  })

  test('comes of saving a card for nothing, of changing it, and of a renewal for nothing', () => {
    const free = aLine({ productId: 'pro_card', net: cents(0n), workspaceId: 'ws_1' })
    const origins = ['web', 'subscription_payment_method_change', 'subscription_recurring']

    const decisions = origins.map((origin) => decideCredit(paid({ origin, lines: [free] }), facts))

    expect(decisions).toEqual(origins.map(() => ({ decision: 'nothing', reason: 'not_a_top_up' })))
  })

  test('comes of a transaction without items', () => {
    expect(decideCredit(paid({ lines: [] }), facts)).toEqual({ decision: 'nothing', reason: 'not_a_top_up' })
  })
})

describe('a person looks at captured money', () => {
  const doubts: [string, PaddleTransaction, Partial<CreditFacts>][] = [
    ['unknown_customer', paid(), { customerId: null }],
    ['another_customer', paid({ customerId: 'ctm_2' }), {}],
    ['another_customer', paid({ customerId: null }), {}],
    ['wrong_currency', paid({ lines: [{ ...line, net: { amount: 2_000n, currency: 'EUR' } }] }), {}],
    ['wrong_product', paid({ lines: [{ ...line, productId: 'pro_other' }] }), {}],
    ['wrong_product', paid({ lines: [{ ...line, productId: null }] }), {}],
    ['wrong_amount', paid({ lines: [{ ...line, net: cents(1_999n) }] }), {}],
    ['wrong_amount', paid({ lines: [{ ...line, net: cents(2_001n) }] }), {}],
    ['wrong_amount', paid({ lines: [{ ...line, net: cents(-2_000n) }] }), { expectedMicros: null }],
    ['mixed_top_ups', paid({ lines: [line, { ...line, topUpId: 'topup_2' }] }), {}],
    ['mixed_top_ups', paid({ lines: [line, { ...line, topUpId: null }] }), {}],
  ]

  test.for(doubts)('and credits nothing: %s', ([reason, transaction, changed]) => {
    expect(decideCredit(transaction, { ...facts, ...changed })).toEqual({ decision: 'review', reason })
  })

  test('when two items are sold and only one is wallet credit', () => {
    const lines = [line, aLine({ productId: 'pro_other', net: cents(1n), topUpId: 'topup_1' })]

    expect(decideCredit(paid({ lines }), facts)).toEqual({ decision: 'review', reason: 'wrong_product' })
  })

  test('when a discount made it less than was asked for', () => {
    const discounted = { ...line, net: cents(2_000n - 200n) }

    expect(decideCredit(paid({ lines: [discounted] }), facts)).toEqual({
      decision: 'review',
      reason: 'wrong_amount',
    })
  })

  test('and is told why in a sentence', () => {
    for (const reason of creditReviewReasons) expect(explainCreditReview(reason)).toMatch(/^The .{20,}\.$/)
  })
})

test('whatever a transaction says, it credits exactly the net of wallet items in dollars of the right customer, or nothing', () => {
  const lines = fc.array(
    fc.record({
      productId: fc.constantFrom(productId, 'pro_other', null),
      net: fc.record({
        amount: fc.bigInt({ min: -5n, max: 5n }),
        currency: fc.constantFrom('USD', 'USD', 'EUR'),
      }),
      topUpId: fc.constantFrom('topup_1', null),
      workspaceId: fc.constant(null),
      source: fc.constant(null),
    }),
    { maxLength: 3 },
  )
  const given = fc.record({
    lines,
    status: fc.constantFrom('paid', 'completed', 'billed'),
    customerId: fc.constantFrom('ctm_1', 'ctm_2'),
    grandTotal: fc.bigInt().map(cents),
    expectedMicros: fc.option(fc.bigInt({ min: 1n, max: 5n }).map((each) => micros(each * 10_000n))),
  })

  fc.assert(
    fc.property(given, ({ expectedMicros, ...said }) => {
      const transaction = paid(said)
      const sold = said.lines.filter((each) => each.net.amount !== 0n)
      const net = sold.reduce((sum, each) => sum + each.net.amount, 0n)

      const decision = decideCredit(transaction, { ...facts, expectedMicros })

      const isOwed =
        said.status !== 'billed' &&
        said.customerId === 'ctm_1' &&
        sold.every((each) => each.productId === productId && each.net.currency === 'USD') &&
        new Set(sold.map((each) => each.topUpId)).size === 1 &&
        net > 0n &&
        net * 10_000n === (expectedMicros ?? net * 10_000n)
      const credited = decision.decision === 'credit' ? decision.amountMicros : null
      expect(credited).toBe(isOwed ? net * 10_000n : null)
    }),
    { numRuns: 5_000 },
  )
})

describe('the workspace that a transaction is for', () => {
  test('is the one of its prices before the one of the transaction, which is copied along', () => {
    const copied = paid({ workspaceId: 'ws_copied' })

    expect(claimedWorkspace(copied)).toBe('ws_1')
    expect(claimedWorkspace({ ...copied, lines: [aLine()] })).toBe('ws_copied')
    expect(claimedWorkspace({ ...copied, lines: [], workspaceId: null })).toBeNull()
  })
})

test('cents of dollars become micro-dollars, and other money becomes nothing', () => {
  expect(usdOfMinorUnits(cents(1n))).toBe(10_000n)
  expect(usdOfMinorUnits({ amount: 100n, currency: 'JPY' })).toBeNull()
})
