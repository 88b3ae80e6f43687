import { describe, expect, test } from 'vitest'

import { micros } from '../../billing/money.ts'
import {
  decideRental,
  explainRental,
  rentalReasons,
  type RentalDecision,
  type RentalFacts,
} from '../../billing/rental.ts'

const hourMs = 3_600_000
const dayMs = 24 * hourMs
/** When the second month starts. */
const due = new Date('2026-02-28T10:00:00Z')
const end = new Date('2026-03-31T10:00:00Z')
const secondMonth = { startsAt: due, endsAt: end }

/** Rented on 31 January; its first month is paid. */
const rented: RentalFacts = {
  anchorAt: new Date('2026-01-31T10:00:00Z'),
  periodsBilled: 1,
  cancelAt: null,
  pastDueAt: null,
  suspendedAt: null,
}

/** So many milliseconds after an instant. */
function after(instant: Date, ms: number): Date {
  return new Date(instant.getTime() + ms)
}

/** The wallet has exactly the fee of $5, unless said otherwise. */
function decide(
  facts: Partial<RentalFacts>,
  now: Date,
  { available = 5_000_000n, fee = 5_000_000n }: { available?: bigint; fee?: bigint | null } = {},
): RentalDecision {
  const feeMicros = fee === null ? null : micros(fee)
  return decideRental({ ...rented, ...facts }, { now, availableMicros: micros(available), feeMicros })
}

const short = { available: 4_999_999n }

describe('a month', () => {
  test.for([
    ['rests until it starts', -1, { decision: 'rest', nextLookAt: due }],
    ['is billed as it starts', 0, { decision: 'bill', period: secondMonth }],
    ['is billed afterwards', 1, { decision: 'bill', period: secondMonth }],
    [
      'is billed long afterwards, before the ones that followed',
      95 * dayMs,
      { decision: 'bill', period: secondMonth },
    ],
  ] as const)('%s', ([, ms, decision]) => {
    expect(decide({}, after(due, ms))).toEqual(decision)
  })

  test.for([
    ['the fee to the micro-dollar pays it', { available: 5_000_000n }, 'bill'],
    ['a micro-dollar less does not', short, 'owe'],
    ['a month that costs nothing is paid by nothing', { available: 0n, fee: 0n }, 'bill'],
    ['and even by a wallet below zero', { available: -1n, fee: 0n }, 'bill'],
    ['a wallet below zero pays nothing else', { available: -1n, fee: 1n }, 'owe'],
  ] as const)('%s', ([, wallet, decision]) => {
    expect(decide({}, due, wallet).decision).toBe(decision)
  })
})

describe('a cancellation', () => {
  const cancelAt = due

  test.for([
    ['waits for the end of the month that is paid', -1, { decision: 'rest', nextLookAt: cancelAt }],
    ['comes to pass as it ends', 0, { decision: 'release', reason: 'cancelled' }],
    [
      'comes to pass afterwards, and nothing more is billed',
      40 * dayMs,
      { decision: 'release', reason: 'cancelled' },
    ],
  ] as const)('%s', ([, ms, decision]) => {
    expect(decide({ cancelAt }, after(due, ms))).toEqual(decision)
  })

  test('leaves what had started before it to be billed', () => {
    const cancelled = { cancelAt: after(due, 1) }

    expect(decide(cancelled, after(due, 1))).toEqual({ decision: 'bill', period: secondMonth })
    expect(decide({ ...cancelled, periodsBilled: 2 }, after(due, 1))).toEqual({
      decision: 'release',
      reason: 'cancelled',
    })
  })

  test('ends a number that owes, too', () => {
    const owing = { cancelAt, pastDueAt: due, suspendedAt: after(due, 3 * dayMs) }

    expect(decide(owing, after(due, 4 * dayMs), short)).toEqual({ decision: 'release', reason: 'cancelled' })
  })
})

