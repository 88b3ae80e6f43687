/**
 * Who is calling, decided before anything else of a request is read. A workspace comes from its key and never from a body or a
 * path. A route that does not say who may call it stops the process when it starts.
 */
import { hash, timingSafeEqual } from 'node:crypto'

import type { FastifyRequest } from 'fastify'

import { BillingError } from '../billing/billing-error.ts'
import { findCallerByKey } from '../db/api-key.ts'
import type { ApiKeyScope, Db } from '../db/schema.ts'
import type { Api, Caller, RouteScope } from './api.ts'
import { refusal } from './errors.ts'

export type AuthenticationOptions = {
  db: Db
  /** The key of whoever runs this deployment; null when there is none, and then nobody is. */
  operatorKey: string | null
}

/** How long a key that was looked up is believed, and a revoked one therefore still let in. */
const believedMs = 500
const mostBelieved = 10_000

/** Decides who is calling, and nothing about what they may. */
export function registerAuthentication(api: Api, { db, operatorKey }: AuthenticationOptions): void {
  const believed = new Map<string, { caller: Promise<Caller>; until: number }>()
  const operatorHash = operatorKey === null ? null : hash('sha256', operatorKey, 'buffer')

  const callerOf = async (key: string): Promise<Caller> => {
    const keyHash = hash('sha256', key, 'buffer')
    if (operatorHash !== null && timingSafeEqual(keyHash, operatorHash)) return { kind: 'operator' }
    const name = keyHash.toString('hex')
    const known = believed.get(name)
    if (known !== undefined && known.until > performance.now()) return await known.caller
    if (believed.size >= mostBelieved) believed.clear()
    // From before the look, and once for all who ask meanwhile: what it finds may be as old as that.
    const looked = { caller: findCaller(db, key), until: performance.now() + believedMs }
    believed.set(name, looked)
    looked.caller.catch(() => believed.delete(name))
    return await looked.caller
  }

  api.decorateRequest('caller')
  api.addHook('onRequest', async (request) => {
    const key = bearerOf(request)
    request.caller = key === null ? { kind: 'nobody' } : await callerOf(key)
  })
}

/** Lets nobody call a route who may not, and no route be there that does not say who may. */
export function registerScopes(api: Api): void {
  api.addHook('onRoute', (route) => {
    if (route.config?.scope === undefined && route.method !== 'HEAD' && route.method !== 'OPTIONS') {
      throw new BillingError(
        'route_without_scope',
        `${String(route.method)} ${route.url} does not say who may call it`,
      )
    }
  })
  api.addHook('onRequest', async (request) => {
    admit(request.caller, request.routeOptions.config.scope ?? 'public', bearerOf(request) !== null)
  })
}

async function findCaller(db: Db, key: string): Promise<Caller> {
  const found = await findCallerByKey(db, key)
  return found === null ? { kind: 'nobody' } : { kind: 'workspace', ...found }
}

const ranks: Record<ApiKeyScope, number> = { read: 0, write: 1, admin: 2 }

/** Whether a key of this scope may do what needs the other. */
export function hasScope(scope: ApiKeyScope, needed: ApiKeyScope): boolean {
  return ranks[scope] >= ranks[needed]
}

function admit(caller: Caller, needed: RouteScope, hasKey: boolean): void {
  // Of a session no key says anything: its routes ask themselves.
  if (needed === 'public' || needed === 'session') return
  if (caller.kind === 'nobody') {
    throw refusal({
      status: 401,
      code: 'unauthorized',
      message: hasKey
        ? 'The key is not one that is in force: check it, or make a new one.'
        : 'A key is missing: send Authorization: Bearer sk_call2me_...',
      headers: { 'www-authenticate': 'Bearer' },
    })
  }
  const isAllowed =
    needed === 'operator'
      ? caller.kind === 'operator'
      : caller.kind === 'workspace' && hasScope(caller.scope, needed)
  if (isAllowed) return
  throw refusal({
    status: 403,
    code: 'wrong_scope',
    message: `This needs ${needed === 'operator' ? "the operator's key" : `a workspace's key with the scope ${needed}`}.`,
  })
}

/** The key that was sent, whatever it is. */
export function bearerOf(request: FastifyRequest): string | null {
  const header = request.headers.authorization
  const key = header === undefined ? undefined : /^bearer +(\S{1,256})$/i.exec(header)?.[1]
  return key ?? null
}
