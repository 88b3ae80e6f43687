/** The model test itself: runs of commands in any order, after each of which the model and Postgres must say the same. */
import * as fc from 'fast-check'

import { connect } from '../../../db/connect.ts'
import type { Db } from '../../../db/schema.ts'
import { letClocksStop } from '../frozen-clock.ts'
import { anyCommands, givenRun } from './commands.ts'
import { settleRun } from './compare.ts'

/**
 * Stops the clock of the database. A failure names its seed, its path and its replay path, which repeat it:
 * MODEL_SEED=... MODEL_PATH=... MODEL_REPLAY=...
 *
 * Shape:  how often each command came to each outcome.
 * Throws: fast-check's report of the shortest run that it found in which the two do not say the same.
 */
export async function holdToModel(
  databaseUrl: string,
  owner: Db,
  { runs, mostCommands, seed }: { runs: number; mostCommands: number; seed?: number },
): Promise<ReadonlyMap<string, number>> {
  const { MODEL_SEED = seed, MODEL_PATH: path, MODEL_REPLAY: replayPath, MODEL_RUNS = runs } = process.env
  await letClocksStop(owner)
  const db = connect(databaseUrl, { profile: 'operator', name: 'model', poolSize: 1 })
  const seen = new Map<string, number>()
  try {
    await fc.assert(
      fc.asyncProperty(anyCommands(mostCommands, replayPath), async (commands) => {
        const run = await givenRun(db, seen)
        await fc.asyncModelRun(() => run, commands)
        await settleRun(run.model, run.real)
      }),
      {
        numRuns: Number(MODEL_RUNS),
        ...(MODEL_SEED === undefined ? {} : { seed: Number(MODEL_SEED) }),
        ...(path === undefined ? {} : { path }),
      },
    )
  } finally {
    await db.destroy()
  }
  return seen
}
