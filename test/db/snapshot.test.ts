// What belongs together is read as of one moment, whatever is committed meanwhile, and a reader changes nothing.
import { sql } from 'kysely'
import { expect } from 'vitest'

import { inOneSnapshot } from '../../db/snapshot.ts'
import { findBalance } from '../../db/wallet.ts'
import { test } from '../support/fixtures.ts'
import { givenWorkspace } from '../support/given.ts'
import { spend } from '../support/given-calls.ts'

test('a second read sees what the first one saw, although money moved between them', async ({ db }) => {
  const workspaceId = await givenWorkspace(db)

  const seen = await inOneSnapshot(db, async (trx) => {
    const before = await findBalance(trx, workspaceId)
    await spend(db, workspaceId, 100)
    return [before, await findBalance(trx, workspaceId)]
  })

  expect(seen).toEqual([10_000_000n, 10_000_000n])
  expect(await findBalance(db, workspaceId)).toBe(9_000_000n)
})

test('a reader cannot write', async ({ db }) => {
  const workspaceId = await givenWorkspace(db)

  const writing = inOneSnapshot(db, (trx) =>
    sql`update wallet set held_micros = 1 where workspace_id = ${workspaceId}`.execute(trx),
  )

  // read_only_sql_transaction
  await expect(writing).rejects.toMatchObject({ code: '25006' })
})
