import { describe, expect, test } from 'vitest'

import { decideDecline, explainDecline, isHardDecline } from '../../billing/decline.ts'

const hour = 3_600_000

/** Every code that Paddle gives for a payment, and whether another attempt with the same card may succeed by itself. */
const codes: [string, 'soft' | 'hard'][] = [
  ['already_canceled', 'soft'],
  ['already_refunded', 'soft'],
  ['authentication_failed', 'hard'],
  ['blocked_card', 'hard'],
  ['canceled', 'hard'],
  ['declined', 'soft'],
  ['declined_not_retryable', 'hard'],
  ['expired_card', 'hard'],
  ['fraud', 'hard'],
  ['invalid_amount', 'soft'],
  ['invalid_payment_details', 'hard'],
  ['issuer_unavailable', 'soft'],
  ['not_enough_balance', 'soft'],
  ['preferred_network_not_supported', 'soft'],
  ['psp_error', 'soft'],
  ['redacted_payment_method', 'hard'],
  ['system_error', 'soft'],
  ['transaction_not_permitted', 'hard'],
  ['unknown', 'soft'],
  ['a_code_of_next_year', 'soft'],
  ['', 'soft'],
]

describe('a decline', () => {
  test.for(codes)('with the code "%s" is %s', ([code, kind]) => {
    const first = decideDecline(code, 1)

    expect(isHardDecline(code)).toBe(kind === 'hard')
    expect(first).toEqual(kind === 'hard' ? { next: 'suspend' } : { next: 'cool_down', coolingMs: hour })
  })

  test.for(codes)('with the code "%s" can be told to the holder of the card', ([code]) => {
    expect(explainDecline(code)).toMatch(/^(?:The|Paddle) .{10,}\.$/)
  })
})

describe('declines in a row', () => {
  test('wait for an hour, then for six, and suspend at the third', () => {
    const verdicts = [1, 2, 3, 4, 100].map((inARow) => decideDecline('not_enough_balance', inARow))

    expect(verdicts).toEqual([
      { next: 'cool_down', coolingMs: hour },
      { next: 'cool_down', coolingMs: 6 * hour },
      { next: 'suspend' },
      { next: 'suspend' },
      { next: 'suspend' },
    ])
  })

  test('suspend at once when one of them is hard, whichever it is', () => {
    const verdicts = [1, 2, 3].map((inARow) => decideDecline('fraud', inARow))

    expect(new Set(verdicts.map((verdict) => verdict.next))).toEqual(new Set(['suspend']))
  })
})
