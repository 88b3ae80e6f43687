// Rating against an oracle: the same rules said a second time, as slowly as they can be said, in exact fractions. It
// walks a call increment by increment and shares no code with what it judges.
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseRate, type RateJson } from '../../billing/rate-card.ts'
import { parseRateAmount, rateCount, rateDuration } from '../../billing/rate.ts'
import { flatRate, stepped } from './given.ts'

type Fraction = { readonly numerator: bigint; readonly denominator: bigint }

describe('against the exact-fraction oracle', () => {
  test('any duration at any rate costs the exact price rounded half-up, so never off by more than half a micro-dollar', () => {
    fc.assert(
      fc.property(rates, durations, (json, durationSeconds) => {
        const { amountMicros, billedSeconds } = rateDuration(parseRate(json), durationSeconds)

        const owed = owedExactly(json, durationSeconds)
        expect(isHalfUpOf(amountMicros, owed.usd)).toBe(true)
        expect(billedSeconds).toBe(owed.billedSeconds)
      }),
      { numRuns: 2_000 },
    )
  })

  test('a longer call never costs less', () => {
    fc.assert(
      fc.property(rates, durations, durations, (json, one, other) => {
        const rate = parseRate(json)

        const shorter = rateDuration(rate, Math.min(one, other))
        const longer = rateDuration(rate, Math.max(one, other))

        expect(longer.amountMicros >= shorter.amountMicros).toBe(true)
        expect(longer.billedSeconds).toBeGreaterThanOrEqual(shorter.billedSeconds)
      }),
      { numRuns: 2_000 },
    )
  })

  test('the increments that are shown are the increments that are owed', () => {
    fc.assert(
      fc.property(rates, durations, (json, durationSeconds) => {
        const { billedSeconds, increments, amountMicros } = rateDuration(parseRate(json), durationSeconds)

        let second = 0
        let picosTimes60 = durationSeconds > 0 ? picos(json.connection_fee_usd ?? '0') * 60n : 0n
        for (const { fromSecond, incrementSeconds, count, perMinuteUsd } of increments) {
          expect(fromSecond).toBe(second)
          expect(count).toBeGreaterThan(0)
          second += incrementSeconds * count
          picosTimes60 += perMinuteUsd * BigInt(incrementSeconds * count)
        }
        expect(second).toBe(billedSeconds)
        expect(isHalfUpOf(amountMicros, { numerator: picosTimes60, denominator: 60n * 10n ** 12n })).toBe(
          true,
        )
      }),
    )
  })

  test('a call of a week at any rate costs what walking through every second of it costs', () => {
    const week = 604_800
    fc.assert(
      fc.property(rates, fc.integer({ min: -3, max: 3 }), (json, shift) => {
        const { amountMicros, billedSeconds } = rateDuration(parseRate(json), week + shift)

        const owed = owedExactly(json, week + shift)
        expect(isHalfUpOf(amountMicros, owed.usd)).toBe(true)
        expect(billedSeconds).toBe(owed.billedSeconds)
      }),
      { numRuns: 10 },
    )
  })
})

