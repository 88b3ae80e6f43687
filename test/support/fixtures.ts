/** What tests stand on: a database of their own per file, cloned from the migrated template, and a corner of Redis. */
import { Redis } from 'ioredis'
import { Client } from 'pg'
import { test as base, inject } from 'vitest'

import { connect } from '../../db/connect.ts'
import type { Db, Tx } from '../../db/schema.ts'

export type Place = { databaseUrl: string; redisUrl: string; queuePrefix: string }

type FileFixtures = {
  /** Where this file's database and queues are. */
  place: Place
  /** A pool on this file's database, as its owner. */
  db: Db
  redis: Redis
}

type TestFixtures = {
  /** A transaction that is rolled back when the test ends. */
  trx: Tx
}

let files = 0

export const test = base.extend<FileFixtures & TestFixtures>({
  place: [
    async ({}, use) => {
      const adminDatabaseUrl = inject('adminDatabaseUrl')
      files += 1
      const name = `test_${process.pid}_${files}`
      await administer(adminDatabaseUrl, `create database ${name} template app_template strategy file_copy`)
      const url = new URL(adminDatabaseUrl)
      url.pathname = `/${name}`
      await use({ databaseUrl: url.href, redisUrl: inject('redisUrl'), queuePrefix: `{${name}}` })
      await administer(adminDatabaseUrl, `drop database ${name} with (force)`)
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
  trx: async ({ db }, use) => {
    const { trx, rollback } = await db
      .startTransaction()
      .execute()
      .then((controlled) => ({ trx: controlled, rollback: () => controlled.rollback().execute() }))
    await use(trx)
    await rollback()
  },
})

async function administer(adminDatabaseUrl: string, statement: string): Promise<void> {
  const client = new Client({ connectionString: adminDatabaseUrl })
  await client.connect()
  try {
    await client.query(statement)
  } finally {
    await client.end()
  }
}
