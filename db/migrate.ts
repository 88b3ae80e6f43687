/** Brings a database to the newest schema and gives it its first prices. Running it again changes nothing. */
import { readdir } from 'node:fs/promises'

import { sql } from 'kysely'
import { Migrator, type Migration } from 'kysely/migration'

import { BillingError } from '../billing/billing-error.ts'
import { connect } from './connect.ts'
import { codeOf } from './errors.ts'
import { seedDefaultRateCard } from './rate-book.ts'
import type { Db } from './schema.ts'

/**
 * Throws: the error of the migration that failed; the ones before it stay, the failed one leaves nothing behind.
 * Shape:  the names of the migrations that ran now, oldest first.
 */
export async function migrateToLatest(databaseUrl: string): Promise<string[]> {
  const db = connect(databaseUrl, { profile: 'operator', name: 'migrate', poolSize: 1 })
  try {
    const migrator = new Migrator({ db, provider: { getMigrations: readMigrations } })
    const { error, results } = await migrator.migrateToLatest()
    if (error !== undefined) throw error
    await db.transaction().execute(seedDefaultRateCard)
    return (results ?? []).map((result) => result.migrationName)
  } finally {
    await db.destroy()
  }
}

/**
 * For a process that is about to work on a database.
 *
 * Throws: BillingError `schema_outdated` when a migration is missing there. A newer schema is fine: migrations only add.
 */
export async function assertMigrated(db: Db): Promise<void> {
  const { rows } = await sql<{ name: string }>`select name from kysely_migration`
    .execute(db)
    .catch((error: unknown) => {
      if (codeOf(error) === undefinedTable) return { rows: [] }
      throw error
    })
  const missing = (await migrationNames()).filter((name) => !rows.some((row) => row.name === name))
  if (missing.length === 0) return
  throw new BillingError(
    'schema_outdated',
    `The database lacks ${missing.join(', ')}: run "npm run -s migrate" on it, then start again`,
  )
}

const undefinedTable = '42P01'

/** The names of all migrations there are, oldest first. */
export async function migrationNames(): Promise<string[]> {
  const files = await readdir(new URL('migrations/', import.meta.url))
  return files
    .filter((file) => file.endsWith('.ts'))
    .map((file) => file.replace(/\.ts$/, ''))
    .toSorted()
}

async function readMigrations(): Promise<Record<string, Migration>> {
  const migrations: Record<string, Migration> = {}
  for (const name of await migrationNames()) {
    const migration: Migration = await import(new URL(`migrations/${name}.ts`, import.meta.url).href)
    migrations[name] = migration
  }
  return migrations
}
