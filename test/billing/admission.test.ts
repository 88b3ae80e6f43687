import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import {
  affordedSeconds,
  holdFor,
  leastBufferMicros,
  liveCallsAfforded,
  type PricedCall,
} from '../../billing/admission.ts'
import { micros } from '../../billing/money.ts'
import { rateUsage } from '../../billing/rating.ts'
import { flatRate, givenCard, stepped } from './given.ts'

const outbound: PricedCall = { direction: 'outbound', to: '+14155550100', recorded: false }

describe('what is held', () => {
  test('is at least $0.20, where a minute costs less', () => {
    expect(holdFor(givenCard(), outbound, 0)).toEqual({ outcome: 'priced', holdMicros: 200_000n })
  })

  test('is what the first minute at the destination really costs, where that is more', () => {
    const card = givenCard({ telephony: { '882': flatRate('2.9167', 1, '0.05') } })

    const hold = holdFor(card, { ...outbound, to: '+88216550100', recorded: true }, 0)

    // 0.10 for voice, 2.9167 and the connection fee for telephony, 0.02 for recording.
    expect(hold).toEqual({ outcome: 'priced', holdMicros: 3_086_700n })
  })

  test('is all increments that a minute begins', () => {
    const card = givenCard({ voice: stepped('0.10', 90, 60) })

    expect(holdFor(card, outbound, 0)).toMatchObject({ holdMicros: 230_000n })
  })

  test('grows with the call: all of it so far and a minute more, and never beyond a day', () => {
    const card = givenCard()

    expect(holdFor(card, outbound, 60)).toMatchObject({ holdMicros: 360_000n })
    expect(holdFor(card, outbound, 90.5)).toMatchObject({ holdMicros: 453_000n })
    expect(holdFor(card, outbound, 86_400)).toEqual(holdFor(card, outbound, 86_340))
  })

  const priceless: [string, PricedCall, string][] = [
    ['to a number that no prefix matches', { ...outbound, to: '+99955550100' }, 'unknown_destination'],
    ['to nowhere', { direction: 'outbound', recorded: false }, 'unknown_destination'],
    [
      'from a number that no prefix matches',
      { ...outbound, direction: 'inbound', from: '+99955550100' },
      'unknown_destination',
    ],
    ['from a withheld number', { direction: 'inbound', recorded: false }, 'no_inbound_rate'],
  ]

  test.for(priceless)('has no price, and is refused: a call %s', ([, call, reason]) => {
    expect(holdFor(givenCard(), call, 0)).toEqual({ outcome: 'refused', reason })
    expect(affordedSeconds(givenCard(), call, micros(1_000_000n))).toBe(0)
  })

  test('has no price without a rate card', () => {
    expect(holdFor(null, outbound, 0)).toEqual({ outcome: 'refused', reason: 'no_rate_card' })
    expect(affordedSeconds(null, outbound, micros(1_000_000n))).toBe(0)
  })

  test('is voice alone for a web call, whatever its numbers', () => {
    const card = givenCard({ voice: flatRate('0.50') })

    expect(holdFor(card, { direction: 'web', recorded: false }, 0)).toMatchObject({ holdMicros: 500_000n })
  })
})

describe('how long a call is afforded', () => {
  test('is the last second that the money covers', () => {
    expect(affordedSeconds(givenCard(), outbound, micros(180_000n))).toBe(60)
    expect(affordedSeconds(givenCard(), outbound, micros(179_999n))).toBe(59)
    expect(affordedSeconds(givenCard(), outbound, micros(10_000_000n))).toBe(3_333)
  })

  test('is nothing without money, and a day with more than enough or where nothing costs', () => {
    const free = givenCard({ voice: flatRate('0'), telephony: { '1': flatRate('0') } })

    expect(affordedSeconds(givenCard(), outbound, micros(0n))).toBe(0)
    expect(affordedSeconds(givenCard(), outbound, micros(-5_000_000n))).toBe(0)
    expect(affordedSeconds(givenCard(), outbound, micros(1_000_000_000_000n))).toBe(86_400)
    expect(affordedSeconds(free, outbound, micros(0n))).toBe(86_400)
  })

  test('is exactly as long as rating says: that long is covered, and a second more is not', () => {
    const cards = fc.record({
      perMinute: fc.integer({ min: 1, max: 9_999 }),
      first: fc.integer({ min: 1, max: 120 }),
      next: fc.integer({ min: 1, max: 60 }),
      fee: fc.integer({ min: 0, max: 500 }),
    })
    fc.assert(
      fc.property(
        cards,
        fc.bigInt({ min: 0n, max: 50_000_000n }),
        ({ perMinute, first, next, fee }, money) => {
          const rate = stepped(`0.${String(perMinute).padStart(4, '0')}`, first, next)
          const feeText = `0.${String(fee).padStart(3, '0')}`
          const card = givenCard({ telephony: { '1': { ...rate, connection_fee_usd: feeText } } })

          const seconds = affordedSeconds(card, outbound, micros(money))

          const costs = (durationSeconds: number): bigint => {
            const rating = rateUsage(card, { ...outbound, kind: 'call', durationSeconds })
            return rating.outcome === 'rated' ? rating.totalMicros : 0n
          }
          expect(costs(seconds) <= money).toBe(true)
          expect(seconds === 86_400 || costs(seconds + 1) > money).toBe(true)
        },
      ),
    )
  })
})

describe('how many calls of a campaign may be live', () => {
  test('is one for each buffer, besides those that are, and 100 at most', () => {
    expect(leastBufferMicros).toBe(200_000n)
    expect(afforded(0n, 0)).toBe(0)
    expect(afforded(199_999n, 0)).toBe(0)
    expect(afforded(1_000_000n, 0)).toBe(5)
    expect(afforded(1_000_000n, 7)).toBe(12)
    expect(afforded(-1_000_000n, 7)).toBe(7)
    expect(afforded(19_999_999n, 0)).toBe(99)
    expect(afforded(10n ** 15n, 0)).toBe(100)
    expect(afforded(10n ** 15n, 150)).toBe(100)
  })
})

function afforded(available: bigint, live: number): number {
  return liveCallsAfforded(micros(available), live)
}
