/**
 * Paddle, as the API needs it: to open checkouts, to change and to remove a card. It is optional: without it these answer 503 and
 * everything else goes on. No route waits for Paddle in a transaction, and what Paddle refuses becomes an answer that says what
 * to do, never one in Paddle's own words.
 */
import type { FastifyRequest } from 'fastify'

import type { BillingError } from '../billing/billing-error.ts'
import type { Micros } from '../billing/money.ts'
import type { PaddleGateway } from '../paddle/gateway.ts'
import { openPaddleGateway } from '../paddle/open-gateway.ts'
import type { PaddleRefusal } from '../paddle/outcome.ts'
import type { PaddleConfig } from '../runtime/config.ts'
import type { Log } from '../runtime/log.ts'
import type { PaddleCallSeen } from '../runtime/metrics.ts'
import type { RouteContext } from './api.ts'
import type { NoCheckout } from './checkout.ts'
import { refusal } from './errors.ts'
import { noWallet } from './wallet-routes.ts'

/** What the API asks of Paddle. It charges no card: the charge worker does. */
export type ApiPaddle = Pick<
  PaddleGateway,
  | 'openCustomer'
  | 'createCheckout'
  | 'createCardSetup'
  | 'getCardUpdate'
  | 'cancelSubscription'
  | 'previewCheckout'
>

/** What the routes of money in need. */
export type MoneyInContext = RouteContext & {
  /** Null where no Paddle is configured. */
  paddle: ApiPaddle | null
  /** The most that one top-up may bring. */
  mostTopUpMicros: Micros
}

/** Shape: null without a configuration. Once in a process, when it starts. */
export async function connectPaddle(
  config: PaddleConfig | null,
  log: Log,
  onCall?: (call: PaddleCallSeen) => void,
): Promise<{ gateway: ApiPaddle; close: () => Promise<void> } | null> {
  if (config === null) return null
  return await openPaddleGateway({
    ...config,
    timeouts: { otherMs: longestAnswerMs },
    onCall: (call) => {
      log.debug({ call }, 'asked Paddle')
      onCall?.(call)
    },
  })
}

/** Somebody waits for it at the other end. */
const longestAnswerMs = 10_000

/** Throws: the refusal `payments_not_configured`. */
export function configuredPaddle(paddle: ApiPaddle | null): ApiPaddle {
  if (paddle !== null) return paddle
  throw refusal({
    status: 503,
    code: 'payments_not_configured',
    message:
      'Payments are not set up here: whoever runs this has to set PADDLE_API_KEY, PADDLE_ENVIRONMENT, PADDLE_PRODUCT_ID and ' +
      'PADDLE_SETUP_PRICE_ID for the API.',
  })
}

/** What a request is answered with whose checkout could not be opened. */
export function noCheckout(
  refused: NoCheckout | { outcome: 'frozen' },
  context: { request: FastifyRequest; log: Log },
): BillingError {
  if (refused.outcome === 'no_wallet') return noWallet()
  if (refused.outcome === 'email_needed') return emailNeeded()
  if (refused.outcome === 'email_refused') return emailRefused()
  if (refused.outcome === 'frozen') return frozenWallet()
  return refusedByPaddle(refused, context)
}

function emailNeeded() {
  return refusal({
    status: 422,
    code: 'email_needed',
    message:
      'Paddle sends receipts by e-mail and does not know this workspace yet: send an email address along, this once.',
    field: 'email',
  })
}

function emailRefused() {
  return refusal({
    status: 422,
    code: 'email_refused',
    message: 'Paddle takes no customer with this e-mail address: send another one.',
    field: 'email',
  })
}

export function frozenWallet(): BillingError {
  return refusal({
    status: 409,
    code: 'wallet_frozen',
    message:
      'The wallet is frozen after a disputed payment, and takes no money: settle the dispute, then ask whoever runs this to ' +
      'unfreeze the wallet.',
  })
}

/**
 * What a refusal of Paddle's is answered with.
 *
 * Shape: 503 where the same may be sent again in a while, 502 where somebody has to mend something or nobody knows. Paddle's
 *        code is added as `paddle_code`, for whoever has to look. Nothing that asks this has charged anything.
 */
export function refusedByPaddle(
  refused: PaddleRefusal,
  { request, log }: { request: FastifyRequest; log: Log },
): BillingError {
  const fields = { requestId: request.id, route: request.routeOptions.url, refused }
  log.warn(fields, 'Paddle did not do what a request needs')
  if (refused.outcome === 'not_processed') {
    const retryAfterMs = refused.retryAfterMs ?? 5_000
    return refusal({
      status: 503,
      code: 'paddle_busy',
      message:
        'Paddle cannot be asked just now, and nothing was done or charged: send the same again in a moment.',
      more: { paddle_code: refused.code },
      headers: { 'retry-after': String(Math.max(1, Math.ceil(retryAfterMs / 1_000))) },
    })
  }
  if (refused.outcome === 'unknown') {
    return refusal({
      status: 502,
      code: 'paddle_did_not_answer',
      message: 'Paddle did not answer, and nothing was charged: send the same again in a moment.',
    })
  }
  return refusal({
    status: 502,
    code: 'paddle_refused',
    message: mendable[refused.code] ?? notMendable,
    more: { paddle_code: refused.code },
  })
}

const notMendable =
  'Paddle refuses this as it is set up here, and nothing was charged: quote the request id to whoever runs this.'

/** By Paddle's codes: what whoever runs this can do. */
const mendable: Partial<Record<string, string>> = {
  transaction_default_checkout_url_not_set:
    'Paddle has no page for checkouts yet: whoever runs this has to set a default payment link at Paddle, under Checkout settings.',
  forbidden:
    "Paddle does not let this deployment's key do this: whoever runs this has to give it the permission.",
  authentication_malformed:
    "Paddle does not know this deployment's key: whoever runs this has to set PADDLE_API_KEY anew.",
}
