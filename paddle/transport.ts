/**
 * What Paddle's SDK leaves to us: timeouts, a fence around where a call may go and until when it may be sent, and the
 * facts of what went over the wire. The SDK calls the global `fetch`, which asks the process's global dispatcher; installing
 * this transport puts ours there. Whatever is not a call to Paddle passes through it untouched.
 *
 * It guarantees that an exchange whose facts say `sent: false` never wrote a byte of its request.
 */
import { AsyncLocalStorage } from 'node:async_hooks'

import { Agent, getGlobalDispatcher, setGlobalDispatcher, type Dispatcher } from 'undici'

import { BillingError } from '../billing/billing-error.ts'

/** What an exchange may do. */
export type ExchangeTerms = {
  /** The only origin that it may reach. */
  readonly origin: string
  /** The longest wait for the head of the answer, from when the request was sent; undici's clock is coarse, about 1 s. */
  readonly headersTimeoutMs: number
  /** The longest wait for the next part of the answer's body. */
  readonly bodyTimeoutMs: number
  /** A `performance.now()` from which on the request must not be sent any more; null when it may be sent whenever. */
  readonly sendBefore: number | null
}

/** What went over the wire. */
export type ExchangeFacts = {
  /** The request was handed to a connected socket. False proves that Paddle has seen nothing of it. */
  readonly sent: boolean
  /** Why the transport itself did not send it, if it did not. */
  readonly refusal: ExchangeRefusal | null
  /** The HTTP status of the answer; null when no head arrived. */
  readonly status: number | null
  /** Paddle's name for the request, to quote to its support. */
  readonly requestId: string | null
  /** What a Retry-After in seconds asks for, at most a day; null when there is none, or when it is a date. */
  readonly retryAfterMs: number | null
}

type ExchangeRefusal = 'send_deadline_passed' | 'foreign_origin_refused' | 'second_request_refused'

/** How an exchange ended: with an answer or with whatever was thrown, and in both cases with the facts. */
export type ExchangeEnd<Answer> =
  | { readonly ended: 'answer'; readonly answer: Answer; readonly facts: ExchangeFacts }
  | { readonly ended: 'error'; readonly error: unknown; readonly facts: ExchangeFacts }

type Exchange = { readonly terms: ExchangeTerms; dispatched: boolean; facts: ExchangeFacts }

const connectTimeoutMs = 5_000
const longestRetryAfterMs = 86_400_000

const underWay = new AsyncLocalStorage<Exchange>()
const transports = new WeakSet()

/**
 * Puts the transport under the process's `fetch`, until `close` puts back what was there.
 *
 * Each process that calls Paddle does this once, in its `main.ts`, before it creates a gateway.
 */
export function installPaddleTransport(): { readonly close: () => Promise<void> } {
  const before = getGlobalDispatcher()
  const agent = new Agent({ connect: { timeout: connectTimeoutMs } })
  const transport = agent.compose(
    (dispatch) => (options, handler) => dispatchFenced(dispatch, options, handler),
  )
  transports.add(transport)
  setGlobalDispatcher(transport)
  return {
    close: async () => {
      if (getGlobalDispatcher() === transport) setGlobalDispatcher(before)
      await agent.close()
    },
  }
}

/**
 * Does one request, by the SDK or anyone who calls `fetch`, under terms.
 *
 * Shape:  one request: a second one, which is what a redirect or a retry would be, is refused.
 * Throws: BillingError `paddle_transport_missing` when the transport is not installed; nothing was done then. What `work`
 *         throws is not thrown but returned.
 */
export async function exchange<Answer>(
  terms: ExchangeTerms,
  work: () => Promise<Answer>,
): Promise<ExchangeEnd<Answer>> {
  assertTransport()
  const exchange: Exchange = { terms, dispatched: false, facts: nothingYet }
  try {
    const answer = await underWay.run(exchange, work)
    return { ended: 'answer', answer, facts: exchange.facts }
  } catch (error) {
    return { ended: 'error', error, facts: exchange.facts }
  }
}

/** Throws: BillingError `paddle_transport_missing`. */
export function assertTransport(): void {
  if (transports.has(getGlobalDispatcher())) return
  throw new BillingError(
    'paddle_transport_missing',
    'Calls to Paddle would have no timeouts: call installPaddleTransport() when the process starts, and let nothing else set the global dispatcher',
  )
}

const nothingYet: ExchangeFacts = {
  sent: false,
  refusal: null,
  status: null,
  requestId: null,
  retryAfterMs: null,
}

function dispatchFenced(
  dispatch: Dispatcher['dispatch'],
  options: Dispatcher.DispatchOptions,
  handler: Dispatcher.DispatchHandler,
): boolean {
  const exchange = underWay.getStore()
  if (exchange === undefined) return dispatch(options, handler)
  const { terms } = exchange
  if (exchange.dispatched) throw refuse(exchange, 'second_request_refused')
  exchange.dispatched = true
  if (String(options.origin) !== terms.origin) throw refuse(exchange, 'foreign_origin_refused')
  refuseLateSend(exchange)
  return dispatch(
    { ...options, headersTimeout: terms.headersTimeoutMs, bodyTimeout: terms.bodyTimeoutMs },
    watching(exchange, handler),
  )
}

/** Passes everything on to `handler`, and notes in `exchange` what it sees go by. */
function watching(exchange: Exchange, handler: Dispatcher.DispatchHandler): Dispatcher.DispatchHandler {
  return {
    // Called with a connected socket, in the same turn in which the request is written to it; an error thrown here keeps
    // it from being written. Making the connection took its time, and the process may have stood still meanwhile.
    onRequestStart(controller, context) {
      refuseLateSend(exchange)
      exchange.facts = { ...exchange.facts, sent: true }
      handler.onRequestStart?.(controller, context)
    },
    onResponseStart(controller, status, headers, statusMessage) {
      if (status >= 200) exchange.facts = { ...exchange.facts, status, ...headFacts(headers) }
      handler.onResponseStart?.(controller, status, headers, statusMessage)
    },
    onResponseData: (controller, chunk) => handler.onResponseData?.(controller, chunk),
    onResponseEnd: (controller, trailers) => handler.onResponseEnd?.(controller, trailers),
    onResponseError: (controller, error) => handler.onResponseError?.(controller, error),
    onRequestUpgrade: (controller, status, headers, socket) =>
      handler.onRequestUpgrade?.(controller, status, headers, socket),
  }
}

function refuseLateSend(exchange: Exchange): void {
  const { sendBefore } = exchange.terms
  if (sendBefore !== null && performance.now() >= sendBefore) throw refuse(exchange, 'send_deadline_passed')
}

function refuse(exchange: Exchange, refusal: ExchangeRefusal): BillingError {
  exchange.facts = { ...exchange.facts, refusal }
  return new BillingError(refusal, `The transport did not send this request to Paddle: ${refusal}`)
}

type Headers = Readonly<Record<string, string | string[] | undefined>>

function headFacts(headers: Headers): Pick<ExchangeFacts, 'requestId' | 'retryAfterMs'> {
  const requestId = headers['request-id']
  const retryAfter = headers['retry-after']
  return {
    requestId: typeof requestId === 'string' && /^[\w-]{1,128}$/.test(requestId) ? requestId : null,
    retryAfterMs:
      typeof retryAfter === 'string' && /^\d{1,9}$/.test(retryAfter)
        ? Math.min(Number(retryAfter) * 1000, longestRetryAfterMs)
        : null,
  }
}
