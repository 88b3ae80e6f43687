// The usage queue: whatever a job carries is posted, or set aside with its reason; a job is never lost with it.
import { UnrecoverableError, Worker, type Job, type JobsOptions, type Queue } from 'bullmq'
import type { Redis } from 'ioredis'
import { sql } from 'kysely'
import { describe, expect } from 'vitest'

import { connect } from '../../db/connect.ts'
import type { Db } from '../../db/schema.ts'
import { listReceivedUsage, receiveUsage } from '../../db/usage-event.ts'
import { findBalance, lockWallet } from '../../db/wallet.ts'
import { jobOf } from '../../jobs/contract.ts'
import { callEnded, usageBatch, usageReceived } from '../../jobs/usage-jobs.ts'
import { createLog } from '../../runtime/log.ts'
import { createPostingBatch, type PostingBatch } from '../../workers/posting-batch.ts'
import { arrivalsOf, rescueFailedUsage, startUsageWorkers } from '../../workers/usage-worker.ts'
import { countUsage, isQuiet } from '../support/books.ts'
import { captureLog } from '../support/captured-log.ts'
import { test as base } from '../support/fixtures.ts'
import { aCall, aMessage, callArrival, givenWorkspace } from '../support/given.ts'
import { startTcpProxy } from '../../scripts/drills/tcp-proxy.ts'
import { whileHeld } from '../support/held.ts'
import { until } from '../support/until.ts'

const silent = createLog('silent', 'test')

const test = base.extend<{ usage: Queue; batch: PostingBatch; working: unknown }>({
  usage: async ({ ownQueueNamed }, use) => {
    await use(ownQueueNamed('usage'))
  },
  batch: async ({ ownPlace }, use) => {
    const db = connect(ownPlace.databaseUrl, { profile: 'posting', name: 'posting', poolSize: 1 })
    const batch = createPostingBatch({ db, log: silent, most: 500 })
    await use(batch)
    await batch.close()
    await db.destroy()
  },
  /** Usage workers on the test's own queue. */
  working: async ({ ownPlace, ownDb, redis, batch }, use) => {
    const context = { connection: redis, prefix: ownPlace.queuePrefix, log: silent }
    const workers = startUsageWorkers(context, { db: ownDb, batch, workers: 2, concurrency: 20 })
    await use(undefined)
    await Promise.all(workers.map((worker) => worker.close()))
  },
})

describe('what a job carries', () => {
  const call = aCall('ws_acme')
  const message = aMessage('ws_acme')
  const timestamp = Date.UTC(2026, 10, 1)

  test('is one event, or each of a batch, received when the job was made', () => {
    const arrivals = [
      ...arrivalsOf({ name: 'call-ended', data: call, timestamp }),
      ...arrivalsOf({ name: 'message-sent', data: message, timestamp }),
      ...arrivalsOf({
        name: 'usage-batch',
        data: { events: [{ kind: 'call', ...call }, { kind: 'message', ...message }, { kind: 'fax' }, 7] },
        timestamp,
      }),
    ]

    expect(arrivals.map(({ kind, event }) => [kind, event?.id ?? null])).toEqual([
      ['call', call.callId],
      ['message', message.messageId],
      ['call', call.callId],
      ['message', message.messageId],
      ['unknown', null],
      ['unknown', null],
    ])
    expect(new Set(arrivals.map(({ receivedAt }) => receivedAt.getTime()))).toEqual(new Set([timestamp]))
    // The same telling in a batch is the same telling.
    expect(arrivals[2]?.payloadHash).toBe(arrivals[0]?.payloadHash)
  })

  test.for([
    ['usage-batch', { events: [] }],
    ['usage-batch', { events: 'many' }],
    ['usage-batch', null],
    ['usage-batch', []],
    ['call-started', aCall('ws_acme')],
    ['', undefined],
  ] as const)('is kept as one refused arrival when it is no usage: %s %j', ([name, data]) => {
    const arrivals = arrivalsOf({ name, data, timestamp })

    expect(arrivals).toMatchObject([
      { workspaceId: 'unassigned', event: null, refusal: { reason: 'malformed_payload' } },
    ])
    expect(JSON.parse(arrivals[0]?.payload ?? '')).toMatchObject({ job: name })
  })
})

