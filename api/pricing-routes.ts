/** What things cost: the prices in force, for everybody and for a workspace, and what a call would come to. */
import { z } from 'zod'

import { affordedSeconds, holdFor, leastBufferMicros } from '../billing/admission.ts'
import type { WorkspaceId } from '../billing/ids.ts'
import { micros } from '../billing/money.ts'
import { findTelephonyRate, type RateCard } from '../billing/rate-card.ts'
import { formatRateAmount } from '../billing/rate-text.ts'
import { signupGrantMicros } from '../billing/rates-default.ts'
import { rateUsage } from '../billing/rating.ts'
import { longestCallSeconds } from '../billing/usage-event.ts'
import { findTelephonyPlace } from '../db/telephony-place.ts'
import type { Db } from '../db/schema.ts'
import { workspaceOf, type Api, type RouteContext } from './api.ts'
import { refusal } from './errors.ts'
import { usdNumber } from './money.ts'
import { createPrices } from './prices.ts'
import { flag, phoneNumber } from './query-fields.ts'
import { perMinuteNumber, ratedLineJson, ratedLineShape, rateJson, rateShape } from './rated-line.ts'
import { canAfford, getWallet } from './wallet-routes.ts'
import { exactUsd, exactUsdShape } from './wallet-transaction-shape.ts'

const pricingQuery = z.strictObject({
  to: phoneNumber.optional().meta({ description: 'A number, or its beginning: what telephony to it costs.' }),
})

const dollars = (description: string, example: number) =>
  z.number().meta({ description, examples: [example] })

const pricingShape = z.object({
  currency: z.literal('USD'),
  rate_card_id: z.string().meta({ examples: ['standard'] }),
  effective_from: z.string(),
  base_rate_per_min: dollars('Voice, by the minute, as a call begins.', 0.1),
  telephony_rate_per_min: dollars('To the number asked for, else to the reference destination +1.', 0.08),
  recording_rate_per_min: dollars('Where a call is recorded.', 0.02),
  inbound_rate_per_min: dollars('For callers who withhold their number.', 0.08).nullable(),
  chat_rate_per_message: dollars('By the message.', 0.01),
  number_month_usd: dollars('A month of one number.', 5),
  min_balance_usd: dollars('The least that must be available for a call to start.', 0.2),
  signup_bonus_usd: dollars('What a new workspace gets once.', 10),
  margin_percent: z.literal(0),
  rates: z
    .object({ voice: rateShape, recording: rateShape, inbound: rateShape.nullable() })
    .meta({ description: 'The whole rates: intervals, increments and connection fees.' }),
  telephony: z
    .object({
      to: z.string().nullable(),
      prefix: z.string().meta({ description: 'The longest that matches.', examples: ['1'] }),
      place: z
        .string()
        .nullable()
        .meta({ examples: ['United States, Canada'] }),
      rate: rateShape,
    })
    .nullable(),
})

const estimateQuery = z.strictObject({
  to: phoneNumber
    .optional()
    .meta({ description: 'The number to be called; without one it is a web call, which has no telephony.' }),
  minutes: z
    .string()
    .regex(/^\d{1,4}(?:\.\d{1,6})?$/, 'expected minutes such as 3 or 1.5')
    .transform(secondsOfMinutes)
    .refine((seconds) => seconds <= longestCallSeconds, 'expected at most 1440 minutes, a day')
    .prefault('1')
    .meta({ type: 'number', default: 1, examples: [3, 1.5] }),
  recorded: flag.prefault('false'),
})

const estimateShape = z.object({
  currency: z.literal('USD'),
  estimated_cost_usd: exactUsdShape('What the call will cost if it lasts so long.', 0.54),
  lines: z.array(ratedLineShape),
  rate_card_id: z.string(),
  to: z.string().nullable(),
  duration_seconds: z.int().meta({ description: 'Seconds that have begun.' }),
  recorded: z.boolean(),
  required_usd: exactUsdShape('What must be available for such a call to start.', 0.2),
  available_usd: z.number(),
  can_start: z.boolean(),
  can_afford: z.boolean().meta({ description: 'Whether all of it is available now.' }),
  affords_seconds: z.int().meta({ description: 'How long such a call could last on what is available.' }),
})

