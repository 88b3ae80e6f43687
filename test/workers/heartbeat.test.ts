// The heartbeat goes through Redis and a worker into Postgres. Its silence ends the process, but not while Redis is away.
import { Redis } from 'ioredis'
import { sql, type KyselyPlugin } from 'kysely'
import { afterEach, describe, expect, vi } from 'vitest'

import { beat, heartbeatAgeMs } from '../../db/heartbeat.ts'
import type { Tx } from '../../db/schema.ts'
import { jobOf } from '../../jobs/contract.ts'
import { heartbeat } from '../../jobs/schedules.ts'
import { createLog } from '../../runtime/log.ts'
import { startHeartbeatWorker, watchHeartbeat } from '../../workers/heartbeat.ts'
import { captureLog } from '../support/captured-log.ts'
import { test } from '../support/fixtures.ts'
import { until } from '../support/until.ts'

const silent = createLog('silent', 'test')

afterEach(() => {
  vi.useRealTimers()
  vi.restoreAllMocks()
})

test('a heartbeat job writes the database’s time', async ({ ownPlace, ownDb: db, redis, ownQueueNamed }) => {
  const before = await heartbeatAgeMs(db)
  const worker = startHeartbeatWorker({ connection: redis, prefix: ownPlace.queuePrefix, log: silent }, db)
  const job = jobOf(heartbeat, {})

  await ownQueueNamed('ops').add(job.name, job.data, { ...job.options, jobId: job.jobId })
  const ageMs = await until('it beats', () => heartbeatAgeMs(db))
  await worker.close()

  expect(before).toBeNull()
  expect(ageMs).toBeLessThan(10_000)
})

describe('watching the heartbeat', () => {
  test('says nothing while it beats', async ({ trx: db, redis }) => {
    const watch = await givenWatch(db, redis)

    for (let turn = 1; turn <= 12; turn += 1) {
      await beat(db)
      await watch.turnAfter(10_000)
    }

    expect(await watch.end()).toBe(0)
  })

  test('ends the process when it has not beaten for a minute although Redis and Postgres answer', async ({
    trx: db,
    redis,
  }) => {
    const watch = await givenWatch(db, redis)

    await watch.turnAfter(30_000)
    await watch.turnAfter(20_000)
    const early = watch.wedged()
    await watch.turnAfter(15_000)

    expect(early).toBe(0)
    expect(await watch.end()).toBe(1)
    expect(watch.lines.at(-1)).toMatchObject({
      level: 'fatal',
      msg: 'no heartbeat although Redis and Postgres answer',
    })
  })

  test('gives a new process a minute, however old the last heartbeat is', async ({ trx: db, redis }) => {
    await beat(db)
    await sql`update heartbeat set beat_at = beat_at - interval '1 day'`.execute(db)

    const watch = await givenWatch(db, redis)
    await watch.turnAfter(50_000)

    expect(await watch.end()).toBe(0)
  })

  // It does: a ping waits for as long as Redis is silent, so nobody notices the silence.
  test('gives the schedules a minute again when Redis answers again after a long silence', async ({
    place,
    trx: db,
    startServers,
  }) => {
    const { redis, redisUrl } = await startServers({ databaseUrl: place.databaseUrl })
    const connection = new Redis(redisUrl, { maxRetriesPerRequest: null })
    const watch = await givenWatch(db, connection)

    process.kill(redis.pid ?? 0, 'SIGSTOP')
    await watch.startTurnAfter(10_000)
    watch.pass(120_000)
    process.kill(redis.pid ?? 0, 'SIGCONT')
    await watch.turnEnds()
    await watch.turnAfter(10_000)
    const wedged = await watch.end()
    connection.disconnect()

    expect(wedged).toBe(0)
  })
})

/**
 * A watch whose clock only moves when the test says so. Its first turn is over.
 *
 * Shape: `db` is a transaction, because a pool sets timers of its own.
 */
async function givenWatch(db: Tx, connection: Redis) {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  let passedMs = 0
  const realNow = performance.now.bind(performance)
  vi.spyOn(performance, 'now').mockImplementation(() => realNow() + passedMs)
  const { log, lines } = captureLog()
  let questions = 0
  const counting: KyselyPlugin = {
    transformQuery: ({ node }) => node,
    transformResult: async ({ result }) => {
      questions += 1
      return result
    },
  }
  let wedged = 0
  const watching = watchHeartbeat(
    { connection, prefix: '{unused}', log },
    {
      db: db.withPlugin(counting),
      onWedged: () => {
        wedged += 1
      },
    },
  )
  let begun = 1
  /** A turn has asked Postgres, or has failed; then it sets the timer for the next one. */
  const turnEnds = async (): Promise<void> => {
    const failures = lines.filter(({ msg }) => msg.startsWith('repeated work failed')).length
    if (questions + failures >= begun && vi.getTimerCount() > 0) return
    await eventLoopTurn()
    await turnEnds()
  }
  const startTurnAfter = async (ms: number): Promise<void> => {
    passedMs += ms
    begun += 1
    vi.runOnlyPendingTimers()
    await eventLoopTurn()
  }
  await turnEnds()
  return {
    lines,
    wedged: () => wedged,
    pass: (ms: number): void => {
      passedMs += ms
      vi.advanceTimersByTime(ms)
    },
    startTurnAfter,
    turnEnds,
    turnAfter: async (ms: number): Promise<void> => {
      await startTurnAfter(ms)
      await turnEnds()
    },
    end: async (): Promise<number> => {
      await watching.stop()
      vi.useRealTimers()
      return wedged
    },
  }
}

async function eventLoopTurn(): Promise<void> {
  await new Promise((resolve) => {
    setImmediate(resolve)
  })
}
