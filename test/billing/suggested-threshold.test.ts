// The threshold that fits what a wallet uses.
import { expect, test } from 'vitest'

import { micros, parseUsd } from '../../billing/money.ts'
import { suggestThreshold } from '../../billing/suggested-threshold.ts'

test.for([
  ['0.01', '5'],
  ['60', '10'],
  ['200', '20'],
  ['201', '25'],
  ['1234.56', '150'],
  ['999999', '100000'],
] as const)('a week of $%s suggests a threshold of $%s', ([week, threshold]) => {
  expect(suggestThreshold(parseUsd(week))).toBe(parseUsd(threshold))
})

test('nothing is suggested where nothing was used', () => {
  expect(suggestThreshold(micros(0n))).toBeNull()
})
