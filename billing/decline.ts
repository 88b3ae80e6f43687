/**
 * What a decline of the card means for the next attempt. Card schemes fine merchants who go on charging a card that said
 * never again, so what is not known to pass by itself is not tried often.
 */

/** What to do after a decline. */
export type DeclineVerdict =
  /** It may pass by itself: another attempt after a while. */
  | { readonly next: 'cool_down'; readonly coolingMs: number }
  /** It will not: no attempt until another card comes or a person resumes it. */
  | { readonly next: 'suspend' }

/**
 * Shape: `declinesInARow` counts this one. A hard code suspends at once, any other at the third in a row; before that the
 *        next attempt waits an hour, then six. A code that nobody knows is soft.
 */
export function decideDecline(code: string, declinesInARow: number): DeclineVerdict {
  const coolingMs = backOffMs[declinesInARow - 1]
  if (isHardDecline(code) || coolingMs === undefined) return { next: 'suspend' }
  return { next: 'cool_down', coolingMs }
}

/** Whether the card said never again, or said something that only its holder can mend. */
export function isHardDecline(code: string): boolean {
  return hardCodes.has(code)
}

/** One sentence for the holder of the card. */
export function explainDecline(code: string): string {
  return explanations.get(code) ?? 'The bank declined the payment and gave no reason.'
}

const hour = 3_600_000
/** After the first soft decline in a row and after the second; the next one suspends. */
const backOffMs = [hour, 6 * hour]

/** Source: Paddle's `payments[].error_code`; what is not here may pass by itself. */
const hardCodes = new Set([
  'authentication_failed',
  'blocked_card',
  'canceled',
  'declined_not_retryable',
  'expired_card',
  'fraud',
  'invalid_payment_details',
  'redacted_payment_method',
  'transaction_not_permitted',
])

const explanations = new Map([
  ['authentication_failed', 'The bank asked for a confirmation that did not come: save the card again.'],
  ['blocked_card', 'The card is blocked: use another one.'],
  ['canceled', 'The permission to charge this card was withdrawn: save a card again.'],
  ['declined', 'The bank declined the payment.'],
  ['declined_not_retryable', 'The bank declined the payment and wants no further attempt: use another card.'],
  ['expired_card', 'The card has expired: save its successor.'],
  ['fraud', 'The bank suspects fraud: call the bank, or use another card.'],
  ['invalid_amount', 'The bank does not accept this amount.'],
  ['invalid_payment_details', 'The card details are not right any more: save the card again.'],
  ['issuer_unavailable', 'The bank could not be reached.'],
  ['not_enough_balance', 'The card has not enough money or credit.'],
  ['psp_error', 'The payment provider had an error.'],
  ['redacted_payment_method', 'The card was deleted at Paddle: save a card again.'],
  ['system_error', 'Paddle had an error.'],
  ['transaction_not_permitted', 'The card does not allow this kind of payment: use another one.'],
])
