// The calendar is held against another one, which knows nothing but how long months are and counts days, one after the other.
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import { anniversary, rentalPeriod } from '../../billing/anniversary.ts'

const dayMs = 86_400_000
const monthDays = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]

/** The first instant of every day from 1970 on: by year and month, day after day. */
const calendar = countDays(1970, 2_110)

describe('a due date', () => {
  test('is the one of a calendar that counts days, for 3,000 anchors and 60 months of each', () => {
    // Every day of eight years, three of them leap years, at a time of day that moves on by 29 s and 7 ms each day.
    const days = [...calendar.entries()].flatMap(([month, starts]) =>
      month >= monthAt(2_023, 11)
        ? starts.map((startsAt, index) => ({ month, startsAt, day: index + 1 }))
        : [],
    )
    const anchors = days.slice(0, 3_000)

    const wrong = anchors.flatMap(({ month, startsAt, day }, index) => {
      const timeOfDay = (index * 29_007) % dayMs
      const anchor = new Date(startsAt + timeOfDay)
      return Array.from({ length: 60 }, (_, months) => months).filter(
        (months) => anniversary(anchor, months).getTime() - timeOfDay !== dueAt({ month, day }, months),
      )
    })

    expect(anchors).toHaveLength(3_000)
    expect(wrong).toEqual([])
  })

  test.for([
    ['2026-01-31T10:00:00.000Z', ['2026-02-28', '2026-03-31', '2026-04-30', '2026-05-31']],
    ['2027-12-31T23:59:59.999Z', ['2028-01-31', '2028-02-29', '2028-03-31', '2028-04-30']],
    ['2028-02-29T00:00:00.000Z', ['2028-03-29', '2028-04-29', '2028-05-29', '2028-06-29']],
    ['2026-01-30T00:00:00.001Z', ['2026-02-28', '2026-03-30', '2026-04-30', '2026-05-30']],
    ['2100-01-29T12:00:00.000Z', ['2100-02-28', '2100-03-29', '2100-04-29', '2100-05-29']],
  ] as const)('from %s on keeps to the day, or to the last one of a month without it', ([anchor, days]) => {
    const dates = days.map((_, index) => anniversary(new Date(anchor), index + 1).toISOString())

    expect(dates).toEqual(days.map((day) => `${day}${anchor.slice(10)}`))
  })

  test('of 29 February is 28 February in other years, and 29 February again four years later', () => {
    const years = [12, 24, 36, 48].map((months) =>
      anniversary(new Date('2028-02-29T08:00:00Z'), months).toISOString().slice(0, 10),
    )

    expect(years).toEqual(['2029-02-28', '2030-02-28', '2031-02-28', '2032-02-29'])
  })
})

test('periods follow one another without a gap, and each is longer than nothing', () => {
  const anchors = fc.date({ min: new Date('1970-01-01'), max: new Date('2400-01-01'), noInvalidDate: true })
  fc.assert(
    fc.property(anchors, fc.nat(240), (anchor, index) => {
      const period = rentalPeriod(anchor, index)
      const next = rentalPeriod(anchor, index + 1)

      expect(period.endsAt).toEqual(next.startsAt)
      const days = (period.endsAt.getTime() - period.startsAt.getTime()) / dayMs
      expect(days).toBeGreaterThanOrEqual(28)
      expect(days).toBeLessThanOrEqual(31)
      expect(rentalPeriod(anchor, 0).startsAt).toEqual(anchor)
    }),
  )
})

function monthAt(year: number, month: number): number {
  return (year - 1_970) * 12 + month
}

/** The first instant of that day so many months later, or of the month's last day where it is shorter. */
function dueAt({ month, day }: { month: number; day: number }, months: number): number | undefined {
  const starts = calendar.get(month + months) ?? []
  return starts[day - 1] ?? starts.at(-1)
}

/** By the months since 1970: the first instant of each of their days. */
function countDays(from: number, until: number): Map<number, number[]> {
  const months = new Map<number, number[]>()
  let startsAt = 0
  for (let year = from; year < until; year += 1) {
    const isLeap = year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0)
    for (const [month, days] of monthDays.entries()) {
      const length = month === 1 && isLeap ? 29 : days
      const starts = Array.from({ length }, (_, day) => startsAt + day * dayMs)
      months.set(monthAt(year, month), starts)
      startsAt += length * dayMs
    }
  }
  return months
}
