// The burn rate: how fast, and how long the rest lasts.
import * as fc from 'fast-check'
import { expect, test } from 'vitest'

import { burnRate, usualPace } from '../../billing/burn-rate.ts'
import { micros } from '../../billing/money.ts'

const used = (hour: bigint, day: bigint, week: bigint) => ({
  hour: micros(hour),
  day: micros(day),
  week: micros(week),
})
const nothing = used(0n, 0n, 0n)
const old = 1_000

test('is what was used in an hour, a day and a week, by the hour, and what is left divided by it', () => {
  const rate = burnRate({
    usedMicros: used(2_000_000n, 24_000_000n, 84_000_000n),
    availableMicros: micros(36_000_000n),
    ageHours: old,
  })

  expect(rate).toEqual({
    hour: { usedMicros: 2_000_000n, microsPerHour: 2_000_000n, runwayHours: 18n },
    day: { usedMicros: 24_000_000n, microsPerHour: 1_000_000n, runwayHours: 36n },
    week: { usedMicros: 84_000_000n, microsPerHour: 500_000n, runwayHours: 72n },
  })
})

test('has no runway where nothing was used, and none is left where nothing is available', () => {
  expect(burnRate({ usedMicros: nothing, availableMicros: micros(1n), ageHours: old }).week).toEqual({
    usedMicros: 0n,
    microsPerHour: 0n,
    runwayHours: null,
  })
  for (const availableMicros of [0n, -5n]) {
    const { day } = burnRate({
      usedMicros: used(0n, 1n, 1n),
      availableMicros: micros(availableMicros),
      ageHours: old,
    })
    expect(day.runwayHours).toBe(0n)
  }
})

test('of a young wallet is divided by its age, and by an hour at least', () => {
  const facts = { usedMicros: used(6n, 6n, 6n), availableMicros: micros(60n) }

  expect(burnRate({ ...facts, ageHours: 3.7 }).week.microsPerHour).toBe(2n)
  expect(burnRate({ ...facts, ageHours: 0.1 }).week.microsPerHour).toBe(6n)
})

test('never promises more time than there is', () => {
  fc.assert(
    fc.property(
      fc.bigInt(1n, 10n ** 12n),
      fc.bigInt(1n, 10n ** 12n),
      fc.double({ min: 0, max: 500, noNaN: true }),
      (week, available, ageHours) => {
        const pace = burnRate({
          usedMicros: used(0n, 0n, week),
          availableMicros: micros(available),
          ageHours,
        }).week
        const hours = BigInt(Math.min(168, Math.max(1, Math.floor(ageHours))))

        expect((pace.runwayHours ?? -1n) * week).toBeLessThanOrEqual(available * hours)
        expect(pace.microsPerHour * hours).toBeGreaterThanOrEqual(week)
      },
    ),
  )
})

test('is told by the last day, and by the week where the day was quiet', () => {
  const busy = burnRate({ usedMicros: used(0n, 24n, 48n), availableMicros: micros(1n), ageHours: old })
  const quiet = burnRate({ usedMicros: used(0n, 0n, 48n), availableMicros: micros(1n), ageHours: old })

  expect(usualPace(busy)).toBe(busy.day)
  expect(usualPace(quiet)).toBe(quiet.week)
})
