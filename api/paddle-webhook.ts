/**
 * Paddle's webhooks: checked, stored as they came and staged for a worker in one transaction, then answered. Needs Postgres
 * and nothing else; while that is away the answer is 503 and Paddle tells it again.
 */
import { isUtf8 } from 'node:buffer'
import { hash } from 'node:crypto'

import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'

import { countRefusedWebhooks, receivePaddleEvent } from '../db/paddle-event.ts'
import type { Db } from '../db/schema.ts'
import { readPaddleEvent, verifyPaddleSignature, type SignatureVerdict } from '../paddle/webhook.ts'
import type { Log } from '../runtime/log.ts'
import { repeat } from '../runtime/repeat.ts'
import { errorOf, sendError } from './errors.ts'

export type WebhookOptions = {
  /** Several while a secret is being replaced. */
  secrets: readonly string[]
  /** How far a webhook's time may be from ours, either way. */
  toleranceMs: number
}

/** The second is what older deployments told Paddle. */
const paths = ['/webhooks/paddle', '/v1/payments/webhooks/paddle']

/**
 * Shape: 200 once it is stored, also when it was stored before; 401 and only a count of it when it is not from Paddle; 413
 *        above the server's limit; 503 while Postgres is away.
 */
export function registerPaddleWebhook(
  server: FastifyInstance,
  { db, log, secrets, toleranceMs }: WebhookOptions & { db: Db; log: Log },
): void {
  const refusals = startCountingRefusals(server, db, log)
  const receive = async (request: FastifyRequest, reply: FastifyReply) => {
    const rawBody = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0)
    const header = request.headers['paddle-signature']
    const verdict = verifyPaddleSignature({
      rawBody,
      header: typeof header === 'string' ? header : undefined,
      secrets,
      now: new Date(),
      toleranceMs,
    })
    if (verdict.outcome === 'refused') {
      refusals.add(verdict.reason)
      return await sendError(reply, {
        status: 401,
        code: verdict.reason,
        message: refusalMessages[verdict.reason],
      })
    }
    const event = storedAs(rawBody)
    const outcome = await db.transaction().execute((trx) => receivePaddleEvent(trx, event))
    const { eventId, eventType } = event
    log.info({ requestId: request.id, eventId, eventType, outcome }, 'Paddle webhook stored')
    return { status: outcome }
  }

  server.register(async (scope) => {
    scope.removeAllContentTypeParsers()
    // The signature is over the bytes: nothing may read them before it is checked.
    scope.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body))
    scope.addHook('onError', async (request, _reply, error) => {
      const { status, code } = errorOf(error, request)
      if (status < 500) refusals.add(code)
    })
    const schema = { summary: "Paddle's news, signed", tags: ['Webhooks'] }
    for (const path of paths)
      scope.post(path, { config: { scope: 'public', rateLimit: 'none' }, schema }, receive)
  })
}

type Refusal = Extract<SignatureVerdict, { outcome: 'refused' }>['reason']

/** Read by whoever looks at failed notifications at Paddle. */
const refusalMessages: Record<Refusal, string> = {
  missing_signature: 'There is no Paddle-Signature header: only Paddle sends here.',
  malformed_signature: 'The Paddle-Signature header is not ts=<unix seconds>;h1=<64 hex digits>.',
  stale: 'The webhook was signed too long ago: check the clock of this server, and what may have kept it.',
  from_the_future: 'The webhook was signed in the future: check the clock of this server.',
  wrong_signature:
    'The signature is not of this body under our secret: PADDLE_WEBHOOK_SECRET must be the secret key of the notification ' +
    'destination that sends here.',
}

/** What is from Paddle and cannot be read is kept too, under the name of its content, for a person to look at. */
function storedAs(rawBody: Buffer): Parameters<typeof receivePaddleEvent>[1] {
  // What Postgres does not take as text, and no JSON is, is kept to the byte all the same.
  const isText = isUtf8(rawBody) && !rawBody.includes(0)
  const body = rawBody.toString(isText ? 'utf8' : 'base64')
  const read = readPaddleEvent(body)
  if (read.outcome === 'read' && isName(read.event.eventId)) {
    const { eventId, eventType, occurredAt } = read.event
    return { eventId, eventType, occurredAt, body }
  }
  const named = read.outcome === 'read' ? read.event : read
  const eventId = named.eventId !== undefined && isName(named.eventId) ? named.eventId : null
  return {
    eventId: eventId ?? `unreadable_${hash('sha256', rawBody, 'hex')}`,
    eventType: named.eventType ?? 'unreadable',
    occurredAt: null,
    body,
  }
}

/** The id becomes part of a job's, and one job with an id that BullMQ refuses would hold up all others. */
function isName(eventId: string): boolean {
  return /^[\w-]+$/.test(eventId)
}

/** Counted here and written down now and then: whoever sends garbage shall not make us write. */
function startCountingRefusals(server: FastifyInstance, db: Db, log: Log): { add: (reason: string) => void } {
  const counts = new Map<string, number>()
  const add = (reason: string, count = 1): void => {
    counts.set(reason, (counts.get(reason) ?? 0) + count)
  }
  const write = async (): Promise<void> => {
    if (counts.size === 0) return
    // In order, because other processes count too and lock the same rows.
    const counted = new Map([...counts].toSorted(([one], [other]) => (one < other ? -1 : 1)))
    counts.clear()
    try {
      await db.transaction().execute((trx) => countRefusedWebhooks(trx, counted))
      log.warn({ refusals: Object.fromEntries(counted) }, 'webhooks were refused')
    } catch (error) {
      for (const [reason, count] of counted) add(reason, count)
      throw error
    }
  }
  const writing = repeat('count refused webhooks', { everyMs: 2_000, log, run: write })
  server.addHook('onClose', async () => {
    await writing.stop()
    await write().catch((error: unknown) => {
      log.warn({ refusals: Object.fromEntries(counts), err: error }, 'refused webhooks were not counted')
    })
  })
  return { add }
}
