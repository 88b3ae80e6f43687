/** What became of a top-up, in words for the customer whose money it is. */
import { explainDecline } from './decline.ts'
import { explainRecharge, rechargeReasons } from './recharge.ts'
import type { TopUpState } from './top-up.ts'

/** One or two sentences about a state, or about the step that led to it. */
export function explainTopUp({ state, reason }: { state: TopUpState; reason: string | null }): string {
  return sentences[state](reason ?? '')
}

type Sentences = Partial<Record<string, string>>

const sentences: Record<TopUpState, (reason: string) => string> = {
  ready: (reason) =>
    ready[reason] ?? 'Paddle did not process the charge yet: the same is tried again in a while.',
  submitting: () => 'Paddle is being asked to charge the card.',
  unknown: () =>
    'Paddle has not said whether it charged the card: it is looked up before anything is sent again.',
  processing: () => 'Paddle has taken the charge: its payment is awaited.',
  awaiting_customer: (reason) =>
    reason === ''
      ? 'Waits for the customer to pay at the checkout.'
      : `Declined at the checkout, where another card may be tried. ${explainDecline(reason)}`,
  needs_review: (reason) =>
    needsReview[reason] ?? 'Somebody has to look at it before the card is charged again.',
  succeeded: (reason) => succeeded[reason] ?? 'The money was paid, and the wallet has it.',
  declined: (reason) => explainDecline(reason),
  failed: (reason) => failed[reason] ?? 'Paddle refused it, and nothing was charged.',
  canceled: (reason) => `Taken back before the card was charged. ${canceled[reason] ?? explainWait(reason)}`,
  abandoned: () => 'Nobody paid at the checkout within a day.',
}

const ready: Sentences = {
  '': 'The charge of the card is on its way to Paddle.',
  not_found_at_paddle: 'Paddle has no trace of the charge: it is sent once more.',
}

const needsReview: Sentences = {
  not_found_at_paddle:
    'Paddle may have charged the card and shows no trace of it: somebody has to look there.',
  not_paid_for_a_day: 'Paddle has had the charge for a day without a payment: somebody has to look there.',
  past_due: 'The charge is past due at Paddle, which may still collect it: somebody has to settle it there.',
}

const succeeded: Sentences = {
  second_capture:
    'The card was charged twice for this, and the wallet has both: ask for one of them back if you do not want it.',
  late_money: 'The money came after the attempt had ended, and the wallet has it.',
  adopted: 'The payment was found at Paddle, and the wallet has it.',
}

const failed: Sentences = {
  not_sent_for_a_day: 'It could not be sent to Paddle for a day, and was given up. Nothing was charged.',
  checkout_unknown: 'Paddle did not answer when its checkout was to be opened. Nothing was charged.',
  checkout_not_processed: 'Paddle could not be asked for a checkout. Nothing was charged.',
  checkout_blocked: 'Paddle did not open a checkout. Nothing was charged.',
  checkout_rejected: 'Paddle did not open a checkout. Nothing was charged.',
  resolved_by_operator: 'It was looked into: no money came, and nothing was charged.',
}

const canceled: Sentences = {
  another_card: 'Another card is saved by now.',
  another_amount: 'The settings ask for another amount by now.',
  canceled_at_paddle: 'It was canceled at Paddle.',
  resolved_by_operator: 'It was looked into, and no money came.',
}

function explainWait(reason: string): string {
  const known = rechargeReasons.find((each) => each === reason)
  return known === undefined ? 'It was not wanted any more.' : explainRecharge(known)
}