export function registerPricingRoutes(api: Api, { db }: RouteContext): void {
  const prices = createPrices(db)
  const answer = async (workspaceId: WorkspaceId | null, to: string | undefined) =>
    await pricingJson(db, await prices.cardNow(workspaceId), to ?? null)
  const schema = { tags: ['Pricing'], querystring: pricingQuery, response: { 200: pricingShape } }
  api.get(
    '/v1/pricing',
    { config: { scope: 'public' }, schema: { summary: 'The list prices in force', ...schema } },
    async (request) => await answer(null, request.query.to),
  )
  api.get(
    '/v1/wallet/pricing',
    {
      config: { scope: 'read' },
      schema: { summary: 'The prices in force for this workspace, its own among them', ...schema },
    },
    async (request) => await answer(workspaceOf(request), request.query.to),
  )
  api.get(
    '/v1/wallet/estimate',
    {
      config: { scope: 'read' },
      schema: {
        summary: 'What a call would cost, by the rating that bills it',
        tags: ['Pricing'],
        querystring: estimateQuery,
        response: { 200: estimateShape },
      },
    },
    async (request) => {
      const workspaceId = workspaceOf(request)
      const { to, minutes: durationSeconds, recorded } = request.query
      const [wallet, card] = await Promise.all([getWallet(db, workspaceId), prices.cardNow(workspaceId)])
      const direction = to === undefined ? ('web' as const) : ('outbound' as const)
      const call = { callId: 'estimate', workspaceId, direction, to, recorded }
      const hold = holdFor(card, call, 0)
      const rating = rateUsage(card, { ...call, kind: 'call', durationSeconds })
      if (hold.outcome === 'refused' || rating.outcome === 'set_aside') throw unknownDestination()
      const { lines, totalMicros } =
        rating.outcome === 'rated' ? rating : { lines: [], totalMicros: micros(0n) }
      const prefix = lines.find((line) => line.prefix !== undefined)?.prefix
      const place =
        prefix === undefined ? null : await findTelephonyPlace(db, { rateCardId: card.id, prefix })
      return {
        currency: 'USD' as const,
        estimated_cost_usd: exactUsd(totalMicros),
        lines: lines.map((line) => ratedLineJson(line, card, place)),
        rate_card_id: card.id,
        to: to ?? null,
        duration_seconds: durationSeconds,
        recorded,
        required_usd: exactUsd(hold.holdMicros),
        available_usd: usdNumber(wallet.availableMicros),
        can_start: canAfford(wallet, hold.holdMicros),
        can_afford: canAfford(wallet, totalMicros),
        affords_seconds: wallet.frozen ? 0 : affordedSeconds(card, call, wallet.availableMicros),
      }
    },
  )
}

async function pricingJson(
  db: Db,
  card: RateCard,
  to: string | null,
): Promise<z.output<typeof pricingShape>> {
  const found = findTelephonyRate(card, to ?? referenceNumber)
  if (found === null && to !== null) throw unknownDestination()
  const place =
    found === null ? null : await findTelephonyPlace(db, { rateCardId: card.id, prefix: found.prefix })
  return {
    currency: 'USD' as const,
    rate_card_id: card.id,
    effective_from: card.effectiveFrom.toISOString(),
    base_rate_per_min: perMinuteNumber(card.voice),
    telephony_rate_per_min: found === null ? 0 : perMinuteNumber(found.rate),
    recording_rate_per_min: perMinuteNumber(card.recording),
    inbound_rate_per_min: card.inbound === null ? null : perMinuteNumber(card.inbound),
    chat_rate_per_message: Number(formatRateAmount(card.messageUsd)),
    number_month_usd: Number(formatRateAmount(card.numberMonthUsd)),
    min_balance_usd: usdNumber(leastBufferMicros),
    signup_bonus_usd: usdNumber(signupGrantMicros),
    margin_percent: 0 as const,
    rates: {
      voice: rateJson(card.voice),
      recording: rateJson(card.recording),
      inbound: card.inbound === null ? null : rateJson(card.inbound),
    },
    telephony: found === null ? null : { to, prefix: found.prefix, place, rate: rateJson(found.rate) },
  }
}

/** A number that nobody has, in the United States: the destination that one price stands for where none is asked for. */
const referenceNumber = '+12025550100'

/**
 * Decimal minutes as seconds that have begun: started increments are owed, and increments are whole seconds, so nothing is lost.
 * In whole numbers throughout, because 1.1 x 60 is more than 66 for a float.
 */
function secondsOfMinutes(text: string): number {
  const [whole = '', decimals = ''] = text.split('.')
  const millionths = BigInt(whole + decimals.padEnd(6, '0')) * 60n
  return Number((millionths + 999_999n) / 1_000_000n)
}

function unknownDestination() {
  return refusal({
    status: 422,
    code: 'unknown_destination',
    message: 'No price is known for this destination, so no call to it can start: check the number.',
    field: 'to',
  })
}
