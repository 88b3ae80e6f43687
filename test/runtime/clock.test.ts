import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import { parseClock, startClock } from '../../runtime/clock.ts'

const yearInSixMinutes = '2026-01-31T09:00:00Z/2026-11-26T14:00:00.000Z/86400'

describe('a moved clock', () => {
  test('shows what it showed, and so much more as has really passed times its rate', () => {
    let real = Date.parse('2026-11-26T14:00:00.000Z')
    const clock = parseClock(yearInSixMinutes, () => real)

    const shown = [0, 1_000, 28_000, -1_000].map((ms) => {
      real = Date.parse('2026-11-26T14:00:00.000Z') + ms
      return clock.now().toISOString()
    })

    expect(shown).toEqual([
      '2026-01-31T09:00:00.000Z',
      '2026-02-01T09:00:00.000Z',
      '2026-02-28T09:00:00.000Z',
      '2026-01-30T09:00:00.000Z',
    ])
    expect(clock).toMatchObject({ rate: 86_400, setting: yearInSixMinutes })
  })

  test('goes back only when the real time does', () => {
    const rates = fc.integer({ min: 1, max: 999_999 })
    const instants = fc.array(fc.integer({ min: 0, max: 400_000_000 }), { minLength: 2 })
    fc.assert(
      fc.property(rates, instants, (rate, steps) => {
        const real = steps.toSorted((one, other) => one - other)
        let at = 0
        const clock = parseClock(`2026-01-31T09:00:00Z/1970-01-01T00:00:00Z/${rate}`, () => real[at] ?? 0)

        const shown = real.map((_, index) => {
          at = index
          return clock.now().getTime()
        })

        expect(shown).toEqual(shown.toSorted((one, other) => one - other))
      }),
    )
  })

  test('that is started shows its instant now', () => {
    const clock = startClock(new Date('2027-01-31T09:00:00.000Z'), { rate: 1 })

    expect(clock.now().getTime() - Date.parse('2027-01-31T09:00:00.000Z')).toBeLessThan(5_000)
    expect(parseClock(clock.setting).rate).toBe(1)
  })

  test.for([
    '',
    'fast',
    '2026-01-31T09:00:00Z',
    '2026-01-31T09:00:00Z/2026-11-26T14:00:00Z',
    '2026-01-31T09:00:00Z/2026-11-26T14:00:00Z/0',
    '2026-01-31T09:00:00Z/2026-11-26T14:00:00Z/-1',
    '2026-01-31T09:00:00Z/2026-11-26T14:00:00Z/1.5',
    '2026-01-31T09:00:00Z/2026-11-26T14:00:00Z/1000000',
    '2026-02-30T09:00:00Z/2026-11-26T14:00:00Z/1',
    '2026-01-31T09:00:00Z/2026-13-26T14:00:00Z/1',
    '2026-01-31T09:00:00+01:00/2026-11-26T14:00:00Z/1',
    '2026-01-31/2026-11-26/1',
    '2026-01-31T09:00:00Z/2026-11-26T14:00:00Z/1 -c role=postgres',
  ])('is refused when it is written %j', (setting) => {
    expect(() => parseClock(setting)).toThrow(expect.objectContaining({ code: 'malformed_clock' }))
  })
})
