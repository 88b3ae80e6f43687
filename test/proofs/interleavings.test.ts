// Every pair of work that moves money, in every order in which their statements can reach Postgres.
import { expect } from 'vitest'

import { findBreaks } from '../support/books.ts'
import { test } from '../support/fixtures.ts'
import { explainFailures, explore } from '../support/interleave.ts'
import { moneyPairs } from '../support/money-pairs.ts'

const seed = Number(process.env['INTERLEAVE_SEED'] ?? 1)

for (const { name, pair } of moneyPairs) {
  test(`${name}: right in every order`, { timeout: 120_000 }, async ({ ownPlace: place }) => {
    const found = await explore(place.databaseUrl, pair, { most: 300, seed })

    expect(explainFailures(found)).toEqual([])
    // All there are, and more than one: a pair that grows past the most that are tried has to be looked at.
    expect(found.complete).toBe(true)
    expect(found.schedules).toBeGreaterThan(1)
    expect(await findBreaks(place.databaseUrl)).toEqual([])
  })
}
