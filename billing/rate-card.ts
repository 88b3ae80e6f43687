/**
 * Rate cards: the dated, immutable sets of rates; the JSON they are written in; and the choice of the rate that applies.
 * Which card: the one in force when the usage began. Which telephony rate: the longest prefix that matches.
 */
import { z } from 'zod'
import { BillingError } from './billing-error.ts'
import type { WorkspaceId } from './ids.ts'
import { describeIssues } from './parse-issues.ts'
import { parseRateAmount, rateAmountText, type Interval, type Rate, type RateAmount } from './rate.ts'

export type RateCard = {
  readonly id: string
  readonly effectiveFrom: Date
  readonly voice: Rate
  readonly recording: Rate
  readonly messageUsd: RateAmount
  /** A month of one number. */
  readonly numberMonthUsd: RateAmount
  /** By E.164 prefix: digits without the plus. */
  readonly telephony: ReadonlyMap<string, Rate>
  /** For inbound calls whose caller withheld the number; null when such calls have no price. */
  readonly inbound: Rate | null
}

/** A price agreed with one workspace, from a day on. A telephony rate names its prefix; the others have none. */
export type WorkspaceRate = {
  readonly workspaceId: WorkspaceId
  readonly effectiveFrom: Date
} & (
  | { readonly meter: 'voice' | 'recording' | 'inbound'; readonly prefix: null; readonly rate: Rate }
  | { readonly meter: 'telephony'; readonly prefix: string; readonly rate: Rate }
  | { readonly meter: 'message'; readonly prefix: null; readonly rate: RateAmount }
  | { readonly meter: 'number_rental'; readonly prefix: null; readonly rate: RateAmount }
)

const longestPrefix = 15
const e164 = /^\+[1-9]\d{1,14}$/
const longestSecond = 31_536_000

const rateAmount = z
  .string('expected a decimal string such as "0.10"')
  .regex(rateAmountText, 'expected a decimal string from "0" to "9999.999999999999"')
  .transform(parseRateAmount)

const rate = z
  .strictObject({
    connection_fee_usd: rateAmount.prefault('0'),
    intervals: z
      .array(
        z.strictObject({
          from_second: z.int().min(0).max(longestSecond),
          per_minute_usd: rateAmount,
          increment_seconds: z.int().min(1).max(longestSecond),
        }),
      )
      .min(1)
      .superRefine(refuseGapsAndOverlaps),
  })
  .transform((json): Rate => ({
    connectionFeeUsd: json.connection_fee_usd,
    intervals: json.intervals.map((interval): Interval => ({
      fromSecond: interval.from_second,
      perMinuteUsd: interval.per_minute_usd,
      incrementSeconds: interval.increment_seconds,
    })),
  }))

const prefix = z
  .string()
  .regex(/^[1-9]\d{0,14}$/, 'expected 1 to 15 digits of an E.164 number, without the plus')

/** A rate card as a file has it. Unknown fields are refused by name: a misspelt price must not become no price. */
export const rateCardFile = z.strictObject({
  voice: rate,
  recording: rate,
  telephony: z.record(prefix, rate),
  message_usd: rateAmount,
  number_month_usd: rateAmount.prefault('5.00'),
  inbound: rate.optional(),
})

/** The JSON that `rateCardFile` reads. */
export type RateCardJson = z.input<typeof rateCardFile>
/** The JSON of one rate: what a rate card file and the database's `jsonb` columns hold. */
export type RateJson = z.input<typeof rate>

/**
 * A rate card from its JSON.
 *
 * Throws: BillingError `malformed_rate_card`, naming every field that is wrong.
 */
export function parseRateCard(
  json: unknown,
  { id, effectiveFrom }: Pick<RateCard, 'id' | 'effectiveFrom'>,
): RateCard {
  const parsed = rateCardFile.safeParse(json)
  if (!parsed.success) {
    const detail = describeIssues(parsed.error)
    throw new BillingError('malformed_rate_card', `This is not a rate card: ${detail}`, {
      id,
      cause: parsed.error,
    })
  }
  const { voice, recording, telephony, message_usd: messageUsd, inbound } = parsed.data
  const { number_month_usd: numberMonthUsd } = parsed.data
  return {
    id,
    effectiveFrom,
    voice,
    recording,
    messageUsd,
    numberMonthUsd,
    telephony: new Map(Object.entries(telephony)),
    inbound: inbound ?? null,
  }
}

/**
 * Holds a JSON value to the form of a rate card file.
 *
 * Throws: BillingError `malformed_rate_card`, naming every field that is wrong.
 */
export function assertRateCardJson(json: unknown): asserts json is RateCardJson {
  parseRateCard(json, { id: 'unnamed', effectiveFrom: new Date(0) })
}

/**
 * One rate from its JSON.
 *
 * Throws: BillingError `malformed_rate`, naming every field that is wrong.
 */
