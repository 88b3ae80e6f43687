// What a worker process counts about itself, and where it is asked for it.
import { createServer } from 'node:http'
import { once } from 'node:events'

import { describe, expect, onTestFinished } from 'vitest'

import { createWorkerMetrics, serveMetrics } from '../../runtime/metrics.ts'
import { captureLog } from '../support/captured-log.ts'
import { test } from '../support/fixtures.ts'
import { aCall, givenWorkspace, newId } from '../support/given.ts'
import { until } from '../support/until.ts'

describe('the numbers of a worker', () => {
  test('are batches and how long they took, events by outcome and their lag, jobs and calls to Paddle', async () => {
    const metrics = createWorkerMetrics()
    const post = metrics.measured(async (_arrival: { receivedAt: Date }) => ({ outcome: 'posted' }))

    metrics.onBatch({ events: 500, durationMs: 40 })
    metrics.onBatch({ events: 1, durationMs: 4 })
    await post({ receivedAt: new Date(Date.now() - 2_000) })
    metrics.onJob({ queue: 'usage', name: 'call-ended', outcome: 'completed' })
    metrics.onPaddleCall({ operation: 'charge', outcome: 'unknown', durationMs: 90_000 })

    const text = await metrics.text()
    expect(text).toMatch(/^wallet_posting_batch_events_sum\{[^}]*\} 501$/m)
    expect(text).toMatch(/^wallet_posting_batch_seconds_count\{[^}]*\} 2$/m)
    expect(text).toMatch(/^wallet_posting_lag_seconds_bucket\{le="1",[^}]*\} 0$/m)
    expect(text).toMatch(/^wallet_posting_lag_seconds_bucket\{le="5",[^}]*\} 1$/m)
    expect(text).toMatch(/^wallet_usage_decided_total\{outcome="posted",[^}]*\} 1$/m)
    expect(text).toMatch(
      /^wallet_jobs_total\{queue="usage",name="call-ended",outcome="completed",[^}]*\} 1$/m,
    )
    expect(text).toMatch(/^wallet_paddle_call_seconds_sum\{[^}]*operation="charge"[^}]*\} 90$/m)
  })

  test('leave what posting answers, and what it throws, as it is', async () => {
    const metrics = createWorkerMetrics()
    const failure = new Error('the database is away')
    const post = metrics.measured(async (arrival: { receivedAt: Date; fails: boolean }) => {
      if (arrival.fails) throw failure
      return { outcome: 'free', more: 1 }
    })

    const posted = await post({ receivedAt: new Date(), fails: false })
    const failed = post({ receivedAt: new Date(), fails: true })

    expect(posted).toEqual({ outcome: 'free', more: 1 })
    await expect(failed).rejects.toBe(failure)
    expect(await metrics.text()).not.toMatch(/outcome="posted"/)
  })
})

describe('the listener', () => {
  test('answers GET /metrics and nothing else', async () => {
    const { url } = await givenListener(async () => 'wallet_x 1\n')

    const answer = await fetch(`${url}/metrics`)
    const others = await Promise.all([
      fetch(url),
      fetch(`${url}/metrics`, { method: 'POST' }),
      fetch(`${url}/metrics/../queues`),
    ])

    expect(answer.status).toBe(200)
    expect(answer.headers.get('content-type')).toMatch(/^text\/plain; version=0\.0\.4/)
    expect(await answer.text()).toBe('wallet_x 1\n')
    expect(others.map(({ status }) => status)).toEqual([404, 404, 404])
  })

  test('says nothing of what went wrong, and logs it', async () => {
    const { url, lines } = await givenListener(async () => {
      throw new Error('a secret')
    })

    const answer = await fetch(`${url}/metrics`)

    expect(answer.status).toBe(500)
    expect(await answer.text()).toBe('')
    expect(lines.find((line) => line.level === 'warn')).toMatchObject({
      msg: 'metrics could not be gathered',
    })
  })

  test('does not start on a port that somebody else has', async () => {
    const other = createServer().listen(0, '127.0.0.1')
    await once(other, 'listening')
    onTestFinished(() => void other.close())
    const address = other.address()
    const port = typeof address === 'object' && address !== null ? address.port : 0

    const started = serveMetrics({
      host: '127.0.0.1',
      port,
      log: captureLog().log,
      text: async () => '',
    })

    await expect(started).rejects.toMatchObject({ code: 'EADDRINUSE' })
  })
})

/** On a busy machine the second that tests give a job's lock is over before the job is, and then it is done twice. */
const unhurried = { LOCK_DURATION_MS: '30000', STALLED_INTERVAL_MS: '30000' }

test('a worker process serves its numbers where it is told to, and counts what it posts', async ({
  ownPlace,
  ownDb,
  ownQueueNamed,
  startWorkers,
}) => {
  const workspaceId = await givenWorkspace(ownDb)
  const worker = await startWorkers({
    place: ownPlace,
    environment: { WORKER_METRICS_PORT: '0', ...unhurried },
  })
  const url = await until('it says where', () => {
    const said = worker.log.find((line) => line.msg === 'metrics are served')
    return said !== undefined && String(said['url'])
  })

  await ownQueueNamed('usage').addBulk(
    Array.from({ length: 20 }, () => ({
      name: 'call-ended',
      data: aCall(workspaceId),
      opts: { jobId: newId('job') },
    })),
  )

  const text = await until('all are counted', async () => {
    const answer = await (await fetch(`${url}/metrics`)).text()
    return (
      /wallet_jobs_total\{queue="usage",name="call-ended",outcome="completed",[^}]*\} 20/.test(answer) &&
      answer
    )
  })
  expect(text).toMatch(/wallet_usage_decided_total\{outcome="posted",[^}]*\} 20/)
  expect(text).toMatch(/wallet_posting_lag_seconds_count\{[^}]*\} 20/)
  expect(text).toMatch(/nodejs_eventloop_lag_p99_seconds/)
  expect(new URL(url).hostname).toBe('127.0.0.1')
  expect(await worker.stop()).toBe(0)
})

async function givenListener(text: () => Promise<string>) {
  const { log, lines } = captureLog()
  const listener = await serveMetrics({ host: '127.0.0.1', port: 0, log, text })
  onTestFinished(listener.close)
  return { ...listener, lines }
}
