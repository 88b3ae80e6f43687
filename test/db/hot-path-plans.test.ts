// Posting costs the same on the first day and with a long history: no statement of it reads a table from end to end, and
// none reads more rows because there are more. Seen in what Postgres counts, not in what a clock says.
import { sql } from 'kysely'
import { expect } from 'vitest'

import { connect } from '../../db/connect.ts'
import { postUsage } from '../../db/post-usage.ts'
import { createRateBookCache } from '../../db/rate-book.ts'
import type { Db } from '../../db/schema.ts'
import { receiveUsage } from '../../db/usage-event.ts'
import { test } from '../support/fixtures.ts'
import { aCall, callArrival, givenWorkspace } from '../support/given.ts'
import { until } from '../support/until.ts'

const tables = ['wallet', 'usage_event', 'ledger_transaction', 'posting'] as const
const batchSize = 500
const batches = 40

test('posting reads by index and as many rows a batch, on an empty database and on 20,000 events of one wallet', async ({
  ownPlace,
  ownDb,
}) => {
  // Statistics stay as they are on a new database: nobody has ever looked at these tables.
  for (const table of tables) {
    await sql`alter table ${sql.table(table)} set (autovacuum_enabled = off)`.execute(ownDb)
  }
  const workspaceId = await givenWorkspace(ownDb)
  const posting = connect(ownPlace.databaseUrl, { profile: 'posting', name: 'posting', poolSize: 1 })
  const rateBookOf = createRateBookCache()
  const before = await readCounts(ownDb)

  const counts: Counts[] = []
  for (let batch = 1; batch <= batches; batch += 1) {
    const arrivals = Array.from({ length: batchSize }, () => callArrival(aCall(workspaceId)))
    // A tenth of them came in through Postgres: then posting claims a row instead of writing one.
    await receiveUsage(posting, arrivals.slice(0, batchSize / 10))
    await posting.transaction().execute((trx) => postUsage(trx, arrivals, rateBookOf))
    counts.push(await countsAfter(posting, ownDb, batch * batchSize))
  }
  await posting.destroy()

  expect(counts.at(-1)?.sequentialScans).toEqual(before.sequentialScans)
  const [first, second] = counts
  const [oneBeforeLast, last] = counts.slice(-2)
  for (const table of tables) {
    const early = readBetween(table, first, second)
    const late = readBetween(table, oneBeforeLast, last)
    expect({ table, early, late, grows: late > early * 1.5 + batchSize }).toMatchObject({ grows: false })
  }
})

type Counts = {
  sequentialScans: Record<string, bigint>
  rowsRead: Record<string, bigint>
  inserted: Record<string, bigint>
}

async function readCounts(db: Db): Promise<Counts> {
  const { rows } = await sql<{ name: string; scans: bigint; read: bigint; inserted: bigint }>`
    select
      t.relname as name, t.seq_scan as scans, t.n_tup_ins as inserted,
      (t.seq_tup_read + (select sum(i.idx_tup_read) from pg_stat_user_indexes i where i.relid = t.relid))::bigint as read
    from pg_stat_user_tables t where t.relname = any(${tables}::text[])`.execute(db)
  const by = (value: (row: (typeof rows)[number]) => bigint) =>
    Object.fromEntries(rows.map((row) => [row.name, value(row)]))
  return {
    sequentialScans: by((row) => row.scans),
    rowsRead: by((row) => row.read),
    inserted: by((row) => row.inserted),
  }
}

/** A connection tells its counts when it likes; this one is told to, and then waited for. */
async function countsAfter(posting: Db, db: Db, posted: number): Promise<Counts> {
  await sql`select pg_stat_force_next_flush()`.execute(posting)
  return await until('the counts have arrived', async () => {
    const counts = await readCounts(db)
    return (counts.inserted['ledger_transaction'] ?? 0n) >= BigInt(posted) && counts
  })
}

function readBetween(table: string, from: Counts | undefined, to: Counts | undefined): number {
  return Number((to?.rowsRead[table] ?? 0n) - (from?.rowsRead[table] ?? 0n))
}
