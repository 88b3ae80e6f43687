// A taste of the model test; npm run proof has the meal.
import { expect } from 'vitest'

import { findBreaks } from '../support/books.ts'
import { test } from '../support/fixtures.ts'
import { holdToModel } from '../support/model/run.ts'

test('the wallet and its model say the same after every one of some hundred commands', async ({
  ownPlace,
  ownDb,
}) => {
  const seen = await holdToModel(ownPlace.databaseUrl, ownDb, { runs: 8, mostCommands: 120, seed: 7 })

  const commands = [...seen.values()].reduce((sum, count) => sum + count, 0)
  expect(commands).toBeGreaterThan(100)
  expect([...seen.keys()]).toEqual(expect.arrayContaining(['Post posted', 'Charge ok', 'Rent rented']))
  expect(await findBreaks(ownPlace.databaseUrl)).toEqual([])
})
