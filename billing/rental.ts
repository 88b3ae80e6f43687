/**
 * The life of a rented number: facts in, the one next thing to do out. A month is paid in advance, on the anniversary of the
 * rental, and only from what is available; what cannot be paid is tried again every day, and each state lasts its days:
 *
 *   active -> past_due -(3 days)-> suspended -(7 days)-> released
 *     ^----------+---------------------+  paid
 *
 * Released is for good: the same number rented again is another rental.
 */
import type { Micros } from './money.ts'
import { rentalPeriod, type RentalPeriod } from './anniversary.ts'

export const phoneNumberStates = ['active', 'past_due', 'suspended', 'released'] as const
export type PhoneNumberState = (typeof phoneNumberStates)[number]

/** Why a rental took a step. */
export const rentalReasons = [
  'rented',
  'renewed',
  'reinstated',
  'insufficient_funds',
  'no_price',
  'cancel_asked',
  'cancel_withdrawn',
  'cancelled',
  'cancelled_at_once',
  'given_back',
  'unpaid',
] as const
export type RentalReason = (typeof rentalReasons)[number]

export type RentalFacts = {
  /** When it was rented: every period is counted from here. */
  readonly anchorAt: Date
  /** How many periods were billed, which is the number of the next one. */
  readonly periodsBilled: number
  /** Nothing that starts at this instant or later is billed any more. */
  readonly cancelAt: Date | null
  /** Since when a period is owed that could not be paid. */
  readonly pastDueAt: Date | null
  readonly suspendedAt: Date | null
}

export type RentalDecision =
  | { readonly decision: 'bill'; readonly period: RentalPeriod }
  /** Everything that has started is billed. */
  | { readonly decision: 'rest'; readonly nextLookAt: Date }
  | {
      readonly decision: 'owe'
      readonly state: 'past_due' | 'suspended'
      readonly reason: 'insufficient_funds' | 'no_price'
      readonly pastDueAt: Date
      readonly suspendedAt: Date | null
      readonly nextLookAt: Date
    }
  | { readonly decision: 'release'; readonly reason: 'cancelled' | 'unpaid' }

const dayMs = 86_400_000
const suspendedAfterMs = 3 * dayMs
const releasedAfterMs = 7 * dayMs

/**
 * What is to be done next for a number that is not released. Asked again after each period that was billed, until it rests, owes
 * or is released.
 *
 * Units:  `availableMicros` is the balance less holds; `feeMicros` the price of the next period, null when it has none.
 * Shape:  states begin when a look finds them, so an outage of ours never costs anybody a number: after it, the days of grace
 *         are all still to come. Without a price nobody can pay, so nobody is suspended for it, and the days of grace begin
 *         when there is one again.
 */
export function decideRental(
  facts: RentalFacts,
  { now, availableMicros, feeMicros }: { now: Date; availableMicros: Micros; feeMicros: Micros | null },
): RentalDecision {
  const period = nextPeriod(facts)
  const { cancelAt } = facts
  if (cancelAt !== null && cancelAt <= period.startsAt) {
    return now >= cancelAt
      ? { decision: 'release', reason: 'cancelled' }
      : { decision: 'rest', nextLookAt: cancelAt }
  }
  if (now < period.startsAt) return { decision: 'rest', nextLookAt: period.startsAt }
  if (feeMicros !== null && canPay({ availableMicros, feeMicros })) return { decision: 'bill', period }

  if (feeMicros === null) {
    const isSuspended = facts.suspendedAt !== null
    return {
      decision: 'owe',
      state: isSuspended ? 'suspended' : 'past_due',
      reason: 'no_price',
      pastDueAt: now,
      suspendedAt: isSuspended ? now : null,
      nextLookAt: nextDay(now, now),
    }
  }
  const pastDueAt = facts.pastDueAt ?? now
  if (facts.suspendedAt !== null && now.getTime() >= facts.suspendedAt.getTime() + releasedAfterMs) {
    return { decision: 'release', reason: 'unpaid' }
  }
  const isOverdue = now.getTime() >= pastDueAt.getTime() + suspendedAfterMs
  const suspendedAt = facts.suspendedAt ?? (isOverdue ? now : null)
  return {
    decision: 'owe',
    state: suspendedAt === null ? 'past_due' : 'suspended',
    reason: 'insufficient_funds',
    pastDueAt,
    suspendedAt,
    nextLookAt: earlier(
      nextDay(pastDueAt, now),
      suspendedAt === null ? null : new Date(suspendedAt.getTime() + releasedAfterMs),
    ),
  }
}

/** Whether a fee can be paid from what is available. One of nothing always can, also by a wallet below zero. */
export function canPay({
  availableMicros,
  feeMicros,
}: {
  availableMicros: Micros
  feeMicros: Micros
}): boolean {
  return feeMicros === 0n || feeMicros <= availableMicros
}

/** The period that is to be billed next. */
export function nextPeriod({
  anchorAt,
  periodsBilled,
}: Pick<RentalFacts, 'anchorAt' | 'periodsBilled'>): RentalPeriod {
  return rentalPeriod(anchorAt, periodsBilled)
}

/** One sentence for the person who reads the history of a number. */
export function explainRental(reason: RentalReason): string {
  return explanations[reason]
}

const explanations: Record<RentalReason, string> = {
  rented: 'The number was rented.',
  renewed: 'A month was paid in advance.',
  reinstated: 'What was owed is paid, and the number is back.',
  insufficient_funds:
    'The wallet could not pay the month: add funds. It is tried again every day, and at once when funds come.',
  no_price: 'No price is in force for numbers: whoever runs this service has to publish one.',
  cancel_asked: 'It was cancelled: it ends with the month that is paid.',
  cancel_withdrawn: 'The cancellation was withdrawn.',
  cancelled: 'The month that was paid is over, and the number was cancelled.',
  cancelled_at_once: 'It was cancelled at once.',
  given_back: 'The telephony service gave the number back.',
  unpaid: 'The month was not paid for ten days.',
}

/** The next whole day since then. */
function nextDay(since: Date, now: Date): Date {
  const days = Math.floor((now.getTime() - since.getTime()) / dayMs) + 1
  return new Date(since.getTime() + days * dayMs)
}

function earlier(one: Date, other: Date | null): Date {
  return other !== null && other < one ? other : one
}