describe('what cannot be paid', () => {
  const pastDueAt = after(due, 20 * 60_000)
  const suspendedAt = after(pastDueAt, 3 * dayMs)

  test('is past due from the look that finds it, and looked at a day later', () => {
    expect(decide({}, pastDueAt, short)).toEqual({
      decision: 'owe',
      state: 'past_due',
      reason: 'insufficient_funds',
      pastDueAt,
      suspendedAt: null,
      nextLookAt: after(pastDueAt, dayMs),
    })
  })

  test.for([
    ['at once, as when money came that is not enough', 1, 1],
    ['a millisecond before a whole day', dayMs - 1, 1],
    ['after a whole day', dayMs, 2],
    ['a millisecond later', dayMs + 1, 2],
    ['two days and a half later', 2.5 * dayMs, 3],
  ] as const)('is tried again every whole day: %s', ([, ms, days]) => {
    const decision = decide({ pastDueAt }, after(pastDueAt, ms), short)

    expect(decision).toMatchObject({
      state: 'past_due',
      pastDueAt,
      nextLookAt: after(pastDueAt, days * dayMs),
    })
  })

  test.for([
    ['not a millisecond before three days', 3 * dayMs - 1, 'past_due', null],
    ['after three days', 3 * dayMs, 'suspended', 3 * dayMs],
    ['from the look on that finds it so', 95 * dayMs, 'suspended', 95 * dayMs],
  ] as const)('is suspended: %s', ([, ms, state, since]) => {
    const decision = decide({ pastDueAt }, after(pastDueAt, ms), short)

    expect(decision).toMatchObject({ state, suspendedAt: since === null ? null : after(pastDueAt, since) })
  })

  test.for([
    ['not a millisecond before seven days', 7 * dayMs - 1, 'owe'],
    ['after seven days', 7 * dayMs, 'release'],
    ['a millisecond later', 7 * dayMs + 1, 'release'],
  ] as const)('is released after its suspension: %s', ([, ms, decision]) => {
    const found = decide({ pastDueAt, suspendedAt }, after(suspendedAt, ms), short)

    expect(found).toMatchObject(
      decision === 'release' ? { decision, reason: 'unpaid' } : { decision, state: 'suspended', suspendedAt },
    )
  })

  test('is looked at when seven days are over, also where that is no whole day after it was past due', () => {
    const late = after(pastDueAt, 3 * dayMs + hourMs)

    const decision = decide({ pastDueAt, suspendedAt: late }, after(late, 7 * dayMs - 2 * hourMs), short)

    expect(decision).toMatchObject({ nextLookAt: after(pastDueAt, 10 * dayMs) })
    expect(decide({ pastDueAt, suspendedAt: late }, after(pastDueAt, 10 * dayMs), short)).toMatchObject({
      decision: 'owe',
      nextLookAt: after(late, 7 * dayMs),
    })
  })

  test('is billed whenever it can be: past due, suspended, and after a year', () => {
    const states = [{ pastDueAt }, { pastDueAt, suspendedAt }]

    const decisions = states.flatMap((state) =>
      [0, 8 * dayMs, 365 * dayMs].map((ms) => decide(state, after(suspendedAt, ms)).decision),
    )

    expect(new Set(decisions)).toEqual(new Set(['bill']))
  })
})

describe('without a price', () => {
  const unpriced = { fee: null }

  test('a month is owed, and nobody is suspended for it, however long that lasts', () => {
    const now = after(due, 50 * dayMs)

    expect(decide({ pastDueAt: due }, now, unpriced)).toEqual({
      decision: 'owe',
      state: 'past_due',
      reason: 'no_price',
      pastDueAt: now,
      suspendedAt: null,
      nextLookAt: after(now, dayMs),
    })
  })

  test('who is suspended stays so, and is not released', () => {
    const now = after(due, 50 * dayMs)

    const decision = decide({ pastDueAt: due, suspendedAt: due }, now, unpriced)

    expect(decision).toMatchObject({ decision: 'owe', state: 'suspended', suspendedAt: now })
  })

  test('the days of grace begin when there is a price again', () => {
    const now = after(due, 50 * dayMs)
    const decision = decide({}, now, unpriced)
    if (decision.decision !== 'owe') throw new Error('not owed')

    expect(decide(decision, after(now, dayMs), short)).toMatchObject({ state: 'past_due', pastDueAt: now })
  })
})

test('every reason is explained in a sentence of its own', () => {
  const sentences = rentalReasons.map(explainRental)

  expect(new Set(sentences).size).toBe(rentalReasons.length)
  expect(sentences.filter((sentence) => !sentence.endsWith('.'))).toEqual([])
})
