/** The routes that a server really has, seen as they are registered and by nothing that the server says of itself. */
import { subscribe, unsubscribe } from 'node:diagnostics_channel'

import type { FastifyInstance, RouteOptions } from 'fastify'

export type SeenRoute = { method: string; url: string; config: RouteOptions['config'] }

/** Shape: what `create` made, and a list that grows until its server is ready. HEAD comes with every GET and is left out. */
export async function seeRoutes<Made>(
  create: () => Promise<Made> | Made,
): Promise<{ made: Made; routes: readonly SeenRoute[] }> {
  const routes: SeenRoute[] = []
  const watch = (message: unknown): void => {
    if (!isInitialization(message)) return
    message.fastify.addHook('onRoute', ({ method, url, config }) => {
      for (const each of [method].flat()) if (each !== 'HEAD') routes.push({ method: each, url, config })
    })
  }
  subscribe('fastify.initialization', watch)
  try {
    return { made: await create(), routes }
  } finally {
    unsubscribe('fastify.initialization', watch)
  }
}

function isInitialization(message: unknown): message is { fastify: FastifyInstance } {
  return typeof message === 'object' && message !== null && 'fastify' in message
}
