/** Rating: a usage event and a rate card give rated lines. Pure, total and the same next year as today. */
import { micros, type Micros } from './money.ts'
import { findTelephonyRate, type RateCard } from './rate-card.ts'
import { rateCount, rateDuration, type Rate, type RatedIncrements } from './rate.ts'
import { isPossibleDuration, type CallUsage, type MessageUsage, type SetAsideReason } from './usage-event.ts'

/** What is measured. */
export type Meter = 'voice' | 'telephony' | 'recording' | 'message' | 'number_rental'

/** One meter's quantity and money for one usage event. */
export type RatedLine = {
  readonly meter: Meter
  /** Billed seconds, or messages. */
  readonly quantity: number
  /** Already rounded; the event's total is the sum of these. */
  readonly amountMicros: Micros
  /** The telephony prefix whose rate applied; absent for the rate of withheld numbers. */
  readonly prefix?: string
  /** How the seconds were sold. */
  readonly increments?: readonly RatedIncrements[]
}

export type RatedUsage = {
  readonly outcome: 'rated'
  readonly lines: readonly RatedLine[]
  readonly totalMicros: Micros
}

export type Rating =
  | RatedUsage
  | { readonly outcome: 'free' }
  | { readonly outcome: 'set_aside'; readonly reason: SetAsideReason }

/** As much of a usage event as its price depends on. */
export type RateableUsage =
  | Pick<CallUsage, 'kind' | 'durationSeconds' | 'direction' | 'to' | 'from' | 'recorded'>
  | Pick<MessageUsage, 'kind'>

/**
 * What a month of one number costs on a card: one line.
 *
 * Rounds: once, half-up, to the micro-dollar.
 */
export function rateRental(card: Pick<RateCard, 'numberMonthUsd'>): RatedUsage {
  const amountMicros = rateCount(card.numberMonthUsd, 1)
  return {
    outcome: 'rated',
    lines: [{ meter: 'number_rental', quantity: 1, amountMicros }],
    totalMicros: amountMicros,
  }
}

/**
 * What a usage event costs on a card.
 *
 * Units:  seconds and messages in, micro-dollars out.
 * Shape:  a call has a voice line, a telephony line unless it came over the web, a recording line when recorded; a
 *         message has one. 0 s is free before anything else is asked: an unanswered call to nowhere costs nothing.
 *         A line may come to zero; when all do, the event is free. Never throws: what has no price is set aside.
 * Rounds: once per line, half-up, to the micro-dollar; the total is the sum of the rounded lines.
 * Source: "Where charges show up" on the wallet help page; ADR 0004.
 */
export function rateUsage(card: RateCard, event: RateableUsage): Rating {
  if (event.kind === 'message') {
    return rated([{ meter: 'message', quantity: 1, amountMicros: rateCount(card.messageUsd, 1) }])
  }

  const { durationSeconds } = event
  if (!isPossibleDuration(durationSeconds)) return { outcome: 'set_aside', reason: 'impossible_duration' }
  if (durationSeconds === 0) return { outcome: 'free' }

  const lines = [lineFor('voice', card.voice, durationSeconds)]
  if (event.direction !== 'web') {
    const telephony = telephonyRateFor(card, event)
    if (typeof telephony === 'string') return { outcome: 'set_aside', reason: telephony }
    const line = lineFor('telephony', telephony.rate, durationSeconds)
    lines.push(telephony.prefix === null ? line : { ...line, prefix: telephony.prefix })
  }
  if (event.recorded) lines.push(lineFor('recording', card.recording, durationSeconds))
  return rated(lines)
}

/** Whose prefix: outbound, the number called; inbound, the caller's, or the card's inbound rate when withheld. */
function telephonyRateFor(
  card: RateCard,
  call: Pick<CallUsage, 'direction' | 'to' | 'from'>,
): { readonly prefix: string | null; readonly rate: Rate } | SetAsideReason {
  const phoneNumber = call.direction === 'inbound' ? call.from : call.to
  if (phoneNumber !== undefined) return findTelephonyRate(card, phoneNumber) ?? 'unknown_destination'
  if (call.direction === 'outbound') return 'unknown_destination'
  return card.inbound === null ? 'no_inbound_rate' : { prefix: null, rate: card.inbound }
}

function lineFor(meter: Meter, rate: Rate, durationSeconds: number): RatedLine {
  const { billedSeconds, amountMicros, increments } = rateDuration(rate, durationSeconds)
  return { meter, quantity: billedSeconds, amountMicros, increments }
}

function rated(lines: readonly RatedLine[]): Rating {
  let total = 0n
  for (const line of lines) total += line.amountMicros
  return total === 0n ? { outcome: 'free' } : { outcome: 'rated', lines, totalMicros: micros(total) }
}
