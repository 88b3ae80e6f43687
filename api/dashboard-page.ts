/** What every route of the wallet page shares: the frame around a page, how a page is sent, and what a form's refusal becomes. */
import type { FastifyReply, FastifyRequest } from 'fastify'

import type { Html } from '../dashboard/html.ts'
import { themes, type AssetPath, type Frame, type Theme } from '../dashboard/page.ts'
import type { PlaceName } from '../dashboard/places.ts'
import { findWorkspaceName } from '../db/workspace.ts'
import { workspaceOf } from './api.ts'
import { hasScope } from './authentication.ts'
import type { MoneyInContext } from './paddle-context.ts'
import { cookieOf, csrfOf } from './session.ts'
import { readTroubles } from './troubles.ts'

export type DashboardContext = MoneyInContext & {
  assets: AssetPath
  /** Of Paddle.js, which shows the checkout over the page; null sends customers to the checkout's own page. */
  paddleClient: PaddleClientToken | null
}

export type PaddleClientToken = { token: string; environment: 'production' | 'sandbox' }

/** Where what was done is said on the next page: the word in the address, and the sentence. */
const notices: Partial<Record<string, string>> = {
  saved: 'Saved.',
  on: 'Auto-recharge is on.',
  charging: 'Auto-recharge is on, and the card is being charged now.',
  off: 'Auto-recharge is off. The card is not charged any more.',
  resumed: 'Auto-recharge goes on.',
  removed: 'The card is removed.',
  card: 'Back from Paddle. The card shows here as soon as Paddle has told us of it.',
  cancelled: 'The number is given up at the end of its paid month.',
  kept: 'The number is kept.',
}

export async function readFrame(
  { db, assets }: Pick<DashboardContext, 'db' | 'assets'>,
  request: FastifyRequest,
  place: PlaceName,
): Promise<Frame> {
  const workspaceId = workspaceOf(request)
  const [workspaceName, troubles] = await Promise.all([
    findWorkspaceName(db, workspaceId),
    readTroubles(db, workspaceId),
  ])
  const { done } = queryOf(request)
  return {
    place,
    assets,
    theme: themeOf(request),
    workspaceId,
    workspaceName,
    mayChange: mayChange(request),
    csrf: csrfOf(request.sessionToken ?? ''),
    troubles,
    notice: done === undefined ? null : (notices[done] ?? null),
    mark: request.walletMark,
  }
}

export function mayChange({ caller }: Pick<FastifyRequest, 'caller'>): boolean {
  return caller.kind === 'workspace' && hasScope(caller.scope, 'admin')
}

export const themeCookie = '__Host-wallet-theme'

export function themeOf(request: FastifyRequest): Theme {
  const said = cookieOf(request, themeCookie)
  return themes.find((theme) => theme === said) ?? 'auto'
}

/** What stands in the address after the question mark; of a name that is there twice nothing. */
export function queryOf({ query }: Pick<FastifyRequest, 'query'>): Partial<Record<string, string>> {
  return typeof query === 'object' && query !== null
    ? Object.fromEntries(
        Object.entries(query).filter(([, value]) => typeof value === 'string' && value !== ''),
      )
    : {}
}

/** What stands in the address itself. */
export function paramsOf({ params }: Pick<FastifyRequest, 'params'>): Partial<Record<string, string>> {
  return typeof params === 'object' && params !== null ? { ...params } : {}
}

/** Shape: `paddleJs` lets Paddle's script and its frame in, on the one page that opens the checkout. */
export async function sendPage(
  reply: FastifyReply,
  page: Html,
  { status = 200, paddleJs = false }: { status?: number; paddleJs?: boolean } = {},
): Promise<FastifyReply> {
  return await reply
    .code(status)
    .type('text/html; charset=utf-8')
    .header('content-security-policy', paddleJs ? checkoutPolicy : pagePolicy)
    // With no-referrer browsers say of a form's origin only that it is null.
    .header('referrer-policy', 'same-origin')
    .send(page.toString())
}

/** After a form: the browser gets the page that shows what came of it, and reloading does nothing twice. */
export async function goTo(reply: FastifyReply, path: `/wallet${string}`): Promise<FastifyReply> {
  return await reply.code(303).header('location', path).send()
}

const ownPolicy = {
  'default-src': "'none'",
  'script-src': "'self'",
  'style-src': "'self'",
  'img-src': "'self'",
  'connect-src': "'self'",
  'form-action': "'self'",
  'base-uri': "'none'",
  'frame-ancestors': "'none'",
}
const pagePolicy = policyOf(ownPolicy)
/** Paddle.js brings a style sheet and two hosts of frames: one for the sandbox. */
const checkoutPolicy = policyOf({
  ...ownPolicy,
  'script-src': "'self' https://cdn.paddle.com",
  'style-src': "'self' https://cdn.paddle.com https://sandbox-cdn.paddle.com",
  'frame-src': 'https://buy.paddle.com https://sandbox-buy.paddle.com',
})

function policyOf(directives: Record<string, string>): string {
  return Object.entries(directives)
    .map(([name, sources]) => `${name} ${sources}`)
    .join('; ')
}