describe('by hand', () => {
  test.each([
    ['per second: 61 s are 61 s', flatRate('0.10'), 61, 61, 101_667n],
    ['60/60: 60 s are one minute', flatRate('0.10', 60), 60, 60, 100_000n],
    ['60/60: 61 s are two minutes', flatRate('0.10', 60), 61, 120, 200_000n],
    ['60/1: 1 s is one minute', stepped('0.10', 60, 1), 1, 60, 100_000n],
    ['60/1: 61 s are a minute and a second', stepped('0.10', 60, 1), 61, 61, 101_667n],
    ['60/6: 61 s are a minute and six seconds', stepped('0.10', 60, 6), 61, 66, 110_000n],
    ['30/6: 1 s is 30 s', stepped('0.10', 30, 6), 1, 30, 50_000n],
    ['30/6: 30 s are 30 s', stepped('0.10', 30, 6), 30, 30, 50_000n],
    ['30/6: 31 s are 36 s', stepped('0.10', 30, 6), 31, 36, 60_000n],
    ['30/6: 36 s are 36 s', stepped('0.10', 30, 6), 36, 36, 60_000n],
    ['a connection fee is owed once', flatRate('0.10', 60, '0.05'), 61, 120, 250_000n],
    ['a connection fee is owed by the shortest call', flatRate('0', 1, '0.05'), 0.001, 1, 50_000n],
    ['a fraction of a second starts the whole second', flatRate('0.60'), 1.000_000_1, 2, 20_000n],
    ['a third of a cent is not lost', flatRate('0.0033'), 60, 60, 3_300n],
    ['29 s at a micro-dollar a minute round down', flatRate('0.000001'), 29, 29, 0n],
    [
      '30 s at a micro-dollar a minute are half a micro-dollar, and half goes up',
      flatRate('0.000001'),
      30,
      30,
      1n,
    ],
    [
      'prices below a micro-dollar add up before they are rounded',
      flatRate('0.000000000001'),
      6e7,
      60_000_000,
      1n,
    ],
    ['a week per second', flatRate('0.10'), 604_800, 604_800, 1_008_000_000n],
    [
      'what a floating-point number is too coarse for',
      flatRate('9976.729785884411'),
      175_761,
      175_761,
      29_225_333_398_280n,
    ],
  ])('%s', (_case, json, durationSeconds, billedSeconds, amountMicros) => {
    const rated = rateDuration(parseRate(json), durationSeconds)

    expect(rated).toMatchObject({ billedSeconds, amountMicros })
  })

  test('0 s cost nothing, not even the connection fee', () => {
    const rate = parseRate(flatRate('0.10', 60, '0.05'))

    expect(rateDuration(rate, 0)).toEqual({ billedSeconds: 0, amountMicros: 0n, increments: [] })
    expect(rateDuration(rate, -0)).toEqual({ billedSeconds: 0, amountMicros: 0n, increments: [] })
  })

  test('each part of a call tiered by duration is paid at the price of its tier', () => {
    const rate = parseRate({
      intervals: [
        { from_second: 0, per_minute_usd: '0.12', increment_seconds: 60 },
        { from_second: 300, per_minute_usd: '0.06', increment_seconds: 60 },
        { from_second: 600, per_minute_usd: '0.03', increment_seconds: 1 },
      ],
    })

    const rated = rateDuration(rate, 610)

    expect(rated.amountMicros).toBe(600_000n + 300_000n + 5_000n)
    expect(rated.increments.map(({ fromSecond, count }) => [fromSecond, count])).toEqual([
      [0, 5],
      [300, 5],
      [600, 10],
    ])
  })

  test('an increment that overruns the next interval is owed whole, and the next begins where it ended', () => {
    const rate = parseRate({
      intervals: [
        { from_second: 0, per_minute_usd: '0.60', increment_seconds: 60 },
        { from_second: 90, per_minute_usd: '0.10', increment_seconds: 6 },
      ],
    })

    const rated = rateDuration(rate, 121)

    expect(rated.increments.map(({ fromSecond, count }) => [fromSecond, count])).toEqual([
      [0, 2],
      [120, 1],
    ])
    expect(rated).toMatchObject({ billedSeconds: 126, amountMicros: 1_210_000n })
  })

  test('an interval that was overrun from end to end sells nothing', () => {
    const rate = parseRate({
      intervals: [
        { from_second: 0, per_minute_usd: '0.60', increment_seconds: 60 },
        { from_second: 10, per_minute_usd: '9', increment_seconds: 1 },
        { from_second: 30, per_minute_usd: '0.10', increment_seconds: 6 },
      ],
    })

    expect(rateDuration(rate, 61)).toMatchObject({ billedSeconds: 66, amountMicros: 610_000n })
  })

  test('the length of a call does not change how long it takes to rate it', () => {
    const rate = parseRate(flatRate('0.000001'))

    // A walk through this many seconds would not end while anyone is here to see it.
    expect(rateDuration(rate, 6e15).amountMicros).toBe(100_000_000_000_000n)
  })

  test.each([-1, -0.000_1, Number.NEGATIVE_INFINITY])('%s s are refused as negative', (durationSeconds) => {
    const rate = parseRate(flatRate('0.10'))

    expect(() => rateDuration(rate, durationSeconds)).toThrow(
      expect.objectContaining({ code: 'negative_quantity' }),
    )
  })

  test.each([Number.NaN, Number.POSITIVE_INFINITY, 1e308])(
    '%s s are refused as no duration',
    (durationSeconds) => {
      const rate = parseRate(flatRate('0.10'))

      expect(() => rateDuration(rate, durationSeconds)).toThrow(
        expect.objectContaining({ code: 'malformed_quantity' }),
      )
    },
  )

  test('things are priced each, and rounded once for all of them', () => {
    expect(rateCount(parseRateAmount('0.01'), 1)).toBe(10_000n)
    expect(rateCount(parseRateAmount('0.0000004'), 1)).toBe(0n)
    expect(rateCount(parseRateAmount('0.0000004'), 5)).toBe(2n)
    expect(rateCount(parseRateAmount('0.0000005'), 1)).toBe(1n)
  })
})

