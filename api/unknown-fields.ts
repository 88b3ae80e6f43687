/** Unknown fields are refused by name: also where a route reads no query and no body, so that a slip is told and not ignored. */
import { z } from 'zod'

import type { Api } from './api.ts'

/** What is public, and what is a page, may be called with anything after the question mark: probes and links have their own ideas. */
export function registerUnknownFields(api: Api): void {
  api.addHook('onRoute', (route) => {
    const { schema, config } = route
    if (schema === undefined || config?.scope === undefined) return
    if (config.scope === 'public' || config.scope === 'session') return
    const readsBody = ['POST', 'PUT', 'PATCH'].includes(String(route.method))
    route.schema = {
      querystring: z.strictObject({}),
      // Fastify gives a body that is not there as null.
      ...(readsBody ? { body: z.strictObject({}).nullish() } : {}),
      ...schema,
    }
  })
}
