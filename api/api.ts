/**
 * What every route of the API is made of: a method and an address, who may call it, and zod schemas, which check what comes,
 * type the handler and write the OpenAPI document. A route that does not say who may call it cannot be registered.
 */
import type { FastifyBaseLogger, FastifyInstance, FastifyRequest, RawServerDefault } from 'fastify'
import type { ZodTypeProvider } from 'fastify-type-provider-zod'
import type { IncomingMessage, ServerResponse } from 'node:http'

import { BillingError } from '../billing/billing-error.ts'
import type { WorkspaceId } from '../billing/ids.ts'
import type { ApiKeyScope, Db } from '../db/schema.ts'
import type { Log } from '../runtime/log.ts'

/**
 * Who may call a route: anybody, a workspace's key of at least this scope, whoever runs this deployment, or whoever is signed in
 * on the wallet page.
 */
export type RouteScope = 'public' | ApiKeyScope | 'operator' | 'session'

/** Who is calling. */
export type Caller =
  | {
      readonly kind: 'workspace'
      readonly workspaceId: WorkspaceId
      readonly keyId: string
      readonly scope: ApiKeyScope
    }
  | { readonly kind: 'operator' }
  | { readonly kind: 'nobody' }

declare module 'fastify' {
  interface FastifyContextConfig {
    scope?: RouteScope
  }
  interface FastifyRequest {
    caller: Caller
  }
}

/** The server, seen by what registers routes on it. */
export type Api = FastifyInstance<
  RawServerDefault,
  IncomingMessage,
  ServerResponse,
  FastifyBaseLogger,
  ZodTypeProvider
>

/** What every route may need. */
export type RouteContext = { db: Db; log: Log }

/** The workspace whose key was used. */
export function workspaceOf(request: Pick<FastifyRequest, 'caller'>): WorkspaceId {
  if (request.caller.kind === 'workspace') return request.caller.workspaceId
  throw new BillingError('wrong_scope', 'This address is about a workspace: use a key of that workspace')
}

/** How the caller is named in the audit log. */
export function actorOf({ caller }: Pick<FastifyRequest, 'caller'>): string {
  return caller.kind === 'workspace' ? `key ${caller.keyId}` : caller.kind
}

/** For whom something is done, and who asks for it. */
export type WalletOwner = { workspaceId: WorkspaceId; actor: string }

export function ownerOf(request: Pick<FastifyRequest, 'caller'>): WalletOwner {
  return { workspaceId: workspaceOf(request), actor: actorOf(request) }
}
