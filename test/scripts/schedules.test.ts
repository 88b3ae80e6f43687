// `npm run schedules`: what rang, what it did, what is wrong, with and without Redis.
import { sql } from 'kysely'
import { expect } from 'vitest'

import { claimRound, endRound, registerSchedule } from '../../db/schedule.ts'
import { paceOf, schedules } from '../../jobs/schedules.ts'
import { runCommand } from '../support/command.ts'
import { test } from '../support/fixtures.ts'
import type { Db } from '../../db/schema.ts'
import { runScript } from '../support/run-script.ts'

test('says of every schedule what it did and when it rings next, without Redis too, and exits with 0 while all is well', async ({
  ownPlace,
  ownDb: db,
}) => {
  await givenRounds(db)

  const [table, json] = await Promise.all([
    runCommand('schedules', [], { ...ownPlace, redisUrl: 'redis://127.0.0.1:1' }),
    runCommand('schedules', ['outbox', '--json'], ownPlace),
  ])

  expect(table.stderr).toBe('')
  expect(table.stdout).toMatch(/^outbox +1 min +[\d.]+ s ago +scheduler +[\d.]+ s +in (?:\d+ s|1 min) +ok$/m)
  expect(table.stdout).toContain('frees what is held for calls')
  expect(table.stdout).toContain('→ moved 3')
  expect(table.stdout).toMatch(/^verify +day, 04:15 UTC .* ok$/m)
  expect(table.stdout).toMatch(/^reconcile .* off\n.*\n.* no worker has PADDLE_API_KEY/m)
  expect(table.stdout).toContain('Redis does not answer')
  expect([table.code, json.code]).toEqual([0, 0])
  expect(JSON.parse(json.stdout)).toMatchObject({
    name: 'outbox',
    every: 60_000,
    state: 'ok',
    last_rounds: [{ rung_by: 'scheduler', did: { moved: 3 }, error: null }],
  })
})

test('exits with 1 and says so when one failed, is overdue, was cut off or found what a person has to look at', async ({
  ownPlace,
  ownDb: db,
}) => {
  await givenRounds(db)
  await round(db, 'outbox', { error: 'Redis is away' })
  await round(db, 'verify', { did: { wallets: 1 }, found: ['ws_1  transaction 2: its hash'] })
  await claimRound(db, 'recharge-sweep', { rungBy: 'scheduler', claimMs: 0 })
  await sql`update schedule set due_at = due_at - interval '1 hour' where name = 'hold-expiry'`.execute(db)

  const [table, verify] = await Promise.all([
    runCommand('schedules', [], ownPlace),
    runCommand('schedules', ['verify'], ownPlace),
  ])

  expect(table.code).toBe(1)
  expect(table.stdout).toMatch(/^outbox .*FAILED\n.*\n.*failed: Redis is away$/m)
  expect(table.stdout).toMatch(/^recharge-sweep .*CUT OFF$/m)
  expect(table.stdout).toMatch(/^hold-expiry .*OVERDUE$/m)
  expect(table.stdout).toMatch(/^verify .*LOOK$/m)
  expect(verify.code).toBe(1)
  expect(verify.stdout).toContain('A PERSON HAS TO LOOK AT 1: ws_1  transaction 2: its hash')
  expect(verify.stdout.split('\n').filter((line) => line.includes('scheduler'))).toHaveLength(2)
})

test('rings one for a person, and shows what came of it', async ({ ownPlace, ownDb: db, startWorkers }) => {
  await startWorkers({ place: ownPlace })

  const rung = await runScript('schedules', ['verify', '--ring'], ownPlace)

  expect(rung).toMatchObject({ code: 0, stderr: 'asked for verify\n' })
  expect(rung.stdout).toMatch(/person +[\d.]+ s +wallets 0, transactions 0, postings 0/)
  const { rounds } = await db
    .selectFrom('schedule')
    .select('rounds')
    .where('name', '=', 'verify')
    .executeTakeFirstOrThrow()
  expect(rounds).toBe(1n)
})

test('says how it is used, and what it does not know', async ({ ownPlace }) => {
  const [help, unknown, nothing] = await Promise.all([
    runCommand('schedules', ['--help']),
    runCommand('schedules', ['laundry'], ownPlace),
    runCommand('schedules', ['--ring'], ownPlace),
  ])

  expect(help.stdout).toContain('usage: npm run -s schedules')
  expect(unknown).toMatchObject({ code: 2, stderr: expect.stringContaining('there is no schedule laundry') })
  expect(nothing).toMatchObject({ code: 2, stderr: expect.stringContaining('--ring: which schedule?') })
})

/** One round of each, except where there is no Paddle. */
async function givenRounds(db: Db): Promise<void> {
  for (const schedule of schedules) {
    if (schedule.name === 'reconcile') continue
    await registerSchedule(db, schedule.name, paceOf(schedule))
    await round(db, schedule.name, { did: { moved: 3 }, found: [] })
  }
}

async function round(db: Db, name: string, end: Parameters<typeof endRound>[3]): Promise<void> {
  const claimed = await claimRound(db, name, { rungBy: 'scheduler', claimMs: 30_000 })
  const schedule = schedules.find((each) => each.name === name)
  if (claimed === null || schedule === undefined) throw new Error(`${name} cannot be done`)
  await endRound(db, claimed, paceOf(schedule), end)
}
