// Schedules only ring. What is due is done once by whoever comes first, also when Redis has lost every schedule or is not there at all.
import { sql } from 'kysely'
import { describe, expect } from 'vitest'

import { micros } from '../../billing/money.ts'
import { findHold } from '../../db/hold.ts'
import {
  claimRound,
  endRound,
  listRounds,
  readSchedules,
  registerSchedule,
  type ScheduleState,
} from '../../db/schedule.ts'
import { heartbeatAgeMs } from '../../db/heartbeat.ts'
import type { Db } from '../../db/schema.ts'
import { paceOf, ringOptions, schedules, type Pace } from '../../jobs/schedules.ts'
import { createLog } from '../../runtime/log.ts'
import { startHeartbeatWorker } from '../../workers/heartbeat.ts'
import { placeSchedules } from '../../workers/place-schedules.ts'
import { runRound } from '../../workers/run-round.ts'
import type { Round } from '../../workers/rounds.ts'
import { verifyNightly } from '../../workers/verify-nightly.ts'
import { test } from '../support/fixtures.ts'
import { aCallToAdmit, admit, givenSilence, givenWalletWith } from '../support/given-calls.ts'
import { givenAutoRecharge, givenPayer } from '../support/given-money-in.ts'
import { countLockWaits } from '../support/lock-waits.ts'
import { until } from '../support/until.ts'
import type { WorkerProcess } from '../support/worker-process.ts'

const silent = createLog('silent', 'test')
const often: Pace = { everyMs: 10_000, dailyAt: null }
const nightly: Pace = { everyMs: 86_400_000, dailyAt: '03:15' }
/** Without Paddle there is nobody to reconcile with. */
const placedNames = schedules.map(({ name }) => name).filter((name) => name !== 'reconcile')
/** Those ring as soon as they are in place. */
const byDay = ['hold-expiry', 'outbox', 'recharge-sweep', 'rental-sweep']
const ringing = { name: 'heartbeat', data: {}, opts: ringOptions }
const nothing = { did: {}, found: [] }

describe('putting schedules in place', () => {
  const scheduled = [
    { schedule: 'hold-expiry', pace: often },
    { schedule: 'reconcile', pace: nightly },
  ]

  test('again changes nothing: the next ring stays when it is, also one that is ringing just now', async ({
    ownQueueNamed,
    ownPlace,
    redis,
  }) => {
    const queue = ownQueueNamed('schedule')
    await placeSchedules(ownQueueNamed, scheduled)
    const [first, daily] = (await queue.getJobSchedulers()).toSorted((one, other) =>
      one.key < other.key ? -1 : 1,
    )
    const ringing = Date.now() - 1_000
    await redis.zadd(`${ownPlace.queuePrefix}:schedule:repeat`, ringing, 'reconcile')

    for (let turn = 1; turn <= 3; turn += 1) await placeSchedules(ownQueueNamed, scheduled)

    expect(first).toMatchObject({ key: 'hold-expiry', every: 10_000 })
    expect(daily).toMatchObject({ key: 'reconcile', pattern: '15 3 * * *', tz: 'UTC' })
    const byName = new Map((await queue.getJobSchedulers()).map((each) => [each.key, each]))
    expect(byName.get('hold-expiry')).toEqual(first)
    expect(byName.get('reconcile')?.next).toBe(ringing)
    expect(await ownQueueNamed('ops').getJobSchedulers()).toMatchObject([{ key: 'heartbeat', every: 10_000 }])
  })

  test('puts right one that will never ring again, and one that rings at another pace', async ({
    ownQueueNamed,
    ownPlace,
    redis,
  }) => {
    const queue = ownQueueNamed('schedule')
    await placeSchedules(ownQueueNamed, scheduled)
    const [job] = (await queue.getDelayed()).filter(({ name }) => name === 'reconcile')
    await redis.del(`${ownPlace.queuePrefix}:schedule:delayed`, queue.toKey(job?.id ?? ''))
    await redis.zadd(`${ownPlace.queuePrefix}:schedule:repeat`, Date.now() - 3_600_000, 'reconcile')

    await placeSchedules(ownQueueNamed, [
      { schedule: 'hold-expiry', pace: paceOf({ name: 'hold-expiry', every: 10_000, does: '' }, 20) },
      { schedule: 'reconcile', pace: nightly },
    ])

    const byName = new Map((await queue.getJobSchedulers()).map((each) => [each.key, each]))
    expect(byName.get('hold-expiry')).toMatchObject({ every: 500 })
    expect(byName.get('reconcile')?.next).toBeGreaterThan(Date.now())
  })

  // Found by a chaos run: the heart did not beat for an hour, and the workers ended every minute because of it.
  test('puts right those that a worker whose clock was an hour ahead has put off', async ({
    ownQueueNamed,
    ownDb: db,
    redis,
    ownPlace,
  }) => {
    const heart = ownQueueNamed('ops')
    const hour = 3_600_000
    await heart.upsertJobScheduler('heartbeat', { every: 10_000, startDate: Date.now() + hour }, ringing)
    const worker = startHeartbeatWorker({ connection: redis, prefix: ownPlace.queuePrefix, log: silent }, db)

    await placeSchedules(ownQueueNamed, [])
    await until('it beats', async () => (await heartbeatAgeMs(db)) !== null)
    await worker.close()

    expect((await heart.getJobScheduler('heartbeat'))?.next).toBeLessThan(Date.now() + 20_000)
  })
})

