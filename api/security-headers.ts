/**
 * What browsers are told with every answer: an answer is data, and nothing in it is to be run, framed or guessed at. A page
 * says in its own route what it needs beyond that. No other origin is let in: without a CORS header there is no CORS.
 */
import { fastifyHelmet } from '@fastify/helmet'

import type { Api } from './api.ts'

export function registerSecurityHeaders(api: Api): void {
  const options: Parameters<typeof fastifyHelmet>[1] = {
    contentSecurityPolicy: {
      useDefaults: false,
      directives: {
        'default-src': ["'none'"],
        'base-uri': ["'none'"],
        'form-action': ["'none'"],
        'frame-ancestors': ["'none'"],
      },
    },
    frameguard: { action: 'deny' },
    referrerPolicy: { policy: 'no-referrer' },
    strictTransportSecurity: { maxAge: 31_536_000, includeSubDomains: true },
  }
  // Called, and not registered: its hooks have to come before those that may refuse a request.
  void fastifyHelmet(api, options)
  // An answer is about somebody's money: nobody on the way keeps it. A page that may be kept says so.
  api.addHook('onRequest', async (_request, reply) => {
    reply.header('cache-control', 'no-store')
  })
}
