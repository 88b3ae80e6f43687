// A workspace signs up: once, however often it is told, and whatever came before it.
import { describe, expect } from 'vitest'

import type { WorkspaceId } from '../../billing/ids.ts'
import { findBalance } from '../../db/wallet.ts'
import { openWorkspace } from '../../db/workspace.ts'
import type { Db } from '../../db/schema.ts'
import { createProducer, type Producer } from '../../jobs/producer.ts'
import { countUsage, findBreaks, isQuiet } from '../support/books.ts'
import { test as base } from '../support/fixtures.ts'
import { aCall, aMessage, newWorkspaceId } from '../support/given.ts'
import { until } from '../support/until.ts'
import { startWorkerProcess, type WorkerProcess } from '../support/worker-process.ts'

const test = base.extend<{ producer: Producer; worker: WorkerProcess }>({
  producer: [
    async ({ place }, use) => {
      const producer = createProducer(place.redisUrl, { prefix: place.queuePrefix, timeoutMs: 10_000 })
      await use(producer)
      await producer.close()
    },
    { scope: 'file' },
  ],
  worker: [
    async ({ place }, use) => {
      const worker = await startWorkerProcess(place)
      await use(worker)
      await worker.kill()
    },
    { scope: 'file' },
  ],
})

describe('opening one workspace a hundred times at once', () => {
  test('gives it one wallet and one $10 grant', async ({ db }) => {
    const workspaceId = newWorkspaceId()

    const openings = await Promise.all(
      Array.from({ length: 100 }, () =>
        db.transaction().execute((trx) => openWorkspace(trx, { workspaceId, name: 'Acme' })),
      ),
    )

    expect(openings.filter((opening) => opening.outcome === 'opened')).toHaveLength(1)
    expect(await grantsOf(db, workspaceId)).toEqual([10_000_000n])
    expect(await findBalance(db, workspaceId)).toBe(10_000_000n)
  })

  test('through the queue gives it one wallet and one $10 grant', async ({
    place,
    db,
    queueNamed,
    producer,
    worker,
  }) => {
    const workspaceId = newWorkspaceId()
    const queue = queueNamed('workspace')

    // The producer's job id makes Redis drop repeats; ids of their own get all hundred to the worker.
    await Promise.all([
      ...Array.from({ length: 100 }, () => producer.workspaceCreated({ workspaceId, name: 'Acme' })),
      ...Array.from({ length: 100 }, (_, index) =>
        queue.add('workspace-created', { workspaceId }, { jobId: `${workspaceId}_${index}` }),
      ),
    ])
    await until('every job is done', () => isQuiet(queue))

    expect(await grantsOf(db, workspaceId)).toEqual([10_000_000n])
    expect(await findBalance(db, workspaceId)).toBe(10_000_000n)
    expect(await queue.getFailedCount()).toBe(0)
    expect(worker.log.filter((line) => line.msg === 'job failed')).toEqual([])
    expect(await findBreaks(place.databaseUrl)).toEqual([])
  })
})

test('events that come before their workspace are posted by themselves once it is there', async ({
  db,
  queueNamed,
  producer,
  worker: _worker,
}) => {
  const workspaceId = newWorkspaceId()
  const early = [
    ...Array.from({ length: 20 }, () => producer.callEnded(aCall(workspaceId))),
    producer.messageSent(aMessage(workspaceId)),
  ]
  await Promise.all(early)
  await until(
    'they are set aside',
    async () => (await countUsage(db, workspaceId)).set_aside === early.length,
  )

  await producer.workspaceCreated({ workspaceId })
  await until('they are posted', async () => (await countUsage(db, workspaceId)).posted === early.length)

  expect(await findBalance(db, workspaceId)).toBe(10_000_000n - 20n * 180_000n - 10_000n)
  await until('the queue is empty', () => isQuiet(queueNamed('usage')))
})

test('events that are reported while their workspace opens are posted, whoever is first', async ({
  db,
  producer,
  worker: _worker,
}) => {
  const workspaceIds = Array.from({ length: 20 }, () => newWorkspaceId())

  await Promise.all(
    workspaceIds.flatMap((workspaceId) => [
      producer.callEnded(aCall(workspaceId)),
      producer.workspaceCreated({ workspaceId }),
      producer.callEnded(aCall(workspaceId)),
    ]),
  )

  await until('every call is posted', async () => {
    const balances = await Promise.all(workspaceIds.map((workspaceId) => findBalance(db, workspaceId)))
    return balances.every((balance) => balance === 10_000_000n - 2n * 180_000n)
  })
})

test('a workspace-created job that says nothing sensible is set aside and does not fail', async ({
  db,
  queueNamed,
  worker: _worker,
}) => {
  const queue = queueNamed('workspace')

  await queue.add('workspace-created', { workspaceId: 'acme' })
  await queue.add('workspace-forgotten', { workspaceId: newWorkspaceId() })
  await until('both are done', () => isQuiet(queue))

  const rows = await db
    .selectFrom('usage_event')
    .select(['reason', 'detail'])
    .where('workspace_id', '=', 'unassigned')
    .orderBy('detail')
    .execute()
  expect(rows).toEqual([
    { reason: 'malformed_payload', detail: 'no worker knows the job workspace-forgotten' },
    { reason: 'malformed_payload', detail: expect.stringMatching(/^workspaceId: /) },
  ])
  expect(await queue.getFailedCount()).toBe(0)
})

async function grantsOf(db: Db, workspaceId: WorkspaceId): Promise<bigint[]> {
  const rows = await db
    .selectFrom('ledger_transaction')
    .select('amount_micros')
    .where('workspace_id', '=', workspaceId)
    .execute()
  return rows.map((row) => row.amount_micros)
}
