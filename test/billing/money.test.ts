import { toDecimal } from 'dinero.js/bigint'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  balanceUsd,
  displayUsd,
  displayUsdExact,
  formatUsd,
  micros,
  parseUsd,
  sumMicros,
  usd,
} from '../../billing/money.ts'

const amounts = fc
  .oneof(
    fc.bigInt({ min: -999_999_999_999_990_000n, max: 999_999_999_999_999_999n }),
    fc.bigInt({ min: -20_000n, max: 20_000n }),
  )
  .map(micros)

test('money that is written down is read back as the same money', () => {
  fc.assert(
    fc.property(amounts, (amount) => {
      expect(parseUsd(formatUsd(amount))).toBe(amount)
    }),
  )
})

test.each([
  ['0', 0n],
  ['12.5', 12_500_000n],
  ['0.000001', 1n],
  ['-0.5', -500_000n],
  ['-20', -20_000_000n],
  ['999999999999.999999', 999_999_999_999_999_999n],
])('%j is read exactly', (text, expected) => {
  expect(parseUsd(text)).toBe(expected)
})

test.each([
  '',
  '-',
  '-0',
  '-0.00',
  '+1',
  '1e3',
  '0x10',
  '.5',
  '5.',
  '01',
  '1.0000001',
  '1,000',
  ' 1',
  '1 ',
  '1\n',
  '$1',
  'NaN',
  'Infinity',
  '1000000000000',
])('%j is refused as money', (text) => {
  expect(() => parseUsd(text)).toThrow(
    expect.objectContaining({ name: 'BillingError', code: 'malformed_money' }),
  )
})

test.each([1, null, undefined, Number.NaN, ['1']])('%s is refused as money, for it is no text', (value) => {
  // The types forbid it; JSON that nobody parsed does not know the types.
  expect(() => Reflect.apply(parseUsd, undefined, [value])).toThrow(
    expect.objectContaining({ code: 'malformed_money' }),
  )
})

test.each([
  [101_667n, '0.101667'],
  [-500_000n, '-0.500000'],
  [0n, '0.000000'],
  [-1n, '-0.000001'],
  [1_234_567_890_000n, '1234567.890000'],
])('%s micro-dollars are %s in JSON', (count, expected) => {
  expect(formatUsd(micros(count))).toBe(expected)
})

describe('rounded down to the cent', () => {
  test('a balance is never shown as more than it is, nor as a whole cent less', () => {
    fc.assert(
      fc.property(amounts, (amount) => {
        const shown = parseUsd(displayUsd(amount).replaceAll(/[$,]/g, ''))

        expect(shown <= amount).toBe(true)
        expect(amount - shown < 10_000n).toBe(true)
        expect(shown % 10_000n).toBe(0n)
      }),
    )
  })

  test('the JSON number is the decimal that a person is shown', () => {
    fc.assert(
      fc.property(
        fc.bigInt({ min: -1_000_000_000_000_000n, max: 1_000_000_000_000_000n }).map(micros),
        (amount) => {
          const shown = displayUsd(amount).replaceAll(/[$,]/g, '')

          expect(balanceUsd(amount).toFixed(2).replace('-0.00', '0.00')).toBe(shown)
        },
      ),
    )
  })

  test.each([
    [47_239_999n, 47.23, '$47.23'],
    [50_000n, 0.05, '$0.05'],
    [9_999n, 0, '$0.00'],
    [0n, 0, '$0.00'],
    [-1n, -0.01, '-$0.01'],
    [-45_000n, -0.05, '-$0.05'],
    [-50_000n, -0.05, '-$0.05'],
    [-1_234_560_000n, -1234.56, '-$1,234.56'],
    [1_234_567_890_123n, 1234567.89, '$1,234,567.89'],
  ])('%s micro-dollars are %s in JSON and %s on the page', (count, json, page) => {
    expect(balanceUsd(micros(count))).toBe(json)
    expect(displayUsd(micros(count))).toBe(page)
  })
})

test.each([
  [203_333n, '$0.203333'],
  [20_000_000n, '$20.00'],
  [1_500_100n, '$1.5001'],
  [-45_000n, '-$0.045'],
  [1_234_500_000n, '$1,234.50'],
  [0n, '$0.00'],
])('%s micro-dollars are exactly %s', (count, expected) => {
  expect(displayUsdExact(micros(count))).toBe(expected)
})

test('a sum is exact, however large, and of nothing it is zero', () => {
  fc.assert(
    fc.property(fc.array(amounts), (list) => {
      let expected = 0n
      for (const amount of list) expected += amount

      expect(sumMicros(list)).toBe(expected)
    }),
  )
  expect(sumMicros([])).toBe(0n)
})

test('the Dinero object is US dollars at scale 6', () => {
  expect(usd(micros(10_000_000n)).toJSON()).toMatchObject({
    amount: 10_000_000n,
    scale: 6n,
    currency: { code: 'USD' },
  })
  expect(toDecimal(usd(micros(10_000_000n)))).toBe('10.000000')
})
