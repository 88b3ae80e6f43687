/** Asks a server a great many things, several at a time, and says what was wrong with the answers. */
import type { FastifyInstance } from 'fastify'

import type { OpenApiDocument } from '../../api/openapi-document.ts'
import { faultsOf, type FuzzAnswer } from './judge.ts'
import type { Known } from './likely-values.ts'
import { createRandom } from './random.ts'
import { requestOf, targetsOf, type Callers, type FuzzRequest } from './requests.ts'

type Fault = {
  what: string
  /** How often it was seen. */
  times: number
  /** The first request that showed it, and what came. */
  request: { number: number; method: string; url: string; headers: Record<string, string>; payload: string }
  answer: { status: number; body: string }
}

export type FuzzReport = {
  requests: number
  operations: number
  durationMs: number
  /** How often each status came. */
  statuses: Record<string, number>
  /** Operations that never did anything: their faults, if any, are still unseen. */
  neverSucceeded: string[]
  faults: Fault[]
}

const refreshEvery = 1_000
const mostShown = 2_000

/**
 * Shape: `number` and `seed` decide what each request is, together with the ids that answers before it gave. Every operation is
 *        asked equally often.
 */
export async function fuzz(
  server: Pick<FastifyInstance, 'inject'>,
  {
    document,
    callers,
    known,
    requests,
    seed,
    atATime = 8,
    signal,
    refresh,
    onProgress,
  }: {
    document: OpenApiDocument
    callers: Callers
    known: Known
    requests: number
    seed: number
    /** How many are under way together. With one, the same seed finds the same again. */
    atATime?: number
    signal?: AbortSignal
    /** Puts back what requests may have taken away; called now and then. */
    refresh?: () => Promise<void>
    onProgress?: (done: number) => void
  },
): Promise<FuzzReport> {
  const targets = targetsOf(document)
  const faults = new Map<string, Fault>()
  const statuses = new Map<number, number>()
  const succeeded = new Set<string>()
  const startedAt = performance.now()
  let next = 0
  let done = 0
  const isOver = (): boolean => next >= requests || signal?.aborted === true

  const askNext = async (): Promise<void> => {
    while (!isOver()) {
      const number = next
      next += 1
      const target = targets[number % targets.length]
      if (target === undefined) return
      const request = requestOf(target, callers, known, createRandom(seed * 1_000_003 + number))
      const answer = await send(server, request)
      statuses.set(answer.status, (statuses.get(answer.status) ?? 0) + 1)
      if (answer.status < 300) {
        if (request.method === target.method) succeeded.add(target.name)
        known.learn(parsed(answer.body))
      }
      for (const what of faultsOf(request, answer))
        note(faults, `${request.name} ${what}`, number, request, answer)
      done += 1
      if (done % 1_000 === 0) onProgress?.(done)
      if (done % refreshEvery === 0) await refresh?.()
    }
  }
  await Promise.all(Array.from({ length: atATime }, askNext))

  if (Reflect.get({}, 'polluted') !== undefined) throw new Error('a request has changed what every object is')
  return {
    requests: next,
    operations: targets.length,
    durationMs: performance.now() - startedAt,
    statuses: Object.fromEntries([...statuses].toSorted(([one], [other]) => one - other)),
    neverSucceeded: targets.map(({ name }) => name).filter((name) => !succeeded.has(name)),
    faults: [...faults.values()],
  }
}

async function send(server: Pick<FastifyInstance, 'inject'>, request: FuzzRequest): Promise<FuzzAnswer> {
  const startedAt = performance.now()
  const { method, url, headers, payload } = request
  const response = await server.inject({ method, url, headers, ...(payload === null ? {} : { payload }) })
  return {
    status: response.statusCode,
    headers: response.headers,
    body: response.body,
    durationMs: performance.now() - startedAt,
  }
}

function note(
  faults: Map<string, Fault>,
  what: string,
  number: number,
  { method, url, headers, payload }: FuzzRequest,
  { status, body }: FuzzAnswer,
): void {
  const known = faults.get(what)
  if (known !== undefined) {
    known.times += 1
    return
  }
  const { authorization: _key, ...shown } = headers
  faults.set(what, {
    what,
    times: 1,
    request: {
      number,
      method,
      url: url.slice(0, mostShown),
      headers: shown,
      payload: String(payload ?? '').slice(0, mostShown),
    },
    answer: { status, body: body.slice(0, mostShown) },
  })
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}
