// Workers are replaced while calls come in, one version after the other: nobody waits, nothing is lost, nothing comes twice.
import { expect } from 'vitest'

import { createProducer } from '../../jobs/producer.ts'
import { countTransactions, findBreaks, isQuiet, readBalances } from '../support/books.ts'
import { test } from '../support/fixtures.ts'
import { givenWorkspace } from '../support/given.ts'
import { until } from '../support/until.ts'
import { givenTraffic, oracleOf, sendTraffic } from '../support/usage-traffic.ts'

test('a rolling restart under load ends each worker with 0 and posts every event once, with no job failed or stalled', async ({
  place,
  db,
  queueNamed,
  startWorkers,
}) => {
  // Locks as long as in production: on a busy machine a short one would be lost by waiting, not by stopping.
  const environment = {
    USAGE_WORKERS: '2',
    USAGE_CONCURRENCY: '40',
    POSTING_BATCH_SIZE: '25',
    LOCK_DURATION_MS: '30000',
  }
  const workspaceIds = await Promise.all(Array.from({ length: 4 }, () => givenWorkspace(db)))
  const traffic = givenTraffic({ records: 2_500, workspaceIds, seed: 13, now: new Date() })
  const oracle = oracleOf(traffic, workspaceIds)
  const producer = createProducer(place.redisUrl, { prefix: place.queuePrefix, timeoutMs: 10_000 })

  const workers = [await startWorkers({ environment })]
  const sending = sendTraffic(producer, traffic)
  const codes: (number | null)[] = []
  for (let deploy = 1; deploy <= 2; deploy += 1) {
    const goal = Math.round((oracle.billable * deploy) / 4)
    await until(`${goal} are posted`, async () => (await countTransactions(db, ['call', 'message'])) >= goal)
    // The new one is there before the old one goes.
    workers.push(await startWorkers({ environment }))
    codes.push((await workers[deploy - 1]?.stop()) ?? null)
  }
  await sending
  await until('everything is posted', async () => {
    return (
      (await countTransactions(db, ['call', 'message'])) >= oracle.billable &&
      (await isQuiet(queueNamed('usage')))
    )
  })

  expect(codes).toEqual([0, 0])
  expect(await countTransactions(db, ['call', 'message'])).toBe(oracle.billable)
  expect(await readBalances(db)).toEqual(oracle.balances)
  expect(await findBreaks(place.databaseUrl)).toEqual([])
  const troubles = workers.flatMap(({ log }) => log).filter(({ msg }) => /^job (?:failed|stalled)/.test(msg))
  expect(troubles).toEqual([])
  await producer.close()
})
