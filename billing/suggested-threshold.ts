/** The threshold of auto-recharge that fits a wallet: high enough that the card has time, and no higher. */
import { micros, parseUsd, type Micros } from './money.ts'

/**
 * A tenth of what the last week took.
 *
 * Rounds: up to whole dollars that a person would choose, at least $5.
 * Shape:  null where nothing was used, and there is nothing to go by.
 */
export function suggestThreshold(usedInWeekMicros: Micros): Micros | null {
  if (usedInWeekMicros <= 0n) return null
  const tenth = usedInWeekMicros / 10n
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
