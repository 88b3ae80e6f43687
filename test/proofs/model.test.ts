// What the wallet promises, said by a model of three hundred lines, against Postgres: thousands of commands in any order.
//
// A failure prints its seed and its path. To see it again: MODEL_SEED=... MODEL_PATH=... MODEL_REPLAY=... npm test -- test/proofs/model
import * as fc from 'fast-check'
import { expect } from 'vitest'

import { connect } from '../../db/connect.ts'
import { findBreaks } from '../support/books.ts'
import { test } from '../support/fixtures.ts'
import { freezeClock } from '../support/frozen-clock.ts'
import { anyCommands, givenRun, settleRun } from '../support/model-commands.ts'

const { MODEL_RUNS: runs, MODEL_SEED: seed, MODEL_PATH: path, MODEL_REPLAY: replayPath } = process.env

test(
  'a model of the wallet and the wallet say the same after every command',
  { timeout: 600_000 },
  async ({ ownPlace, ownDb }) => {
    const setClock = await freezeClock(ownDb)
    const db = connect(ownPlace.databaseUrl, { profile: 'operator', name: 'model', poolSize: 1 })
    const seen = new Map<string, number>()

    await fc.assert(
      fc.asyncProperty(anyCommands(50, replayPath), async (commands) => {
        const run = await givenRun(db, setClock, seen)
        await fc.asyncModelRun(() => run, commands)
        await settleRun(run.model, run.real)
      }),
      {
        numRuns: Number(runs ?? 150),
        ...(seed === undefined ? {} : { seed: Number(seed) }),
        ...(path === undefined ? {} : { path }),
      },
    )
    await db.destroy()

    console.log(Object.fromEntries([...seen].toSorted()))
    expect(await findBreaks(ownPlace.databaseUrl)).toEqual([])
  },
)
