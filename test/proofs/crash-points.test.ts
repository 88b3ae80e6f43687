// Every process dies with kill -9 at every point of every piece of work, and what it left ends as if nobody had died.
import { expect } from 'vitest'

import { findBreaks } from '../support/books.ts'
import { apiScenarios, workerScenarios } from '../support/crash-scenarios.ts'
import { dieEverywhere, openStage } from '../support/crash-run.ts'
import { test } from '../support/fixtures.ts'

for (const work of [...workerScenarios, ...apiScenarios]) {
  test.concurrent(
    `${work.name}: a process dies at each of its points`,
    { timeout: 180_000 },
    async ({ ownPlace, ownDb, ownQueueNamed }) => {
      const stage = await openStage(ownPlace, ownDb, ownQueueNamed)
      try {
        const startedAt = performance.now()
        const { points, died } = await dieEverywhere(stage, work)
        console.log(work.name, points.length, died.length, Math.round(performance.now() - startedAt), points)

        expect(died.length).toBeGreaterThan(points.length / 2)
        expect(await findBreaks(ownPlace.databaseUrl)).toEqual([])
      } finally {
        await stage.close()
      }
    },
  )
}
