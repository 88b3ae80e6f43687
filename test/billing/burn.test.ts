// How long a wallet lasts, and the threshold that fits it.
import { describe, expect, test } from 'vitest'

import { runwayOf, suggestThreshold } from '../../billing/burn.ts'
import { micros, parseUsd } from '../../billing/money.ts'

const nothing = micros(0n)

describe('a wallet lasts', () => {
  test('as long as its money covers the pace of the last day', () => {
    const burn = { hourMicros: nothing, dayMicros: parseUsd('10'), weekMicros: parseUsd('700') }

    expect(runwayOf(parseUsd('30'), burn)).toEqual({ is: 'lasting', hours: 72n, pace: 'day' })
  })

  test("at the week's pace where the last day was quiet", () => {
    const burn = { hourMicros: nothing, dayMicros: nothing, weekMicros: parseUsd('7') }

    expect(runwayOf(parseUsd('10'), burn)).toEqual({ is: 'lasting', hours: 240n, pace: 'week' })
  })

  test('nobody knows how long where nothing was used, and not at all where nothing is there', () => {
    const burn = { hourMicros: nothing, dayMicros: nothing, weekMicros: nothing }

    expect(runwayOf(parseUsd('10'), burn)).toEqual({ is: 'unused' })
    expect(runwayOf(nothing, burn)).toEqual({ is: 'over' })
    expect(runwayOf(parseUsd('-1'), { ...burn, dayMicros: parseUsd('1') })).toEqual({ is: 'over' })
  })
})

test.for([
  ['0.01', '5'],
  ['60', '10'],
  ['200', '20'],
  ['201', '25'],
  ['1234.56', '150'],
  ['999999', '100000'],
] as const)('a week of $%s suggests a threshold of $%s', ([week, threshold]) => {
  expect(suggestThreshold({ weekMicros: parseUsd(week) })).toBe(parseUsd(threshold))
})

test('nothing is suggested where nothing was used', () => {
  expect(suggestThreshold({ weekMicros: nothing })).toBeNull()
})
