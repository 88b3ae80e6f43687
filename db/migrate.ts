/** Brings a database to the newest schema and gives it its first prices. Running it again changes nothing. */
import { readdir } from 'node:fs/promises'

import { Migrator, type Migration } from 'kysely/migration'

import { connect } from './connect.ts'
import { seedDefaultRateCard } from './rate-book.ts'

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
