// News of numbers straight into the queue: twice, in any order, hostile, and with the worker killed between its steps.
import type { Job, Queue } from 'bullmq'
import { sql } from 'kysely'
import { describe, expect } from 'vitest'

import type { WorkspaceId } from '../../billing/ids.ts'
import type { Db } from '../../db/schema.ts'
import { findBalance } from '../../db/wallet.ts'
import { jobOf } from '../../jobs/contract.ts'
import { numberReleased, numberRented, rentalDue } from '../../jobs/rental-jobs.ts'
import { findBreaks } from '../support/books.ts'
import { test as base } from '../support/fixtures.ts'
import { givenWorkspace, newId, newWorkspaceId } from '../support/given.ts'
import { anyNumber } from '../support/given-numbers.ts'
import { startTcpProxy } from '../../scripts/drills/tcp-proxy.ts'
import { startWorkerProcess } from '../support/worker-process.ts'
import { until } from '../support/until.ts'

const day = 86_400_000

/** One worker process for the whole file. */
const test = base.extend<{ rental: Queue }>({
  rental: [
    async ({ place, queueNamed }, use) => {
      const worker = await startWorkerProcess(place)
      await use(queueNamed('rental'))
      await worker.kill()
    },
    { scope: 'file' },
  ],
})

function daysAgo(days: number): Date {
  return new Date(Date.now() - days * day)
}

function rented(workspaceId: WorkspaceId, rentedAt: Date, phoneNumber = anyNumber) {
  return jobOf(numberRented, { workspaceId, phoneNumber, rentedAt })
}

function released(workspaceId: WorkspaceId, releasedAt: Date, phoneNumber = anyNumber) {
  return jobOf(numberReleased, { workspaceId, phoneNumber, releasedAt })
}

type ToAdd = Pick<ReturnType<typeof rented>, 'name' | 'data' | 'jobId' | 'options'>

/** Adds a job as the relay does. */
async function add(queue: Queue, { name, data, jobId, options }: ToAdd): Promise<Job> {
  return await queue.add(name, data, { ...options, jobId })
}

/** A job with these words, whatever they are. */
async function addRaw(queue: Queue, name: string, data: unknown): Promise<Job> {
  return await queue.add(name, data, {
    jobId: newId('raw'),
    attempts: 1,
    removeOnComplete: true,
    removeOnFail: false,
  })
}

/** Waits until jobs are done, which is when they are gone. */
async function done(queue: Queue, ...jobs: Job[]): Promise<void> {
  for (const { id, name } of jobs) {
    await until(`${name} is done`, async () => (await queue.getJob(id ?? '')) === undefined, { everyMs: 50 })
  }
}

async function numbersOf(db: Db, workspaceId: WorkspaceId) {
  return await db
    .selectFrom('phone_number')
    .select(['phone_number', 'state', 'anchor_at', 'periods_billed'])
    .where('workspace_id', '=', workspaceId)
    .orderBy('anchor_at')
    .execute()
}

/** Waits until the workspace has so many numbers, each in its state. */
async function becomes(db: Db, workspaceId: WorkspaceId, states: readonly string[]): Promise<void> {
  await until(`the numbers are ${states.join()}`, async () => {
    const numbers = await numbersOf(db, workspaceId)
    return numbers.map(({ state }) => state).join() === states.join()
  })
}

