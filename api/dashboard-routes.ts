/**
 * The wallet page. Its routes have a scope of their own: forms are read here and nowhere else, errors are pages, and who is
 * signed in is known by a cookie that no route of the API looks at.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { ZodTypeProvider } from 'fastify-type-provider-zod'

import type { Html } from '../dashboard/html.ts'
import { themes } from '../dashboard/page.ts'
import { paths, placeNames, places, type PlaceName } from '../dashboard/places.ts'
import { linkPage, problemPage, signInPage, type Look } from '../dashboard/sign-in-page.ts'
import {
  readSessionClock,
  endSession,
  findSignInLink,
  signInWithKey,
  signInWithLink,
} from '../db/dashboard-session.ts'
import { registerAddFunds } from './add-funds-routes.ts'
import type { Api } from './api.ts'
import { registerAutoRechargePage } from './auto-recharge-page-routes.ts'
import { registerAssets } from './dashboard-assets.ts'
import { goTo, queryOf, sendPage, themeCookie, themeOf, type DashboardContext } from './dashboard-page.ts'
import { errorOf } from './errors.ts'
import { registerLiveWallet } from './live-wallet.ts'
import { registerNumbersPage } from './numbers-page-routes.ts'
import { networkOf } from './rate-limit.ts'
import { beginSession, fieldsOf, forgetSession, registerSessions, signedOutCode } from './session.ts'
import { registerSpendPage } from './spend-page-routes.ts'
import { registerTransactionsPage } from './transactions-page-routes.ts'
import { createWindowCounter, roomInMs } from './sliding-window.ts'
import { registerWalletPage } from './wallet-page-routes.ts'

export function registerDashboard(server: FastifyInstance, context: Omit<DashboardContext, 'assets'>): void {
  void server.register(async (child) => {
    const scope: Api = child.withTypeProvider<ZodTypeProvider>()
    registerForms(scope)
    const assets = registerAssets(scope)
    registerProblems(scope, { ...context, assets })
    registerSessions(scope, context)
    registerSignIn(scope, { ...context, assets })
    registerLiveWallet(scope, context)
    registerWalletPage(scope, { ...context, assets })
    registerAddFunds(scope, { ...context, assets })
    registerAutoRechargePage(scope, { ...context, assets })
    registerTransactionsPage(scope, { ...context, assets })
    registerSpendPage(scope, { ...context, assets })
    registerNumbersPage(scope, { ...context, assets })
  })
}

/** Fields of a form, as text. What stands there twice counts once, as it stood last. */
function registerForms(scope: Api): void {
  scope.removeAllContentTypeParsers()
  scope.addContentTypeParser(
    'application/x-www-form-urlencoded',
    { parseAs: 'string', bodyLimit: 16_384 },
    async (_request: unknown, body: string) => Object.fromEntries(new URLSearchParams(body)),
  )
}

/** What goes wrong here is read by a person. */
function registerProblems(scope: Api, { log, assets }: DashboardContext): void {
  scope.setErrorHandler(async (error, request, reply) => {
    const { status, code, message, headers = {} } = errorOf(error, request)
    const fields = { requestId: request.id, route: request.routeOptions.url, err: error }
    if (status < 500) log.debug({ ...fields, code }, 'a page was refused')
    else log.error(fields, 'a page failed')
    const wantsPage = request.routeOptions.url !== paths.events
    if (code === signedOutCode && wantsPage) {
      const place = placeNames.find((name) => places[name].path === request.routeOptions.url)
      return await goTo(reply, `/wallet/sign-in?over=1${place === undefined ? '' : `&place=${place}`}`)
    }
    const look = { assets, theme: themeOf(request) }
    const view = {
      title: titles[status] ?? 'This did not work',
      message,
      requestId: request.id,
      isSignedIn: request.sessionToken !== null,
    }
    return await sendPage(reply.headers(headers), problemPage(look, view), { status })
  })
}

const titles: Partial<Record<number, string>> = {
  403: 'You may not do this',
  404: 'There is nothing here',
  415: 'This form cannot be read',
  429: 'Too many requests',
  503: 'Try again in a moment',
}

/** How often one address may try to sign in within a minute. A key cannot be guessed; this keeps those who try quiet. */
const triesAMinute = { limit: 20, windowMs: 60_000 }

