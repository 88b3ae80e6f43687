/** How fast usage takes a wallet's credit, and how long the rest lasts at that pace. */
import { micros, type Micros } from './money.ts'

/** The spans that a pace is told for, in hours. */
export const burnSpans = { hour: 1, day: 24, week: 168 } as const

export type BurnSpan = keyof typeof burnSpans

export type BurnFacts = {
  /** What usage took in the last hour, day and week up to now. */
  usedMicros: Readonly<Record<BurnSpan, Micros>>
  /** Balance less holds. */
  availableMicros: Micros
  /** Since the wallet was opened: a wallet of two hours has no week to divide by. */
  ageHours: number
}

export type Pace = {
  usedMicros: Micros
  microsPerHour: Micros
  /** At this pace. Null where nothing was used; 0 where nothing is left. */
  runwayHours: bigint | null
}

/**
 * Units:  micro-dollars per hour; runway in whole hours.
 * Shape:  a span is no longer than the wallet is old, and no shorter than an hour.
 * Rounds: the pace up and the runway down, so that nobody is promised more time than there is.
 */
export function burnRate({ usedMicros, availableMicros, ageHours }: BurnFacts): Record<BurnSpan, Pace> {
  const paceOf = (span: BurnSpan): Pace => {
    const hours = BigInt(Math.max(1, Math.min(burnSpans[span], Math.floor(ageHours))))
    const used = usedMicros[span]
    return {
      usedMicros: used,
      microsPerHour: micros(used > 0n ? (used + hours - 1n) / hours : 0n),
      runwayHours: runway(availableMicros, used, hours),
    }
  }
  return { hour: paceOf('hour'), day: paceOf('day'), week: paceOf('week') }
}

/** The pace of the last day, or, where that used nothing, of the week. It is what "at this pace" means to a person. */
export function usualPace(rate: Record<BurnSpan, Pace>): Pace {
  return rate.day.usedMicros > 0n ? rate.day : rate.week
}

function runway(availableMicros: bigint, usedMicros: bigint, hours: bigint): bigint | null {
  if (usedMicros <= 0n) return null
  return availableMicros <= 0n ? 0n : (availableMicros * hours) / usedMicros
}