describe('news of a number', () => {
  test('rents it and pays its months, and twice is once', async ({ db, rental }) => {
    const workspaceId = await givenWorkspace(db)
    const rentedAt = daysAgo(33)

    for (let turn = 1; turn <= 3; turn += 1) {
      await done(rental, await add(rental, rented(workspaceId, rentedAt)))
      const further = { workspaceId, phoneNumber: anyNumber, rentedAt, further: true }
      await done(rental, await addRaw(rental, 'number-rented', further))
    }

    expect(await numbersOf(db, workspaceId)).toEqual([
      { phone_number: anyNumber, state: 'active', anchor_at: rentedAt, periods_billed: 2 },
    ])
    expect(await findBalance(db, workspaceId)).toBe(0n)
  })

  test('that it was given back ends it, and what began later is given back; twice is once', async ({
    db,
    rental,
  }) => {
    const workspaceId = await givenWorkspace(db)
    await add(rental, rented(workspaceId, daysAgo(34)))
    await becomes(db, workspaceId, ['active'])

    const releasedAt = daysAgo(10)
    for (let turn = 1; turn <= 2; turn += 1) {
      await done(rental, await add(rental, released(workspaceId, releasedAt)))
    }

    expect(await numbersOf(db, workspaceId)).toMatchObject([{ state: 'released', periods_billed: 2 }])
    expect(await findBalance(db, workspaceId)).toBe(5_000_000n)
  })

  test('that overtakes the news before it is kept until that is here', async ({ db, rental }) => {
    const workspaceId = await givenWorkspace(db)
    const early = await add(rental, released(workspaceId, daysAgo(1)))
    await until(
      'it has been tried',
      async () => ((await rental.getJob(early.id ?? ''))?.attemptsMade ?? 0) > 0,
    )

    await add(rental, rented(workspaceId, daysAgo(2)))

    await becomes(db, workspaceId, ['released'])
    expect(await findBalance(db, workspaceId)).toBe(5_000_000n)
  })

  test('is of the right one of two rentals, in whatever order it comes', async ({ db, rental }) => {
    const workspaceId = await givenWorkspace(db)
    const news = [
      released(workspaceId, daysAgo(1)),
      rented(workspaceId, daysAgo(2)),
      released(workspaceId, daysAgo(3)),
      rented(workspaceId, daysAgo(4)),
    ]
    await add(rental, rented(workspaceId, daysAgo(4)))
    await becomes(db, workspaceId, ['active'])

    for (const each of news) await add(rental, each)

    await becomes(db, workspaceId, ['released', 'released'])
    expect(await findBalance(db, workspaceId)).toBe(0n)
  })

  test('of a workspace that is not open is kept, and done once it is', async ({ db, rental }) => {
    const workspaceId = newWorkspaceId()
    const job = await add(rental, rented(workspaceId, daysAgo(1)))
    await until('it has been tried', async () => ((await rental.getJob(job.id ?? ''))?.attemptsMade ?? 0) > 0)

    await givenWorkspace(db, workspaceId)

    await becomes(db, workspaceId, ['active'])
  })

  test('of another workspace ends nothing', async ({ db, rental }) => {
    const [owner, stranger] = [await givenWorkspace(db), await givenWorkspace(db)]
    await add(rental, rented(owner, daysAgo(2)))
    await becomes(db, owner, ['active'])

    const job = await add(rental, released(stranger, daysAgo(1)))
    await until('it has been tried', async () => ((await rental.getJob(job.id ?? ''))?.attemptsMade ?? 0) > 0)

    expect(await numbersOf(db, owner)).toMatchObject([{ state: 'active' }])
  })
})

test('the bell settles what is due, and nothing twice', async ({ db, rental }) => {
  const workspaceId = await givenWorkspace(db)
  await add(rental, rented(workspaceId, daysAgo(1)))
  await becomes(db, workspaceId, ['active'])
  await db
    .updateTable('phone_number')
    .set({ next_look_at: daysAgo(0) })
    .where('workspace_id', '=', workspaceId)
    .execute()

  const bells = ['one', 'two', 'three'].map((turn) => jobOf(rentalDue, { workspaceId, turn }))
  await done(rental, ...(await Promise.all(bells.map((bell) => add(rental, bell)))))

  const { next_look_at: nextLookAt } = await db
    .selectFrom('phone_number')
    .select('next_look_at')
    .where('workspace_id', '=', workspaceId)
    .executeTakeFirstOrThrow()
  expect(nextLookAt?.getTime()).toBeGreaterThan(Date.now() + 20 * day)
  expect(await findBalance(db, workspaceId)).toBe(5_000_000n)
})

