/**
 * Sessions of the wallet page, over HTTP: the cookie, who it lets in, and what a form must bring along so that no other site can
 * send it. The routes of the API never look at the cookie, and these here never at a key in a header.
 */
import { hash, timingSafeEqual } from 'node:crypto'

import type { FastifyReply, FastifyRequest } from 'fastify'

import { paths } from '../dashboard/places.ts'
import { readSessionClock, findSession } from '../db/dashboard-session.ts'
import type { ApiKeyScope, Db } from '../db/schema.ts'
import type { Api } from './api.ts'
import { hasScope } from './authentication.ts'
import { refusal } from './errors.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Of a route with the scope `session`: the scope that the key of the session must have. Without it, what changes needs `admin`. */
    needs?: ApiKeyScope
  }
  interface FastifyRequest {
    /** The token of the cookie, where it is of a session that is not over. */
    sessionToken: string | null
  }
}

/** The prefix binds it to this host, to HTTPS (or this machine) and to all of its paths. */
const sessionCookie = '__Host-wallet-session'
/** Lax, not Strict: with Strict, whoever comes back from Paddle's checkout would seem to be signed out. */
const attributes = 'Path=/; Secure; HttpOnly; SameSite=Lax'

/** Lets in who is signed in, and nobody's form but ours. For every route that is registered after it on `scope`. */
export function registerSessions(scope: Api, { db }: { db: Db }): void {
  scope.decorateRequest('sessionToken', null)

  scope.addHook('onRequest', async (request) => {
    // Whoever a bearer key said it was: here only the session says so.
    request.caller = { kind: 'nobody' }
    const token = cookieOf(request, sessionCookie)
    const found =
      token === null
        ? null
        : await findSession(db, token, { now: await readSessionClock(db), isUse: isUse(request) })
    if (found !== null) {
      request.sessionToken = token
      request.caller = { kind: 'workspace', ...found }
    }
    const { config } = request.routeOptions
    if (changes(request) && !isFromHere(request)) throw fromElsewhere()
    if (config.scope !== 'session') return
    if (request.caller.kind !== 'workspace') throw signedOut()
    const needed = config.needs ?? (changes(request) ? 'admin' : 'read')
    if (!hasScope(request.caller.scope, needed)) throw readOnly()
  })

  // After the body is read: the token is a field of the form.
  scope.addHook('preHandler', async (request) => {
    if (request.routeOptions.config.scope !== 'session' || !changes(request)) return
    const token = fieldsOf(request)['csrf'] ?? ''
    if (request.sessionToken === null || !isEqual(token, csrfOf(request.sessionToken))) throw fromElsewhere()
  })
}

export function beginSession(reply: FastifyReply, token: string): void {
  void reply.header('set-cookie', `${sessionCookie}=${token}; ${attributes}`)
}

export function forgetSession(reply: FastifyReply): void {
  void reply.header('set-cookie', `${sessionCookie}=; ${attributes}; Max-Age=0`)
}

/** What the forms of a session carry: another site can make a browser send the cookie, and cannot read this. */
export function csrfOf(sessionToken: string): string {
  return hash('sha256', `csrf of ${sessionToken}`, 'base64url')
}

/** Shape: null where it is not there, or holds anything but letters, digits, `-` and `_`. */
export function cookieOf(request: FastifyRequest, name: string): string | null {
  for (const pair of request.headers.cookie?.split(';') ?? []) {
    const [key = '', value = ''] = pair.trim().split('=')
    if (key === name) return /^[\w-]{1,64}$/.test(value) ? value : null
  }
  return null
}

/** The fields of a form that was sent. */
export function fieldsOf({ body }: Pick<FastifyRequest, 'body'>): Readonly<Partial<Record<string, string>>> {
  return typeof body === 'object' && body !== null
    ? Object.fromEntries(Object.entries(body).filter(([, value]) => typeof value === 'string'))
    : {}
}

/** A page that refreshes itself says so. It does not keep a session going that nobody uses any more. */
function isUse({ headers, routeOptions }: FastifyRequest): boolean {
  return headers['x-refresh'] === undefined && routeOptions.url !== paths.events
}

function changes({ method }: FastifyRequest): boolean {
  return method !== 'GET' && method !== 'HEAD'
}

/**
 * Whether a page of this host sent it. Browsers say so with every POST. Compared by host and not by scheme, because a proxy
 * that ends TLS before this server may not be trusted to tell the scheme.
 */
function isFromHere({ headers, host }: FastifyRequest): boolean {
  const site = headers['sec-fetch-site']
  if (site !== undefined && site !== 'same-origin') return false
  const { origin } = headers
  return origin !== undefined && URL.canParse(origin) && new URL(origin).host === host
}

function isEqual(one: string, other: string): boolean {
  return timingSafeEqual(hash('sha256', one, 'buffer'), hash('sha256', other, 'buffer'))
}

/** The codes by which the pages know what to show instead. */
export const signedOutCode = 'signed_out'

function signedOut() {
  return refusal({ status: 401, code: signedOutCode, message: 'Your session is over: sign in again.' })
}

function readOnly() {
  return refusal({
    status: 403,
    code: 'wrong_scope',
    message: 'The key that you signed in with may look and change nothing: sign in with an admin key.',
  })
}

function fromElsewhere() {
  return refusal({
    status: 403,
    code: 'foreign_form',
    message:
      'This form did not come from a page of this wallet, or from one of an earlier session: nothing was done.',
  })
}

/** This host, as the browser sees it, for the way back from Paddle: what the browser says of its own page counts for the scheme. */
export function hereOf(request: FastifyRequest): string {
  const { origin, referer } = request.headers
  const said = [origin, referer].find(
    (each) => each !== undefined && URL.canParse(each) && new URL(each).host === request.host,
  )
  return said === undefined ? `${request.protocol}://${request.host}` : new URL(said).origin
}