export function parseRate(json: unknown): Rate {
  const parsed = rate.safeParse(json)
  if (parsed.success) return parsed.data
  throw new BillingError('malformed_rate', `This is not a rate: ${describeIssues(parsed.error)}`, {
    cause: parsed.error,
  })
}

/**
 * The rate of the longest prefix that matches a number, or null when none does.
 *
 * Shape:  `phoneNumber` in E.164 with its plus; anything else matches nothing.
 */
export function findTelephonyRate(
  card: Pick<RateCard, 'telephony'>,
  phoneNumber: string,
): { readonly prefix: string; readonly rate: Rate } | null {
  if (!e164.test(phoneNumber)) return null
  for (let end = Math.min(phoneNumber.length, longestPrefix + 1); end > 1; end -= 1) {
    const prefix = phoneNumber.slice(1, end)
    const rate = card.telephony.get(prefix)
    if (rate !== undefined) return { prefix, rate }
  }
  return null
}

/** The newest card that had taken effect at an instant, in whatever order they come; null before the first. */
export function rateCardInForce(cards: Iterable<RateCard>, at: Date): RateCard | null {
  let inForce: RateCard | null = null
  for (const card of cards) {
    if (card.effectiveFrom > at) continue
    if (inForce === null || card.effectiveFrom >= inForce.effectiveFrom) inForce = card
  }
  return inForce
}

/**
 * A card with what was agreed with one workspace put over it. The card itself when nothing applies.
 *
 * Shape:  `overrides` are that workspace's; of several for the same meter and prefix, the newest in force at `at`
 *         wins. The longest prefix still wins afterwards, whoever set it: an agreed "44" leaves the card's "447" alone.
 */
export function withWorkspaceRates(card: RateCard, overrides: Iterable<WorkspaceRate>, at: Date): RateCard {
  const agreed = newestInForce(overrides, at)
  if (agreed.length === 0) return card

  const changed = { ...card, telephony: new Map(card.telephony) }
  for (const override of agreed) {
    if (override.meter === 'telephony') changed.telephony.set(override.prefix, override.rate)
    else if (override.meter === 'message') changed.messageUsd = override.rate
    else if (override.meter === 'number_rental') changed.numberMonthUsd = override.rate
    else changed[override.meter] = override.rate
  }
  return changed
}

/**
 * What was agreed with a workspace, from its stored form: `rate` is a rate's JSON, or for messages and numbers a decimal string.
 *
 * Throws: BillingError `malformed_rate`, naming every field that is wrong.
 */
export function parseWorkspaceRate(stored: {
  readonly workspaceId: WorkspaceId
  readonly effectiveFrom: Date
  readonly meter: WorkspaceRate['meter']
  readonly prefix: string | null
  readonly rate: unknown
}): WorkspaceRate {
  const { workspaceId, effectiveFrom, meter, prefix, rate } = stored
  if ((meter === 'telephony') !== (prefix !== null)) {
    throw new BillingError('malformed_rate', 'A telephony rate has a prefix and no other rate has one', {
      ...stored,
    })
  }
  if (meter === 'message' || meter === 'number_rental') {
    const parsed = rateAmount.safeParse(rate)
    if (!parsed.success) {
      throw new BillingError('malformed_rate', `rate: ${describeIssues(parsed.error)}`, { ...stored })
    }
    return { workspaceId, effectiveFrom, meter, prefix: null, rate: parsed.data }
  }
  if (meter === 'telephony') {
    return { workspaceId, effectiveFrom, meter, prefix: prefix ?? '', rate: parseRate(rate) }
  }
  return { workspaceId, effectiveFrom, meter, prefix: null, rate: parseRate(rate) }
}

function newestInForce(overrides: Iterable<WorkspaceRate>, at: Date): readonly WorkspaceRate[] {
  const newest = new Map<string, WorkspaceRate>()
  for (const override of overrides) {
    if (override.effectiveFrom > at) continue
    const key = `${override.meter}/${override.prefix ?? ''}`
    const known = newest.get(key)
    if (known === undefined || override.effectiveFrom >= known.effectiveFrom) newest.set(key, override)
  }
  return [...newest.values()]
}

function refuseGapsAndOverlaps(
  intervals: readonly { readonly from_second: number }[],
  issues: { addIssue(issue: { code: 'custom'; path: (string | number)[]; message: string }): void },
): void {
  for (const [index, interval] of intervals.entries()) {
    const previous = intervals[index - 1]
    const fault =
      previous === undefined
        ? interval.from_second !== 0 && 'the first interval begins at second 0'
        : interval.from_second <= previous.from_second && 'each interval begins after the one before it'
    if (fault) issues.addIssue({ code: 'custom', path: [index, 'from_second'], message: fault })
  }
}
