import { createServer } from 'node:net'

import { describe, expect } from 'vitest'

import { createProducer, type Producer } from '../../jobs/producer.ts'
import { test as base } from '../support/fixtures.ts'
import { aCall, aMessage, newId, newWorkspaceId } from '../support/given.ts'
import { refusalOf } from '../support/refusal.ts'
import { until } from '../support/until.ts'

const test = base.extend<{ producer: Producer }>({
  producer: [
    async ({ place }, use) => {
      const producer = createProducer(place.redisUrl, { prefix: place.queuePrefix, timeoutMs: 10_000 })
      await use(producer)
      await producer.close()
    },
    { scope: 'file' },
  ],
})

describe('a producer', () => {
  test('leaves each event in its queue as it was told, under its name and with its retries', async ({
    producer,
    queueNamed,
  }) => {
    const workspaceId = newWorkspaceId()
    const [call, message] = [aCall(workspaceId), aMessage(workspaceId)]

    const sent = [
      await producer.callEnded(call),
      await producer.messageSent(message),
      await producer.usageBatch([
        { kind: 'call', ...call },
        { kind: 'message', ...message },
      ]),
      await producer.workspaceCreated({ workspaceId, name: 'Acme' }),
    ]

    const jobs = await Promise.all(
      sent.map(async ({ jobId }, index) => await queueNamed(index < 3 ? 'usage' : 'workspace').getJob(jobId)),
    )
    expect(jobs).toMatchObject([
      { name: 'call-ended', data: call },
      { name: 'message-sent', data: message },
      { name: 'usage-batch', data: { events: [call, message] } },
      { name: 'workspace-created', data: { workspaceId, name: 'Acme' } },
    ])
    for (const job of jobs) {
      expect(job?.opts).toMatchObject({ attempts: 8, removeOnComplete: true, removeOnFail: false })
    }
  })

  test('leaves one job for one content, and one for each contradiction', async ({ producer, queueNamed }) => {
    const before = await queueNamed('usage').getWaitingCount()
    const call = aCall('ws_any')

    const told = await Promise.all([
      producer.callEnded(call),
      producer.callEnded(call),
      producer.callEnded({ ...call, startedAt: new Date(call.startedAt) }),
      producer.callEnded({ ...call, durationSeconds: 61 }),
    ])

    expect(new Set(told.map(({ jobId }) => jobId)).size).toBe(2)
    expect(await queueNamed('usage').getWaitingCount()).toBe(before + 2)
  })

  test('sends nothing of what it refuses, and says which fields are wrong', async ({
    producer,
    queueNamed,
  }) => {
    const before = await queueNamed('usage').getWaitingCount()

    const refusals = [
      await refusalOf(producer.callEnded(aCall('acme'))),
      await refusalOf(
        producer.usageBatch([
          { kind: 'call', ...aCall('ws_any') },
          { kind: 'message', ...aMessage('ws_any', { sentAt: 'now' }) },
        ]),
      ),
    ]

    expect(refusals.map(({ code }) => code)).toEqual(['invalid_payload', 'invalid_payload'])
    expect(refusals[0]?.message).toContain('workspaceId: expected a workspace id')
    expect(refusals[1]?.message).toContain('events.1.sentAt: ')
    expect(await queueNamed('usage').getWaitingCount()).toBe(before)
  })

  test('carries a thousand events at once over its one connection', async ({ producer, queueNamed }) => {
    const before = await queueNamed('usage').getWaitingCount()

    await Promise.all(Array.from({ length: 1_000 }, () => producer.callEnded(aCall('ws_any'))))

    expect(await queueNamed('usage').getWaitingCount()).toBe(before + 1_000)
  })
})

test('a producer whose first job for a queue finds Redis standing still sends the next one when it goes on', async ({
  place,
  startServers,
}) => {
  const { redis, redisUrl } = await startServers({ databaseUrl: place.databaseUrl })
  const producer = createProducer(redisUrl, { prefix: place.queuePrefix, timeoutMs: 500 })
  await producer.workspaceCreated({ workspaceId: newWorkspaceId() })
  const call = aCall(newWorkspaceId())

  process.kill(redis.pid ?? 0, 'SIGSTOP')
  const refusal = await refusalOf(producer.callEnded(call))
  process.kill(redis.pid ?? 0, 'SIGCONT')
  const { jobId } = await until('Redis has it', () => producer.callEnded(call).catch(() => null))
  await producer.close()

  expect(refusal.code).toBe('queue_unavailable')
  expect(jobId).toContain('call-ended')
})

describe('a producer says queue_unavailable within its time', () => {
  test('when whoever listens never answers', async () => {
    const server = createServer(() => undefined)
    await new Promise<void>((resolve) => {
      server.listen(0, '127.0.0.1', resolve)
    })
    const address = server.address()
    const port = typeof address === 'object' && address !== null ? address.port : 0
    const producer = createProducer(`redis://127.0.0.1:${port}`, { timeoutMs: 300 })

    const startedAt = performance.now()
    const refusal = await refusalOf(producer.callEnded(aCall('ws_any')))
    const tookMs = performance.now() - startedAt
    await producer.close()
    server.close()

    expect(refusal.code).toBe('queue_unavailable')
    expect(refusal.message).toContain('Send it again; sending twice is harmless.')
    expect(tookMs).toBeLessThan(1_500)
  })

  test('when the password is wrong, without repeating it', async ({ place }) => {
    const url = new URL(place.redisUrl)
    url.password = newId('wrong')
    const producer = createProducer(url.href, { timeoutMs: 300 })

    const refusal = await refusalOf(producer.callEnded(aCall('ws_any')))
    await producer.close()

    expect(refusal.code).toBe('queue_unavailable')
    expect(refusal.message).toMatch(/WRONGPASS|NOAUTH/)
    expect(refusal.message).not.toContain(url.password)
  })

  test('when it is closed, and closing twice is harmless', async ({ place }) => {
    const producer = createProducer(place.redisUrl, { prefix: place.queuePrefix, timeoutMs: 300 })
    await producer.callEnded(aCall('ws_any'))

    await producer.close()
    await producer.close()
    const refusal = await refusalOf(producer.callEnded(aCall('ws_any')))

    expect(refusal.code).toBe('queue_unavailable')
  })
})
