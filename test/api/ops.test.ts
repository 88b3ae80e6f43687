// The ops listener is there before Redis is, and shows what Redis has once that comes.
import { expect } from 'vitest'

import { startOps } from '../../api/ops.ts'
import { createHttpMetrics } from '../../runtime/metrics.ts'
import { createLog } from '../../runtime/log.ts'
import { test } from '../support/fixtures.ts'
import { until } from '../support/until.ts'

test('jobs are counted and shown when Redis comes, although it was away when the API began', async ({
  place,
  startServers,
}) => {
  const { redis, redisUrl } = await startServers({ databaseUrl: place.databaseUrl })
  await redis.kill()
  const board = { user: 'ops', password: 'a-password-of-ops', writable: false }
  const ops = await startOps(
    { host: '127.0.0.1', port: 0, board, redisUrl, queuePrefix: place.queuePrefix },
    { databaseUrl: place.databaseUrl, log: createLog('silent', 'api'), http: createHttpMetrics() },
  )
  const read = async (path: string): Promise<string> => {
    const authorization = `Basic ${Buffer.from('ops:a-password-of-ops').toString('base64')}`
    return await (await fetch(`${ops.url}${path}`, { headers: { authorization } })).text()
  }

  const without = await read('/metrics')
  await redis.start()
  await until('jobs are counted', async () =>
    (await read('/metrics')).includes('wallet_queue_jobs{queue="usage"'),
  )
  const shown = await until('the board shows its queues', async () => {
    const text = await read('/queues/api/queues?activeQueue=usage&page=1&jobsPerPage=10')
    return text.includes('"name":"usage"') && text
  })
  await ops.close()

  expect(without).not.toContain('wallet_queue_jobs{')
  expect(shown).toContain('"name":"charge"')
})
