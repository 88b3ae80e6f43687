/**
 * Bull Board under `/queues` of the ops listener: the queues as they are, behind a credential of its own. It only shows, unless
 * it was switched to writable; and what it shows of jobs has no phone number, secret or e-mail address in it.
 */
import { hash, timingSafeEqual } from 'node:crypto'

import { createBullBoard } from '@bull-board/api'
import { BullMQAdapter } from '@bull-board/api/bullMQAdapter'
import { FastifyAdapter } from '@bull-board/fastify'
import type { Queue } from 'bullmq'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'

import { sendError } from './errors.ts'
import { redact } from './redact.ts'

export type BullBoardOptions = {
  queues: readonly Queue[]
  user: string
  password: string
  /** Lets its user retry, promote, clean and remove jobs. */
  writable: boolean
}

const path = '/queues'

/** Its own scripts and styles, and styles that its page and its components carry in themselves. */
const contentSecurityPolicy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' data:",
  "font-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'self'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')

export function registerBullBoard(
  server: FastifyInstance,
  { queues, user, password, writable }: BullBoardOptions,
): void {
  const board = new FastifyAdapter()
  board.setBasePath(path)
  createBullBoard({
    queues: queues.map((queue) => new BullMQAdapter(queue, { readOnlyMode: !writable })),
    serverAdapter: board,
    options: { uiConfig: { boardTitle: 'voice-wallet', showWorkers: true } },
  })
  const isUser = credentialCheck(user, password)
  server.register(async (scope) => {
    scope.addHook('onRequest', async (request, reply) => {
      reply
        .header('content-security-policy', contentSecurityPolicy)
        .header('cache-control', 'no-store')
        .header('referrer-policy', 'no-referrer')
        .header('x-content-type-options', 'nosniff')
        .header('x-robots-tag', 'noindex')
      if (!isUser(request.headers.authorization)) return await refuseStranger(reply)
      return await refuseChange(request, reply, writable)
    })
    scope.addHook('preSerialization', async (_request, _reply, payload) => redact(payload))
    scope.addHook('onSend', async (_request, _reply, payload) =>
      typeof payload === 'string' ? withoutForeignFonts(payload) : payload,
    )
    scope.addHook('onRoute', (route) => {
      route.config = { ...route.config, scope: 'public' }
    })
    await scope.register(board.registerPlugin(), { prefix: path })
  })
}

/** As long for a wrong credential as for the right one. */
function credentialCheck(user: string, password: string): (authorization: string | undefined) => boolean {
  const expected = hash('sha256', `${user}:${password}`, 'buffer')
  return (authorization) => {
    const encoded = /^basic +([\w+/=-]{1,1024})$/i.exec(authorization ?? '')?.[1] ?? ''
    const given = hash('sha256', Buffer.from(encoded, 'base64'), 'buffer')
    return timingSafeEqual(given, expected)
  }
}

async function refuseStranger(reply: FastifyReply): Promise<FastifyReply> {
  return await sendError(reply, {
    status: 401,
    code: 'unauthorized',
    message: 'The queues are shown to whoever has OPS_USER and OPS_PASSWORD.',
    headers: { 'www-authenticate': 'Basic realm="queues", charset="UTF-8"' },
  })
}

/** A browser sends the credential by itself, also for a page of somebody else's: what such a page asks for is not done. */
async function refuseChange(
  request: FastifyRequest,
  reply: FastifyReply,
  writable: boolean,
): Promise<FastifyReply | undefined> {
  if (request.method === 'GET' || request.method === 'HEAD') return undefined
  if (!writable) {
    return await sendError(reply, {
      status: 405,
      code: 'read_only',
      message: 'The queues are only shown here: start the API with BULL_BOARD_WRITABLE=true to change them.',
      headers: { allow: 'GET, HEAD' },
    })
  }
  const site = request.headers['sec-fetch-site']
  if (site === undefined || site === 'same-origin') return undefined
  return await sendError(reply, {
    status: 403,
    code: 'foreign_origin',
    message: 'Jobs are changed from the page of the queues itself, and not from elsewhere.',
  })
}

/** The page would fetch its fonts from somebody else; it has others to fall back on. */
function withoutForeignFonts(payload: string): string {
  return payload.replaceAll(/<link\b[^>]*https:\/\/fonts\.[^>]*>/g, '')
}
