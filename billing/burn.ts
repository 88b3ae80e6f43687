/** How fast a wallet's money goes, how long it lasts at that pace, and what threshold fits it. */
import { micros, parseUsd, type Micros } from './money.ts'

/** What usage took in the last hour, day and seven days: zero or above. */
export type Burn = { readonly hourMicros: Micros; readonly dayMicros: Micros; readonly weekMicros: Micros }

/** `hours`: whole ones, down. */
export type Runway =
  | { readonly is: 'lasting'; readonly hours: bigint; readonly pace: 'day' | 'week' }
  /** Nothing was used in the last seven days. */
  | { readonly is: 'unused' }
  /** Nothing is available. */
  | { readonly is: 'over' }

/** At the pace of the last day; where that was quiet, at the week's. */
export function runwayOf(availableMicros: Micros, { dayMicros, weekMicros }: Burn): Runway {
  if (availableMicros <= 0n) return { is: 'over' }
  if (dayMicros > 0n) return { is: 'lasting', hours: (availableMicros * 24n) / dayMicros, pace: 'day' }
  if (weekMicros > 0n) return { is: 'lasting', hours: (availableMicros * 168n) / weekMicros, pace: 'week' }
  return { is: 'unused' }
}

/**
 * The threshold that fits a week like the last one: a tenth of it.
 *
 * Rounds: up to whole dollars that a person would choose, at least $5.
 * Shape:  null where nothing was used, and there is nothing to go by.
 */
export function suggestThreshold({ weekMicros }: Pick<Burn, 'weekMicros'>): Micros | null {
  if (weekMicros <= 0n) return null
  const tenth = weekMicros / 10n
  for (let decade = dollarMicros; ; decade *= 10n) {
    const sum = roundTenths
      .map((tenths) => (decade * tenths) / 10n)
      .find((each) => each >= tenth && each % dollarMicros === 0n)
    if (sum !== undefined) return sum < leastThreshold ? leastThreshold : micros(sum)
  }
}

const dollarMicros = 1_000_000n
const roundTenths = [10n, 15n, 20n, 25n, 30n, 40n, 50n, 75n, 100n] as const
const leastThreshold = parseUsd('5')
