/**
 * A top-up: one attempt to bring money in, from its first row to its end. Money that arrives late is credited whatever the
 * state says; the states are about what may be *asked of Paddle* next, and nothing is asked twice that may have been done.
 *
 *   ready -> submitting -> processing -> succeeded
 *     ^          |  \           \-> declined | needs_review
 *     |          |   \-> declined | failed
 *     +- unknown <-+      (searched for; sent again only after the quiet period and an empty search)
 *
 * A checkout waits in `awaiting_customer` until the customer pays, and is `abandoned` when nobody does.
 */
import type { Micros } from './money.ts'

export const topUpSources = ['checkout', 'api', 'auto_recharge'] as const
export type TopUpSource = (typeof topUpSources)[number]

export const topUpStates = [
  /** Decided; Paddle may be asked from `due_at` on. */
  'ready',
  /** Paddle is being asked. Committed before the first byte goes out. */
  'submitting',
  /** Nobody knows whether Paddle did it. */
  'unknown',
  /** Paddle has a transaction for it that is not paid yet. */
  'processing',
  /** A checkout that the customer has not paid yet. */
  'awaiting_customer',
  /** A person has to look. Paddle is still asked now and then; no further charge until it is cleared. */
  'needs_review',
  'succeeded',
  'declined',
  /** Paddle would not do it, or not for a whole day. Nothing was charged. */
  'failed',
  /** Taken back before Paddle was asked, because it was no longer wanted. */
  'canceled',
  /** A checkout that nobody paid. */
  'abandoned',
] as const
export type TopUpState = (typeof topUpStates)[number]

/** A charge of the card whose end is open: a wallet has at most one recharge in these. */
export const openChargeStates = ['ready', 'submitting', 'unknown', 'processing', 'needs_review'] as const

/** The least and the most that one top-up may bring. Paddle takes from 70 cents; its highest is not published. */
export const leastTopUpMicros = 5_000_000n
export const mostTopUpMicros = 10_000_000_000n

/** How long things may take. All of it can be set, because Paddle publishes none of it. */
export type ChargeTiming = {
  /** After its claim a charge may be sent for this long, and then never by that claim. */
  readonly sendWithinMs: number
  /** How long Paddle may take to answer a charge. */
  readonly chargeTimeoutMs: number
  /** What may have been done and is not found for this long after it was sent was not done. */
  readonly quietPeriodMs: number
  /** How long to wait before the first try again of what Paddle certainly did not process; doubles with each. */
  readonly retryMs: number
  /**
   * How fast the clock runs that rows are dated by, where it is not the real one. All of the above is waiting for Paddle and for
   * processes of ours, which takes real time: on a clock with a day in each second, five seconds of it are five days.
   */
  readonly clockRate?: number
}

/** The instant so much waiting after another, by the clock that rows are dated by. */
export function afterWaiting(from: Date, waitingMs: number, { clockRate = 1 }: ChargeTiming): Date {
  return new Date(from.getTime() + waitingMs * clockRate)
}

/** How much waiting there was between two instants of the clock that rows are dated by. */
export function waitedMs(from: Date, until: Date, { clockRate = 1 }: ChargeTiming): number {
  return (until.getTime() - from.getTime()) / clockRate
}

export const defaultChargeTiming: ChargeTiming = {
  sendWithinMs: 5_000,
  chargeTimeoutMs: 90_000,
  quietPeriodMs: 900_000,
  retryMs: 30_000,
}

/** When an unknown charge is searched for, as shares of the quiet period: after 10 s, 30 s, 2, 5 and 15 minutes of 15. */
const searchesAt = [1 / 90, 1 / 30, 2 / 15, 1 / 3, 1]

/**
 * How long after it was sent a charge is looked for the next time.
 *
 * Shape: null when the quiet period is over and there is nothing left to wait for.
 */
export function nextSearchMs(searches: number, { quietPeriodMs }: ChargeTiming): number | null {
  const share = searchesAt[searches]
  return share === undefined ? null : Math.ceil(quietPeriodMs * share)
}

/** What to do with a charge that a search did not find. */
export type Missing = 'search_again' | 'send_again' | 'needs_review'

/**
 * Shape: sent again only once, only after the quiet period, and only where the sum is small enough to be lost twice. Of the
 *        submissions, those count that may have been processed.
 */
export function decideMissing(
  topUp: { readonly amountMicros: Micros; readonly submissions: number; readonly sentAt: Date },
  now: Date,
  timing: ChargeTiming,
): Missing {
  if (waitedMs(topUp.sentAt, now, timing) < timing.quietPeriodMs) return 'search_again'
  if (topUp.submissions >= 2 || topUp.amountMicros > mostSentTwiceMicros) return 'needs_review'
  return 'send_again'
}

const mostSentTwiceMicros = 1_000_000_000n

/** How long to wait before asking Paddle again what it certainly did not process. Grows to half an hour. */
export function nextTryMs(tries: number, retryAfterMs: number | null, { retryMs }: ChargeTiming): number {
  const backOffMs = Math.min(retryMs * 2 ** Math.min(tries, 10), 1_800_000)
  return Math.max(backOffMs, retryAfterMs ?? 0)
}

/** A charge that Paddle has not processed for this long is given up: the balance has changed since it was decided. */
export const giveUpAfterMs = 86_400_000