test.for([
  [10_000, 1, { everyMs: 10_000, dailyAt: null }],
  [3_600_000, 60, { everyMs: 60_000, dailyAt: null }],
  [10_000, 86_400, { everyMs: 250, dailyAt: null }],
  ['03:15', 1, { everyMs: 86_400_000, dailyAt: '03:15' }],
  ['03:15', 60, { everyMs: 1_440_000, dailyAt: null }],
  ['03:15', 86_400, { everyMs: 10_000, dailyAt: null }],
] as const)('what rings each %s at a clock of rate %d rings as %o', ([every, rate, pace]) => {
  expect(paceOf({ name: 'any', every, does: '' }, rate)).toEqual(pace)
})

describe('a round', () => {
  test('is begun by one of many that hear the ring', async ({ ownDb: db }) => {
    await registerSchedule(db, 'outbox', often)

    const claims = await Promise.all(
      Array.from({ length: 8 }, () => claimRound(db, 'outbox', { rungBy: 'scheduler', claimMs: 30_000 })),
    )

    expect(claims.filter((claim) => claim !== null)).toEqual([{ schedule: 'outbox', round: 1n }])
  })

  test('that somebody else has done since it was found overdue is not begun again', async ({ ownDb: db }) => {
    await registerSchedule(db, 'outbox', often)
    const first = await run(db, async () => nothing)

    const ran = await runRound(
      { db, log: silent, signal: new AbortController().signal },
      { schedule: 'outbox', pace: often, round: async () => nothing },
      { rungBy: 'fallback', after: 0n },
    )

    expect([first, ran]).toEqual([true, false])
  })

  test('that fails is written down with its error and stays due; the next one heals it', async ({
    ownDb: db,
  }) => {
    await registerSchedule(db, 'outbox', often)

    await run(db, () => Promise.reject(new Error('the disk is full')))
    const failed = await stateOf(db, 'outbox')
    await run(db, async () => ({ did: { moved: 3 }, found: [] }))
    const healed = await stateOf(db, 'outbox')

    expect(failed).toMatchObject({ failures: 1n, doneMsAgo: null, isUnderWay: false })
    expect(failed.overdueMs).toBeGreaterThan(0)
    expect(healed).toMatchObject({ failures: 1n, rounds: 2n })
    expect(healed.overdueMs).toBeLessThan(0)
    expect(await listRounds(db, 'outbox', 10)).toMatchObject([
      { round: 2n, outcome: { did: { moved: 3 }, found: [] }, error: null },
      { round: 1n, outcome: null, error: 'the disk is full', finishedAt: expect.any(Date) },
    ])
  })

  test('whose process died is begun by another, and what the dead one says later decides nothing', async ({
    ownDb: db,
  }) => {
    await registerSchedule(db, 'outbox', often)
    const lost = await claimRound(db, 'outbox', { rungBy: 'scheduler', claimMs: 0 })

    const next = await claimRound(db, 'outbox', { rungBy: 'fallback', claimMs: 30_000 })
    if (lost !== null) await endRound(db, lost, often, { did: {}, found: ['nobody believes this'] })

    expect(next).toEqual({ schedule: 'outbox', round: 2n })
    expect(await stateOf(db, 'outbox')).toMatchObject({ isUnderWay: true, found: 0, doneMsAgo: null })
  })

  test('of a night is due again the next night, however often it was asked for in between', async ({
    ownDb: db,
  }) => {
    await registerSchedule(db, 'reconcile', nightly)
    const before = await dueAt(db, 'reconcile')
    const claimed = await claimRound(db, 'reconcile', { rungBy: 'person', claimMs: 30_000 })
    if (claimed !== null) await endRound(db, claimed, nightly, nothing)

    const after = await dueAt(db, 'reconcile')

    expect(before.toISOString()).toMatch(/T03:15:00.000Z$/)
    expect(after).toEqual(before)
  })

  test('is kept with the 50 before it', async ({ ownDb: db }) => {
    await registerSchedule(db, 'outbox', often)
    for (let round = 1; round <= 53; round += 1) await run(db, async () => nothing)

    const rounds = await listRounds(db, 'outbox', 100)

    expect(rounds).toHaveLength(50)
    expect(rounds.at(-1)?.round).toBe(4n)
  })

  test('of verify names a row that somebody changed, and does not fail over it', async ({
    ownPlace,
    ownDb: db,
  }) => {
    await registerSchedule(db, 'outbox', often)
    await givenWalletWith(db, 500)
    await sql`alter table ledger_transaction disable trigger user`.execute(db)
    await sql`update ledger_transaction set amount_micros = amount_micros + 1 where wallet_sequence = 2`.execute(
      db,
    )

    await run(db, (signal) => verifyNightly(ownPlace.databaseUrl, { log: silent, signal }))

    const [round] = await listRounds(db, 'outbox', 1)
    expect(round?.outcome?.did).toEqual({ wallets: 1, transactions: 2, postings: 2 })
    expect(round?.outcome?.found).toContainEqual(
      expect.stringMatching(/transaction 2 \(.* its postings move/),
    )
    const { found } = await stateOf(db, 'outbox')
    expect(found).toBe(round?.outcome?.found.length)
  })

  test('of a process that was told to end while it claimed it does not begin, and is still due', async ({
    ownDb: db,
  }) => {
    await registerSchedule(db, 'outbox', often)
    let began = false
    const round: Round = async () => {
      began = true
      return nothing
    }

    await runRound(
      { db, log: silent, signal: AbortSignal.abort() },
      { schedule: 'outbox', pace: often, round },
      { rungBy: 'scheduler' },
    )

    expect(began).toBe(false)
    expect(await listRounds(db, 'outbox', 1)).toMatchObject([{ error: 'the process was told to end' }])
    expect((await stateOf(db, 'outbox')).overdueMs).toBeGreaterThan(0)
  })

  test('of verify ends at once with its process, and is then still due', async ({ ownPlace, ownDb: db }) => {
    await registerSchedule(db, 'outbox', often)
    const stopping = new AbortController()
    // It waits at its first row, as it may on a large ledger.
    const blocker = await db.startTransaction().execute()
    await sql`lock table wallet in access exclusive mode`.execute(blocker)

    const ending = runRound(
      { db, log: silent, signal: stopping.signal },
      {
        schedule: 'outbox',
        pace: often,
        round: (signal) => verifyNightly(ownPlace.databaseUrl, { log: silent, signal }),
      },
      { rungBy: 'scheduler' },
    )
    await until('it reads', async () => (await countLockWaits(db)) > 0)
    stopping.abort()
    await ending
    await blocker.rollback().execute()

    expect(await listRounds(db, 'outbox', 1)).toMatchObject([{ error: 'the process was told to end' }])
    expect((await stateOf(db, 'outbox')).overdueMs).toBeGreaterThan(0)
  })
})

describe('a worker process', () => {
  test('puts back what a wiped Redis has lost, and does what was due', async ({
    ownPlace,
    ownDb: db,
    ownQueueNamed,
    redis,
    startWorkers,
  }) => {
    await startWorkers({ place: ownPlace })
    await until('all are in place', async () => {
      return (await ownQueueNamed('schedule').getJobSchedulersCount()) === placedNames.length
    })
    await until('each that rings by day has rung', async () => {
      return (await readSchedules(db)).filter(({ doneMsAgo }) => doneMsAgo !== null).length === byDay.length
    })
    const { call } = await givenSilentCall(db)
    await givenOverdueRecharge(db)

    const keys = await redis.keys(`${ownPlace.queuePrefix}:*`)
    await redis.del(...keys)
    await passHours(db, ['verify'], 25)

    await until('they are back', async () => {
      const placed = await ownQueueNamed('schedule').getJobSchedulers()
      return (
        placed
          .map(({ key }) => key)
          .toSorted()
          .join() === placedNames.toSorted().join()
      )
    })
    await until('the hold is expired', async () => (await findHold(db, call))?.state === 'expired')
    await until('the wallet is recharged', async () => (await countRecharges(db)) === 1)
    await until('the ledger is verified', async () => (await stateOf(db, 'verify')).doneMsAgo !== null)
    expect((await listRounds(db, 'verify', 5)).map(({ rungBy }) => rungBy)).toEqual(['fallback'])
  })

  test('does what is overdue while Redis is away, one of two processes at a time', async ({
    ownPlace,
    ownDb: db,
    startServers,
    startWorkers,
  }) => {
    const { redis, redisUrl } = await startServers({ databaseUrl: ownPlace.databaseUrl })
    const place = { ...ownPlace, redisUrl }
    const workers = await Promise.all([startWorkers({ place }), startWorkers({ place })])
    await until('each has rung', async () => {
      return (await readSchedules(db)).filter(({ doneMsAgo }) => doneMsAgo !== null).length === byDay.length
    })
    await redis.kill()
    await until('both have noticed', () => workers.every(hasLostItsQueue))
    const { call } = await givenSilentCall(db)
    await givenOverdueRecharge(db)
    const rounds = (await stateOf(db, 'recharge-sweep')).rounds

    await passHours(db, ['hold-expiry', 'recharge-sweep', 'outbox'], 1)

    await until('the hold is expired', async () => (await findHold(db, call))?.state === 'expired')
    await until('the wallet is recharged', async () => (await countRecharges(db)) === 1)
    const outbox = await until('the outbox says why not', async () => {
      const [last] = await listRounds(db, 'outbox', 1)
      return last?.error !== null && last
    })
    expect(outbox).toMatchObject({ rungBy: 'fallback', error: 'Redis is away' })
    expect((await stateOf(db, 'recharge-sweep')).rounds).toBe(rounds + 1n)
  })
})

async function run(db: Db, round: Round): Promise<boolean> {
  const { signal } = new AbortController()
  return await runRound(
    { db, log: silent, signal },
    { schedule: 'outbox', pace: often, round },
    { rungBy: 'scheduler' },
  )
}

async function stateOf(db: Db, name: string): Promise<ScheduleState> {
  const state = (await readSchedules(db)).find((each) => each.name === name)
  if (state === undefined) throw new Error(`${name} is not in place`)
  return state
}

async function dueAt(db: Db, name: string): Promise<Date> {
  const row = await db
    .selectFrom('schedule')
    .select('due_at')
    .where('name', '=', name)
    .executeTakeFirstOrThrow()
  return row.due_at
}

/** As if nobody had rung for so long. */
async function passHours(db: Db, names: readonly string[], hours: number): Promise<void> {
  for (const name of names) {
    await sql`
      update schedule set due_at = due_at - make_interval(hours => ${hours}), started_at = started_at - make_interval(hours => ${hours})
      where name = ${name}`.execute(db)
  }
}

async function givenSilentCall(db: Db) {
  const workspaceId = await givenWalletWith(db, 1_000)
  const call = aCallToAdmit(workspaceId)
  await admit(db, call)
  await givenSilence(db, workspaceId)
  return { call }
}

/** A wallet below its threshold whose recharge nobody has decided. */
async function givenOverdueRecharge(db: Db): Promise<void> {
  const payer = await givenPayer(db)
  await givenAutoRecharge(db, payer, { thresholdMicros: micros(5_000_000n) })
  await db
    .updateTable('auto_recharge')
    .set({ threshold_micros: micros(15_000_000n) })
    .execute()
}

async function countRecharges(db: Db): Promise<number> {
  return (await db.selectFrom('top_up').select('top_up_id').where('source', '=', 'auto_recharge').execute())
    .length
}

function hasLostItsQueue({ log }: WorkerProcess): boolean {
  return log.some(
    ({ msg, queue }) => msg === 'worker lost its queue and keeps trying' && queue === 'schedule',
  )
}
