import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import { micros } from '../../billing/money.ts'
import {
  decideRecharge,
  explainRecharge,
  rechargeReasons,
  type RechargeFacts,
  type RechargeReason,
} from '../../billing/recharge.ts'

const now = new Date('2026-03-10T12:00:00Z')
const settings = {
  enabled: true,
  thresholdMicros: micros(20_000_000n),
  topUpMicros: micros(100_000_000n),
  dailyLimit: 3,
  monthlyCapMicros: micros(500_000_000n),
}

/** A wallet that is to be recharged. */
const wanted: RechargeFacts = {
  now,
  availableMicros: micros(19_999_999n),
  settings,
  suspended: false,
  coolingUntil: null,
  frozen: false,
  card: 'usable',
  openCharge: 'none',
  rechargesInADay: 0,
  rechargedInMonthMicros: micros(0n),
}

/** What makes each reason stand, in the order in which they are given. */
const obstacles: [RechargeReason, Partial<RechargeFacts>][] = [
  ['not_enabled', { settings: null }],
  ['above_threshold', { availableMicros: micros(20_000_000n) }],
  ['frozen', { frozen: true }],
  ['no_card', { card: 'none' }],
  ['card_not_usable', { card: 'not_usable' }],
  ['needs_review', { openCharge: 'needs_review' }],
  ['charge_under_way', { openCharge: 'under_way' }],
  ['suspended', { suspended: true }],
  ['cooling_down', { coolingUntil: new Date(now.getTime() + 1) }],
  ['daily_limit', { rechargesInADay: 3 }],
  ['monthly_cap', { rechargedInMonthMicros: micros(400_000_001n) }],
]

function reasonOf(facts: RechargeFacts): RechargeReason | 'recharge' {
  const decision = decideRecharge(facts)
  return decision.decision === 'recharge' ? 'recharge' : decision.reason
}

describe('a recharge', () => {
  test('is exactly the top-up amount, however far below the threshold the wallet is', () => {
    const decision = decideRecharge({ ...wanted, availableMicros: micros(-900_000_000n) })

    expect(decision).toEqual({ decision: 'recharge', amountMicros: 100_000_000n })
  })

  test.for([
    [19_999_999n, 'recharge'],
    [20_000_000n, 'above_threshold'],
    [20_000_001n, 'above_threshold'],
  ] as const)(
    'comes strictly below the threshold: %s micro-dollars of 20000000 is %s',
    ([available, expected]) => {
      expect(reasonOf({ ...wanted, availableMicros: micros(available) })).toBe(expected)
    },
  )

  test('does not come for a wallet at zero whose threshold is zero, and comes one micro-dollar below', () => {
    const atZero = { ...wanted, settings: { ...settings, thresholdMicros: micros(0n) } }

    expect(reasonOf({ ...atZero, availableMicros: micros(0n) })).toBe('above_threshold')
    expect(reasonOf({ ...atZero, availableMicros: micros(-1n) })).toBe('recharge')
  })

  test('may fill the monthly cap to the micro-dollar, and not pass it', () => {
    const reasons = [400_000_000n, 400_000_001n].map((soFar) =>
      reasonOf({ ...wanted, rechargedInMonthMicros: micros(soFar) }),
    )

    expect(reasons).toEqual(['recharge', 'monthly_cap'])
  })

  test('is not capped when no cap is set', () => {
    const uncapped = { ...settings, monthlyCapMicros: null }

    expect(reasonOf({ ...wanted, settings: uncapped, rechargedInMonthMicros: micros(10n ** 15n) })).toBe(
      'recharge',
    )
  })

  test('comes as often in a day as the limit says, and not once more', () => {
    const reasons = [2, 3, 4].map((rechargesInADay) => reasonOf({ ...wanted, rechargesInADay }))

    expect(reasons).toEqual(['recharge', 'daily_limit', 'daily_limit'])
  })

  test('comes again in the very moment in which the cooling down is over', () => {
    const reasons = [1, 0, -1].map((ms) =>
      reasonOf({ ...wanted, coolingUntil: new Date(now.getTime() + ms) }),
    )

    expect(reasons).toEqual(['cooling_down', 'recharge', 'recharge'])
  })

  test('does not come when it is set up and switched off', () => {
    expect(reasonOf({ ...wanted, settings: { ...settings, enabled: false } })).toBe('not_enabled')
  })
})

describe('the reason against a recharge', () => {
  test('is one of the known ones, each of which can be reached and says something to a person', () => {
    const reached = obstacles.map(([, obstacle]) => reasonOf({ ...wanted, ...obstacle }))

    expect(reached).toEqual([...rechargeReasons])
    for (const reason of rechargeReasons) expect(explainRecharge(reason)).toMatch(/^[A-Z].{20,}\.$/)
  })

  test('is the first of those that stand, in their order', () => {
    // What makes one reason stand may make another impossible: a card cannot be both absent and not usable.
    const withAllFrom = (first: number) =>
      obstacles.slice(first).reduceRight((facts, [, obstacle]) => ({ ...facts, ...obstacle }), wanted)

    const reasons = obstacles.map((_, first) => reasonOf(withAllFrom(first)))

    expect(reasons).toEqual([...rechargeReasons])
  })
})

test('whatever the facts, nothing is charged while any guard stands, and something is when none does', () => {
  const amount = fc.bigInt({ min: -(10n ** 9n), max: 10n ** 9n }).map(micros)
  const above = fc.bigInt({ min: 1n, max: 10n ** 9n }).map(micros)
  const facts = fc.record<RechargeFacts>({
    now: fc.constant(now),
    availableMicros: amount,
    settings: fc.option(
      fc.record({
        enabled: fc.boolean(),
        thresholdMicros: above,
        topUpMicros: above,
        dailyLimit: fc.integer({ min: 1, max: 20 }),
        monthlyCapMicros: fc.option(above),
      }),
      { freq: 10 },
    ),
    suspended: fc.boolean(),
    coolingUntil: fc.option(fc.integer({ min: -2, max: 2 }).map((ms) => new Date(now.getTime() + ms))),
    frozen: fc.boolean(),
    card: fc.constantFrom('usable', 'not_usable', 'none'),
    openCharge: fc.constantFrom('none', 'under_way', 'needs_review'),
    rechargesInADay: fc.integer({ min: 0, max: 20 }),
    rechargedInMonthMicros: fc.bigInt({ min: 0n, max: 10n ** 9n }).map(micros),
  })

  fc.assert(
    fc.property(facts, (given) => {
      const { settings: asked } = given
      const isFree =
        asked !== null &&
        asked.enabled &&
        given.availableMicros < asked.thresholdMicros &&
        !given.frozen &&
        given.card === 'usable' &&
        given.openCharge === 'none' &&
        !given.suspended &&
        (given.coolingUntil === null || given.coolingUntil <= now) &&
        given.rechargesInADay < asked.dailyLimit &&
        (asked.monthlyCapMicros === null ||
          given.rechargedInMonthMicros + asked.topUpMicros <= asked.monthlyCapMicros)

      const decision = decideRecharge(given)

      const amountMicros = decision.decision === 'recharge' ? decision.amountMicros : null
      expect(amountMicros).toBe(isFree ? asked.topUpMicros : null)
    }),
    { numRuns: 5_000 },
  )
})
