/**
 * Whether a wallet's card is to be charged now: facts in, a plan or the reason against one out. Taken after everything that
 * can change the answer, always under the wallet's lock, and kept, so that a recharge that did not come can be explained.
 */
import type { Micros } from './money.ts'

/** What a workspace asked for. Amounts are micro-dollars. */
export type AutoRechargeSettings = {
  readonly enabled: boolean
  /** Strictly below this, the card is charged. */
  readonly thresholdMicros: Micros
  /** Each recharge is exactly this much; if that does not clear the threshold, another follows. */
  readonly topUpMicros: Micros
  /** The most recharges within any 24 hours. */
  readonly dailyLimit: number
  /** The most money in a calendar month, UTC; null is no cap. */
  readonly monthlyCapMicros: Micros | null
}

export type RechargeFacts = {
  readonly now: Date
  /** Balance less holds. */
  readonly availableMicros: Micros
  /** Null when the workspace never set it up. */
  readonly settings: AutoRechargeSettings | null
  /** Suspended after declines, until another card comes or a person resumes it. */
  readonly suspended: boolean
  /** No new attempt before this, after a decline. */
  readonly coolingUntil: Date | null
  /** The wallet is frozen, as after a chargeback. */
  readonly frozen: boolean
  readonly card: 'usable' | 'not_usable' | 'none'
  /** A charge of the card, of whatever source, whose end is not known yet. */
  readonly openCharge: 'none' | 'under_way' | 'needs_review'
  /** Recharges begun in the last 24 hours that took money or still may. */
  readonly rechargesInADay: number
  /** What recharges of this calendar month took or still may take. */
  readonly rechargedInMonthMicros: Micros
}

export const rechargeReasons = [
  'not_enabled',
  'above_threshold',
  'frozen',
  'no_card',
  'card_not_usable',
  'needs_review',
  'charge_under_way',
  'suspended',
  'cooling_down',
  'daily_limit',
  'monthly_cap',
] as const

/** Why a wallet's card is not charged now. */
export type RechargeReason = (typeof rechargeReasons)[number]

export type RechargeDecision =
  | { readonly decision: 'recharge'; readonly amountMicros: Micros }
  | { readonly decision: 'wait'; readonly reason: RechargeReason }

/** Shape: the first reason that stands, in the order in which a person would have to mend them. */
export function decideRecharge(facts: RechargeFacts): RechargeDecision {
  const { settings } = facts
  if (settings === null || !settings.enabled) return wait('not_enabled')
  if (facts.availableMicros >= settings.thresholdMicros) return wait('above_threshold')
  if (facts.frozen) return wait('frozen')
  if (facts.card === 'none') return wait('no_card')
  if (facts.card === 'not_usable') return wait('card_not_usable')
  if (facts.openCharge === 'needs_review') return wait('needs_review')
  if (facts.openCharge === 'under_way') return wait('charge_under_way')
  if (facts.suspended) return wait('suspended')
  if (facts.coolingUntil !== null && facts.now < facts.coolingUntil) return wait('cooling_down')
  if (facts.rechargesInADay >= settings.dailyLimit) return wait('daily_limit')
  const cap = settings.monthlyCapMicros
  if (cap !== null && facts.rechargedInMonthMicros + settings.topUpMicros > cap) return wait('monthly_cap')
  return { decision: 'recharge', amountMicros: settings.topUpMicros }
}

/** One sentence for whoever asks why the card was not charged. */
export function explainRecharge(reason: RechargeReason): string {
  return explanations[reason]
}

const explanations: Record<RechargeReason, string> = {
  not_enabled: 'Auto-recharge is switched off.',
  above_threshold: 'The available balance is not below the threshold.',
  frozen: 'The wallet is frozen after a chargeback: clear it with Paddle, then unfreeze the wallet.',
  no_card: 'No card is saved: save one.',
  card_not_usable:
    'The saved card cannot be charged as it is: its subscription at Paddle is paused or past due.',
  needs_review: 'Nobody knows yet how an earlier charge ended: look it up at Paddle and resolve it.',
  charge_under_way: 'A charge of the card is under way.',
  suspended: 'Auto-recharge is suspended after declines: save another card, or resume it.',
  cooling_down: 'The card was declined a short while ago: the next attempt waits.',
  daily_limit: 'As many recharges as a day allows were made in the last 24 hours: raise the limit, or wait.',
  monthly_cap:
    'Another recharge would pass the monthly cap: raise the cap, or wait for the first of the month.',
}

function wait(reason: RechargeReason): RechargeDecision {
  return { decision: 'wait', reason }
}
