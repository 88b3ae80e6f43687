import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import { micros } from '../../billing/money.ts'
import {
  decideAdjustment,
  isDisputed,
  takenBack,
  type AdjustmentDecision,
  type AppliedPaddleAdjustment,
} from '../../billing/paddle-adjustment.ts'
import type { PaddleAdjustment } from '../../billing/paddle-facts.ts'
import { aTransaction, anAdjustment, cents } from '../support/paddle-news.ts'

const transaction = aTransaction({ workspaceId: 'ws_1', customerId: 'ctm_1' })

function decide(adjustment: Partial<PaddleAdjustment>, takenBackMicros = 0n): AdjustmentDecision {
  return decideAdjustment(anAdjustment(transaction, { adjustmentId: 'adj_1', ...adjustment }), {
    creditedMicros: micros(20_000_000n),
    takenBackMicros: micros(takenBackMicros),
  })
}

function applied(
  action: string,
  amountMicros = 20_000_000n,
  paddleTransactionId = 'txn_1',
): AppliedPaddleAdjustment {
  return { action, paddleTransactionId, amountMicros: micros(amountMicros) }
}

describe('an adjustment', () => {
  test('that is an approved refund takes its net from the wallet, under its own name', () => {
    expect(decide({ net: cents(1_250n) })).toEqual({
      decision: 'apply',
      move: { kind: 'refund', idempotencyKey: 'paddle_adjustment/adj_1', amountMicros: -12_500_000n },
    })
  })

  test('moves money as its action says: a chargeback takes, its reverse gives back, warnings move nothing', () => {
    const moves = [
      'chargeback',
      'chargeback_reverse',
      'chargeback_warning',
      'chargeback_warning_reverse',
    ].map((action) => {
      const decision = decide({ action })
      return decision.decision === 'apply' ? (decision.move?.amountMicros ?? 0n) : null
    })

    expect(moves).toEqual([-20_000_000n, 20_000_000n, 0n, 0n])
  })

  test.for(['pending_approval', 'rejected', 'a_status_of_next_year'])(
    'does nothing while it is %s',
    (status) => {
      expect(decide({ status })).toEqual({ decision: 'nothing' })
    },
  )

  test('that is reversed still stands as it was approved: what comes back comes by the reverse, and only once', () => {
    expect(decide({ action: 'chargeback', status: 'reversed' })).toEqual(
      decide({ action: 'chargeback', status: 'approved' }),
    )
  })

  test('of the tax alone moves nothing', () => {
    expect(decide({ net: cents(0n) })).toEqual({ decision: 'apply', move: null })
  })
})

describe('a person looks at an adjustment', () => {
  test.for(['credit', 'credit_reverse', 'an_action_of_next_year'])('whose action is %s', (action) => {
    expect(decide({ action })).toEqual({ decision: 'review', reason: 'unknown_action' })
  })

  test('that is not in dollars', () => {
    const decision = decide({ net: { amount: 100n, currency: 'EUR' } })

    expect(decision).toEqual({ decision: 'review', reason: 'wrong_currency' })
  })

  test('that would take more back than was credited, by as little as a cent', () => {
    expect(decide({ net: cents(1_000n) }, 10_000_000n)).toMatchObject({ decision: 'apply' })
    expect(decide({ net: cents(1_001n) }, 10_000_000n)).toEqual({
      decision: 'review',
      reason: 'more_than_was_credited',
    })
  })
})

test('what was taken back is what refunds and chargebacks took, less what came back', () => {
  expect(
    takenBack([
      applied('refund', 3n),
      applied('chargeback', 5n),
      applied('chargeback_reverse', 5n),
      applied('chargeback_warning', 100n),
    ]),
  ).toBe(3n)
})

describe('a wallet is disputed', () => {
  const cases: [string[], boolean][] = [
    [[], false],
    [['refund'], false],
    [['chargeback_warning'], true],
    [['chargeback_warning', 'chargeback_warning_reverse'], false],
    [['chargeback'], true],
    [['chargeback', 'chargeback_reverse'], false],
    [['chargeback_warning', 'chargeback'], true],
    [['chargeback_warning', 'chargeback', 'chargeback_reverse'], false],
    [['chargeback_reverse'], false],
    [['chargeback', 'chargeback_reverse', 'chargeback'], true],
  ]

  test.for(cases)('or not, whatever the order of the news: %j -> %s', ([actions, expected]) => {
    fc.assert(
      fc.property(fc.shuffledSubarray(actions, { minLength: actions.length }), (news) => {
        expect(isDisputed(news.map((action) => applied(action)))).toBe(expected)
      }),
      { numRuns: 30 },
    )
  })

  test('also when a reverse of another payment came without its chargeback', () => {
    const news = [applied('chargeback_reverse', 1n, 'txn_2'), applied('chargeback', 1n, 'txn_1')]

    expect(isDisputed(news)).toBe(true)
  })
})
