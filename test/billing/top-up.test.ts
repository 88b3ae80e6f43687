import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import { micros } from '../../billing/money.ts'
import {
  afterWaiting,
  decideMissing,
  defaultChargeTiming,
  nextSearchMs,
  nextTryMs,
  openChargeStates,
  topUpStates,
  waitedMs,
  type Missing,
} from '../../billing/top-up.ts'

const sentAt = new Date('2026-03-10T12:00:00Z')
const { quietPeriodMs } = defaultChargeTiming

function missing(afterMs: number, topUp: { submissions?: number; amountMicros?: bigint } = {}): Missing {
  const { submissions = 1, amountMicros = 100_000_000n } = topUp
  const now = new Date(sentAt.getTime() + afterMs)
  return decideMissing({ submissions, amountMicros: micros(amountMicros), sentAt }, now, defaultChargeTiming)
}

describe('a charge that a search does not find', () => {
  test('is searched for again until the quiet period is over to the millisecond, and is then sent again', () => {
    const decided = [0, quietPeriodMs - 1, quietPeriodMs, quietPeriodMs * 100].map((ms) => missing(ms))

    expect(decided).toEqual(['search_again', 'search_again', 'send_again', 'send_again'])
  })

  test('is never sent a third time: a person has to look', () => {
    expect(missing(quietPeriodMs, { submissions: 2 })).toBe('needs_review')
    expect(missing(quietPeriodMs - 1, { submissions: 2 })).toBe('search_again')
  })

  test('is not sent again by itself above $1000', () => {
    expect(missing(quietPeriodMs, { amountMicros: 1_000_000_000n })).toBe('send_again')
    expect(missing(quietPeriodMs, { amountMicros: 1_000_000_001n })).toBe('needs_review')
  })

  test('whatever the timing, is sent again only after the quiet period and only once', () => {
    const given = fc.record({
      submissions: fc.integer({ min: 1, max: 50 }),
      amountMicros: fc.bigInt({ min: 1n, max: 10n ** 10n }),
      afterMs: fc.integer({ min: -1_000, max: 10_000_000 }),
      quietMs: fc.integer({ min: 0, max: 5_000_000 }),
    })

    fc.assert(
      fc.property(given, ({ submissions, amountMicros, afterMs, quietMs }) => {
        const decided = decideMissing(
          { submissions, amountMicros: micros(amountMicros), sentAt },
          new Date(sentAt.getTime() + afterMs),
          { ...defaultChargeTiming, quietPeriodMs: quietMs },
        )

        const isQuiet = afterMs >= quietMs
        const mayGoAgain = submissions === 1 && amountMicros <= 1_000_000_000n
        expect(decided).toBe(!isQuiet ? 'search_again' : mayGoAgain ? 'send_again' : 'needs_review')
      }),
      { numRuns: 5_000 },
    )
  })
})

describe('an unknown charge', () => {
  test('is searched for after 10 and 30 seconds, 2, 5 and 15 minutes, and then no more by the schedule', () => {
    const searches = [0, 1, 2, 3, 4, 5, 6].map((done) => nextSearchMs(done, defaultChargeTiming))

    expect(searches).toEqual([10_000, 30_000, 120_000, 300_000, 900_000, null, null])
  })

  test('is searched for later each time, and the last time when the quiet period is over, however long it is', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 100_000_000 }), (ms) => {
        const timing = { ...defaultChargeTiming, quietPeriodMs: ms }

        const searches = [0, 1, 2, 3, 4].map((done) => nextSearchMs(done, timing) ?? -1)

        expect(searches).toEqual(searches.toSorted((one, other) => one - other))
        expect(searches.at(-1)).toBe(ms)
      }),
    )
  })
})

describe('what Paddle did not process', () => {
  test('is tried again after 30 seconds, twice as long each time, up to half an hour', () => {
    const waits = [0, 1, 2, 5, 6, 10, 30_000].map((tries) => nextTryMs(tries, null, defaultChargeTiming))

    expect(waits).toEqual([30_000, 60_000, 120_000, 960_000, 1_800_000, 1_800_000, 1_800_000])
  })

  test('waits as long as Paddle asks for, when that is longer', () => {
    expect(nextTryMs(0, 3_600_000, defaultChargeTiming)).toBe(3_600_000)
    expect(nextTryMs(3, 1_000, defaultChargeTiming)).toBe(240_000)
  })
})

describe('on a clock that runs a day in each second', () => {
  const fast = { ...defaultChargeTiming, clockRate: 86_400 }

  test('waiting takes as long as it takes in real time', () => {
    const later = afterWaiting(sentAt, 5_000, fast)

    expect(later.toISOString()).toBe('2026-03-15T12:00:00.000Z')
    expect(waitedMs(sentAt, later, fast)).toBe(5_000)
    expect(afterWaiting(sentAt, 5_000, defaultChargeTiming).toISOString()).toBe('2026-03-10T12:00:05.000Z')
  })

  test('a charge is not sent a second time before the quiet period has really passed', () => {
    const topUp = { submissions: 1, amountMicros: micros(100_000_000n), sentAt }
    const [almost, quiet] = [quietPeriodMs - 1, quietPeriodMs].map((ms) => afterWaiting(sentAt, ms, fast))

    expect(decideMissing(topUp, almost ?? sentAt, fast)).toBe('search_again')
    expect(decideMissing(topUp, quiet ?? sentAt, fast)).toBe('send_again')
  })
})

test('every state whose end is open, and no other, keeps the wallet from a second recharge', () => {
  const ended = ['awaiting_customer', 'succeeded', 'declined', 'failed', 'canceled', 'abandoned']

  expect([...openChargeStates, ...ended].toSorted()).toEqual([...topUpStates].toSorted())
})
