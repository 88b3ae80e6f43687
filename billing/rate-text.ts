/** Rates in words of digits, for those who want to follow a price by hand. Exact wherever the docstring does not say otherwise. */
import type { Rate, RateAmount, RatedIncrements } from './rate.ts'

/** The money inside a rate as a decimal text: at least two decimals and as many as it takes, such as "0.10" or "0.0085". */
export function formatRateAmount(amount: RateAmount): string {
  return decimal(amount, rateScale).replace(/0{1,10}$/, '')
}

/**
 * What increments and a connection fee come to before they are rounded.
 *
 * Units:  US dollars as a decimal text of 15 places.
 * Rounds: cut off after the 15th, because a sixtieth of a minute's price need not end.
 */
export function formatUnrounded(
  connectionFeeUsd: RateAmount,
  increments: readonly RatedIncrements[],
): string {
  const sixtieths = increments.reduce(
    (owed, { perMinuteUsd, incrementSeconds, count }) =>
      owed + perMinuteUsd * BigInt(count) * BigInt(incrementSeconds),
    connectionFeeUsd * secondsPerMinute,
  )
  return decimal((sixtieths * 1_000n) / secondsPerMinute, shownScale)
}

/** What a minute costs at first, which is all that many rates say. */
export function firstMinuteRate(rate: Rate): RateAmount {
  const [first] = rate.intervals
  return first === undefined ? rate.connectionFeeUsd : first.perMinuteUsd
}

const secondsPerMinute = 60n
const rateScale = 12
const shownScale = 15

function decimal(count: bigint, scale: number): string {
  const digits = count.toString().padStart(scale + 1, '0')
  return `${digits.slice(0, -scale)}.${digits.slice(-scale)}`
}