describe('a usage worker', () => {
  test('takes few jobs at once while they are full, and posts every event of them', async ({
    ownPlace,
    ownDb: db,
    redis,
    usage,
    batch,
  }) => {
    const workspaceId = await givenWorkspace(db)
    const jobs = Array.from({ length: 60 }, () => ({
      name: 'usage-batch',
      data: { events: Array.from({ length: 130 }, () => ({ kind: 'call', ...aCall(workspaceId) })) },
    }))
    await usage.addBulk(jobs)

    const context = { connection: redis, prefix: ownPlace.queuePrefix, log: silent }
    const workers = startUsageWorkers(context, { db, batch, workers: 4, concurrency: 100 })
    await until('they are done', () => isQuiet(usage))
    await Promise.all(workers.map((worker) => worker.close()))

    expect(await countUsage(db)).toEqual({ posted: 60 * 130 })
    // Eight a worker before they know what is in them, or as many as carry 4,096 events.
    expect(await mostAtOnce(redis, usage)).toBeLessThanOrEqual(36)
  })

  test('posts what full jobs carry for others while a wallet is locked, however many of them carry some of its events', async ({
    ownPlace,
    ownDb: db,
    redis,
    usage,
    batch,
  }) => {
    const [locked, free] = [await givenWorkspace(db), await givenWorkspace(db)]
    const jobs = Array.from({ length: 60 }, () => ({
      name: 'usage-batch',
      data: {
        events: Array.from({ length: 40 }, (_, index) => ({
          kind: 'call',
          ...aCall(index === 0 ? locked : free),
        })),
      },
    }))
    const context = { connection: redis, prefix: ownPlace.queuePrefix, log: silent }

    const workers = await whileHeld(
      db,
      (trx) => lockWallet(trx, locked),
      async () => {
        const started = startUsageWorkers(context, { db, batch, workers: 2, concurrency: 100 })
        await usage.addBulk(jobs)
        await until('all of the others are posted', async () => {
          return (await countUsage(db, free)).posted === 60 * 39
        })
        expect(await countUsage(db, locked)).toEqual({})
        return started
      },
    )
    await until('they are done', () => isQuiet(usage))
    await Promise.all(workers.map((worker) => worker.close()))

    expect(await countUsage(db, locked)).toEqual({ posted: 60 })
  })

  test('posts all of a batch but the event that can neither be posted nor set aside, and fails', async ({
    ownDb: db,
    usage,
    working: _working,
  }) => {
    const workspaceId = await givenWorkspace(db)
    const [poison, ...calls] = Array.from({ length: 300 }, () => aCall(workspaceId))
    await refuse(db, 'insert', `call/${poison?.callId}`)

    await usage.add('usage-batch', { events: [poison, ...calls].map((call) => ({ kind: 'call', ...call })) })
    await until('it is done', async () => (await usage.getFailedCount()) === 1)

    expect(await countUsage(db)).toEqual({ posted: 299 })
  })

  test('posts the good events of a batch and sets the bad ones aside', async ({
    ownDb: db,
    usage,
    working: _working,
  }) => {
    const workspaceId = await givenWorkspace(db)
    const events = [
      { kind: 'call', ...aCall(workspaceId) },
      { kind: 'call', ...aCall(workspaceId, { to: '+99955550100' }) },
      { kind: 'message', ...aMessage(workspaceId) },
      { kind: 'call', ...aCall(workspaceId, { durationSeconds: 0 }) },
      { kind: 'call', ...aCall('ws_nobody') },
      { kind: 'call', workspaceId },
      'nonsense',
    ]

    await usage.add('usage-batch', { events })
    await until('it is done', () => isQuiet(usage))

    expect(await countUsage(db)).toEqual({ posted: 2, free: 1, set_aside: 4 })
    expect(await findBalance(db, workspaceId)).toBe(10_000_000n - 180_000n - 10_000n)
    expect(await usage.getFailedCount()).toBe(0)
  })

  test('takes a batch of any length, also of more events than the producer would send', async ({
    ownDb: db,
    usage,
    working: _working,
  }) => {
    const workspaceId = await givenWorkspace(db)
    const events = Array.from({ length: 1_200 }, () => ({ kind: 'message', ...aMessage(workspaceId) }))

    await usage.add('usage-batch', { events })
    await until('it is done', () => isQuiet(usage))

    expect(await countUsage(db)).toEqual({ posted: 1_200 })
  })

  test.for(['call-started', '', 'a\0b', '\ud800', 'x'.repeat(5_000)])(
    'keeps a job whose name nobody knows: %j',
    async (name, { ownDb: db, usage, working: _working }) => {
      await usage.add(name, aCall('ws_any'))
      await until('it is done', () => isQuiet(usage))

      expect(await countUsage(db)).toEqual({ set_aside: 1 })
      expect(await usage.getFailedCount()).toBe(0)
    },
  )

  test('posts everything that lies received in Postgres when it is rung for, page after page', async ({
    ownDb: db,
    usage,
    working: _working,
  }) => {
    const workspaceId = await givenWorkspace(db)
    await receiveUsage(
      db,
      Array.from({ length: 1_101 }, () => callArrival(aCall(workspaceId, { durationSeconds: 1 }))),
    )

    await addJob(usage, jobOf(usageReceived, {}))
    await until('it is done', () => isQuiet(usage))

    expect(await countUsage(db)).toEqual({ posted: 1_101 })
  })

  test('posts what was received while it posted the last page, although the ring for it came to a job that was there', async ({
    ownPlace,
    ownDb: db,
    redis,
    usage,
    batch,
  }) => {
    let asked = 0
    const counting: PostingBatch = {
      ...batch,
      post: async (arrival) => {
        asked += 1
        return await batch.post(arrival)
      },
    }
    const context = { connection: redis, prefix: ownPlace.queuePrefix, log: silent }
    const [worker] = startUsageWorkers(context, { db, batch: counting, workers: 1, concurrency: 10 })
    const [locked, other] = [await givenWorkspace(db), await givenWorkspace(db)]
    await receiveUsage(db, [callArrival(aCall(locked))])

    await whileHeld(
      db,
      (trx) => sql`select from wallet where workspace_id = ${locked} for no key update`.execute(trx),
      async () => {
        await addJob(usage, jobOf(usageReceived, {}))
        await until('it has read the page and waits for the wallet', () => asked === 1)
        await receiveUsage(db, [callArrival(aCall(other))])
        await addJob(usage, jobOf(usageReceived, {}))
      },
    )
    await until('it is done', () => isQuiet(usage))

    await worker?.close()

    expect(await countUsage(db)).toEqual({ posted: 2 })
  })

  test('posts all that was received at the first attempt, although the oldest event cannot even be set aside', async ({
    ownDb: db,
    usage,
    working: _working,
  }) => {
    const workspaceId = await givenWorkspace(db)
    const events = Array.from({ length: 1_101 }, () =>
      callArrival(aCall(workspaceId, { durationSeconds: 1 })),
    )
    await receiveUsage(db, events)
    const [oldest] = await listReceivedUsage(db, { limit: 1 })
    await refuse(db, 'update', oldest?.key ?? '')

    const job = await addJob(usage, jobOf(usageReceived, {}))
    await until('the first attempt is over', async () => (await job.isDelayed()) || (await isQuiet(usage)))

    expect(await countUsage(db)).toEqual({ posted: 1_100, received: 1 })
  })

  test('gives a job back, with all its attempts, when the process ends before the event is posted', async ({
    ownPlace,
    ownDb: db,
    redis,
    usage,
  }) => {
    const workspaceId = await givenWorkspace(db)
    const { hostname, port } = new URL(ownPlace.databaseUrl)
    const proxy = await startTcpProxy({ host: hostname, port: Number(port) })
    const away = connect(proxy.urlOf(ownPlace.databaseUrl), { profile: 'posting', name: 'away', poolSize: 1 })
    await proxy.close()
    const { log, lines } = captureLog()
    const batch = createPostingBatch({ db: away, log, most: 10 })
    const context = { connection: redis, prefix: ownPlace.queuePrefix, log }
    const [worker] = startUsageWorkers(context, { db, batch, workers: 1, concurrency: 10 })
    const job = await addJob(usage, jobOf(callEnded, aCall(workspaceId)))

    await until('it waits for Postgres', () =>
      lines.some(({ msg }) => msg === 'posting waits for the database'),
    )
    await batch.close()
    await worker?.close()
    const left = await usage.getJob(job.id ?? '')

    expect(await left?.getState()).toBe('delayed')
    expect(left?.attemptsMade).toBe(0)
    await away.destroy()
  })

  test('gives the doorbell back, with all its attempts, when the process ends and an event cannot even be set aside', async ({
    ownPlace,
    ownDb: db,
    redis,
    usage,
  }) => {
    const [locked, other] = [await givenWorkspace(db), await givenWorkspace(db)]
    const waiting = { ...callArrival(aCall(locked)), receivedAt: new Date(Date.now() - 10_000) }
    const poison = callArrival(aCall(other))
    await receiveUsage(db, [waiting, poison])
    await refuse(db, 'update', poison.key)
    const { log, lines } = captureLog()
    const posting = connect(ownPlace.databaseUrl, { profile: 'posting', name: 'posting', poolSize: 1 })
    const batch = createPostingBatch({ db: posting, log, most: 10 })
    const context = { connection: redis, prefix: ownPlace.queuePrefix, log }

    const job = await whileHeld(
      db,
      (trx) => lockWallet(trx, locked),
      async () => {
        const [worker] = startUsageWorkers(context, { db, batch, workers: 1, concurrency: 10 })
        const rung = await addJob(usage, jobOf(usageReceived, {}))
        // Once for itself, and once for setting it aside.
        await until('one event cannot be kept', () => {
          return lines.filter(({ msg }) => msg === 'usage cannot be posted').length === 2
        })
        await batch.close()
        await worker?.close()
        return rung
      },
    )
    const left = await usage.getJob(job.id ?? '')

    expect(await left?.getState()).toBe('delayed')
    expect(left?.attemptsMade).toBe(0)
    expect(await countUsage(db)).toEqual({ received: 2 })
    await posting.destroy()
  })
})

