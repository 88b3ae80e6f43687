/**
 * Wallets as they change, for the pages that show one. However many pages are open, a process looks once a second at the wallets
 * that are watched, all in one statement, and not at all while nobody watches.
 */
import type { ServerResponse } from 'node:http'

import type { WorkspaceId } from '../billing/ids.ts'
import { money } from '../dashboard/wording.ts'
import { paths } from '../dashboard/places.ts'
import { readSessionClock, findSession } from '../db/dashboard-session.ts'
import { watchWallets, type WalletSeen } from '../db/wallet-watch.ts'
import { workspaceOf, type Api } from './api.ts'
import type { DashboardContext } from './dashboard-page.ts'
import { refusal } from './errors.ts'

const lookEveryMs = 1_000
/** A comment, so that nobody on the way takes the connection for dead. */
const heartbeatMs = 15_000
/** A session that was ended keeps no page up to date for longer than this. */
const askSessionMs = 10_000
const mostStreams = 500

type Stream = {
  workspaceId: WorkspaceId
  token: string
  response: ServerResponse
  last: string | null
  askedAt: number
}

declare module 'fastify' {
  interface FastifyRequest {
    /** How the wallet stood when a page of it was asked for. */
    walletMark: string
  }
}

export function registerLiveWallet(scope: Api, { db, log }: Pick<DashboardContext, 'db' | 'log'>): void {
  scope.decorateRequest('walletMark', '')
  const streams = new Set<Stream>()
  let timer: NodeJS.Timeout | undefined
  let isLooking = false

  const end = (stream: Stream): void => {
    streams.delete(stream)
    stream.response.end()
    if (streams.size === 0) {
      clearInterval(timer)
      timer = undefined
    }
  }
  const look = async (): Promise<void> => {
    // One look at a time: while Postgres is slow, pages wait and looks do not pile up.
    if (isLooking) return
    isLooking = true
    try {
      const watched = [...streams]
      await endThoseSignedOut(watched, end, db)
      const seen = await watchWallets(db, [...new Set(watched.map(({ workspaceId }) => workspaceId))])
      for (const stream of watched) tell(stream, seen.get(stream.workspaceId))
    } catch (error) {
      log.debug({ err: error }, 'the wallets that are watched could not be read; the next look does')
    } finally {
      isLooking = false
    }
  }

  // Before anything else of a page is read: what changes from then on is not on it, and the stream says so.
  scope.addHook('preHandler', async (request) => {
    if (request.routeOptions.config.scope !== 'session' || request.method !== 'GET') return
    const workspaceId = workspaceOf(request)
    request.walletMark = (await watchWallets(db, [workspaceId])).get(workspaceId)?.mark ?? ''
  })

  scope.get(
    paths.events,
    { config: { scope: 'session' }, exposeHeadRoute: false, schema: { hide: true } },
    async (request, reply) => {
      if (streams.size >= mostStreams) throw tooManyStreams()
      reply.hijack()
      const response = reply.raw
      response.writeHead(200, {
        ...Object.fromEntries(
          Object.entries(reply.getHeaders()).flatMap(([name, value]) =>
            value === undefined ? [] : [[name, value]],
          ),
        ),
        'content-type': 'text/event-stream; charset=utf-8',
        'cache-control': 'no-store',
        'x-accel-buffering': 'no',
      })
      // Back after two seconds, should this process go away.
      response.write('retry: 2000\n\n')
      const token = request.sessionToken ?? ''
      const stream = {
        workspaceId: workspaceOf(request),
        token,
        response,
        last: null,
        askedAt: performance.now(),
      }
      streams.add(stream)
      const heart = setInterval(() => response.write(': still here\n\n'), heartbeatMs)
      response.on('close', () => {
        clearInterval(heart)
        end(stream)
      })
      timer ??= setInterval(() => void look(), lookEveryMs)
      await look()
    },
  )
  scope.addHook('preClose', async () => {
    for (const stream of streams) end(stream)
  })
}

/** Whoever signed out, or whose key was revoked, is told nothing more. */
async function endThoseSignedOut(
  streams: readonly Stream[],
  end: (stream: Stream) => void,
  db: DashboardContext['db'],
): Promise<void> {
  const due = streams.filter(({ askedAt }) => performance.now() - askedAt >= askSessionMs)
  if (due.length === 0) return
  const now = await readSessionClock(db)
  for (const stream of due) {
    stream.askedAt = performance.now()
    if ((await findSession(db, stream.token, { now, isUse: false })) === null) end(stream)
  }
}

/** Shape: what a page shows at once, and a mark that changes when anything else on it may have. */
function tell(stream: Stream, seen: WalletSeen | undefined): void {
  if (seen === undefined || stream.response.writableEnded) return
  const event = JSON.stringify({ balance: money(seen.balanceMicros), mark: seen.mark })
  if (event === stream.last) return
  stream.last = event
  stream.response.write(`event: wallet\ndata: ${event}\n\n`)
}

function tooManyStreams() {
  return refusal({
    status: 503,
    code: 'too_many_pages',
    message: 'Too many pages are kept up to date just now: reload this one to see what is new.',
    headers: { 'retry-after': '30' },
  })
}
