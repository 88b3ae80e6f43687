// Closed blocks change how much is read and nothing of what is found: wherever they end, whoever closes them, whatever the clock did.
import * as fc from 'fast-check'
import { sql } from 'kysely'
import { describe, expect } from 'vitest'

import type { WorkspaceId } from '../../billing/ids.ts'
import { micros } from '../../billing/money.ts'
import { typeOfKind } from '../../billing/wallet-transaction.ts'
import { readBurnRate } from '../../db/burn-rate.ts'
import { connect } from '../../db/connect.ts'
import { closeBlocks, listFullBlocks } from '../../db/ledger-block.ts'
import type { Db } from '../../db/schema.ts'
import { readUsageStats, readUsed, readWalletActivity } from '../../db/usage-stats.ts'
import { findWrongBlocks } from '../../db/verify-blocks.ts'
import {
  countWalletTransactions,
  listWalletTransactions,
  walkWalletTransactions,
  type WalletTransaction,
  type WalletTransactionFilter,
} from '../../db/wallet-transaction.ts'
import { createLog } from '../../runtime/log.ts'
import { closeFullBlocks, startBlockSweep } from '../../workers/block-sweep.ts'
import { anyFilter, noon, sampleHistory } from '../support/any-history.ts'
import { test } from '../support/fixtures.ts'
import { givenHistory, givenUsage } from '../support/given-history.ts'
import { aCall, callArrival, givenWorkspace } from '../support/given.ts'
import { countLockWaits } from '../support/lock-waits.ts'
import { until } from '../support/until.ts'

const hourMs = 3_600_000
const fullBlocks = [0n, 1n, 2n]

describe('with any blocks closed and any not,', () => {
  test('a filter finds what looking at every row finds, in pages, in a walk and as a count', async ({
    db,
  }) => {
    const { workspaceId, rows, newest } = await givenThreeFullBlocks(db)

    await fc.assert(
      fc.asyncProperty(
        fc.subarray(fullBlocks),
        anyFilter,
        fc.double({ min: 0, max: 1.1, noNaN: true }),
        fc.integer({ min: 1, max: 600 }),
        fc.oneof(fc.constant(Number(newest)), fc.integer({ min: 0, max: Number(newest) })),
        async (closed, filter, depth, limit, upTo) => {
          await closeOnly(db, workspaceId, closed)
          const expected = rows.filter((row) => row.sequence <= BigInt(upTo) && fits(row, filter))
          const offset = Math.floor(depth * expected.length)
          const page = { newest: BigInt(upTo), offset, limit }

          const found = await listWalletTransactions(db, workspaceId, filter, page)
          const count = await countWalletTransactions(db, workspaceId, filter, page.newest)
          const walked: bigint[] = []
          for await (const each of walkWalletTransactions(db, workspaceId, filter, page)) {
            walked.push(...each.map(({ sequence }) => sequence))
          }

          expect(found).toEqual(expected.slice(offset, offset + limit))
          expect(count).toBe(BigInt(expected.length))
          expect(walked).toEqual(expected.map(({ sequence }) => sequence))
        },
      ),
      { numRuns: 30 },
    )
  })

  test('figures are those of the rows', async ({ db }) => {
    const { workspaceId, rows, newest } = await givenThreeFullBlocks(db)
    const linesOf = async (since: Date, upTo: bigint) => {
      await closeOnly(db, workspaceId, [])
      const { byMeter, byPrefix } = await readUsageStats(db, workspaceId, { since, newest: upTo })
      return { byMeter, byPrefix }
    }

    await fc.assert(
      fc.asyncProperty(
        fc.subarray(fullBlocks),
        fc.integer({ min: -1, max: 60 * 60 }),
        fc.oneof(fc.constant(newest), fc.bigInt(0n, newest)),
        async (closed, minutes, upTo) => {
          const since = new Date(noon + minutes * 60_000)
          const seen = rows.filter((row) => row.sequence <= upTo && row.postedAt >= since)
          const used = seen.filter(({ kind }) => typeOfKind(kind) === 'usage')
          const bought = seen.filter(({ kind }) => typeOfKind(kind) === 'topup')
          const lines = await linesOf(since, upTo)
          await closeOnly(db, workspaceId, closed)

          const stats = await readUsageStats(db, workspaceId, { since, newest: upTo })
          const activity = await readWalletActivity(db, workspaceId, { since, newest: upTo })

          const sums = <Key>(keyOf: (row: WalletTransaction) => Key) =>
            new Map([...Map.groupBy(used, keyOf)].map(([key, of]) => [key, sumOf(of)]))
          expect(stats.total).toMatchObject(sumOf(used))
          expect(stats.total.calls).toBe(BigInt(used.filter(({ kind }) => kind === 'call').length))
          expect(stats).toMatchObject(lines)
          expect(new Map(stats.byAgent.map(({ agentId, ...sum }) => [agentId, sum]))).toEqual(
            sums(({ agentId }) => agentId),
          )
          expect(new Map(stats.byCampaign.map(({ campaignId, ...sum }) => [campaignId, sum]))).toEqual(
            sums(({ campaignId }) => campaignId),
          )
          expect(new Map(stats.byDay.map(({ day, ...sum }) => [day, sum]))).toEqual(
            sums(({ postedAt }) => postedAt.toISOString().slice(0, 10)),
          )
          expect(new Map(activity.byHour.map(({ hour, ...sum }) => [hour, sum]))).toEqual(
            sums(({ postedAt }) => postedAt.getUTCHours()),
          )
          expect(activity.byDay.reduce((sum, { toppedUpMicros }) => sum + toppedUpMicros, 0n)).toBe(
            bought.reduce((sum, { amountMicros }) => sum + amountMicros, 0n),
          )
          expect(await readUsed(db, { workspaceId, newest: upTo, from: since })).toBe(sumOf(used).usedMicros)
        },
      ),
      { numRuns: 15 },
    )
  })
})