describe('rescuing usage jobs that failed for good', () => {
  test('sets their events aside with the reason, and lets the same job be enqueued again', async ({
    ownPlace,
    ownDb: db,
    usage,
    batch,
  }) => {
    const workspaceId = await givenWorkspace(db)
    const call = jobOf(callEnded, aCall(workspaceId))
    const events = [
      { kind: 'call' as const, ...aCall(workspaceId) },
      { kind: 'message' as const, ...aMessage(workspaceId) },
    ]
    await failForGood(usage, ownPlace.queuePrefix, [call, jobOf(usageBatch, { events })])

    const rescued = await rescueFailedUsage(await usage.getFailed(), { batch, log: silent })

    expect(rescued).toBe(2)
    expect(await countUsage(db)).toEqual({ set_aside: 3 })
    expect(await reasonsIn(db)).toEqual([['crashed_worker', 'the job failed: out of luck']])
    expect(await usage.getFailedCount()).toBe(0)
    await addJob(usage, call)
    expect(await usage.getWaitingCount()).toBe(1)
  })

  test('leaves what is booked already as it is', async ({ ownPlace, ownDb: db, usage, batch }) => {
    const workspaceId = await givenWorkspace(db)
    const call = aCall(workspaceId)
    await batch.post(callArrival(call))
    await failForGood(usage, ownPlace.queuePrefix, [jobOf(callEnded, call)])

    await rescueFailedUsage(await usage.getFailed(), { batch, log: silent })

    expect(await countUsage(db)).toEqual({ posted: 1 })
    expect(await usage.getFailedCount()).toBe(0)
  })

  test('keeps the reason of an event that could not have been posted anyway', async ({
    ownPlace,
    ownDb: db,
    usage,
    batch,
  }) => {
    await failForGood(usage, ownPlace.queuePrefix, [
      { name: 'call-ended', jobId: 'odd', data: { odd: true }, options: {} },
    ])

    await rescueFailedUsage(await usage.getFailed(), { batch, log: silent })

    expect((await reasonsIn(db)).map(([reason]) => reason)).toEqual(['malformed_payload'])
  })

  test('is not stopped by a job that was made at an impossible time', async ({
    ownPlace,
    ownDb: db,
    usage,
    batch,
  }) => {
    const workspaceId = await givenWorkspace(db)
    const odd = { name: 'call-ended', jobId: 'odd', data: { odd: true }, options: { timestamp: 1.7e18 } }
    await failForGood(usage, ownPlace.queuePrefix, [jobOf(callEnded, aCall(workspaceId)), odd])

    await rescueFailedUsage(await usage.getFailed(), { batch, log: silent })

    expect(await countUsage(db)).toEqual({ set_aside: 2 })
  })

  // It is: the newest comes first, and one that cannot be written down ends the turn, every time.
  test('is not stopped by a job that is nested deeper than JSON can be written', async ({
    ownPlace,
    ownDb: db,
    redis,
    usage,
    batch,
  }) => {
    const workspaceId = await givenWorkspace(db)
    const odd = { name: 'call-ended', jobId: 'odd', data: {}, options: {} }
    await failForGood(usage, ownPlace.queuePrefix, [jobOf(callEnded, aCall(workspaceId)), odd])
    await redis.hset(`${ownPlace.queuePrefix}:usage:odd`, 'data', '['.repeat(9_000) + ']'.repeat(9_000))

    const failed = await usage.getFailed()
    await rescueFailedUsage(failed, { batch, log: silent }).catch(() => undefined)

    expect(await countUsage(db, workspaceId)).toEqual({ set_aside: 1 })
  })
})

