// A restore as docs/restore.md has it, from beginning to end: a base backup is taken in the middle of things, more happens, the
// database is lost with Redis, and the backup is brought up to what Paddle and the telephony service know. Nothing may be missing,
// nothing booked twice, and nobody charged again. What must be is computed here by itself.
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { expect, onTestFinished } from 'vitest'

import type { LedgerTransactionKind } from '../../billing/ledger-draft.ts'
import type { WorkspaceId } from '../../billing/ids.ts'
import { createApiKey } from '../../db/api-key.ts'
import { connect } from '../../db/connect.ts'
import { listUnbilledCalls } from '../../db/hold.ts'
import { migrateToLatest } from '../../db/migrate.ts'
import type { Db } from '../../db/schema.ts'
import { listTopUps } from '../../db/top-up.ts'
import { createProducer } from '../../jobs/producer.ts'
import type { Journal } from '../../paddle/simulator/control.ts'
import { openWalletWithCard, switchOn } from '../../scripts/drills/recharging-wallet.ts'
import { startEmbeddedServers } from '../../scripts/embedded/embedded-servers.ts'
import { givenPaddle } from '../scripts/money-in-scene.ts'
import { test } from '../support/api-process.ts'
import { takeBaseBackup } from '../support/base-backup.ts'
import { countUsage, findBreaks, readBalances } from '../support/books.ts'
import { newWorkspaceId } from '../support/given.ts'
import { httpClient } from '../support/http-client.ts'
import { quickCharges } from '../support/paddle.ts'
import { capturedBy, countOpen, creditsBy } from '../support/recharges.ts'
import { runScript } from '../support/run-script.ts'
import { until } from '../support/until.ts'
import {
  eventOf,
  givenTraffic,
  oracleOf,
  sendTraffic,
  workspaceOf,
  type TrafficRecord,
} from '../support/usage-traffic.ts'

