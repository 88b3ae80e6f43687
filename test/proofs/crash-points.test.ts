// Every process dies with kill -9 at every point of every piece of work, and what it left ends as if nobody had died.
import { afterAll, expect } from 'vitest'

import { findBreaks } from '../support/books.ts'
import { apiScenarios, workerScenarios } from '../support/crash-scenarios.ts'
import { dieAt, findPoints, openStage } from '../support/crash-run.ts'
import { test } from '../support/fixtures.ts'

const counts = new Map<string, { points: number; died: number; missed: string[] }>()

for (const work of [...workerScenarios, ...apiScenarios]) {
  test.concurrent(
    `${work.name}: a process dies at each of its points`,
    { timeout: 1_200_000 },
    async ({ ownPlace, ownDb, ownQueueNamed, redis }) => {
      const stage = await openStage({ place: ownPlace, db: ownDb, redis, queueNamed: ownQueueNamed })
      try {
        const points = await findPoints(stage, work)
        const deaths = points.filter(({ isApart }) => isApart).map(({ name }) => name)
        const { missed } = await dieAt(stage, work, deaths)
        const died = deaths.length - missed.length
        counts.set(work.name, { points: points.length, died, missed })

        // Of a long piece of work, one in ten: a sweep that came by while its points were found need not come by again.
        expect(missed.length).toBeLessThanOrEqual(deaths.length / 10)
        expect(died).toBeGreaterThan(1)
        expect(await findBreaks(ownPlace.databaseUrl)).toEqual([])
      } finally {
        await stage.close()
      }
    },
  )
}

afterAll(() => {
  const lines = [...counts].map(
    ([name, { points, died, missed }]) => `| ${name} | ${points} | ${died} | ${missed.join(', ')} |`,
  )
  process.stdout.write(`\n| work | points | deaths | missed |\n|---|---|---|---|\n${lines.join('\n')}\n\n`)
})
