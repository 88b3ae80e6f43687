/** The HTTP server: its limits and its routes. Whoever is slow or sends too much is cut off before a route hears of it. */
import fastify, { type FastifyInstance } from 'fastify'
import { serializerCompiler, validatorCompiler, type ZodTypeProvider } from 'fastify-type-provider-zod'

import { micros, type Micros } from '../billing/money.ts'
import type { Db } from '../db/schema.ts'
import { defaultQueuePrefix } from '../jobs/queues.ts'
import type { Log } from '../runtime/log.ts'
import type { HttpMetrics } from '../runtime/metrics.ts'
import { registerAuthentication, registerScopes } from './authentication.ts'
import { registerAutoRechargeRoutes } from './auto-recharge-routes.ts'
import { registerCardRoutes } from './card-routes.ts'
import { registerCallRoutes, type AdmissionOptions } from './call-routes.ts'
import { registerCampaignRoutes } from './campaign-routes.ts'
import type { PaddleClientToken } from './dashboard-page.ts'
import { registerDashboard } from './dashboard-routes.ts'
import { registerDocsPage } from './docs-page.ts'
import { answerBrokenRequest, malformedRequest, newRequestId, registerErrors, sendError } from './errors.ts'
import { registerHealthRoutes } from './health-routes.ts'
import { registerOpenApi } from './openapi.ts'
import { registerIdempotency } from './idempotency.ts'
import { registerJsonBodies } from './json-body.ts'
import { registerKeyRoutes } from './key-routes.ts'
import type { ApiPaddle } from './paddle-context.ts'
import { registerPaddleWebhook, type WebhookOptions } from './paddle-webhook.ts'
import { registerPaymentRoutes } from './payment-routes.ts'
import { registerPhoneNumberRoutes } from './phone-number-routes.ts'
import { registerRateLimit, type RateLimitOptions } from './rate-limit.ts'
import { registerSecurityHeaders } from './security-headers.ts'
import { registerTopUpRoutes } from './top-up-routes.ts'
import { registerUnknownFields } from './unknown-fields.ts'
import { registerPricingRoutes } from './pricing-routes.ts'
import { registerReceiptRoutes } from './receipt-routes.ts'
import { registerUsageStatsRoutes } from './usage-stats-routes.ts'
import { registerUsageRoutes } from './usage-routes.ts'
import { registerWalletRoutes } from './wallet-routes.ts'
import { registerWalletTransactionRoutes } from './wallet-transaction-routes.ts'
import { registerWorkspaceRoutes } from './workspace-routes.ts'

export type ServerLimits = {
  /** How long the headers of a request may take to arrive. */
  headersMs: number
  /** How long a whole request may take to arrive. */
  requestMs: number
  /** How long requests that have begun may go on when the server is closed. */
  closeMs: number
  /** The largest body. */
  bodyBytes: number
}

export type ApiContext = {
  db: Db
  log: Log
  webhooks: WebhookOptions
  /** The key of whoever runs this deployment; null when there is none. */
  operatorKey?: string | null
  /** Where answers are counted. */
  http?: HttpMetrics | null
  /** Asks Redis for a sign of life; null when there is none to ask. */
  pingRedis?: (() => Promise<unknown>) | null
  /** Opens checkouts and removes cards; null where no Paddle is configured. */
  paddle?: ApiPaddle | null
  /** Shows Paddle's checkout over the wallet page; null sends customers to the checkout's own page. */
  paddleClient?: PaddleClientToken | null
  /** The most that one top-up may bring. */
  mostTopUpMicros?: Micros
  /** How calls are admitted; without it, on `db`. */
  admission?: AdmissionOptions | undefined
  limits?: ServerLimits
  rateLimit?: Partial<Omit<RateLimitOptions, 'log'>>
  /** Whose word is taken for the address of a caller: of proxies before this server. */
  trustedProxies?: readonly string[]
}

const defaultRateLimit = { perMinute: 600, redisUrl: null, prefix: defaultQueuePrefix }

