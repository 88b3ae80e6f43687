/** What tests stand on: a database of their own per file, cloned from the migrated template, and a corner of Redis. */
import { Queue } from 'bullmq'
import { Redis } from 'ioredis'
import { Client } from 'pg'
import { test as base, inject } from 'vitest'

import { connect } from '../../db/connect.ts'
import type { Db, Tx } from '../../db/schema.ts'
import { startOwnServers, type OwnServers, type OwnServersOptions } from './own-servers.ts'
import { startWorkerProcess, type WorkerPlace, type WorkerProcess } from './worker-process.ts'

export type Place = { databaseUrl: string; redisUrl: string; queuePrefix: string }

type FileFixtures = {
  /** Where this file's database and queues are. */
  place: Place
  /** A pool on this file's database, as its owner. */
  db: Db
  redis: Redis
  /** The queues of `place`. */
  queueNamed: (name: string) => Queue
}

type TestFixtures = {
  /** A transaction that is rolled back when the test ends. */
  trx: Tx
  /** As `place`, for this test alone: for what must be committed and would disturb the others. */
  ownPlace: Place
  /** A pool on `ownPlace`, as its owner. */
  ownDb: Db
  /** The queues of `ownPlace`. */
  ownQueueNamed: (name: string) => Queue
  /** A new database with nothing in it. */
  emptyDatabaseUrl: string
  /** Starts a worker process, here unless another place is given. What still runs when the test ends is killed. */
  startWorkers: (options?: {
    place?: WorkerPlace
    environment?: Record<string, string>
  }) => Promise<WorkerProcess>
  /** Starts servers that the test may kill. They are stopped, and their data deleted, when it ends. */
  startServers: (options: OwnServersOptions) => Promise<OwnServers>
}

let places = 0

export const test = base.extend<FileFixtures & TestFixtures>({
  place: [
    async ({}, use) => {
      await withNewPlace(use)
    },
    { scope: 'file' },
  ],
  db: [
    async ({ place }, use) => {
      const db = connect(place.databaseUrl, { profile: 'operator', name: 'test', poolSize: 8 })
      await use(db)
      await db.destroy()
    },
    { scope: 'file' },
  ],
  redis: [
    async ({ place }, use) => {
      const redis = new Redis(place.redisUrl, { maxRetriesPerRequest: null })
      await use(redis)
      redis.disconnect()
    },
    { scope: 'file' },
  ],
  queueNamed: [
    async ({ place, redis }, use) => {
      await withQueues(redis, place.queuePrefix, use)
    },
    { scope: 'file' },
  ],
  trx: async ({ db }, use) => {
    const { trx, rollback } = await db
      .startTransaction()
      .execute()
      .then((controlled) => ({ trx: controlled, rollback: () => controlled.rollback().execute() }))
    await use(trx)
    await rollback()
  },
  ownPlace: async ({}, use) => {
    await withNewPlace(use)
  },
  ownDb: async ({ ownPlace }, use) => {
    const db = connect(ownPlace.databaseUrl, { profile: 'operator', name: 'test', poolSize: 8 })
    await use(db)
    await db.destroy()
  },
  ownQueueNamed: async ({ ownPlace, redis }, use) => {
    await withQueues(redis, ownPlace.queuePrefix, use)
  },
  emptyDatabaseUrl: async ({}, use) => {
    await withNewDatabase('template0', (databaseUrl) => use(databaseUrl))
  },
  startWorkers: async ({ place }, use) => {
    const started: WorkerProcess[] = []
    await use(async ({ place: elsewhere = place, environment } = {}) => {
      const worker = await startWorkerProcess(elsewhere, environment)
      started.push(worker)
      return worker
    })
    await Promise.all(started.map((worker) => worker.kill()))
  },
  startServers: async ({}, use) => {
    const started: OwnServers[] = []
    await use(async (options) => {
      const servers = await startOwnServers(options)
      started.push(servers)
      return servers
    })
    await Promise.all(started.map((servers) => servers.remove()))
  },
})

/** A database cloned from the migrated template, and a queue prefix that nobody else has. */
async function withNewPlace(use: (place: Place) => Promise<void>): Promise<void> {
  await withNewDatabase('app_template', (databaseUrl, name) =>
    use({ databaseUrl, redisUrl: inject('redisUrl'), queuePrefix: `{${name}}` }),
  )
}

async function withNewDatabase(
  template: string,
  use: (databaseUrl: string, name: string) => Promise<void>,
): Promise<void> {
  const adminDatabaseUrl = inject('adminDatabaseUrl')
  places += 1
  const name = `test_${process.pid}_${places}`
  await administer(adminDatabaseUrl, `create database ${name} template ${template} strategy file_copy`)
  const url = new URL(adminDatabaseUrl)
  url.pathname = `/${name}`
  await use(url.href, name)
  await administer(adminDatabaseUrl, `drop database ${name} with (force)`)
}

async function withQueues(
  connection: Redis,
  prefix: string,
  use: (queueNamed: (name: string) => Queue) => Promise<void>,
): Promise<void> {
  const queues = new Map<string, Queue>()
  await use((name) => {
    const queue = queues.get(name) ?? new Queue(name, { connection, prefix })
    queues.set(name, queue)
    return queue
  })
  await Promise.all([...queues.values()].map((queue) => queue.close()))
}

async function administer(adminDatabaseUrl: string, statement: string): Promise<void> {
  const client = new Client({ connectionString: adminDatabaseUrl })
  await client.connect()
  try {
    await client.query(statement)
  } finally {
    await client.end()
  }
}
