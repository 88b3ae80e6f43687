// The pairs that matter most, in every order of their statements; npm run proof has all of them. And that orders would be found
// in which something is wrong.
import { sql } from 'kysely'
import { describe, expect } from 'vitest'

import type { Db, Tx } from '../../db/schema.ts'
import { findBreaks } from '../support/books.ts'
import { test } from '../support/fixtures.ts'
import { newId } from '../support/given.ts'
import { explainFailures, explore, type Pair } from '../support/interleave.ts'
import { pairNamed } from '../support/money-pairs.ts'

describe('every order of statements finds', () => {
  test('an update that was lost between a read and a write', async ({ place, db }) => {
    await givenTallies(db)

    const found = await explore(place.databaseUrl, countedBy(readThenWrite), { most: 20 })

    expect(found).toMatchObject({ complete: true, blocked: expect.any(Number) })
    expect(found.failures[0]?.what).toContain('expected 1 to be 2')
    // Whoever reads after the other's commit is right.
    expect(found.failures.length).toBeLessThan(found.schedules)
  })

  test('none where the read locks', async ({ place, db }) => {
    await givenTallies(db)

    const found = await explore(place.databaseUrl, countedBy(lockThenWrite), { most: 20 })

    expect(found).toMatchObject({ complete: true, failures: [] })
    expect(found.blocked).toBeGreaterThan(0)
  })

  test('a deadlock of two that lock in opposite order', async ({ place, db }) => {
    await givenTallies(db)
    const both: Pair<[string, string]> = {
      given: async (db) => [await givenTally(db), await givenTally(db)],
      one: (db, [first, second]) => lockBoth(db, first, second),
      other: (db, [first, second]) => lockBoth(db, second, first),
      check: () => Promise.resolve(),
    }

    const found = await explore(place.databaseUrl, both, { most: 20 })

    expect(found.complete).toBe(true)
    expect(new Set(found.failures.map(({ what }) => what))).toEqual(new Set(['a deadlock']))
    expect(found.failures.length).toBeLessThan(found.schedules)
  })
})

describe('right in every order', () => {
  test.for([
    'the same payment is credited twice',
    'two calls ask for the same twenty cents',
    'the same two calls are told over HTTP, in opposite order',
    'two sweeps decide a recharge',
  ])('%s', async (name, { place }) => {
    const found = await explore(place.databaseUrl, pairNamed(name), { most: 60 })

    expect(explainFailures(found)).toEqual([])
    expect(found.complete).toBe(true)
    expect(await findBreaks(place.databaseUrl)).toEqual([])
  })
})

async function givenTallies(db: Db): Promise<void> {
  await sql`create table if not exists tally (tally_id text primary key, count int not null)`.execute(db)
  await sql`grant all on tally to wallet_worker`.execute(db)
}

async function givenTally(db: Db): Promise<string> {
  const tallyId = newId('tally')
  await sql`insert into tally values (${tallyId}, 0)`.execute(db)
  return tallyId
}

function countedBy(count: (trx: Tx, tallyId: string) => Promise<void>): Pair<string> {
  return {
    given: givenTally,
    one: (db, tallyId) => db.transaction().execute((trx) => count(trx, tallyId)),
    other: (db, tallyId) => db.transaction().execute((trx) => count(trx, tallyId)),
    check: async (db, tallyId) => {
      const { rows } = await sql<{
        count: number
      }>`select count from tally where tally_id = ${tallyId}`.execute(db)
      expect(rows[0]?.count).toBe(2)
    },
  }
}

async function readThenWrite(trx: Tx, tallyId: string): Promise<void> {
  const { rows } = await sql<{ count: number }>`select count from tally where tally_id = ${tallyId}`.execute(
    trx,
  )
  await sql`update tally set count = ${(rows[0]?.count ?? 0) + 1} where tally_id = ${tallyId}`.execute(trx)
}

async function lockThenWrite(trx: Tx, tallyId: string): Promise<void> {
  const { rows } = await sql<{ count: number }>`
    select count from tally where tally_id = ${tallyId} for update`.execute(trx)
  await sql`update tally set count = ${(rows[0]?.count ?? 0) + 1} where tally_id = ${tallyId}`.execute(trx)
}

async function lockBoth(db: Db, first: string, second: string): Promise<void> {
  await db.transaction().execute(async (trx) => {
    await sql`update tally set count = count + 1 where tally_id = ${first}`.execute(trx)
    await sql`update tally set count = count + 1 where tally_id = ${second}`.execute(trx)
  })
}
