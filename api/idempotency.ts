/**
 * `Idempotency-Key`: a request that moves money is done once however often it is sent, and each time answered the same.
 *
 * A route asks for it in its config (`idempotent: true`); without the header it just runs. A key belongs to the workspace and
 * the route and is kept 30 days. What was refused because it was too early (402, 429) and what failed on our side (5xx) is not
 * kept, so that a later try may succeed. A route whose effect has a name of its own should take it from `stableNameOf`: should
 * the process die between the effect and the answer, the next try then finds what is there instead of doing it again.
 *
 * An answer that holds a secret (`idempotent: 'sealed'`) is stored encrypted under the key that asked, which is stored nowhere:
 * only that key, with the same Idempotency-Key, gets the secret again; a copy of the database does not give it away.
 */
import { createCipheriv, createDecipheriv, hash, hkdfSync, randomBytes } from 'node:crypto'

import type { FastifyReply, FastifyRequest } from 'fastify'
import { z } from 'zod'

import {
  answerRequest,
  claimRequest,
  giveUpRequest,
  type Claim,
  type RequestName,
  type StoredAnswer,
} from '../db/idempotency.ts'
import type { Db } from '../db/schema.ts'
import type { Log } from '../runtime/log.ts'
import { pause } from '../runtime/repeat.ts'
import type { Api } from './api.ts'
import { bearerOf } from './authentication.ts'
import { refusal } from './errors.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Whether `Idempotency-Key` is heeded; `sealed`: the answer holds a secret. */
    idempotent?: boolean | 'sealed'
  }
  interface FastifyRequest {
    idempotency: Idempotency | null
  }
}

/** A request that was sent with a key. */
type Idempotency = {
  name: RequestName
  bodyHash: Buffer
  /** Once it is the one to do it; null before that, and when it is answered. */
  turn: { claim: string; end: (answer: StoredAnswer | null) => void } | null
}

/** A request in this process that has its turn, or waits for one elsewhere to end. Ends with null where nothing is kept. */
type UnderWay = { bodyHash: Buffer; ended: Promise<StoredAnswer | null> }

/** How long a request waits for the one before it, which asks the same. */
const waitMs = 5_000

export const idempotencyHeaders = z.looseObject({
  'idempotency-key': z
    .string()
    .regex(/^[\x20-\x7e]{1,255}$/, 'expected an Idempotency-Key of 1 to 255 printable ASCII characters')
    .optional()
    .meta({
      description:
        'A name that you choose for this request, such as a UUID. Sent again with the same key and body it is not done again: ' +
        'the first answer is given again, for 30 days.',
      examples: ['8e03978e-40d5-43dd-bc93-6894a57f9324'],
    }),
})

export function registerIdempotency(api: Api, { db, log }: { db: Db; log: Log }): void {
  const underWay = new Map<string, UnderWay>()

  /** Shape: the stored answer; null when this request is the one to do it. */
  const claimOrWait = async (idempotency: Idempotency): Promise<StoredAnswer | null> => {
    const key = JSON.stringify(idempotency.name)
    const giveUpAt = performance.now() + waitMs
    for (let other = underWay.get(key); other !== undefined; other = underWay.get(key)) {
      if (!other.bodyHash.equals(idempotency.bodyHash)) throw reusedKey()
      const answer = await endOf(other, giveUpAt)
      if (answer !== null) return answer
      if (performance.now() >= giveUpAt) throw inFlight()
    }
    const ended = Promise.withResolvers<StoredAnswer | null>()
    const end = (answer: StoredAnswer | null): void => {
      underWay.delete(key)
      ended.resolve(answer)
    }
    underWay.set(key, { bodyHash: idempotency.bodyHash, ended: ended.promise })
    try {
      const claim = await claimWithin(db, idempotency, giveUpAt)
      if (claim.outcome === 'claimed') {
        idempotency.turn = { claim: claim.claim, end }
        return null
      }
      end(claim.answer)
      return claim.answer
    } catch (error) {
      end(null)
      throw error
    }
  }

  api.decorateRequest('idempotency', null)
  api.addHook('onRoute', (route) => {
    if (route.config?.idempotent === undefined || route.config.idempotent === false) return
    route.schema = { ...route.schema, headers: route.schema?.headers ?? idempotencyHeaders }
  })
  // Before the body is checked, because checking turns amounts into what has no JSON.
  api.addHook('preValidation', async (request) => {
    const key = request.headers['idempotency-key']
    const { idempotent = false } = request.routeOptions.config
    if (idempotent === false || typeof key !== 'string') return
    const asked = JSON.stringify([request.params, request.query, request.body])
    request.idempotency = {
      name: nameOf(request, key),
      bodyHash: hash('sha256', asked, 'buffer'),
      turn: null,
    }
  })
  api.addHook('preHandler', async (request, reply) => {
    const answer = request.idempotency === null ? null : await claimOrWait(request.idempotency)
    return answer === null ? undefined : await sendStored(request, reply, answer)
  })
  api.addHook('onSend', async (request, reply, payload) => {
    const { idempotency } = request
    if (idempotency === null || idempotency.turn === null) return payload
    const { name, turn } = idempotency
    idempotency.turn = null
    const answer = keptAnswer(request, reply, payload)
    const store = async (): Promise<unknown> =>
      answer === null
        ? await giveUpRequest(db, name, turn.claim)
        : await answerRequest(db, name, turn.claim, answer)
    await insistently(store, (error) => {
      const fields = { requestId: request.id, route: name.route, status: reply.statusCode, err: error }
      log.error(fields, 'an answer was given and could not be kept: sent again, the request runs again')
    })
    turn.end(answer)
    return payload
  })
}