/** The most jobs that were with a worker at the same time, by what the queue itself told. */
async function mostAtOnce(redis: Redis, queue: Queue): Promise<number> {
  let now = 0
  let most = 0
  for (const [, fields] of await redis.xrange(queue.toKey('events'), '-', '+')) {
    const event = fields[fields.indexOf('event') + 1]
    if (event === 'active') now += 1
    if (event === 'completed') now -= 1
    most = Math.max(most, now)
  }
  return most
}

type EnqueuedJob = { name: string; jobId: string; data: unknown; options: JobsOptions }

/** Postgres itself has no place for an event, or takes no change of it. */
async function refuse(db: Db, change: 'insert' | 'update', key: string): Promise<void> {
  await sql`create function poison() returns trigger language plpgsql as $$ begin raise 'poison'; end $$`.execute(
    db,
  )
  await sql`create trigger poison before ${sql.raw(change)} on usage_event for each row
    when (new.key = ${sql.lit(key)}) execute function poison()`.execute(db)
}

async function addJob(queue: Queue, { name, jobId, data, options }: EnqueuedJob): Promise<Job> {
  return await queue.add(name, data, { ...options, jobId })
}

/** As a job fails whose worker died too often: for good, whatever attempts it had left. */
async function failForGood(queue: Queue, prefix: string, jobs: readonly EnqueuedJob[]): Promise<void> {
  const before = await queue.getFailedCount()
  for (const job of jobs) await addJob(queue, job)
  const worker = new Worker(
    queue.name,
    () => {
      throw new UnrecoverableError('out of luck')
    },
    { connection: queue.opts.connection, prefix },
  )
  await until('they have failed', async () => (await queue.getFailedCount()) === before + jobs.length)
  await worker.close()
}

async function reasonsIn(db: Db): Promise<[string | null, string | null][]> {
  const rows = await db.selectFrom('usage_event').select(['reason', 'detail']).distinct().execute()
  return rows.map((row) => [row.reason, row.detail])
}