describe('the money inside a rate', () => {
  test('is exact to twelve decimals', () => {
    expect(parseRateAmount('0.000000000001')).toBe(1n)
    expect(parseRateAmount('9999.999999999999')).toBe(9_999_999_999_999_999n)
    expect(parseRateAmount('0')).toBe(0n)
  })

  test.each([
    '',
    '-0.1',
    '-0',
    '+1',
    '1e3',
    '.5',
    '1.',
    '01',
    '0.0000000000001',
    '10000',
    'NaN',
    ' 1',
    '1\n',
    '0,1',
    '٣',
  ])('is never read from %j', (text) => {
    expect(() => parseRateAmount(text)).toThrow(expect.objectContaining({ code: 'malformed_rate' }))
  })
})

const prices = fc
  .tuple(
    fc.integer({ min: 0, max: 30 }),
    fc.string({ unit: fc.constantFrom('0', '1', '2', '5', '9'), maxLength: 12 }),
  )
  .map(([whole, decimals]) => (decimals === '' ? String(whole) : `${whole}.${decimals}`))

const increments = fc.oneof(fc.constantFrom(1, 6, 30, 60), fc.integer({ min: 1, max: 500 }))

const rates: fc.Arbitrary<RateJson> = fc
  .record({
    fee: prices,
    steps: fc.array(fc.tuple(fc.integer({ min: 1, max: 400 }), prices, increments), {
      minLength: 1,
      maxLength: 4,
    }),
  })
  .map(({ fee, steps }) => {
    let from = 0
    return {
      connection_fee_usd: fee,
      intervals: steps.map(([length, price, increment]) => {
        const interval = { from_second: from, per_minute_usd: price, increment_seconds: increment }
        from += length
        return interval
      }),
    }
  })

const durations = fc.oneof(
  fc.integer({ min: 0, max: 4_000 }),
  fc.double({ min: 0, max: 4_000, noNaN: true }),
  fc.double({ min: 0, max: 1e-6, noNaN: true }),
)

/** What is owed, as an exact fraction of a dollar: the last interval that has begun sells the next increment. */
function owedExactly(json: RateJson, durationSeconds: number): { usd: Fraction; billedSeconds: number } {
  let picosTimes60 = durationSeconds > 0 ? picos(json.connection_fee_usd ?? '0') * 60n : 0n
  let second = 0
  const intervals = json.intervals.map((interval) => ({ ...interval, price: picos(interval.per_minute_usd) }))
  while (second < durationSeconds) {
    let selling = intervals[0]
    for (const interval of intervals) if (interval.from_second <= second) selling = interval
    if (selling === undefined) throw new Error('a rate has an interval')
    picosTimes60 += selling.price * BigInt(selling.increment_seconds)
    second += selling.increment_seconds
  }
  return { usd: { numerator: picosTimes60, denominator: 60n * 10n ** 12n }, billedSeconds: second }
}

/** Half-up says: micros - 1/2 <= exact < micros + 1/2. */
function isHalfUpOf(amountMicros: bigint, { numerator, denominator }: Fraction): boolean {
  const twiceExact = 2n * numerator * 1_000_000n
  return (
    (2n * amountMicros - 1n) * denominator <= twiceExact &&
    twiceExact < (2n * amountMicros + 1n) * denominator
  )
}

function picos(text: string): bigint {
  const [whole = '', decimals = ''] = text.split('.')
  return BigInt(whole) * 10n ** 12n + BigInt(decimals.padEnd(12, '0'))
}