describe('closing', () => {
  test('takes every full block once, and leaves the rest of a wallet and small wallets alone', async ({
    ownDb: db,
  }) => {
    const { workspaceId } = await givenThreeFullBlocks(db)
    await givenHistory(db, await givenWorkspace(db), sampleHistory(998, 7))

    while (await closeFullBlocks(db));

    expect(await closedBlocks(db)).toEqual(fullBlocks.map((block) => [workspaceId, block]))
    expect(await listFullBlocks(db, { wallets: 10, most: 10 })).toEqual([])
  })

  test('by many at once, and again, writes each block once', async ({ ownDb: db }) => {
    const { workspaceId } = await givenThreeFullBlocks(db)
    const span = { workspaceId, first: 0n, end: 3n }

    const closed = await Promise.all(Array.from({ length: 3 }, () => closeBlocks(db, span)))

    expect(closed.reduce((sum, each) => sum + each, 0)).toBe(3)
    expect(await closeBlocks(db, span)).toBe(0)
    expect(await blockBreaks(db)).toEqual([])
  })

  test('that ends before it is committed leaves nothing, and is done by the next', async ({ ownDb: db }) => {
    const { workspaceId } = await givenThreeFullBlocks(db)
    const dying = await db.startTransaction().execute()
    await closeBlocks(dying, { workspaceId, first: 0n, end: 2n })

    const waiting = closeBlocks(db, { workspaceId, first: 0n, end: 3n })
    await until('the other one waits', async () => (await countLockWaits(db)) > 0)
    await dying.rollback().execute()

    expect(await waiting).toBe(3)
    expect(await blockBreaks(db)).toEqual([])
  })

  test('is what a worker may do, and happens by itself once a block is full', async ({
    ownPlace,
    ownDb: db,
  }) => {
    const worker = connect(ownPlace.databaseUrl, { profile: 'worker', name: 'workers', poolSize: 1 })
    const { workspaceId } = await givenThreeFullBlocks(db)

    const sweep = startBlockSweep({ db: worker, log: createLog('silent', 'test') })
    await until('all are closed', async () => (await closedBlocks(db)).length === 3)
    await sweep.stop()
    await worker.destroy()

    expect(await closedBlocks(db)).toEqual(fullBlocks.map((block) => [workspaceId, block]))
  })
})

describe('verify', () => {
  const changes = {
    'other kinds, agents and campaigns': sql`
      update ledger_block_facet set transactions = ~transactions where block = 1 and facet = 'agent' and value = 'a1'`,
    'other hours': sql`update ledger_block_hour set used_micros = used_micros + 1 where block = 1`,
    'other meters and prefixes': sql`delete from ledger_block_line where block = 1`,
    'other times': sql`update ledger_block set latest_posted_at = latest_posted_at + interval '1 s' where block = 1`,
  }

  test('names a block that says something else than the ledger, and what', async ({ ownDb: db }) => {
    const { workspaceId } = await givenThreeFullBlocks(db)
    await closeOnly(db, workspaceId, fullBlocks)
    expect(await blockBreaks(db)).toEqual([])

    for (const [what, change] of Object.entries(changes)) {
      const trx = await db.startTransaction().execute()
      await change.execute(trx)
      const breaks = await findWrongBlocks(trx, 20)
      await trx.rollback().execute()

      expect(breaks).toEqual([
        { workspaceId, where: 'block 1 (transactions 1001 to 2000)', what: `has ${what} than the ledger` },
      ])
    }
  })
})

