// What the scripts of money in share: what may be typed, and how it is shown.
import { describe, expect, test } from 'vitest'

import { Misuse } from '../../scripts/command-line.ts'
import { readDollars, readTopUpAmount } from '../../scripts/money-in/options.ts'
import { duration, field, fold } from '../../scripts/money-in/text.ts'
import { describeAudit, explainStep } from '../../scripts/money-in/wording.ts'

describe('an amount that is typed', () => {
  test.for([
    ['20', 20_000_000n],
    ['$12.50', 12_500_000n],
    ['5.00', 5_000_000n],
    ['10000', 10_000_000_000n],
    ['12.500000', 12_500_000n],
  ] as const)('%s is taken', ([text, amount]) => {
    expect(readTopUpAmount('--top-up', text)).toBe(amount)
  })

  test.for([
    ['4.99', '$5.00 to $10,000.00'],
    ['0.70', '$5.00 to $10,000.00'],
    ['10000.01', '$5.00 to $10,000.00'],
    ['20.005', 'whole cents'],
    ['-20', 'dollars such as 20 or 12.50'],
    ['1e3', 'dollars'],
    ['20,00', 'dollars'],
    ['020', 'dollars'],
    ['', 'dollars'],
    ['99999999999999999999', 'dollars'],
  ])('%j is refused, with the option and a reason', ([text = '', reason = '']) => {
    expect(() => readTopUpAmount('--top-up', text)).toThrow(Misuse)
    expect(() => readTopUpAmount('--top-up', text)).toThrow(`--top-up: expected ${reason}`)
  })

  test('a threshold may be nothing', () => {
    expect(readDollars('--threshold', '0', { least: 0n, most: 1_000_000n })).toBe(0n)
  })
})

describe('text on a screen of 120 columns', () => {
  const words = Array.from({ length: 60 }, (_, index) => `word${index}`).join(' ')

  test('is folded at spaces behind its indent, and loses nothing', () => {
    const folded = fold(words, '  ', '      ')

    const lines = folded.split('\n')
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(120)
    expect(lines[0]).toMatch(/^ {2}word0 /)
    expect(lines[1]).toMatch(/^ {6}word/)
    expect(folded.split(/\s+/).filter(Boolean).join(' ')).toBe(words)
  })

  test('a field goes on below its beginning', () => {
    const [first = '', second = ''] = field('state', words).split('\n')

    expect(first.indexOf('word0')).toBe(17)
    expect(second).toMatch(/^ {17}word/)
  })

  test('durations have a unit that can be felt', () => {
    expect([310, 42_000, 420_000, 10_800_000, 172_800_000].map(duration)).toEqual([
      '0.31 s',
      '42 s',
      '7 min',
      '3 h',
      '2 days',
    ])
  })
})

describe('wording', () => {
  test('says what a reason means, and keeps the code', () => {
    expect(explainStep({ state: 'declined', reason: 'not_enough_balance' })).toBe(
      'The card has not enough money or credit. (not_enough_balance)',
    )
    expect(explainStep({ state: 'canceled', reason: 'above_threshold' })).toBe(
      'Taken back before the card was charged: The available balance is not below the threshold. (above_threshold)',
    )
    expect(explainStep({ state: 'ready', reason: null })).toBe('Decided: the charge is on its way to Paddle.')
  })

  test('tells an audit entry that it does not know as it is', () => {
    const entry = { actor: 'system', action: 'something.new', detail: { a: 1 }, happenedAt: new Date() }

    expect(describeAudit(entry)).toBe('something.new {"a":1}')
  })
})
