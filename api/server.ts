/** The HTTP server: its limits and its routes. */
import fastify, { type FastifyInstance } from 'fastify'

import type { Db } from '../db/schema.ts'
import type { Log } from '../runtime/log.ts'
import { registerPaddleWebhook, type WebhookOptions } from './paddle-webhook.ts'

export type ApiContext = { db: Db; log: Log; webhooks: WebhookOptions }

/** Does nothing until it listens. */
export function createServer({ db, log, webhooks }: ApiContext): FastifyInstance {
  const server = fastify({
    bodyLimit: 262_144,
    requestTimeout: 30_000,
    forceCloseConnections: 'idle',
    logger: false,
  })
  server.get('/healthz', () => ({ status: 'ok' }))
  registerPaddleWebhook(server, { db, log, ...webhooks })
  return server
}
