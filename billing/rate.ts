/**
 * A rate: money per minute, by how long the call has lasted, plus what connecting costs. Rates are exact decimals finer
 * than a micro-dollar; what they come to is rounded once, here, and nowhere else (ADR 0004).
 */
import { BillingError } from './billing-error.ts'
import { micros, type Micros } from './money.ts'

declare const rateAmountBrand: unique symbol

/** Money inside a rate, in pico-dollars: 1_000_000_000_000n is one US dollar. Never negative. */
export type RateAmount = bigint & { readonly [rateAmountBrand]: true }

export type Rate = {
  /** Owed once per call that was answered. */
  readonly connectionFeeUsd: RateAmount
  /** At least one; the first from second 0; `fromSecond` strictly rising. Parsing a rate proves it. */
  readonly intervals: readonly Interval[]
}

/** From `fromSecond` until the next interval begins, time is sold in whole increments. Both are whole seconds. */
export type Interval = {
  readonly fromSecond: number
  readonly perMinuteUsd: RateAmount
  readonly incrementSeconds: number
}

export type RatedDuration = {
  /** The time that was paid for: at least the duration, by less than one increment. */
  readonly billedSeconds: number
  readonly amountMicros: Micros
  readonly increments: readonly RatedIncrements[]
}

/** `count` equal increments in a row, the first of them starting at `fromSecond` of the call. */
export type RatedIncrements = Interval & { readonly count: number }

/** What a rate may say about money: "0.0085", up to 12 decimals, below 10,000 dollars. */
export const rateAmountText = /^(?:0|[1-9]\d{0,3})(?:\.\d{1,12})?$/

const rateScale = 12
const picosPerMicro = 1_000_000n
const secondsPerMinute = 60n
/** Rated amounts are summed as pico-dollars x 60, so that a sixtieth of a minute's price stays a whole number. */
const sixtiethsPerMicro = picosPerMicro * secondsPerMinute
const nothing: RatedDuration = { billedSeconds: 0, amountMicros: micros(0n), increments: [] }

/**
 * What a duration costs at one rate.
 *
 * Units:  `durationSeconds` seconds, fractions allowed; result micro-dollars.
 * Shape:  every started increment is owed at `perMinuteUsd x incrementSeconds / 60`. An increment that starts before
 *         the next interval is owed whole even when it overruns it; the next interval then begins where it ended.
 *         0 s costs nothing, not even the connection fee. Takes as long as there are intervals, however long the call.
 * Rounds: once, half-up, to the micro-dollar.
 * Throws: BillingError `negative_quantity`; `malformed_quantity` for what is not a number of seconds at all.
 * Source: "Where charges show up" on the wallet help page; ADR 0004.
 */
export function rateDuration(rate: Rate, durationSeconds: number): RatedDuration {
  const wholeSeconds = startedUnits(durationSeconds)
  if (wholeSeconds === 0) return nothing

  let owed = rate.connectionFeeUsd * secondsPerMinute
  let second = 0
  const increments: RatedIncrements[] = []
  for (const [index, interval] of rate.intervals.entries()) {
    const until = Math.min(wholeSeconds, rate.intervals[index + 1]?.fromSecond ?? wholeSeconds)
    if (until <= second) continue
    const { perMinuteUsd, incrementSeconds } = interval
    const count = divideUp(until - second, incrementSeconds)
    owed += perMinuteUsd * BigInt(count * incrementSeconds)
    increments.push({ fromSecond: second, perMinuteUsd, incrementSeconds, count })
    second += count * incrementSeconds
  }
  return { billedSeconds: second, amountMicros: roundHalfUp(owed, sixtiethsPerMicro), increments }
}

/**
 * What a number of equal things costs.
 *
 * Units:  `quantity` things, each started one owed whole; result micro-dollars.
 * Rounds: once, half-up, to the micro-dollar.
 * Throws: BillingError `negative_quantity`, `malformed_quantity`.
 */
export function rateCount(eachUsd: RateAmount, quantity: number): Micros {
  return roundHalfUp(eachUsd * BigInt(startedUnits(quantity)), picosPerMicro)
}

/**
 * An exact decimal string as the money inside a rate.
 *
 * Units:  US dollars in, pico-dollars out.
 * Rounds: never; a thirteenth decimal is refused.
 * Throws: BillingError `malformed_rate`, also for anything negative and for 10,000 dollars and more.
 */
export function parseRateAmount(text: string): RateAmount {
  if (typeof text !== 'string' || !rateAmountText.test(text)) {
    throw new BillingError(
      'malformed_rate',
      `Expected dollars as a decimal string from "0" to "9999.999999999999"; got ${JSON.stringify(text)}`,
      { text },
    )
  }
  const [whole = '', decimals = ''] = text.split('.')
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- this is where the brand is minted
  return BigInt(whole + decimals.padEnd(rateScale, '0')) as RateAmount
}

/** Increments are whole seconds, so a fraction of a second has started the whole one. `Math.ceil` is exact. */
function startedUnits(quantity: number): number {
  if (quantity < 0) {
    throw new BillingError('negative_quantity', `A quantity cannot be negative; got ${quantity}`, {
      quantity,
    })
  }
  const whole = Math.ceil(quantity)
  if (!Number.isSafeInteger(whole)) {
    throw new BillingError('malformed_quantity', `A quantity must be a finite number; got ${quantity}`, {
      quantity,
    })
  }
  return whole
}

/** Division of whole numbers, up. The remainder is exact where a quotient of doubles may not be. */
function divideUp(dividend: number, divisor: number): number {
  const rest = dividend % divisor
  return (dividend - rest) / divisor + (rest > 0 ? 1 : 0)
}

/** Neither argument is ever negative, so half-up and half-away-from-zero are the same thing. */
function roundHalfUp(numerator: bigint, denominator: bigint): Micros {
  return micros((2n * numerator + denominator) / (2n * denominator))
}
