/** What the rows of money in mean, in words for the person who asks. Codes stay visible, because they are what one searches for. */
import { explainDecline } from '../../billing/decline.ts'
import { displayUsdExact, parseUsd } from '../../billing/money.ts'
import { explainRecharge, rechargeReasons, type RechargeReason } from '../../billing/recharge.ts'
import type { TopUpSource, TopUpState } from '../../billing/top-up.ts'
import type { AuditEntry } from '../../db/audit-log.ts'
import type { SavedCard } from '../../db/saved-card.ts'
import type { TopUp } from '../../db/top-up.ts'
import type { PaddleRefusal } from '../../paddle/outcome.ts'

/** As on the card and in the customer's head: `visa 4242`. */
export function nameCard({ card }: SavedCard): string {
  return card === null ? 'a card that no payment has shown yet' : `${card.brand} ${card.last4}`
}

export function nameSource(source: TopUpSource): string {
  return { checkout: 'checkout', api: 'on request', auto_recharge: 'auto-recharge' }[source]
}

/** What became of a top-up so far, and why. */
export function explainTopUp({ state, reason }: TopUp): string {
  return explainStep({ state, reason })
}

/** What a step of a top-up was. A reason that is a code is named, because it is what one searches for. */
export function explainStep({ state, reason }: { state: TopUpState; reason: string | null }): string {
  const sentence = sentences[state](reason)
  return reason === null ? sentence : `${sentence} (${reason})`
}

const sentences: Record<TopUpState, (reason: string | null) => string> = {
  ready: (reason) =>
    reason === null
      ? 'Decided: the charge is on its way to Paddle.'
      : reason === 'not_found_at_paddle'
        ? 'Paddle has no trace of the charge after the quiet period: it is sent once more.'
        : 'Paddle did not process the charge: the same is tried again later.',
  submitting: () => 'Paddle is being asked to charge the card.',
  unknown: () =>
    'Nobody knows whether Paddle charged the card: Paddle is searched before anything is sent again.',
  processing: () => 'Paddle has taken the charge: its payment is awaited.',
  awaiting_customer: (reason) =>
    reason === null
      ? 'The customer has not paid at the checkout yet.'
      : `Declined at the checkout, where the customer may try again. ${explainDecline(reason)}`,
  needs_review: (reason) => needsReview[reason ?? ''] ?? 'A person has to look.',
  succeeded: (reason) => succeeded[reason ?? ''] ?? 'Paddle captured the money and the wallet has it.',
  declined: (reason) => explainDecline(reason ?? 'declined'),
  failed: (reason) =>
    reason?.startsWith('checkout_') === true
      ? 'The checkout could not be opened at Paddle, so nobody could pay there.'
      : (failed[reason ?? ''] ?? 'Paddle refused it, and nothing was charged.'),
  canceled: (reason) =>
    `Taken back before the card was charged: ${canceled[reason ?? ''] ?? explainWait(reason)}`,
  abandoned: () => 'Nobody paid at the checkout.',
}

const needsReview: Partial<Record<string, string>> = {
  not_found_at_paddle:
    'Paddle may have charged the card, and shows no trace of it: look there, then resolve it.',
  not_paid_for_a_day: 'Paddle has had the charge for a day without a payment: look there, then resolve it.',
  past_due: 'The charge is past due at Paddle, which may still collect it: settle it there, then resolve it.',
}

const succeeded: Partial<Record<string, string>> = {
  second_capture:
    'Paddle captured it a second time. Both are in the wallet: refund one at Paddle if it was not wanted.',
  late_money: 'The money came after the attempt had ended, and the wallet has it.',
  adopted: 'Found at Paddle, without a record of ours, and credited.',
}

const failed: Partial<Record<string, string>> = {
  resolved_by_operator: 'An operator resolved it: no money came.',
  not_sent_for_a_day: 'It could not be sent for a day, and was given up. Nothing was charged.',
}

const canceled: Partial<Record<string, string>> = {
  another_card: 'another card is saved by now.',
  another_amount: 'the settings ask for another amount by now.',
  canceled_at_paddle: 'it was canceled at Paddle.',
  resolved_by_operator: 'an operator resolved it, and no money came.',
}

function explainWait(reason: string | null): string {
  const known = rechargeReasons.find((each): each is RechargeReason => each === reason)
  return known === undefined ? 'it was not wanted any more.' : explainRecharge(known)
}

/** Why Paddle did not do what it was asked, and what to do about it. */
export function explainRefusal(refusal: PaddleRefusal): string {
  if (refusal.outcome === 'unknown') {
    return `Paddle's answer did not come or made no sense (${refusal.cause}).`
  }
  const { outcome, code } = refusal
  if (outcome === 'declined') return explainDecline(code)
  if (outcome === 'not_processed') {
    return `Paddle was not reached, or takes nothing just now (${code}): try again in a moment.`
  }
  if (outcome === 'blocked') {
    return `Paddle refuses everything of this kind for now (${code}): check the API key and Paddle's own pages.`
  }
  return code === 'transaction_default_checkout_url_not_set'
    ? 'Paddle has no page for checkouts yet: set a default payment link in Paddle > Checkout > Checkout settings.'
    : `Paddle refused it (${code}).`
}

/** One audit entry as a clause, such as `auto-recharge changed: on, below $5.00 it brings $20.00, ...`. */
export function describeAudit({ action, detail }: AuditEntry): string {
  const say = (name: string): string => textOf(detail, name) ?? '-'
  switch (action) {
    case 'auto_recharge.changed': {
      const cap = textOf(detail, 'monthly_cap_usd')
      return (
        `auto-recharge changed: ${say('enabled') === 'true' ? 'on' : 'off'}, below ${dollars(say('threshold_usd'))} it brings ` +
        `${dollars(say('topup_usd'))}, at most ${say('daily_limit')} a day and ${cap === null ? 'no cap' : dollars(cap)} a month`
      )
    }
    case 'auto_recharge.suspended':
      return `auto-recharge suspended (${say('reason')})`
    case 'auto_recharge.resumed':
      return `auto-recharge resumed (${say('cause')})`
    case 'card.saved':
      return `card saved, kept by ${say('subscription_id')}`
    case 'card.changed':
      return `card changed to ${say('brand')} ${say('last4')}`
    case 'card.removed':
      return `card removed, ${say('subscription_id')}`
    case 'wallet.frozen':
      return `wallet frozen: ${say('reason')}`
    case 'wallet.unfrozen':
      return `wallet unfrozen: ${say('reason')}`
    case 'top_up.second_capture':
      return `second capture of ${say('top_up_id')}: ${say('first')} and ${say('second')}`
    case 'top_up.resolved':
      return `${say('top_up_id')} resolved as ${say('as')}: ${say('why')}`
    case 'customer.bound':
      return `customer at Paddle is ${say('customer_id')}`
    default:
      return `${action} ${JSON.stringify(detail)}`
  }
}

function dollars(decimal: string): string {
  return /^-?\d+\.\d+$/.test(decimal) ? displayUsdExact(parseUsd(decimal)) : decimal
}

function textOf(detail: unknown, name: string): string | null {
  if (typeof detail !== 'object' || detail === null) return null
  const value: unknown = Reflect.get(detail, name)
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean'
    ? String(value)
    : null
}
