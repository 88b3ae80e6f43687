// Once per test run: throwaway Postgres and Redis, whatever DATABASE_URL and REDIS_URL say, and a migrated template
// database that every test file clones. Nothing survives the run; what a killed run leaves is swept by the next one.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { Client } from 'pg'
import type { TestProject } from 'vitest/node'

import { migrateToLatest } from '../../db/migrate.ts'
import { sweepDeadRuns } from '../../scripts/embedded/dead-runs.ts'
import { startEmbeddedServers } from '../../scripts/embedded/embedded-servers.ts'

declare module 'vitest' {
  interface ProvidedContext {
    /** As superuser, to the database `postgres`; clone `app_template` from here. */
    adminDatabaseUrl: string
    redisUrl: string
  }
}

const prefix = 'voice-wallet-test-'

export default async function setUp(project: TestProject): Promise<() => Promise<void>> {
  await sweepDeadRuns(prefix)
  const dataDirectory = await mkdtemp(join(tmpdir(), `${prefix}${process.pid}-`))
  const servers = await startEmbeddedServers({
    dataDirectory,
    durability: 'volatile',
    log: (message) => process.stderr.write(`${message}\n`),
  })
  const adminDatabaseUrl = withDatabase(servers.databaseUrl, 'postgres')
  await createTemplate(adminDatabaseUrl)

  project.provide('adminDatabaseUrl', adminDatabaseUrl)
  project.provide('redisUrl', servers.redisUrl)
  return async () => {
    await servers.stop()
    await rm(dataDirectory, { recursive: true, force: true })
  }
}

async function createTemplate(adminDatabaseUrl: string): Promise<void> {
  const client = new Client({ connectionString: adminDatabaseUrl })
  await client.connect()
  try {
    await client.query('create database app_template strategy file_copy')
    await migrateToLatest(withDatabase(adminDatabaseUrl, 'app_template'))
    await client.query('alter database app_template with is_template true allow_connections false')
  } finally {
    await client.end()
  }
}

function withDatabase(databaseUrl: string, name: string): string {
  const url = new URL(databaseUrl)
  url.pathname = `/${name}`
  return url.href
}
