/**
 * What goes wrong on command: before Paddle does the work, after it, or instead of the answer. The work itself never knows.
 */
import { setImmediate as turn } from 'node:timers/promises'

import { ApiRefusal, refusalBody } from './api-refusal.ts'
import type { Fault } from './control-commands.ts'
import type { Simulation } from './simulation.ts'

/** What becomes of the connection. */
export type WireAnswer =
  | { kind: 'answer'; status: number; headers: Record<string, string>; body: string }
  | { kind: 'hang' }
  | { kind: 'reset' }

/** The next fault that is meant for this route; it is used up by this request. */
export function takeFault(
  simulation: Simulation,
  { route, method, path }: { route: string; method: string; path: string },
): Fault | null {
  const fault = simulation.faults.find((each) => isMeantFor(each, { route, method, path }))
  if (fault === undefined) return null
  simulation.faults =
    fault.times > 1
      ? simulation.faults.map((each) => (each === fault ? { ...fault, times: fault.times - 1 } : each))
      : simulation.faults.filter((each) => each !== fault)
  return fault
}

/**
 * Answers a request as the fault says.
 *
 * Shape: `work` does what was asked and gives the honest answer; it may be called never, once or twice.
 */
export async function playFault(
  simulation: Simulation,
  fault: Fault,
  { requestId, work }: { requestId: string; work: () => Promise<WireAnswer> },
): Promise<WireAnswer> {
  if (fault.kind === 'slow') {
    if (fault.when === 'before') await simulation.clock.wait(fault.delayMs)
    const answer = await work()
    if (fault.when === 'after') await simulation.clock.wait(fault.delayMs)
    return answer
  }
  if (fault.kind === 'processed_twice') {
    await work()
    return await work()
  }
  const honest = fault.when === 'after' ? await work() : null
  if (fault.delayMs > 0) await simulation.clock.wait(fault.delayMs)
  await turn()
  return dishonest(simulation, fault, { requestId, honest })
}

/** What the client gets in place of the honest answer, if there was one. */
function dishonest(
  simulation: Simulation,
  fault: Fault,
  { requestId, honest }: { requestId: string; honest: WireAnswer | null },
): WireAnswer {
  if (fault.kind === 'hang' || fault.kind === 'reset') return { kind: fault.kind }
  if (fault.kind === 'empty_504') return { kind: 'answer', status: 504, headers: {}, body: '' }
  if (fault.kind === 'html_502')
    return {
      kind: 'answer',
      status: 502,
      headers: { 'content-type': 'text/html' },
      body: '<html><head><title>502 Bad Gateway</title></head><body>Bad Gateway</body></html>',
    }
  if (fault.kind === 'truncated_json')
    return {
      kind: 'answer',
      status: honest?.kind === 'answer' ? honest.status : 200,
      headers: { 'content-type': 'application/json' },
      body:
        honest?.kind === 'answer'
          ? honest.body.slice(0, Math.floor(honest.body.length / 2))
          : '{"data":{"id":"',
    }
  if (fault.kind === 'rate_limited') simulation.traffic.rateLimited += 1
  return refusalAnswer(refusalOf(fault), requestId)
}

/** A refusal on the wire, in Paddle's envelope. */
export function refusalAnswer(refusal: ApiRefusal, requestId: string): WireAnswer {
  return {
    kind: 'answer',
    status: refusal.status,
    headers: {
      'content-type': 'application/json',
      'request-id': requestId,
      ...(refusal.retryAfterSeconds === null ? {} : { 'retry-after': String(refusal.retryAfterSeconds) }),
    },
    body: JSON.stringify(refusalBody(refusal, requestId)),
  }
}

function refusalOf({ kind, retryAfterSeconds = null }: Fault): ApiRefusal {
  if (kind === 'rate_limited') return tooManyRequests(retryAfterSeconds)
  if (kind === 'locked_renewal')
    return conflict(
      'subscription_locked_renewal',
      'cannot change a subscription within 30 minutes of its renewal',
    )
  if (kind === 'outstanding_transaction')
    return conflict(
      'subscription_outstanding_transaction',
      'cannot charge a subscription that has an outstanding transaction',
    )
  if (kind === 'concurrent_modification')
    return new ApiRefusal(409, kind, 'cannot modify an entity that another request is modifying')
  return new ApiRefusal(
    500,
    'internal_error',
    'An unexpected error occurred. Your request was not processed.',
  )
}

export function tooManyRequests(retryAfterSeconds: number | null): ApiRefusal {
  return new ApiRefusal(
    429,
    'too_many_requests',
    'IP address exceeded the allowed rate limit. Retry after the number of seconds in the Retry-After header.',
    { retryAfterSeconds },
  )
}

function conflict(code: string, detail: string): ApiRefusal {
  return new ApiRefusal(409, code, detail, { family: 'subscriptions' })
}

function isMeantFor(
  { on }: Fault,
  { route, method, path }: { route: string; method: string; path: string },
): boolean {
  if (on === 'any') return true
  if (on === 'charge') return route === 'POST /subscriptions/{id}/charge'
  if (on === 'list_transactions') return route === 'GET /transactions'
  return new RegExp(on).test(`${method} ${path}`)
}
