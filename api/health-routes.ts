/**
 * Is this process alive, and can it work? `/healthz` asks nobody: restarting the process mends neither Postgres nor Redis.
 * `/readyz` asks everything that requests need, and says of each part how it is; without Redis or workers requests are
 * still answered, so only Postgres and its schema decide.
 */
import { z } from 'zod'

import { heartbeatAgeMs } from '../db/heartbeat.ts'
import { assertMigrated } from '../db/migrate.ts'
import type { Db } from '../db/schema.ts'
import { cached, within } from '../runtime/cached.ts'
import type { Api } from './api.ts'

export type HealthContext = {
  db: Db
  /** Asks Redis for a sign of life; null when this process was given no Redis. */
  pingRedis?: (() => Promise<unknown>) | null
}

/** How long each part may take, and how long an answer is given out again. */
const timeoutMs = 1_500
const believedMs = 1_000

/** Heartbeats come every ten seconds; without one for this long no worker takes jobs. */
const staleHeartbeatMs = 60_000

const alive = z.object({ status: z.literal('ok') })

const part = z.object({
  status: z
    .enum(['ok', 'degraded', 'failed', 'unknown'])
    .meta({ description: '`failed` makes the whole not ready; `degraded` does not.', examples: ['ok'] }),
  detail: z.string().meta({ examples: ['answers'] }),
})

const readiness = z.object({
  status: z
    .enum(['ready', 'degraded', 'not_ready'])
    .meta({ description: 'Requests are answered unless this is `not_ready`.', examples: ['ready'] }),
  parts: z.object({
    postgres: part,
    migrations: part,
    redis: part,
    workers: part.extend({
      heartbeat_age_seconds: z
        .number()
        .nullable()
        .meta({ description: 'Since a job last went through Redis and a worker.', examples: [4.2] }),
    }),
  }),
})

type Part = z.output<typeof part>
type Readiness = z.output<typeof readiness>

export function registerHealthRoutes(api: Api, { db, pingRedis = null }: HealthContext): void {
  const readReadiness = cached(believedMs, () => checkReadiness(db, pingRedis))

  api.get(
    '/healthz',
    {
      config: { scope: 'public', rateLimit: 'none' },
      schema: { summary: 'Is the process alive?', tags: ['Operations'], response: { 200: alive } },
    },
    () => ({ status: 'ok' as const }),
  )
  api.get(
    '/readyz',
    {
      config: { scope: 'public', rateLimit: 'none' },
      schema: {
        summary: 'Can the process do its work?',
        description: 'Names every part and how it is. Asked at most once a second, however many ask.',
        tags: ['Operations'],
        response: { 200: readiness, 503: readiness },
      },
    },
    async (_request, reply) => {
      const answer = await readReadiness()
      return await reply.code(answer.status === 'not_ready' ? 503 : 200).send(answer)
    },
  )
}

async function checkReadiness(db: Db, pingRedis: (() => Promise<unknown>) | null): Promise<Readiness> {
  const [workers, migrations, redis] = await Promise.all([
    checkWorkers(db),
    ask(assertMigrated(db), 'failed', { good: 'all there', bad: 'some are missing, or cannot be read' }),
    pingRedis === null
      ? ({ status: 'unknown', detail: 'this process was given none' } as const)
      : ask(pingRedis(), 'degraded', { good: 'answers', bad: 'does not answer; requests go on without it' }),
  ])
  const postgres: Part =
    workers.status === 'unknown'
      ? { status: 'failed', detail: 'does not answer' }
      : { status: 'ok', detail: 'answers' }
  const parts = { postgres, migrations, redis, workers }
  const statuses = Object.values(parts).map((each) => each.status)
  const status = statuses.includes('failed')
    ? 'not_ready'
    : statuses.includes('degraded')
      ? 'degraded'
      : 'ready'
  return { status, parts }
}

/** What the workers wrote last; `unknown` when Postgres does not say. */
async function checkWorkers(db: Db): Promise<Readiness['parts']['workers']> {
  try {
    const ageMs = await within(timeoutMs, heartbeatAgeMs(db))
    const age = ageMs === null ? null : Math.round(ageMs / 100) / 10
    if (ageMs !== null && ageMs < staleHeartbeatMs)
      return { status: 'ok', detail: 'take jobs', heartbeat_age_seconds: age }
    return { status: 'degraded', detail: 'no sign of one for a minute', heartbeat_age_seconds: age }
  } catch {
    return { status: 'unknown', detail: 'Postgres does not say', heartbeat_age_seconds: null }
  }
}

async function ask(
  asked: Promise<unknown>,
  otherwise: 'degraded' | 'failed',
  { good, bad }: { good: string; bad: string },
): Promise<Part> {
  try {
    await within(timeoutMs, asked)
    return { status: 'ok', detail: good }
  } catch {
    return { status: otherwise, detail: bad }
  }
}