describe('what cannot be read', () => {
  const told = { workspaceId: 'ws_any', phoneNumber: anyNumber, rentedAt: '2026-01-01T00:00:00Z' }
  const hostile: [string, string, unknown][] = [
    ['null', 'number-rented', null],
    ['a list', 'number-rented', [told]],
    ['a text', 'number-released', 'everything'],
    ['nothing', 'number-rented', {}],
    ['a number that is none', 'number-rented', { ...told, phoneNumber: '+0' }],
    ['a number that is a number', 'number-rented', { ...told, phoneNumber: 14_155_550_100 }],
    ['a day without a time', 'number-rented', { ...told, rentedAt: '2026-01-01' }],
    ['a time that is a number', 'number-rented', { ...told, rentedAt: 1 }],
    ['NUL', 'number-rented', { ...told, phoneNumber: `${anyNumber}\0` }],
    ['a workspace with NUL', 'number-rented', { ...told, workspaceId: 'ws_\0' }],
    ['a workspace that is an operator', 'number-rented', { ...told, workspaceId: { $ne: null } }],
    ['a future', 'number-rented', { ...told, rentedAt: new Date(Date.now() + day).toISOString() }],
    ['36 days ago', 'number-rented', { ...told, rentedAt: daysAgo(36).toISOString() }],
    [
      'a release of the future',
      'number-released',
      { ...told, releasedAt: new Date(Date.now() + day).toISOString() },
    ],
    ['a release without a time', 'number-released', told],
    ['a job of no name', 'number-stolen', told],
    ['a bell for everybody', 'rental-due', { workspaceId: '*', turn: 'x' }],
  ]

  test('is set aside with its reason, and delays nobody', async ({ place, db, rental }) => {
    const workspaceId = await givenWorkspace(db)
    const before = await countSetAside(db)

    for (const [, name, data] of hostile) await addRaw(rental, name, data)
    await add(rental, rented(workspaceId, daysAgo(1)))

    await becomes(db, workspaceId, ['active'])
    await until('all are set aside', async () => (await countSetAside(db)) - before === hostile.length)
    const { rows } = await sql<{ reason: string }>`
      select distinct reason from usage_event where state = 'set_aside' order by reason`.execute(db)
    expect(rows.map(({ reason }) => reason)).toEqual(['from_the_future', 'malformed_payload', 'too_old'])
    expect(await findBreaks(place.databaseUrl)).toEqual([])
  })

  test('a release of long ago of a number that nobody knows is let go', async ({ db, rental }) => {
    const workspaceId = await givenWorkspace(db)

    await done(rental, await add(rental, released(workspaceId, daysAgo(36))))

    expect(await numbersOf(db, workspaceId)).toEqual([])
  })
})

test('a worker that is killed right after its commit leaves a number rented once', async ({
  ownPlace: place,
  ownDb: db,
  ownQueueNamed,
  startWorkers,
}) => {
  const { hostname, port } = new URL(place.databaseUrl)
  const proxy = await startTcpProxy({ host: hostname, port: Number(port) })
  const doomedPlace = { ...place, databaseUrl: proxy.urlOf(place.databaseUrl) }
  const queue = ownQueueNamed('rental')
  const workspaceId = await givenWorkspace(db)

  const doomed = await startWorkers({ place: doomedPlace })
  const held = proxy.holdCommitOf('rented')
  const job = await add(queue, rented(workspaceId, daysAgo(1)))
  const letGo = await held
  await doomed.kill()
  letGo()
  await startWorkers({ place })

  await done(queue, job)
  expect(await numbersOf(db, workspaceId)).toMatchObject([{ state: 'active', periods_billed: 1 }])
  expect(await findBalance(db, workspaceId)).toBe(5_000_000n)
  expect(await findBreaks(place.databaseUrl)).toEqual([])
  await proxy.close()
})

async function countSetAside(db: Db): Promise<number> {
  const { count } = await db
    .selectFrom('usage_event')
    .select((expression) => expression.fn.countAll<bigint>().as('count'))
    .where('state', '=', 'set_aside')
    .executeTakeFirstOrThrow()
  return Number(count)
}