function registerSignIn(scope: Api, { db, assets }: DashboardContext): void {
  const open = { config: { scope: 'public' }, schema: { hide: true } } as const
  const own = { config: { scope: 'session', needs: 'read' }, schema: { hide: true } } as const
  const countTry = createWindowCounter(triesAMinute)
  const lookOf = (request: FastifyRequest) => ({ assets, theme: themeOf(request) })

  /** Shape: seconds to wait, or null where there is room for one more. */
  const mustWait = (request: FastifyRequest): number | null => {
    const counted = countTry(networkOf(request.ip), Date.now())
    return counted.counted ? null : Math.max(1, Math.ceil(roomInMs(counted, triesAMinute) / 1_000))
  }
  /** A session that the browser had before is over: whoever knew its token knows nothing of the new one. */
  const enter = async (
    request: FastifyRequest,
    reply: FastifyReply,
    { token, place }: { token: string; place: PlaceName },
  ): Promise<FastifyReply> => {
    if (request.sessionToken !== null) await endSession(db, request.sessionToken)
    beginSession(reply, token)
    return await goTo(reply, places[place].path)
  }

  scope.get('/', open, async (_request, reply) => await goTo(reply, '/wallet'))

  scope.get(paths.signIn, open, async (request, reply) => {
    if (request.sessionToken !== null) return await goTo(reply, '/wallet')
    const { over, out, place } = queryOf(request)
    const notice =
      out === undefined ? (over === undefined ? null : 'Sign in to see the wallet.') : 'You are signed out.'
    return await sendPage(
      reply,
      signInPage(lookOf(request), { problem: null, notice, place: placeNamed(place) }),
    )
  })

  scope.post(paths.signIn, open, async (request, reply) => {
    const { key = '', place } = fieldsOf(request)
    const refuse = async (status: number, problem: string): Promise<FastifyReply> =>
      await sendPage(
        reply,
        signInPage(lookOf(request), { problem, notice: null, place: placeNamed(place) }),
        { status },
      )
    const waitSeconds = mustWait(request)
    if (waitSeconds !== null) {
      void reply.header('retry-after', waitSeconds)
      return await refuse(429, `Too many tries from here: wait ${waitSeconds} s, then try again.`)
    }
    const token = await signInWithKey(db, key.trim(), await readSessionClock(db))
    if (token !== null) return await enter(request, reply, { token, place: placeNamed(place) })
    return await refuse(
      422,
      'This key is not one that is in force. Check that all of it was copied, or make a new one.',
    )
  })

  scope.get(paths.link, open, async (request, reply) => {
    const { token = '' } = queryOf(request)
    const found =
      mustWait(request) === null ? await findSignInLink(db, token, await readSessionClock(db)) : null
    if (found === null) return await sendPage(reply, deadLink(request, lookOf(request)), { status: 410 })
    const { workspaceId, scope } = found
    return await sendPage(reply, linkPage(lookOf(request), { token, workspaceId, scope }))
  })

  scope.post(paths.link, open, async (request, reply) => {
    const { token = '' } = fieldsOf(request)
    const session =
      mustWait(request) === null ? await signInWithLink(db, token, await readSessionClock(db)) : null
    if (session !== null) return await enter(request, reply, { token: session, place: 'wallet' })
    return await sendPage(reply, deadLink(request, lookOf(request)), { status: 410 })
  })

  scope.post(paths.signOut, own, async (request, reply) => {
    if (request.sessionToken !== null) await endSession(db, request.sessionToken)
    forgetSession(reply)
    return await goTo(reply, '/wallet/sign-in?out=1')
  })

  scope.post(paths.theme, own, async (request, reply) => {
    const { theme, place } = fieldsOf(request)
    const wanted = themes.find((each) => each === theme) ?? 'auto'
    const keptSeconds = wanted === 'auto' ? 0 : 31_536_000
    void reply.header(
      'set-cookie',
      `${themeCookie}=${wanted}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=${keptSeconds}`,
    )
    return await goTo(reply, places[placeNamed(place)].path)
  })
}

/** Where a form leads next is one of our own pages, whatever it says. */
function placeNamed(name: string | undefined): PlaceName {
  return placeNames.find((each) => each === name) ?? 'wallet'
}

function deadLink({ id, sessionToken }: FastifyRequest, look: Look): Html {
  return problemPage(look, {
    title: 'This link does not work any more',
    message: 'A link signs in once, and only for a while. Sign in with a key, or ask for another link.',
    requestId: id,
    isSignedIn: sessionToken !== null,
  })
}
