/**
 * How every call to Paddle is made: through the SDK, under a fence, timed, and ending in a value. This is the one place
 * that knows what the SDK throws.
 */
import { LogLevel, Paddle, type Environment } from '@paddle/paddle-node-sdk'

import { BillingError } from '../billing/billing-error.ts'
import type { Reading } from './facts.ts'
import { classify, type PaddleRefusal } from './outcome.ts'
import { paddleTargetOf, type PaddleEnvironment } from './target.ts'
import { assertTransport, exchange } from './transport.ts'

type PaddleTimeouts = {
  /** The longest wait for the answer to a charge, which waits for the card's bank. Default 90 s. */
  readonly chargeMs?: number
  /** The longest wait for any other answer, and between parts of any answer. Default 15 s. */
  readonly otherMs?: number
}

export type PaddleClientOptions = {
  readonly apiKey: string
  readonly environment: PaddleEnvironment
  readonly timeouts?: PaddleTimeouts
  /** Told of every call when it has ended, for logs and metrics. */
  readonly onCall?: (call: PaddleCall) => void
}

/** A call as it went: safe to log. */
export type PaddleCall = {
  /** Such as `charge` or `list transactions`. */
  readonly operation: string
  readonly durationMs: number
  /** `answered`, or how it was refused. */
  readonly outcome: 'answered' | PaddleRefusal['outcome']
  /** The code or the cause of the refusal. */
  readonly reason: string | null
  readonly sent: boolean
  readonly status: number | null
  /** Paddle's name for the request, to quote to its support. */
  readonly requestId: string | null
}

export type Answered<Answer> = { readonly outcome: 'answered'; readonly answer: Answer }

/** Makes one request to Paddle. What `send` throws becomes a refusal; only a missing transport is thrown. */
export type PaddleClient = <Answer>(
  operation: string,
  send: (paddle: Paddle) => Promise<Answer>,
  fence?: ChargeFence,
) => Promise<Answered<Answer> | PaddleRefusal>

/** That a call is a charge, and the `performance.now()` from which on it must not be sent any more. */
type ChargeFence = { readonly sendBefore: number }

/**
 * Throws: BillingError of `paddleTargetOf`, or `paddle_transport_missing` when `installPaddleTransport` was not called.
 */
export function createPaddleClient({
  apiKey,
  environment,
  timeouts: { chargeMs = 90_000, otherMs = 15_000 } = {},
  onCall,
}: PaddleClientOptions): PaddleClient {
  assertTransport()
  const { origin } = paddleTargetOf(environment, apiKey)
  const paddle = new Paddle(apiKey, { environment: baseUrl(origin), logLevel: LogLevel.none })

  return async (operation, send, fence) => {
    const startedAt = performance.now()
    const end = await exchange(
      {
        origin,
        headersTimeoutMs: fence === undefined ? otherMs : chargeMs,
        bodyTimeoutMs: otherMs,
        sendBefore: fence?.sendBefore ?? null,
      },
      () => send(paddle),
    )
    const result =
      end.ended === 'answer'
        ? ({ outcome: 'answered', answer: end.answer } as const)
        : classify(end.error, end.facts)
    const { sent, status, requestId } = end.facts
    onCall?.({
      operation,
      durationMs: performance.now() - startedAt,
      outcome: result.outcome,
      reason: reasonOf(result),
      sent,
      status,
      requestId,
    })
    return result
  }
}

/** What was read from an answer; an answer that cannot be read leaves us not knowing. */
export function factOf<Fact>(reading: Reading<Fact>): Answered<Fact> | PaddleRefusal {
  return reading.outcome === 'read'
    ? { outcome: 'answered', answer: reading.fact }
    : { outcome: 'unknown', cause: `unreadable answer: ${reading.detail}` }
}

/**
 * An id that goes into a URL's path.
 *
 * Throws: BillingError `malformed_paddle_id`.
 */
export function paddleId(id: string): string {
  if (/^[a-z]{2,16}_[A-Za-z\d]{1,64}$/.test(id)) return id
  throw new BillingError(
    'malformed_paddle_id',
    `Expected an id of Paddle's such as sub_01h04vsc0qhwtsbsxh3422wjs4; got ${JSON.stringify(id.slice(0, 80))}`,
  )
}

/**
 * The SDK takes what is not the name of an environment for a base URL. Production and sandbox are reached by their URLs
 * too, so that what is tested against a simulator is what runs against Paddle.
 */
function baseUrl(origin: string): Environment {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the SDK's type is narrower than what it does
  return origin as Environment
}

function reasonOf(result: { readonly outcome: 'answered' } | PaddleRefusal): string | null {
  if (result.outcome === 'answered') return null
  return result.outcome === 'unknown' ? result.cause : result.code
}
