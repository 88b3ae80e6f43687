// Every process dies with kill -9 at every point of every piece of work, and what it left ends as if nobody had died.
import { afterAll, expect } from 'vitest'

import { findBreaks } from '../support/books.ts'
import { apiScenarios, workerScenarios } from '../support/crash-scenarios.ts'
import { dieEverywhere, openStage, type CrashRun } from '../support/crash-run.ts'
import { test } from '../support/fixtures.ts'

const runs = new Map<string, CrashRun>()

for (const work of [...workerScenarios, ...apiScenarios]) {
  test.concurrent(
    `${work.name}: a process dies at each of its points`,
    { timeout: 1_200_000 },
    async ({ ownPlace, ownDb, ownQueueNamed, redis }) => {
      const stage = await openStage({ place: ownPlace, db: ownDb, redis, queueNamed: ownQueueNamed })
      try {
        const run = await dieEverywhere(stage, work)
        runs.set(work.name, run)

        expect(run.missed).toEqual([])
        expect(run.died.length).toBeGreaterThan(1)
        expect(await findBreaks(ownPlace.databaseUrl)).toEqual([])
      } finally {
        await stage.close()
      }
    },
  )
}

afterAll(() => {
  const lines = [...runs].map(([name, { points, died }]) => `| ${name} | ${points.length} | ${died.length} |`)
  process.stdout.write(`\n| work | points | deaths |\n|---|---|---|\n${lines.join('\n')}\n\n`)
})
