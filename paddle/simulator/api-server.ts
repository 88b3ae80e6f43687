/** One request to the API: who asks, how often they may, which fault waits for them, and the envelope of the answer. */
import { createHash, randomUUID, timingSafeEqual } from 'node:crypto'

import { adjustmentRoutes } from './adjustment-routes.ts'
import { ApiRefusal, badRequest } from './api-refusal.ts'
import { catalogRoutes } from './catalog-routes.ts'
import { customerRoutes } from './customer-routes.ts'
import { eventRoutes } from './event-routes.ts'
import { playFault, refusalAnswer, takeFault, tooManyRequests, type WireAnswer } from './faults.ts'
import { notificationSettingRoutes } from './notification-setting-routes.ts'
import { createRouter, type Answer, type ApiRequest } from './routing.ts'
import type { Simulation } from './simulation.ts'
import { subscriptionRoutes } from './subscription-routes.ts'
import { transactionRoutes } from './transaction-routes.ts'

const findRoute = createRouter({
  ...adjustmentRoutes,
  ...catalogRoutes,
  ...customerRoutes,
  ...eventRoutes,
  ...notificationSettingRoutes,
  ...subscriptionRoutes,
  ...transactionRoutes,
})

export type RawRequest = {
  method: string
  url: URL
  authorization: string | undefined
  /** Null when it is not JSON. */
  readBody: () => { json: unknown } | null
}

export async function answerApi(simulation: Simulation, raw: RawRequest): Promise<WireAnswer> {
  const requestId = randomUUID()
  const { method, url } = raw
  try {
    const route = findRoute(method, url.pathname)
    const { requests } = simulation.traffic
    requests.set(route.name, (requests.get(route.name) ?? 0) + 1)
    authenticate(simulation, raw.authorization)
    // Previews have a limit of their own, which nobody here comes near.
    if (!route.name.endsWith('/preview')) limitRate(simulation)
    const fault = takeFault(simulation, { route: route.name, method, path: url.pathname })
    const request: ApiRequest = {
      method,
      path: url.pathname,
      params: route.params,
      query: url.searchParams,
      body: undefined,
      visibleAfterMs: fault?.visibleAfterMs ?? 0,
    }
    const work = async (): Promise<WireAnswer> => {
      try {
        const body = raw.readBody()
        if (body === null) throw badRequest('Invalid request: the body is not JSON.')
        const answer = await route.handler(simulation, { ...request, body: body.json })
        return envelope(answer, requestId)
      } catch (error) {
        return refusal(simulation, error, requestId)
      } finally {
        if (method !== 'GET') simulation.changed()
        if (simulation.webhooks.policy().beforeResponse === true) await simulation.webhooks.settled()
      }
    }
    return fault === null ? await work() : await playFault(simulation, fault, { requestId, work })
  } catch (error) {
    return refusal(simulation, error, requestId)
  }
}

function authenticate({ apiKey }: Simulation, authorization: string | undefined): void {
  if (authorization === undefined)
    throw new ApiRefusal(403, 'authentication_missing', 'Authentication header missing.')
  const [, token] = /^bearer +(\S+)$/i.exec(authorization) ?? []
  if (token === undefined)
    throw new ApiRefusal(
      403,
      'authentication_malformed',
      'Authentication header included, but incorrectly formatted.',
    )
  if (!timingSafeEqual(digest(token), digest(apiKey)))
    throw new ApiRefusal(403, 'invalid_token', 'Authentication header included, but the token is not valid.')
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}

function limitRate({ limits, clock, traffic }: Simulation): void {
  if (limits.requestsPerMinute === null) return
  const nowMs = clock.now().getTime()
  traffic.recentMs = traffic.recentMs.filter((at) => at > nowMs - 60_000 && at <= nowMs)
  const oldest = traffic.recentMs[0]
  if (oldest !== undefined && traffic.recentMs.length >= limits.requestsPerMinute) {
    traffic.rateLimited += 1
    throw tooManyRequests(Math.ceil((oldest + 60_000 - nowMs) / 1000))
  }
  if (limits.requestsPerMinute === 0) {
    traffic.rateLimited += 1
    throw tooManyRequests(60)
  }
  traffic.recentMs.push(nowMs)
}

function envelope({ status, data, pagination }: Answer, requestId: string): WireAnswer {
  const headers = { 'content-type': 'application/json', 'request-id': requestId }
  if (status === 204) return { kind: 'answer', status, headers: { 'request-id': requestId }, body: '' }
  const meta = { request_id: requestId, ...(pagination === undefined ? {} : { pagination }) }
  return { kind: 'answer', status, headers, body: JSON.stringify({ data, meta }) }
}

function refusal(simulation: Simulation, error: unknown, requestId: string): WireAnswer {
  if (!(error instanceof ApiRefusal))
    simulation.log(`the simulator itself failed: ${error instanceof Error ? error.stack : String(error)}`)
  return refusalAnswer(
    error instanceof ApiRefusal
      ? error
      : new ApiRefusal(500, 'internal_error', 'The simulator itself failed; its log says why.'),
    requestId,
  )
}
