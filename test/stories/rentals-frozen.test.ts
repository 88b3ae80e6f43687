// Nobody looks for 95 days, and then everybody does: every month that was missed is paid, in order, and each once.
import { expect } from 'vitest'

import type { WorkspaceId } from '../../billing/ids.ts'
import { createProducer } from '../../jobs/producer.ts'
import { jobOf } from '../../jobs/contract.ts'
import { rentalDue } from '../../jobs/rental-jobs.ts'
import type { Db } from '../../db/schema.ts'
import { findBreaks } from '../support/books.ts'
import { test } from '../support/fixtures.ts'
import { givenWalletWith } from '../support/given-calls.ts'
import { moveClock } from '../support/moved-clock.ts'
import { startOf } from '../support/rental-model.ts'
import { until } from '../support/until.ts'

const phones = Array.from({ length: 6 }, (_, index) => `+1415555010${index}`)

test('two worker processes that were frozen for 95 days pay exactly the missed months, in order, each once', async ({
  ownPlace: place,
  ownDb: db,
  ownQueueNamed,
  startWorkers,
}) => {
  const workers = await Promise.all([startWorkers({ place }), startWorkers({ place })])
  const workspaces = [await givenWalletWith(db, 15_000), await givenWalletWith(db, 7_000)] as const
  const producer = createProducer(place.redisUrl, { prefix: place.queuePrefix })
  // Whichever three months come, they are over within 95 days, and four are not.
  const rentedAt = new Date(Date.now() - 1_000)
  for (const workspaceId of workspaces) {
    for (const phoneNumber of phones) await producer.numberRented({ workspaceId, phoneNumber, rentedAt })
  }
  await until('all are rented', async () => (await monthsOf(db)).length === 12)
  await producer.close()

  for (const { pid } of workers) process.kill(pid, 'SIGSTOP')
  await moveClock(place, db, { days: 95 })
  expect(await monthsOf(db)).toHaveLength(12)
  for (const { pid } of workers) process.kill(pid, 'SIGCONT')
  for (const workspaceId of workspaces) {
    for (const turn of ['one', 'two', 'three', 'four']) {
      const { name, data, jobId, options } = jobOf(rentalDue, { workspaceId, turn })
      await ownQueueNamed('rental').add(name, data, { ...options, jobId })
    }
  }

  // $150 pay all months of six numbers. $70 pay two of each, and two more.
  await until('everything is paid that can be', async () => (await monthsOf(db)).length === 24 + 14, {
    withinMs: 60_000,
  })
  await until('the others are past due', async () => (await statesOf(db, workspaces[1])).includes('past_due'))
  expect(await statesOf(db, workspaces[0])).toEqual(phones.map(() => 'active'))
  for (const workspaceId of workspaces) {
    const booked = await bookedOf(db, workspaceId)
    expect(booked.map(({ at }) => at)).toEqual(
      booked.map(({ at }) => at).toSorted((one, other) => one - other),
    )
    expect(new Set(booked.map(({ key }) => key)).size).toBe(booked.length)
    for (const phone of phones) {
      const starts = booked.filter(({ reference }) => reference === phone).map(({ at }) => at)
      expect(starts.length).toBeGreaterThanOrEqual(workspaceId === workspaces[0] ? 4 : 2)
      expect(starts).toEqual(
        starts.map((_, months) => startOf({ anchor: rentedAt.getTime(), paid: { length: months } })),
      )
    }
  }
  expect(await findBreaks(place.databaseUrl)).toEqual([])
})

async function monthsOf(db: Db) {
  return await db.selectFrom('rental_period').select('period').execute()
}

async function statesOf(db: Db, workspaceId: WorkspaceId): Promise<string[]> {
  const rows = await db
    .selectFrom('phone_number')
    .select('state')
    .where('workspace_id', '=', workspaceId)
    .execute()
  return rows.map(({ state }) => state)
}

/** Rents in the order in which they were booked. */
async function bookedOf(db: Db, workspaceId: WorkspaceId) {
  const rows = await db
    .selectFrom('ledger_transaction')
    .select(['idempotency_key as key', 'reference', 'occurred_at'])
    .where('workspace_id', '=', workspaceId)
    .where('kind', '=', 'number_rental')
    .orderBy('wallet_sequence')
    .execute()
  return rows.map(({ key, reference, occurred_at }) => ({ key, reference, at: occurred_at.getTime() }))
}
