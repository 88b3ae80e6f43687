/**
 * Paddle's webhooks: checked, stored as they came and staged for a worker in one transaction, then answered. Needs Postgres
 * and nothing else; while that is away the answer is 503 and Paddle tells it again.
 */
import { hash } from 'node:crypto'

import type { FastifyInstance, FastifyReply } from 'fastify'

import { codeOf } from '../db/errors.ts'
import { countRefusedWebhooks, receivePaddleEvent } from '../db/paddle-event.ts'
import type { Db } from '../db/schema.ts'
import { readPaddleEvent, verifyPaddleSignature } from '../paddle/webhook.ts'
import type { Log } from '../runtime/log.ts'
import { repeat } from '../runtime/repeat.ts'

export type WebhookOptions = {
  /** Several while a secret is being replaced. */
  secrets: readonly string[]
  /** How far a webhook's time may be from ours, either way. */
  toleranceMs: number
}

const path = '/webhooks/paddle'

/**
 * Shape: 200 once it is stored, also when it was stored before; 401 and only a count of it when it is not from Paddle; 413
 *        above 256 KB; 503 while Postgres is away.
 */
export function registerPaddleWebhook(
  server: FastifyInstance,
  { db, log, secrets, toleranceMs }: WebhookOptions & { db: Db; log: Log },
): void {
  const refusals = startCountingRefusals(server, db, log)
  server.register(async (scope) => {
    scope.removeAllContentTypeParsers()
    // The signature is over the bytes: nothing may read them before it is checked.
    scope.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body))
    scope.setErrorHandler(async (error, _request, reply) => {
      const isTooLarge = codeOf(error) === 'FST_ERR_CTP_BODY_TOO_LARGE'
      if (isTooLarge) refusals.add('too_large')
      else log.warn({ err: error }, 'a Paddle webhook could not be stored; Paddle will tell it again')
      return await answer(reply, isTooLarge ? 413 : 503, isTooLarge ? 'too_large' : 'unavailable')
    })
    scope.post(path, async (request, reply) => {
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
        return await answer(reply, 401, verdict.reason)
      }
      const event = storedAs(rawBody)
      const outcome = await db.transaction().execute((trx) => receivePaddleEvent(trx, event))
      log.info({ eventId: event.eventId, eventType: event.eventType, outcome }, 'Paddle webhook stored')
      return await answer(reply, 200, outcome)
    })
  })
}

/** What is from Paddle and cannot be read is kept too, under the name of its content, for a person to look at. */
function storedAs(rawBody: Buffer): Parameters<typeof receivePaddleEvent>[1] {
  const body = rawBody.toString('utf8')
  const read = readPaddleEvent(body)
  if (read.outcome === 'read') {
    const { eventId, eventType, occurredAt } = read.event
    return { eventId, eventType, occurredAt, body }
  }
  return {
    eventId: read.eventId ?? `unreadable_${hash('sha256', rawBody, 'hex')}`,
    eventType: read.eventType ?? 'unreadable',
    occurredAt: new Date(),
    body: body.replaceAll('\0', ''),
  }
}

/** Counted here and written down now and then: whoever sends garbage shall not make us write. */
function startCountingRefusals(server: FastifyInstance, db: Db, log: Log): { add: (reason: string) => void } {
  let counts = new Map<string, number>()
  const write = async (): Promise<void> => {
    if (counts.size === 0) return
    const counted = counts
    counts = new Map()
    log.warn({ refusals: Object.fromEntries(counted) }, 'webhooks were refused')
    await countRefusedWebhooks(db, counted)
  }
  const writing = repeat('count refused webhooks', { everyMs: 5_000, log, run: write })
  server.addHook('onClose', async () => {
    await writing.stop()
    await write()
  })
  return { add: (reason) => counts.set(reason, (counts.get(reason) ?? 0) + 1) }
}

async function answer(reply: FastifyReply, status: number, code: string): Promise<FastifyReply> {
  return await reply.code(status).send(status < 300 ? { status: code } : { error: { code } })
}