/**
 * A name for what this request does: the same each time that its key is sent, also with another body, so that whoever finds the
 * effect there can see that it is not what is asked for now. Null when it was sent without a key.
 *
 * Shape: 32 hex digits.
 */
export function stableNameOf({ idempotency }: Pick<FastifyRequest, 'idempotency'>): string | null {
  if (idempotency === null) return null
  const { workspaceId, route, idempotencyKey } = idempotency.name
  return hash('sha256', JSON.stringify([workspaceId, route, idempotencyKey]), 'hex').slice(0, 32)
}

function nameOf(request: FastifyRequest, idempotencyKey: string): RequestName {
  const { caller, method, routeOptions } = request
  const workspaceId = caller.kind === 'workspace' ? caller.workspaceId : caller.kind
  return { workspaceId, route: `${method} ${routeOptions.url ?? ''}`, idempotencyKey }
}

/** Shape: null where nothing is kept, and when it did not end in time. */
async function endOf({ ended }: UnderWay, giveUpAt: number): Promise<StoredAnswer | null> {
  const waiting = new AbortController()
  const tooLate = pause(giveUpAt - performance.now(), waiting.signal).then(() => null)
  try {
    return await Promise.race([ended, tooLate])
  } finally {
    waiting.abort()
  }
}

/** While another process is at it, looks again and again. */
async function claimWithin(
  db: Db,
  { name, bodyHash }: Idempotency,
  giveUpAt: number,
): Promise<Extract<Claim, { outcome: 'claimed' | 'answered' }>> {
  for (let waitedMs = 25; ; waitedMs = Math.min(2 * waitedMs, 400)) {
    const claim = await claimRequest(db, name, bodyHash)
    if (claim.outcome === 'claimed' || claim.outcome === 'answered') return claim
    if (claim.outcome === 'other_body') throw reusedKey()
    if (performance.now() >= giveUpAt) throw inFlight()
    await pause(waitedMs)
  }
}

/** Shape: null when a later try may be answered otherwise. */
function keptAnswer(request: FastifyRequest, reply: FastifyReply, payload: unknown): StoredAnswer | null {
  const { statusCode: status } = reply
  if (status >= 500 || status === 402 || status === 429) return null
  if (typeof payload !== 'string' && payload !== undefined && payload !== null) return null
  const location = reply.getHeader('location')
  const isSealed = request.routeOptions.config.idempotent === 'sealed' && status < 300
  return {
    status,
    body: isSealed ? seal(sealKeyOf(request), payload ?? '') : (payload ?? ''),
    sealed: isSealed,
    location: typeof location === 'string' ? location : null,
  }
}

async function sendStored(
  request: FastifyRequest,
  reply: FastifyReply,
  { status, body, sealed, location }: StoredAnswer,
): Promise<FastifyReply> {
  const text = sealed ? unseal(sealKeyOf(request), body) : body
  if (text === null) throw sealedAnswer()
  reply.code(status).header('idempotency-replayed', 'true')
  if (location !== null) reply.header('location', location)
  return await (text === '' ? reply.send() : reply.type('application/json; charset=utf-8').send(text))
}

/** The effect is there: an answer that is not kept would let it happen again, so a short outage is waited out. */
async function insistently(work: () => Promise<unknown>, onFailure: (error: unknown) => void): Promise<void> {
  for (let tries = 1; ; tries += 1) {
    try {
      await work()
      return
    } catch (error) {
      if (tries === 3) {
        onFailure(error)
        return
      }
      await pause(100 * tries)
    }
  }
}

/** Follows from the key that asks, of which only the hash is stored, and from the request. */
function sealKeyOf(request: FastifyRequest): Buffer {
  const secret = bearerOf(request) ?? ''
  const about = JSON.stringify(request.idempotency?.name)
  return Buffer.from(hkdfSync('sha256', secret, about, 'sealed answer', 32))
}

function seal(key: Buffer, text: string): string {
  const nonce = randomBytes(12)
  const cipher = createCipheriv('aes-256-gcm', key, nonce)
  const sealed = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()])
  return Buffer.concat([nonce, cipher.getAuthTag(), sealed]).toString('base64')
}

/** Shape: null with another key than the one it was sealed with. */
function unseal(key: Buffer, sealed: string): string | null {
  const bytes = Buffer.from(sealed, 'base64')
  const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(0, 12))
  decipher.setAuthTag(bytes.subarray(12, 28))
  try {
    return Buffer.concat([decipher.update(bytes.subarray(28)), decipher.final()]).toString('utf8')
  } catch {
    return null
  }
}

/**
 * Digits for an id that is made up here. With a key they are the same each time: what is sent again, because nobody heard the
 * answer or it was never kept, names the same thing again.
 */
export function digitsFor(owner: string, key: string | string[] | undefined): string {
  return typeof key === 'string'
    ? hash('sha256', `${owner}/${key}`).slice(0, 24)
    : randomBytes(12).toString('hex')
}

export const reusedKey = () =>
  refusal({
    status: 422,
    code: 'idempotency_key_reused',
    message:
      'This Idempotency-Key was sent before with another request: use a new key, or send the same request again.',
    field: 'idempotency-key',
  })

const inFlight = () =>
  refusal({
    status: 409,
    code: 'idempotency_in_flight',
    message:
      'The first request with this Idempotency-Key is still under way: send the same again in a moment.',
    headers: { 'retry-after': '5' },
  })

const sealedAnswer = () =>
  refusal({
    status: 409,
    code: 'idempotency_answer_sealed',
    message:
      'This was done for another key, and its answer holds a secret that only that key gets again: use a new Idempotency-Key.',
  })