test('the burn rate is what usage took, to the instant, and the runway is what that leaves', async ({
  db,
}) => {
  const workspaceId = await givenWorkspace(db)
  const row = { kind: 'call', reference: 'call_1', agentId: null, campaignId: null } as const
  const now = new Date()
  const ago = (hours: number, amountMicros: bigint) => ({
    ...row,
    amountMicros,
    postedAt: new Date(now.getTime() - hours * hourMs),
  })
  await givenHistory(db, workspaceId, [
    ...Array.from({ length: 1_100 }, () => ago(169, -1n)),
    ago(168, -48_000_000n),
    ago(24, -6_000_000n),
    ago(1, -2_000_000n),
  ])
  await givenUsage(db, [callArrival(aCall(workspaceId))])
  await sql`update workspace set created_at = now() - interval '1 year' where workspace_id = ${workspaceId}`.execute(
    db,
  )
  await closeOnly(db, workspaceId, [0n])

  const rate = await readBurnRate(db, workspaceId, { newest: 1_105n, availableMicros: aMillionDollars }, now)

  expect(rate).toMatchObject({
    hour: { usedMicros: 2_180_000n, microsPerHour: 2_180_000n },
    day: { usedMicros: 8_180_000n, runwayHours: 2_933_985n },
    week: { usedMicros: 56_180_000n },
  })
})

const aMillionDollars = micros(1_000_000_000_000n)

/** A wallet of 3,400 transactions, the newest first. */
async function givenThreeFullBlocks(
  db: Db,
): Promise<{ workspaceId: WorkspaceId; rows: WalletTransaction[]; newest: bigint }> {
  const workspaceId = await givenWorkspace(db)
  await givenHistory(db, workspaceId, sampleHistory(3_399, 5))
  const newest = 3_400n
  const rows = await listWalletTransactions(db, workspaceId, {}, { newest, limit: 5_000 })
  return { workspaceId, rows, newest }
}

/** Deletes what is closed, as the runbook says, and closes these. */
async function closeOnly(db: Db, workspaceId: WorkspaceId, blocks: readonly bigint[]): Promise<void> {
  await sql`
    with facets as (delete from ledger_block_facet where workspace_id = ${workspaceId}),
    hours as (delete from ledger_block_hour where workspace_id = ${workspaceId}),
    lines as (delete from ledger_block_line where workspace_id = ${workspaceId})
    delete from ledger_block where workspace_id = ${workspaceId}`.execute(db)
  for (const block of blocks) await closeBlocks(db, { workspaceId, first: block, end: block + 1n })
}

async function closedBlocks(db: Db): Promise<[string, bigint][]> {
  const rows = await db
    .selectFrom('ledger_block')
    .select(['workspace_id', 'block'])
    .orderBy('workspace_id')
    .orderBy('block')
    .execute()
  return rows.map(({ workspace_id, block }) => [workspace_id, block])
}

/** What verify says of blocks; the hashes of a given history are of nothing. */
async function blockBreaks(db: Db): Promise<unknown[]> {
  return await db.transaction().execute((trx) => findWrongBlocks(trx, 20))
}

function fits(row: WalletTransaction, filter: WalletTransactionFilter): boolean {
  const { kinds, reference, agentId, campaignId, from, until: before } = filter
  return (
    (kinds === undefined || kinds.includes(row.kind)) &&
    (reference === undefined || reference === row.reference) &&
    (agentId === undefined || agentId === row.agentId) &&
    (campaignId === undefined || campaignId === row.campaignId) &&
    (from === undefined || row.postedAt >= from) &&
    (before === undefined || row.postedAt < before)
  )
}

function sumOf(rows: readonly WalletTransaction[]): { usedMicros: bigint; count: bigint } {
  return {
    usedMicros: 0n - rows.reduce((sum, { amountMicros }) => sum + amountMicros, 0n),
    count: BigInt(rows.length),
  }
}
