// The worker process from outside: it refuses to start where it could do harm, and ends well whoever asks it to.
import { spawn } from 'node:child_process'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'

import { Redis } from 'ioredis'
import { sql } from 'kysely'
import { describe, expect } from 'vitest'

import { test, type Place } from '../support/fixtures.ts'
import { exitCodeOf } from '../support/run-script.ts'
import { until } from '../support/until.ts'

describe('the worker process refuses to start', () => {
  test('when its environment is wrong, and names every variable', async ({ place }) => {
    const { code, output } = await startUntilItEnds(place, { REDIS_URL: 'localhost', USAGE_WORKERS: 'many' })

    expect(code).toBe(1)
    expect(output).toMatch(/malformed_configuration/)
    expect(output).toMatch(/REDIS_URL: .*USAGE_WORKERS: /)
  })

  test('on a Redis that deletes jobs when memory is short', async ({ place, startServers }) => {
    const { redisUrl } = await startServers({ databaseUrl: place.databaseUrl })
    const redis = new Redis(redisUrl)
    await redis.config('SET', 'maxmemory-policy', 'allkeys-lru')
    redis.disconnect()

    const { code, output } = await startUntilItEnds({ ...place, redisUrl }, {})

    expect(code).toBe(1)
    expect(output).toContain('Set it to noeviction')
  })

  test('on a database that lacks a migration', async ({ place, emptyDatabaseUrl }) => {
    const { code, output } = await startUntilItEnds({ ...place, databaseUrl: emptyDatabaseUrl }, {})

    expect(code).toBe(1)
    expect(output).toMatch(/lacks 0001_.*npm run -s migrate/)
  })
})

describe('the worker process ends', () => {
  test('with 0 when it is told to, and takes no connection with it', async ({
    ownPlace,
    ownDb: db,
    startWorkers,
  }) => {
    const worker = await startWorkers({ place: ownPlace })

    const code = await worker.stop()

    expect(code).toBe(0)
    expect(worker.log.at(-1)).toMatchObject({ level: 'info', msg: 'shut down' })
    await until('its connections are gone', async () => {
      const { rows } = await sql`
        select from pg_stat_activity
        where datname = current_database() and application_name like 'wallet %' and pid <> pg_backend_pid()
          and application_name <> 'wallet test'`.execute(db)
      return rows.length === 0
    })
  })

  test('with whoever started it', async ({ ownPlace, startWorkers }) => {
    const worker = await startWorkers({ place: ownPlace })

    worker.leaveAlone()

    await until('it has ended', () => !worker.isRunning())
    await until('its last words are heard', () => worker.log.at(-1)?.msg === 'shut down')
  })
})

test('the log of the worker process repeats no password, whatever breaks', async ({
  place,
  ownDb: db,
  ownPlace,
  startServers,
  startWorkers,
}) => {
  const { redis, redisUrl } = await startServers({ databaseUrl: place.databaseUrl })
  const worker = await startWorkers({ place: { ...ownPlace, redisUrl }, environment: { LOG_LEVEL: 'trace' } })

  await redis.kill()
  await until(
    'it has noticed both',
    async () => {
      // Again and again: a connection that is at work when it is cut says so to its work, and not to the pool.
      await sql`
      select pg_terminate_backend(pid) from pg_stat_activity
      where datname = current_database() and application_name in ('wallet posting', 'wallet workers')`.execute(
        db,
      )
      const said = new Set(worker.log.map((line) => line.msg))
      return (
        said.has('lost a connection to Postgres; the pool opens another') &&
        said.has('worker lost its queue and keeps trying')
      )
    },
    { everyMs: 100 },
  )

  const log = JSON.stringify(worker.log)
  expect(log).not.toContain(new URL(ownPlace.databaseUrl).password)
  expect(log).not.toContain(new URL(redisUrl).password)
})

async function startUntilItEnds(
  place: Place,
  environment: Record<string, string>,
): Promise<{ code: number | null; output: string }> {
  const main = fileURLToPath(new URL('../../workers/main.ts', import.meta.url))
  const child = spawn(process.execPath, [main], {
    env: {
      ...process.env,
      DATABASE_URL: place.databaseUrl,
      REDIS_URL: place.redisUrl,
      QUEUE_PREFIX: place.queuePrefix,
      ...environment,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const [stdout, stderr, code] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    exitCodeOf(child),
  ])
  return { code, output: stdout + stderr }
}