test(
  'a database that is restored from a backup comes, by Paddle and by the call records, to what had happened until it was lost',
  { timeout: 600_000 },
  async ({ place, startServers, startApi, startWorkers }) => {
    const paddle = await givenPaddle({ webhooks: 'deliver' })
    const { control } = paddle
    const environment = { ...paddle.environment, ...quickCharges }
    const lost = await startServers({ redisUrl: place.redisUrl })
    const live = { ...place, databaseUrl: lost.databaseUrl }
    await migrateToLatest(lost.databaseUrl)
    const db = connect(lost.databaseUrl, { profile: 'operator', name: 'test', poolSize: 4 })
    const busy = newWorkspaceId()
    const asking = newWorkspaceId()
    const charging = newWorkspaceId()
    const deciding = newWorkspaceId()
    const workspaceIds = [busy, asking, charging, deciding]
    const subscriptions = new Map<string, WorkspaceId>()
    for (const workspaceId of workspaceIds) {
      const card = await openWalletWithCard(db, paddle, workspaceId)
      subscriptions.set(card.subscriptionId, workspaceId)
    }
    const keys = new Map<string, string>()
    for (const workspaceId of workspaceIds) keys.set(workspaceId, await givenAdminKey(db, workspaceId))
    const api = await startApi({ place: live, environment })
    await control.setWebhookUrl(`${api.url}/webhooks/paddle`)
    const workers = await startWorkers({ place: live, environment })
    const clientOf = (workspaceId: string) => httpClient(api.url, [keys.get(workspaceId) ?? ''])
    const producer = createProducer(place.redisUrl, { prefix: place.queuePrefix, timeoutMs: 10_000 })
    const records = givenTraffic({ records: 600, workspaceIds, seed: 41, now: new Date() })
    const tell = async (told: readonly TrafficRecord[]): Promise<void> => {
      await sendTraffic(producer, told.slice(0, told.length / 2))
      for (const workspaceId of workspaceIds) {
        const own = told.slice(told.length / 2).filter((record) => workspaceOf(record) === workspaceId)
        const { status } = await clientOf(workspaceId).post('/v1/usage', { events: own.map(eventOf) })
        expect(status).toBe(202)
      }
    }
    const topUp = async (dollars: number): Promise<void> => {
      const { status } = await clientOf(asking).post('/v1/wallet/topup?wait=20', { amount_usd: dollars })
      expect(status).toBeLessThan(300)
    }

    // A day like any other.
    await switchOn(db, busy, { threshold: '20', topUp: '50' })
    await tell(records.slice(0, 300))
    await topUp(40)
    await untilSettled(db, records.slice(0, 300))
    const [refundable] = await listTopUps(db, { workspaceId: asking, states: ['succeeded'], limit: 1 })

    // In the middle of things: a call lives, a card was charged and nobody knows it yet, another is just about to be.
    const liveCall = { callId: 'call_that_outlives_the_backup', workspaceId: asking }
    const started = await clientOf(asking).post('/v1/calls', {
      call_id: liveCall.callId,
      to_number: '+14155550100',
    })
    await control.fault({ on: 'charge', kind: 'slow', when: 'after', delayMs: 20_000 })
    await switchOn(db, charging, { threshold: '20', topUp: '100' })
    await until('the card is charged', async () => {
      const { captures } = await control.journal()
      return captures.some(
        (each) => each.net !== '0' && subscriptions.get(each.subscriptionId ?? '') === charging,
      )
    })
    await workers.kill()
    await switchOn(db, deciding, { threshold: '20', topUp: '100' })
    const backup = await takeBaseBackup(lost.databaseUrl)
    onTestFinished(async () => await rm(backup.dataDirectory, { recursive: true, force: true }))

    // And on it goes.
    const nextWorkers = await startWorkers({ place: live, environment })
    await tell(records.slice(300))
    await topUp(25)
    await control.refund({
      transactionId: refundable?.paddleTransactionId ?? '',
      amount: '1500',
      status: 'approved',
    })
    const liveRecord: TrafficRecord = {
      kind: 'call',
      call: {
        ...liveCall,
        startedAt: new Date(Date.now() - 60_000).toISOString(),
        durationSeconds: 61,
        to: '+14155550100',
        recorded: false,
      },
    }
    await producer.callEnded(liveRecord.call)
    const all = [...records, liveRecord]
    await untilSettled(db, all)
    await until('the refund is taken', async () => (await sumOf(db, 'refund')) === -15_000_000n)
    const happened = await control.journal()
    const oracle = balancesBy(happened, all, subscriptions)
    const balancesBefore = await readBalances(db)

    // Postgres is gone, and Redis with it.
    await Promise.all([api.kill(), nextWorkers.kill()])
    await producer.close()
    await db.destroy()
    await lost.postgres.kill()
    const servers = await startEmbeddedServers({
      dataDirectory: backup.dataDirectory,
      redisUrl: place.redisUrl,
      durability: 'durable',
      log: () => undefined,
    })
    onTestFinished(() => servers.stop())
    const { databaseUrl } = servers
    const restored = { ...place, databaseUrl, queuePrefix: `${place.queuePrefix}-restored` }
    const restoredDb = connect(databaseUrl, { profile: 'operator', name: 'test', poolSize: 4 })
    const asRestored = {
      balances: await readBalances(restoredDb),
      states: await statesOf(restoredDb, [charging, deciding]),
      holds: await countHolds(restoredDb),
    }

    // By the book.
    const migrated = await runScript('migrate', [], restored)
    const verified = await runScript('verify', [], restored)
    const reconciled = await runScript('reconcile', ['--all', '--json'], restored)
    const statesAfterReconcile = await statesOf(restoredDb, [charging, deciding])
    await startWorkers({ place: restored, environment })
    const file = await givenFile(all)
    const replayed = await runScript('replay', [file, '--through', 'postgres'], restored)
    await untilSettled(restoredDb, all)
    const again = await runScript('reconcile', ['--all'], restored)
    const verifiedAgain = await runScript('verify', [], restored)

    expect(started.status).toBe(201)
    expect(balancesBefore).toEqual(oracle)
    expect(asRestored.balances).not.toEqual(oracle)
    expect(asRestored).toMatchObject({
      holds: 1,
      states: [expect.stringMatching(/submitting|unknown/), 'ready'],
    })
    expect([migrated, verified, reconciled, replayed, again, verifiedAgain].map(({ code }) => code)).toEqual(
      Array.from({ length: 6 }, () => 0),
    )
    expect(JSON.parse(reconciled.stdout)).toMatchObject({ fits: true, misfits: [] })
    expect(statesAfterReconcile).toEqual(['succeeded', 'succeeded'])
    expect(again.stdout).toContain('Adopted now: nothing')
    // Nobody is charged again for what the backup did not know.
    const journal = await control.journal()
    expect(capturedBy(journal)).toEqual(capturedBy(happened))
    expect(await creditsBy(restoredDb)).toEqual(capturedBy(journal))
    expect(await readBalances(restoredDb)).toEqual(oracle)
    const { billable, distinct } = oracleOf(all, workspaceIds)
    expect(await countUsage(restoredDb)).toEqual({ posted: billable, free: distinct - billable })
    expect({ holds: await countHolds(restoredDb), refunds: await sumOf(restoredDb, 'refund') }).toEqual({
      holds: 0,
      refunds: -15_000_000n,
    })
    expect((await listUnbilledCalls(restoredDb, { limit: 10 })).total).toBe(0)
    expect(await findBreaks(databaseUrl)).toEqual([])
    await restoredDb.destroy()
  },
)

