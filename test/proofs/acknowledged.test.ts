// What POST /v1/usage has answered with 202 is on disk: Postgres is killed, all of its processes at once, in the moment in which
// some calls have their answer and others still wait for it. Twenty times over, nothing that was acknowledged is missing.
// That it can see: on connections that do not wait for the disk (mutant 16) it missed 159 of some 800. What a disk promises and does
// not keep, only a power cut would show.
import { sql } from 'kysely'
import { expect } from 'vitest'

import { connect } from '../../db/connect.ts'
import { migrateToLatest } from '../../db/migrate.ts'
import type { Db } from '../../db/schema.ts'
import type { ManagedServer } from '../../scripts/embedded/server-process.ts'
import { listProcessesIn } from '../../scripts/embedded/process-table.ts'
import { test } from '../support/api-process.ts'
import { countUsage, findBreaks, readBalances } from '../support/books.ts'
import { givenWorkspace } from '../support/given.ts'
import { givenWriteKey } from '../support/given-calls.ts'
import { httpClient } from '../support/http-client.ts'
import { until } from '../support/until.ts'
import { eventOf, givenTraffic, oracleOf, workspaceOf, type TrafficRecord } from '../support/usage-traffic.ts'

const kills = 20
/** How many send at the same time, one event after the other. */
const senders = 16

test(
  'no event that was acknowledged over HTTP is lost when Postgres is killed right after, twenty times, and each is posted once',
  { timeout: 600_000 },
  async ({ place, startServers, startApi, startWorkers }) => {
    const { postgres, databaseUrl } = await startServers({ redisUrl: place.redisUrl })
    await migrateToLatest(databaseUrl)
    const db = connect(databaseUrl, { profile: 'operator', name: 'test', poolSize: 2 })
    const dataDirectory = await dataDirectoryOf(db)
    const workspaceIds = await Promise.all(Array.from({ length: 4 }, () => givenWorkspace(db)))
    // By workspace: a key tells of its own workspace only.
    const keys = new Map<string, string[]>()
    for (const workspaceId of workspaceIds) {
      keys.set(
        workspaceId,
        await Promise.all(Array.from({ length: 5 }, () => givenWriteKey(db, workspaceId))),
      )
    }
    const { url } = await startApi({ place: { databaseUrl } })
    const clients = new Map([...keys].map(([workspaceId, own]) => [workspaceId, httpClient(url, own)]))
    const traffic = new Set(givenTraffic({ records: 20_000, workspaceIds, seed: 29, now: new Date() }))
    const unsent = traffic.values()
    const acknowledged: TrafficRecord[] = []
    let unanswered = 0

    const tell = async (record: TrafficRecord): Promise<boolean> => {
      const answer = await clients
        .get(workspaceOf(record))
        ?.post('/v1/usage', { events: [eventOf(record)] })
        .catch(() => null)
      if (answer?.status !== 202) return false
      acknowledged.push(record)
      return true
    }
    for (let round = 1; round <= kills; round += 1) {
      await until('events are taken in', async () => await tell(unsent.next().value ?? never()))
      const before = acknowledged.length
      const killing: Promise<void>[] = []
      const send = async (): Promise<void> => {
        while (killing.length === 0) {
          const isTaken = await tell(unsent.next().value ?? never())
          // The postmaster dies in the very turn in which this answer was read.
          const isTime = acknowledged.length >= before + 10 + 3 * round
          if (isTime && killing.length === 0) killing.push(killAll(postgres, dataDirectory))
          if (!isTaken) unanswered += 1
        }
      }
      await Promise.all(Array.from({ length: senders }, send))
      await Promise.all(killing)
      await until('Postgres is back', async () => await startAgain(postgres))
    }
    const kept = await keysOf(db)
    const before = await countUsage(db)
    await startWorkers({ place: { ...place, databaseUrl } })
    await until('all is posted', async () => ((await countUsage(db)).received ?? 0) === 0, {
      withinMs: 60_000,
    })

    expect(unanswered).toBeGreaterThan(kills)
    expect(acknowledged.length).toBeGreaterThan(kills * 40)
    expect(acknowledged.filter((record) => !kept.has(keyOf(record)))).toEqual([])
    expect(before).toEqual({ received: kept.size })
    // What was kept though nobody had its answer counts as well, and is posted too.
    const oracle = oracleOf(
      [...traffic].filter((record) => kept.has(keyOf(record))),
      workspaceIds,
    )
    expect(await countUsage(db)).toEqual({ posted: oracle.billable, free: oracle.distinct - oracle.billable })
    expect(await countBookings(db)).toEqual({ events: oracle.billable, transactions: oracle.billable })
    expect(await readBalances(db)).toEqual(oracle.balances)
    expect(await findBreaks(databaseUrl)).toEqual([])
    await db.destroy()
  },
)

/** kill -9, the postmaster before anything else is looked at, then every process that it had. */
async function killAll(postgres: ManagedServer, dataDirectory: string): Promise<void> {
  const { pid } = postgres
  if (pid === null) throw new Error('Postgres does not run')
  process.kill(pid, 'SIGKILL')
  const children = await listProcessesIn(dataDirectory, { names: ['postgres'], knownPids: [] })
  for (const child of children) killIfThere(child)
  await postgres.kill()
}

function killIfThere(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It has gone with the others.
  }
}

/** It does not start beside children of its predecessor: then this throws, and is tried again. */
async function startAgain(postgres: ManagedServer): Promise<true> {
  await postgres.start()
  return true
}

async function dataDirectoryOf(db: Db): Promise<string> {
  const { rows } = await sql<{ directory: string }>`
    select current_setting('data_directory') as directory`.execute(db)
  return rows[0]?.directory ?? ''
}

async function keysOf(db: Db): Promise<Set<string>> {
  const rows = await db.selectFrom('usage_event').select(['workspace_id', 'key']).execute()
  return new Set(rows.map((row) => `${row.workspace_id} ${row.key}`))
}

/** Events that are booked, and how often all of them together are. */
async function countBookings(db: Db): Promise<{ events: number; transactions: number }> {
  const { rows } = await sql<{ events: number; transactions: number }>`
    select count(distinct (workspace_id, reference, kind))::int as events, count(*)::int as transactions
    from ledger_transaction where kind in ('call', 'message')`.execute(db)
  return rows[0] ?? { events: 0, transactions: 0 }
}

function keyOf(record: TrafficRecord): string {
  const id = record.kind === 'call' ? `call/${record.call.callId}` : `message/${record.message.messageId}`
  return `${workspaceOf(record)} ${id}`
}

function never(): never {
  throw new Error('there is too little traffic for this test')
}
