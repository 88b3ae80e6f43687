/**
 * What became of a call to Paddle, when it did not simply succeed. The kinds differ in what they prove: only `declined` and
 * `rejected` end a charge, only `not_processed` allows another try at once, and whatever is not recognised is `unknown`.
 */
import { ApiError } from '@paddle/paddle-node-sdk'

import type { ExchangeFacts } from './transport.ts'

export type PaddleRefusal =
  /** The card said no. Nothing was applied; a new attempt may be made later, as the decline rules allow. */
  | { readonly outcome: 'declined'; readonly code: string }
  /** Proved never to have been processed: the same attempt may be sent again, after a while. */
  | { readonly outcome: 'not_processed'; readonly code: string; readonly retryAfterMs: number | null }
  /** Nothing was processed, and nothing will be until something else at Paddle is settled. */
  | { readonly outcome: 'blocked'; readonly code: string }
  /** Paddle will never do this as it was asked. */
  | { readonly outcome: 'rejected'; readonly code: string }
  /** It may have happened or not. Ask Paddle what it has before asking it to do anything again. */
  | { readonly outcome: 'unknown'; readonly cause: string }

/** Paddle turned these away before looking at them, for now. */
const notProcessed = new Set([
  'too_many_requests',
  'subscription_immediate_charge_hour_limit_exceeded',
  'subscription_immediate_charge_24_hour_limit_exceeded',
  'subscription_locked_renewal',
  'subscription_locked_processing',
  'concurrent_modification',
  'conflict',
])

/** Paddle will turn these away until a person, or another call, has settled something. */
const blocked = new Set(['subscription_outstanding_transaction', 'subscription_locked_pending_changes'])

/**
 * What a failed call to Paddle proves.
 *
 * Shape:  a `code` is Paddle's, or a network error's in lower case, or the transport's; a `cause` is a few words. Neither
 *         ever holds a message of Paddle's or the SDK's, because a message may repeat what was sent.
 * Source: Paddle's error reference; what the SDK makes of answers that are not Paddle's was found by trying.
 */
export function classify(error: unknown, facts: ExchangeFacts): PaddleRefusal {
  if (!facts.sent) {
    const code = facts.refusal ?? causeCodeOf(error)?.toLowerCase() ?? 'not_sent'
    return { outcome: 'not_processed', code, retryAfterMs: null }
  }
  const code = refusedWith(error, facts)
  if (code === null) return { outcome: 'unknown', cause: describe(error, facts) }
  if (code === 'subscription_payment_declined') return { outcome: 'declined', code }
  if (facts.status === 429 || notProcessed.has(code)) {
    return { outcome: 'not_processed', code, retryAfterMs: facts.retryAfterMs }
  }
  // 401 says that our key is not Paddle's: that is about all charges, and settled by changing the key, so it ends none.
  if (facts.status === 401 || blocked.has(code)) return { outcome: 'blocked', code }
  return { outcome: 'rejected', code }
}

/** Paddle's code, when Paddle itself says that it is the request that was refused; else null. */
function refusedWith(error: unknown, { status }: ExchangeFacts): string | null {
  if (!(error instanceof ApiError) || error.type !== 'request_error') return null
  // 408 is what a proxy says of a request that it may have passed on.
  if (status === null || status < 400 || status >= 500 || status === 408) return null
  return codeText(error.code)
}

function describe(error: unknown, { status }: ExchangeFacts): string {
  const what = [
    error instanceof ApiError ? codeText(error.code) : null,
    error instanceof Error && !(error instanceof ApiError) ? error.name : null,
    causeCodeOf(error),
    status === null ? 'no answer' : `HTTP ${status}`,
  ]
  return what.filter((word) => word !== null).join(' ')
}

/** The code of the network error underneath, such as `UND_ERR_SOCKET`. */
function causeCodeOf(error: unknown): string | null {
  if (!(error instanceof Error) || !(error.cause instanceof Error) || !('code' in error.cause)) return null
  return codeText(error.cause.code)
}

function codeText(code: unknown): string | null {
  return typeof code === 'string' && /^\w{1,80}$/.test(code) ? code : null
}