/** What each wallet must have: its grant, what Paddle captured on its card less what it gave back, less its usage. */
function balancesBy(
  { captures, adjustments }: Journal,
  records: readonly TrafficRecord[],
  subscriptions: ReadonlyMap<string, string>,
): Map<string, bigint> {
  const { balances: left } = oracleOf(records, [...subscriptions.values()])
  const owners = new Map(
    captures.map((each) => [each.transactionId, subscriptions.get(each.subscriptionId ?? '') ?? '']),
  )
  const moves = [
    ...captures.map(({ transactionId, net }) => ({ transactionId, cents: BigInt(net) })),
    ...adjustments.map(({ transactionId, net }) => ({ transactionId, cents: -BigInt(net) })),
  ]
  return new Map(
    [...left].map(([workspaceId, balance]) => [
      workspaceId,
      moves
        .filter(({ transactionId }) => owners.get(transactionId) === workspaceId)
        .reduce((sum, { cents }) => sum + cents * 10_000n, balance),
    ]),
  )
}

/** All of the records are decided, and no charge is under way. */
async function untilSettled(db: Db, records: readonly TrafficRecord[]): Promise<void> {
  const { billable, distinct } = oracleOf(records, [])
  await until('all is settled', async () => {
    const { posted = 0, free = 0, received = 0 } = await countUsage(db)
    return posted === billable && posted + free === distinct && received === 0 && (await countOpen(db)) === 0
  })
}

async function givenAdminKey(db: Db, workspaceId: WorkspaceId): Promise<string> {
  const { secret } = await db
    .transaction()
    .execute((trx) => createApiKey(trx, { workspaceId, scope: 'admin', createdBy: 'test' }))
  return secret
}

/** The telephony service's own records, as it would send them again. */
async function givenFile(records: readonly TrafficRecord[]): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'restore-'))
  onTestFinished(async () => await rm(directory, { recursive: true, force: true }))
  const file = join(directory, 'records.jsonl')
  await writeFile(file, records.map((record) => `${JSON.stringify(eventOf(record))}\n`).join(''))
  return file
}

/** The state of each one's newest top-up. */
async function statesOf(db: Db, workspaceIds: readonly WorkspaceId[]): Promise<(string | undefined)[]> {
  const newest = await Promise.all(
    workspaceIds.map((workspaceId) => listTopUps(db, { workspaceId, limit: 1 })),
  )
  return newest.map(([topUp]) => topUp?.state)
}

async function countHolds(db: Db): Promise<number> {
  const rows = await db.selectFrom('hold').select('call_id').where('state', '=', 'open').execute()
  return rows.length
}

async function sumOf(db: Db, kind: LedgerTransactionKind): Promise<bigint> {
  const rows = await db
    .selectFrom('ledger_transaction')
    .select('amount_micros')
    .where('kind', '=', kind)
    .execute()
  return rows.reduce((sum, row) => sum + row.amount_micros, 0n)
}