const defaultLimits: ServerLimits = {
  headersMs: 10_000,
  requestMs: 15_000,
  closeMs: 10_000,
  bodyBytes: 262_144,
}

/** Does nothing until it listens. */
export function createServer({
  db,
  log,
  webhooks,
  operatorKey = null,
  http = null,
  pingRedis = null,
  paddle = null,
  paddleClient = null,
  mostTopUpMicros = micros(2_000_000_000n),
  admission,
  limits = defaultLimits,
  rateLimit = {},
  trustedProxies = [],
}: ApiContext): FastifyInstance {
  const server = fastify({
    bodyLimit: limits.bodyBytes,
    requestTimeout: limits.requestMs,
    http: {
      headersTimeout: limits.headersMs,
      // How often Node looks for requests that are late; its default would let them stay half a minute longer.
      connectionsCheckingInterval: Math.min(1_000, limits.headersMs),
    },
    forceCloseConnections: 'idle',
    trustProxy: trustedProxies.length === 0 ? false : [...trustedProxies],
    // As long as an id may be when every character of it is escaped.
    routerOptions: { maxParamLength: 1_200 },
    logger: false,
    genReqId: newRequestId,
    clientErrorHandler: answerBrokenRequest,
    frameworkErrors: (_error, request, reply) => {
      reply.header('x-request-id', request.id)
      void sendError(reply, malformedRequest)
    },
  })
  registerErrors(server, log)
  const api = server.withTypeProvider<ZodTypeProvider>()
  api.setValidatorCompiler(validatorCompiler)
  api.setSerializerCompiler(serializerCompiler)
  registerSecurityHeaders(api)
  registerJsonBodies(server)
  registerAuthentication(api, { db, operatorKey })
  registerRateLimit(api, { ...defaultRateLimit, ...rateLimit, log })
  registerScopes(api)
  registerUnknownFields(api)
  registerIdempotency(api, { db, log })
  cutOffWhenClosing(server, limits.closeMs)
  server.addHook('onResponse', async (request, reply) => {
    // Never the address itself: what people put there is theirs.
    const route = request.routeOptions.url
    const fields = { requestId: request.id, method: request.method, route, status: reply.statusCode }
    log.debug({ ...fields, durationMs: Math.round(reply.elapsedTime) }, 'answered')
    http?.onAnswer({ ...fields, route: route ?? 'none', durationMs: reply.elapsedTime })
  })
  registerOpenApi(api)
  registerDocsPage(api)
  registerHealthRoutes(api, { db, pingRedis })
  registerPaddleWebhook(server, { db, log, ...webhooks })
  registerWalletRoutes(api, { db, log })
  registerCallRoutes(api, { db, log, admission })
  registerCampaignRoutes(api, { db, log })
  registerPhoneNumberRoutes(api, { db, log })
  registerUsageRoutes(api, { db, log })
  registerWalletTransactionRoutes(api, { db, log })
  registerReceiptRoutes(api, { db, log })
  registerUsageStatsRoutes(api, { db, log })
  registerPricingRoutes(api, { db, log })
  registerKeyRoutes(api, { db, log })
  registerWorkspaceRoutes(api, { db, log })
  const moneyIn = { db, log, paddle, mostTopUpMicros }
  registerTopUpRoutes(api, moneyIn)
  registerPaymentRoutes(api, moneyIn)
  registerCardRoutes(api, moneyIn)
  registerAutoRechargeRoutes(api, moneyIn)
  registerDashboard(server, { ...moneyIn, paddleClient })
  return server
}

/** A server that is closing looks for late requests no more, so one that never ends would keep it for ever. */
function cutOffWhenClosing(server: FastifyInstance, closeMs: number): void {
  let cutting: NodeJS.Timeout | undefined
  server.addHook('preClose', async () => {
    cutting = setTimeout(() => server.server.closeAllConnections(), closeMs)
  })
  server.addHook('onClose', async () => clearTimeout(cutting))
}
