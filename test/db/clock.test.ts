// The clock that everything is dated by: Postgres' own, unless a session is told another one, for demos and tests.
import { sql } from 'kysely'
import { describe, expect, onTestFinished } from 'vitest'

import { connect } from '../../db/connect.ts'
import { readClock } from '../../db/clock.ts'
import { createProducer } from '../../jobs/producer.ts'
import { readClockAndVersion } from '../../db/price-version.ts'
import type { Db } from '../../db/schema.ts'
import { parseClock, startClock } from '../../runtime/clock.ts'
import { test, type Place } from '../support/fixtures.ts'
import { aCall, givenWorkspace } from '../support/given.ts'
import { moveClock } from '../support/moved-clock.ts'
import { until } from '../support/until.ts'

const dayMs = 86_400_000

/** A connection of a process that was told this clock. */
function connectedBy(place: Place, clock?: string): Db {
  const db = connect(place.databaseUrl, { profile: 'posting', name: 'clock', poolSize: 1, clock })
  onTestFinished(() => db.destroy())
  return db
}

describe('the clock of a session', () => {
  test('that was told nothing is the real time, in whole milliseconds', async ({ place }) => {
    const db = connectedBy(place)

    const { rows } = await sql<{ before: string; now: string; after: string }>`
      select date_trunc('milliseconds', clock_timestamp())::text as before, wallet_now()::text as now,
        clock_timestamp()::text as after`.execute(db)

    const [row = { before: '', now: '', after: '' }] = rows
    expect(row.before <= row.now && row.now <= row.after).toBe(true)
    expect(row.now).toMatch(/:\d\d(?:\.\d{1,3})?\+00$/)
    expect(await sql`select current_setting('wallet.clock', true) as setting`.execute(db)).toMatchObject({
      rows: [{ setting: null }],
    })
  })

  test('can be another date, from which it goes on in real time', async ({ place }) => {
    const clock = startClock(new Date('2027-03-01T00:00:00.000Z'), { rate: 1 })
    const db = connectedBy(place, clock.setting)

    const first = await readClock(db)
    const { now } = await db.transaction().execute(readClockAndVersion)

    expect(first.getTime() - Date.parse('2027-03-01T00:00:00.000Z')).toBeLessThan(20_000)
    expect(now.getTime() - first.getTime()).toBeLessThan(10_000)
    expect(now >= first).toBe(true)
  })

  test('can run a day in each second, and shows the same to Node and to Postgres', async ({ place }) => {
    const clock = startClock(new Date('2026-01-31T09:00:00.000Z'), { rate: 86_400 })
    const db = connectedBy(place, clock.setting)

    const before = clock.now()
    const read = await readClock(db)
    const after = clock.now()

    // Node's real time has whole milliseconds, and each of them is 86.4 seconds of this clock.
    expect(read >= before).toBe(true)
    expect(read.getTime()).toBeLessThan(after.getTime() + 86_400)
  })

  test('does not depend on its time zone, where a day may have 23 hours', async ({ place }) => {
    const setting = '2026-01-01T00:00:00Z/2026-01-01T00:00:00Z/1'
    const db = connectedBy(place, setting)
    await sql`set time zone 'America/New_York'`.execute(db)

    const read = await readClock(db)

    expect(Math.abs(read.getTime() - Date.now())).toBeLessThan(20_000)
  })

  test('never goes back while the real time does not', async ({ place }) => {
    const db = connectedBy(place, startClock(new Date('2026-01-31T09:00:00.000Z'), { rate: 999_999 }).setting)

    const { rows } = await sql<{ backwards: boolean }>`
      select bool_or(now < before) as backwards
      from (
        select now, lag(now) over (order by n) as before from (
          select n, wallet_now() as now from generate_series(1, 20000) as n
        ) as readings
      ) as pairs`.execute(db)

    expect(rows).toEqual([{ backwards: false }])
  })

  test.for([
    'fast',
    '2026-01-31T09:00:00Z',
    '2026-01-31T09:00:00Z/2026-11-26T14:00:00Z/0',
    '2026-01-31T09:00:00Z/2026-11-26T14:00:00Z/1.5',
    '2026-01-31T09:00:00Z/2026-11-26T14:00:00Z/1000000',
    '2026-02-30T09:00:00Z/2026-11-26T14:00:00Z/1',
    '2026-01-31T09:00:00+01/2026-11-26T14:00:00Z/1',
  ])('is refused, and never guessed, when it is written %s', async (setting, { trx }) => {
    expect(() => parseClock(setting)).toThrow(expect.objectContaining({ code: 'malformed_clock' }))
    await sql`select set_config('wallet.clock', ${setting}, true)`.execute(trx)

    await expect(readClock(trx)).rejects.toMatchObject({
      code: '22023',
      message: `wallet.clock is '${setting}', which is no clock`,
      hint: expect.stringContaining('Expected <instant it showed>/<real instant>/<rate>'),
    })
  })
})

test('what nobody dates is dated by the same clock', async ({ place }) => {
  const db = connectedBy(place, startClock(new Date('2031-05-06T07:08:09.000Z'), { rate: 1 }).setting)

  const workspaceId = await givenWorkspace(db)

  const { created_at: openedAt } = await db
    .selectFrom('workspace')
    .select('created_at')
    .where('workspace_id', '=', workspaceId)
    .executeTakeFirstOrThrow()
  const { posted_at: grantedAt } = await db
    .selectFrom('ledger_transaction')
    .select('posted_at')
    .where('workspace_id', '=', workspaceId)
    .executeTakeFirstOrThrow()
  expect([openedAt, grantedAt].map((at) => at.toISOString().slice(0, 10))).toEqual([
    '2031-05-06',
    '2031-05-06',
  ])
})

test('95 days pass for worker processes that run, when the database is told so', async ({
  ownPlace,
  ownDb: db,
  startWorkers,
}) => {
  const workspaceId = await givenWorkspace(db)
  const worker = await startWorkers({ place: ownPlace })
  const producer = createProducer(ownPlace.redisUrl, { prefix: ownPlace.queuePrefix })
  onTestFinished(() => producer.close())
  const post = async (): Promise<Date> => {
    // By the same clock: what began 95 days ago is too old to be posted.
    const call = aCall(workspaceId, { startedAt: (await readClock(db)).toISOString() })
    await producer.callEnded(call)
    return await until('it is posted', async () => {
      const row = await db
        .selectFrom('ledger_transaction')
        .select('posted_at')
        .where('reference', '=', call.callId)
        .executeTakeFirst()
      return row?.posted_at
    })
  }

  const before = await post()
  const moved = await moveClock(ownPlace, db, { days: 95 })
  const after = await post()

  expect(after >= moved && after <= (await readClock(db))).toBe(true)
  expect(after.getTime() - before.getTime()).toBeGreaterThanOrEqual(95 * dayMs)
  expect(after.getTime() - before.getTime()).toBeLessThan(95 * dayMs + 60_000)
  expect(worker.isRunning()).toBe(true)
})
