/**
 * The OpenAPI document, written from the routes themselves: their schemas, who may call them, and what they may be refused
 * with. Nothing is said twice, so it cannot say anything else than what the routes do.
 */
import { fastifySwagger } from '@fastify/swagger'
import { jsonSchemaTransform } from 'fastify-type-provider-zod'

import type { Api, RouteScope } from './api.ts'
import type { OpenApiDocument } from './openapi-document.ts'
import { describeRefusals } from './openapi-refusals.ts'
import { tidy } from './openapi-tidy.ts'

/** Equal to package.json's, which nothing in here may read. */
export const apiVersion = '0.1.0'

const about = `A prepaid wallet for voice platforms: calls are admitted against its balance, usage is posted to it, money comes in
by top-ups and by auto-recharge.

**Keys.** \`Authorization: Bearer sk_call2me_...\`. A key belongs to one workspace. Its scope is \`read\` (GET only), \`write\` (also
calls, campaigns and usage) or \`admin\` (also money, cards, settings and keys). \`operator\` is the key of whoever runs this
deployment.

**Money.** Dollars as JSON numbers. Balances are rounded down to the cent; what has to add up is exact.

**Errors.** Every one is \`{"error": {"code", "message", "field"?, "request_id"}}\`. 4xx: change the request before it is sent
again; 402: top up first; 429 and 503: the same again, after \`Retry-After\`.`

const tags = [
  { name: 'Wallet', description: 'What a workspace has, what it spent, and on what.' },
  { name: 'Calls', description: 'May a call start? What is held for it while it lives.' },
  { name: 'Campaigns', description: 'Start, pause, resume and cancel.' },
  { name: 'Numbers', description: 'Rented by the month, paid in advance on the anniversary.' },
  { name: 'Usage', description: 'Tell what happened and may cost. Posted once, however often it is told.' },
  { name: 'Pricing', description: 'What things cost, and what a call would.' },
  { name: 'Top-ups', description: 'Credit bought, and every step of it.' },
  { name: 'Payments', description: 'Checkouts, and what was paid.' },
  { name: 'Cards', description: 'The card that is kept for top-ups and recharges.' },
  { name: 'Auto-recharge', description: 'When the card is charged by itself, and why it was not.' },
  { name: 'Keys', description: 'Who may speak for a workspace, and who changed what.' },
  { name: 'Workspaces', description: 'For whoever runs this deployment.' },
  { name: 'Webhooks', description: "Paddle's news." },
  { name: 'Operations', description: 'Is it alive, is it ready, what does it say of itself.' },
]

/** Must come before the routes: it writes down those that are registered after it. */
export function registerOpenApi(api: Api): void {
  const options: Parameters<typeof fastifySwagger>[1] = {
    openapi: {
      openapi: '3.1.1',
      info: { title: 'voice-wallet', version: apiVersion, description: about },
      servers: [{ url: '/', description: 'The server that this document comes from' }],
      tags,
      components: {
        securitySchemes: {
          key: {
            type: 'http',
            scheme: 'bearer',
            bearerFormat: 'sk_call2me_...',
            description: "A workspace's key, or the operator's",
          },
        },
      },
    },
    // The paths of the document are those of the server: its one server is where the document came from.
    stripBasePath: false,
    transform: (route) => {
      const { schema, url } = jsonSchemaTransform(route)
      const scope = route.route.config?.scope ?? 'public'
      const method = methodOf(route.route.method)
      return { schema: { ...schema, ...identityOf(method, url, scope) }, url }
    },
  }
  // Called, and not registered: its hook has to be there before the first route, and what is registered loads after them all.
  fastifySwagger(api, options, () => undefined)

  let text: string | null = null
  api.get(
    '/openapi.json',
    {
      config: { scope: 'public' },
      schema: {
        summary: 'This document',
        tags: ['Operations'],
      },
    },
    async (_request, reply) => {
      text ??= JSON.stringify(documentOf(api))
      return await reply
        .type('application/json; charset=utf-8')
        .header('cache-control', 'public, max-age=60')
        .send(text)
    },
  )
}

/** Shape: the document of a server that is ready. */
export function documentOf(api: Pick<Api, 'swagger'>): OpenApiDocument {
  const document: OpenApiDocument = JSON.parse(JSON.stringify(tidy(api.swagger())))
  return describeRefusals(document)
}

/** What each operation is called by generated clients, and who may call it. */
function identityOf(method: string, url: string, scope: RouteScope) {
  return {
    operationId: operationIdOf(method, url),
    security: scope === 'public' ? [] : [{ key: [] }],
    'x-scope': scope,
  }
}

/** `GET /v1/wallet/transactions/:id` is `getV1WalletTransactionsId`. */
function operationIdOf(method: string, url: string): string {
  const words = url.split(/[^A-Za-z\d]+/).filter((word) => word !== '')
  return (
    method.toLowerCase() + words.map((word) => `${word.slice(0, 1).toUpperCase()}${word.slice(1)}`).join('')
  )
}

function methodOf(method: string | readonly string[]): string {
  return typeof method === 'string' ? method : (method[0] ?? 'GET')
}
