// Workers die in the middle of their work, five times, with kill -9. The books must not notice.
import { expect } from 'vitest'

import { createProducer } from '../../jobs/producer.ts'
import { countTransactions, findBreaks, isQuiet, readBalances } from '../support/books.ts'
import { test } from '../support/fixtures.ts'
import { givenWorkspace } from '../support/given.ts'
import { until } from '../support/until.ts'
import { givenTraffic, oracleOf, sendTraffic } from '../support/usage-traffic.ts'

const kills = 5
/** Small bites, so that every kill finds work under way. */
const environment = { USAGE_WORKERS: '2', USAGE_CONCURRENCY: '40', POSTING_BATCH_SIZE: '40' }

test('a worker that is killed five times posts every event once, and sending everything again posts nothing', async ({
  place,
  db,
  queueNamed,
  startWorkers,
}) => {
  const workspaceIds = await Promise.all(Array.from({ length: 5 }, () => givenWorkspace(db)))
  const traffic = givenTraffic({ records: 4_000, workspaceIds, seed: 7, now: new Date() })
  const oracle = oracleOf(traffic, workspaceIds)
  const producer = createProducer(place.redisUrl, { prefix: place.queuePrefix, timeoutMs: 10_000 })
  const usage = queueNamed('usage')

  const workers = [await startWorkers({ environment })]
  const postedAtKills: number[] = []
  for (let part = 1; part <= kills + 1; part += 1) {
    const sending = sendTraffic(producer, partOf(traffic, part, kills + 1))
    if (part <= kills) {
      const goal = Math.round((oracle.billable * (part - 0.5)) / (kills + 1))
      await until(
        `${goal} events are posted`,
        async () => (await countTransactions(db, ['call', 'message'])) >= goal,
        { everyMs: 2 },
      )
      await workers.at(-1)?.kill()
      postedAtKills.push(await countTransactions(db, ['call', 'message']))
      workers.push(await startWorkers({ environment }))
    }
    await sending
  }
  await until('every event is posted', async () => {
    return (await countTransactions(db, ['call', 'message'])) >= oracle.billable && (await isQuiet(usage))
  })
  const balances = await readBalances(db)

  // The kills came in time to hurt: work was left, and some of it lay in dead hands.
  expect(Math.max(...postedAtKills)).toBeLessThan(oracle.billable)
  expect(workers.flatMap(({ log }) => log).filter(({ msg }) => msg.startsWith('job stalled'))).not.toEqual([])
  expect(await countTransactions(db, ['call', 'message'])).toBe(oracle.billable)
  expect(balances).toEqual(oracle.balances)
  expect(await findBreaks(place.databaseUrl)).toEqual([])

  await sendTraffic(producer, traffic)
  await until('everything that was sent again is decided', () => isQuiet(usage))

  expect(await countTransactions(db, ['call', 'message'])).toBe(oracle.billable)
  expect(await readBalances(db)).toEqual(oracle.balances)
  await producer.close()
})

function partOf<Item>(items: readonly Item[], part: number, parts: number): Item[] {
  const size = Math.ceil(items.length / parts)
  return items.slice((part - 1) * size, part * size)
}
