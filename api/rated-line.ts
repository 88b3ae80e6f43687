/** Rates and rated lines as they are told: every number that a price is made of, so that it can be followed by hand. */
import { z } from 'zod'

import type { RateCard } from '../billing/rate-card.ts'
import { firstMinuteRate, formatRateAmount, formatUnrounded } from '../billing/rate-text.ts'
import type { Rate } from '../billing/rate.ts'
import type { RatedLine } from '../billing/rating.ts'
import { exactUsd, exactUsdShape } from './wallet-transaction-shape.ts'

const rateText = z.string().meta({ description: 'US dollars as exact decimal text.', examples: ['0.10'] })

export const rateShape = z.object({
  connection_fee_usd: rateText,
  intervals: z.array(
    z.object({ from_second: z.int(), per_minute_usd: rateText, increment_seconds: z.int() }),
  ),
})

export function rateJson(rate: Rate): z.output<typeof rateShape> {
  return {
    connection_fee_usd: formatRateAmount(rate.connectionFeeUsd),
    intervals: rate.intervals.map(({ fromSecond, perMinuteUsd, incrementSeconds }) => ({
      from_second: fromSecond,
      per_minute_usd: formatRateAmount(perMinuteUsd),
      increment_seconds: incrementSeconds,
    })),
  }
}

/** What a minute costs at first, as a JSON number read from the finished decimal. */
export function perMinuteNumber(rate: Rate): number {
  return Number(formatRateAmount(firstMinuteRate(rate)))
}

export const ratedLineShape = z.object({
  meter: z.enum(['voice', 'telephony', 'recording', 'message', 'number_rental']),
  unit: z.enum(['second', 'message', 'number']),
  quantity: z.int().meta({ description: 'Billed seconds, or messages.', examples: [61] }),
  prefix: z
    .string()
    .optional()
    .meta({ examples: ['1415'] }),
  place: z
    .string()
    .optional()
    .meta({ examples: ['United States, Canada'] }),
  each_usd: rateText.optional(),
  connection_fee_usd: rateText.optional(),
  increments: z
    .array(
      z.object({
        from_second: z.int(),
        count: z.int(),
        increment_seconds: z.int(),
        per_minute_usd: rateText,
      }),
    )
    .optional()
    .meta({
      description: 'Each costs per_minute_usd x increment_seconds / 60, and every one that began is owed.',
    }),
  unrounded_usd: z
    .string()
    .meta({ description: 'Before rounding; cut off after 15 decimals.', examples: ['0.101666666666666'] }),
  amount_usd: exactUsdShape('Rounded once, half-up, to the micro-dollar.', 0.101667),
})

export type RatedLineJson = z.output<typeof ratedLineShape>

/** Shape: `card` is the one that the line was rated with; `place` is what its prefix is called. */
export function ratedLineJson(line: RatedLine, card: RateCard, place: string | null): RatedLineJson {
  const { meter, quantity, prefix, amountMicros, increments = [] } = line
  const rate = rateOfLine(line, card)
  const each = eachOfLine(line, card)
  return {
    meter,
    unit: meter === 'message' ? 'message' : meter === 'number_rental' ? 'number' : 'second',
    quantity,
    ...(prefix === undefined ? {} : { prefix, ...(place === null ? {} : { place }) }),
    ...(each === undefined ? {} : { each_usd: each }),
    ...(rate === null
      ? {}
      : {
          connection_fee_usd: formatRateAmount(rate.connectionFeeUsd),
          increments: increments.map(({ fromSecond, count, incrementSeconds, perMinuteUsd }) => ({
            from_second: fromSecond,
            count,
            increment_seconds: incrementSeconds,
            per_minute_usd: formatRateAmount(perMinuteUsd),
          })),
        }),
    unrounded_usd: rate === null ? (each ?? '0.00') : formatUnrounded(rate.connectionFeeUsd, increments),
    amount_usd: exactUsd(amountMicros),
  }
}

/** What one of what a meter counts costs; undefined where seconds are counted. */
function eachOfLine({ meter }: RatedLine, card: RateCard): string | undefined {
  if (meter === 'message') return formatRateAmount(card.messageUsd)
  return meter === 'number_rental' ? formatRateAmount(card.numberMonthUsd) : undefined
}

function rateOfLine({ meter, prefix }: RatedLine, card: RateCard): Rate | null {
  if (meter === 'voice' || meter === 'recording') return card[meter]
  if (meter !== 'telephony') return null
  return prefix === undefined ? card.inbound : (card.telephony.get(prefix) ?? null)
}
