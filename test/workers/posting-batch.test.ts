// The posting batch: one transaction for all that has gathered, and whatever goes wrong hurts only whom it concerns.
import { sql } from 'kysely'
import { describe, expect } from 'vitest'

import { BillingError } from '../../billing/billing-error.ts'
import { connect } from '../../db/connect.ts'
import type { Db } from '../../db/schema.ts'
import { receiveUsage } from '../../db/usage-event.ts'
import { findBalance, lockWallet } from '../../db/wallet.ts'
import { usageArrival } from '../../jobs/usage-arrival.ts'
import { pause } from '../../runtime/repeat.ts'
import { createPostingBatch, shuttingDown, type PostingBatch } from '../../workers/posting-batch.ts'
import { findBreaks } from '../support/books.ts'
import { captureLog, type CapturedLine } from '../support/captured-log.ts'
import { test as base } from '../support/fixtures.ts'
import { aCall, callArrival, givenWorkspace } from '../support/given.ts'
import { whileHeld } from '../support/held.ts'
import { refusalOf } from '../support/refusal.ts'
import { startTcpProxy } from '../../scripts/drills/tcp-proxy.ts'
import { countLockWaits } from '../support/lock-waits.ts'
import { until } from '../support/until.ts'

type Given = {
  batch: PostingBatch
  log: readonly CapturedLine[]
  /** How many events each committed transaction carried. */
  commits: number[]
}

const test = base.extend<{ given: (options?: { most?: number; lockMs?: number }) => Promise<Given> }>({
  given: async ({ ownPlace }, use) => {
    const ends: (() => Promise<void>)[] = []
    await use(async ({ most = 500, lockMs = 2_000 } = {}) => {
      const db = connect(ownPlace.databaseUrl, { profile: 'posting', name: 'posting', poolSize: 1 })
      await sql`select set_config('lock_timeout', ${String(lockMs)}, false)`.execute(db)
      const { log, lines } = captureLog()
      const commits: number[] = []
      const batch = createPostingBatch({ db, log, most, onBatch: ({ events }) => commits.push(events) })
      ends.push(async () => {
        await batch.close()
        await db.destroy()
      })
      return { batch, log: lines, commits }
    })
    await Promise.all(ends.map((end) => end()))
  },
})

describe('a posting batch', () => {
  test('posts all that has gathered in one transaction, and resolves only when it is committed', async ({
    ownDb: db,
    given,
  }) => {
    const { batch, commits } = await given()
    const workspaceId = await givenWorkspace(db)

    const outcomes = await postAll(batch, 100, workspaceId)
    const balance = await findBalance(db, workspaceId)

    expect(outcomes.every(({ outcome }) => outcome === 'posted')).toBe(true)
    expect(balance).toBe(10_000_000n - 100n * 180_000n)
    expect(commits).toEqual([100])
  })

  test('gathers the next batch while one is under way, up to its limit', async ({ ownDb: db, given }) => {
    const { batch, commits } = await given({ most: 40 })
    const workspaceId = await givenWorkspace(db)

    await postAll(batch, 100, workspaceId)

    expect(commits).toEqual([40, 40, 20])
  })

  test('books an event once when it is in the batch several times', async ({ ownDb: db, given }) => {
    const { batch } = await given()
    const workspaceId = await givenWorkspace(db)
    const arrival = callArrival(aCall(workspaceId))

    const outcomes = await Promise.all([arrival, arrival, arrival].map((each) => batch.post(each)))

    expect(outcomes.map(({ outcome }) => outcome)).toEqual(['posted', 'duplicate', 'duplicate'])
    expect(await findBalance(db, workspaceId)).toBe(9_820_000n)
  })
})

describe('an event that Postgres refuses', () => {
  test('is set aside with the reason, and its neighbours are posted', async ({
    ownPlace,
    ownDb: db,
    given,
  }) => {
    const { batch, log } = await given()
    const workspaceId = await givenWorkspace(db)
    const poison = callArrival(aCall(workspaceId, { callId: 'call_poison' }))
    await raiseFor(db, { table: 'ledger_transaction', column: 'idempotency_key', value: poison.key })

    const poisoned = batch.post(poison)
    const neighbours = await postAll(batch, 99, workspaceId)

    expect(await poisoned).toEqual({ outcome: 'set_aside', reason: 'posting_failed' })
    expect(neighbours.every(({ outcome }) => outcome === 'posted')).toBe(true)
    const row = await db
      .selectFrom('usage_event')
      .selectAll()
      .where('key', '=', poison.key)
      .executeTakeFirstOrThrow()
    expect(row).toMatchObject({ state: 'set_aside', reason: 'posting_failed', detail: 'poison' })
    expect(log.filter(({ level }) => level === 'error')).toMatchObject([
      { msg: 'usage cannot be posted', key: poison.key, workspaceId },
    ])
    expect(await findBreaks(ownPlace.databaseUrl)).toEqual([])
  })

  test('even when it is to be set aside is rejected alone, for its job to be tried again, and moves no money', async ({
    ownPlace,
    ownDb: db,
    given,
  }) => {
    const { batch } = await given()
    const workspaceId = await givenWorkspace(db)
    const poison = callArrival(aCall(workspaceId, { callId: 'call_poison' }))
    await raiseFor(db, { table: 'usage_event', column: 'key', value: poison.key })

    const [poisoned, ...neighbours] = await Promise.allSettled([
      batch.post(poison),
      ...startPosting(batch, 9, workspaceId),
    ])
    const later = await postAll(batch, 9, workspaceId)

    expect(poisoned).toMatchObject({ status: 'rejected', reason: { message: 'poison' } })
    expect(neighbours).toMatchObject(neighbours.map(() => ({ value: { outcome: 'posted' } })))
    expect(later.every(({ outcome }) => outcome === 'posted')).toBe(true)
    expect(await findBalance(db, workspaceId)).toBe(10_000_000n - 18n * 180_000n)
    expect(await findBreaks(ownPlace.databaseUrl)).toEqual([])
  })
})

describe('a failure that is nobody’s fault', () => {
  // A sequence keeps its number when a transaction is rolled back: the third attempt succeeds.
  const causes = {
    'a deadlock': '40P01',
    'a serialization failure': '40001',
    'a statement that took too long': '57014',
    'a server that shuts down': '57P01',
    'a full disk': '53100',
    'a missing grant': '42501',
    'a read-only server': '25006',
  }

  test.for(Object.entries(causes))(
    'such as %s is tried again until it works',
    async ([, code], { ownDb: db, given }) => {
      const { batch, log } = await given()
      const workspaceId = await givenWorkspace(db)
      await raiseTwice(db, code)

      const outcomes = await postAll(batch, 10, workspaceId)

      expect(outcomes.every(({ outcome }) => outcome === 'posted')).toBe(true)
      expect(await findBalance(db, workspaceId)).toBe(10_000_000n - 10n * 180_000n)
      expect(log.map(({ level, msg }) => [level, msg])).toEqual([['warn', 'posting waits for the database']])
    },
  )

  test('and is a matter of size is met with smaller batches', async ({ ownDb: db, given }) => {
    const { batch, commits } = await given()
    const workspaceId = await givenWorkspace(db)
    await sql`create function too_many() returns trigger language plpgsql as $$ begin
      if (select count(*) from booked) > 2 then raise 'too many' using errcode = '53200'; end if;
      return null;
    end $$`.execute(db)
    await sql`create trigger too_many after insert on ledger_transaction referencing new table as booked
      for each statement execute function too_many()`.execute(db)

    const outcomes = await postAll(batch, 4, workspaceId)

    expect(outcomes.every(({ outcome }) => outcome === 'posted')).toBe(true)
    expect(commits).toEqual([2, 2])
  })
})

describe('a wallet in use elsewhere', () => {
  test('delays its own events and nobody else’s, however many of them wait', async ({ ownDb: db, given }) => {
    const { batch } = await given({ most: 10 })
    const [held, free] = [await givenWorkspace(db), await givenWorkspace(db)]

    const { waiting, posted, heldBalance } = await whileHeld(
      db,
      (trx) => lockWallet(trx, held),
      async () => ({
        waiting: Promise.all(startPosting(batch, 35, held)),
        posted: await postAll(batch, 25, free),
        heldBalance: await findBalance(db, held),
      }),
    )
    const postedLater = await waiting

    expect(posted.every(({ outcome }) => outcome === 'posted')).toBe(true)
    expect(heldBalance).toBe(10_000_000n)
    expect(postedLater.every(({ outcome }) => outcome === 'posted')).toBe(true)
    expect(await findBalance(db, held)).toBe(10_000_000n - 35n * 180_000n)
  })

  test('does not keep an event of nobody’s waiting', async ({ ownDb: db, given }) => {
    const { batch } = await given()
    const held = await givenWorkspace(db)

    const { waiting, setAside } = await whileHeld(
      db,
      (trx) => lockWallet(trx, held),
      async () => ({
        waiting: batch.post(callArrival(aCall(held))),
        setAside: await batch.post(usageArrival('call', { nothing: 'sensible' }, new Date())),
      }),
    )

    expect(setAside).toEqual({ outcome: 'set_aside', reason: 'malformed_payload' })
    expect(await waiting).toMatchObject({ outcome: 'posted' })
  })
})

// It does: a single event that runs into a lock is tried for as long as the lock lasts, and the lane with it.
test('an event whose row somebody else holds does not keep others waiting', async ({ ownDb: db, given }) => {
  const { batch } = await given({ lockMs: 50 })
  const workspaceId = await givenWorkspace(db)
  const held = callArrival(aCall(workspaceId))

  const { waiting, posted } = await whileHeld(
    db,
    (trx) => receiveUsage(trx, [held]),
    async () => ({
      waiting: batch.post(held),
      posted: await Promise.race([postAll(batch, 5, workspaceId), pause(3_000)]),
    }),
  )

  expect(posted).toHaveLength(5)
  expect(await waiting).toMatchObject({ outcome: 'posted' })
})

test('a rate that cannot be read does not concern those whom it was not agreed with', async ({
  ownDb: db,
  given,
}) => {
  const { batch } = await given()
  const [agreed, neighbour] = [await givenWorkspace(db), await givenWorkspace(db)]
  await sql`
    insert into workspace_rate (workspace_id, meter, effective_from, rate)
    values (${agreed}, 'voice', now() + interval '1 second', '{"per_minute": 0.1}')`.execute(db)

  const outcome = await batch.post(callArrival(aCall(neighbour)))

  expect(outcome).toMatchObject({ outcome: 'posted', balanceAfterMicros: 9_820_000n })
})

describe('closing', () => {
  test('lets the transaction under way end, and gives up what waits for another', async ({
    ownDb: db,
    given,
  }) => {
    const { batch } = await given({ most: 10 })
    const workspaceId = await givenWorkspace(db)

    const arrivals = Array.from({ length: 30 }, () => callArrival(aCall(workspaceId)))
    const { ends, closed } = await whileHeld(
      db,
      (trx) => receiveUsage(trx, arrivals.slice(0, 1)),
      async () => {
        const ends = Promise.allSettled(arrivals.map((arrival) => batch.post(arrival)))
        await until('the first transaction is under way', async () => (await countLockWaits(db)) > 0)
        return { ends, closed: batch.close() }
      },
    )
    await closed

    const posted = (await ends).filter((end) => end.status === 'fulfilled').length
    const refused = (await ends).flatMap((end) => (end.status === 'rejected' ? [end.reason] : []))
    expect([posted, refused.length]).toEqual([10, 20])
    for (const reason of refused) expect(reason).toMatchObject({ code: shuttingDown })
    expect(await findBalance(db, workspaceId)).toBe(10_000_000n - BigInt(posted) * 180_000n)
  })

  test('gives up also what waits for a database that is away, and does not wait for it', async ({
    ownPlace,
  }) => {
    const { hostname, port } = new URL(ownPlace.databaseUrl)
    const proxy = await startTcpProxy({ host: hostname, port: Number(port) })
    const db = connect(proxy.urlOf(ownPlace.databaseUrl), { profile: 'posting', name: 'away', poolSize: 1 })
    await proxy.close()
    const { log, lines } = captureLog()
    const batch = createPostingBatch({ db, log, most: 10 })

    const refusal = refusalOf(batch.post(callArrival(aCall('ws_any'))))
    await until('it waits for the database', () =>
      lines.some(({ msg }) => msg === 'posting waits for the database'),
    )
    await batch.close()

    expect(await refusal).toBeInstanceOf(BillingError)
    expect((await refusal).code).toBe(shuttingDown)
    expect((await refusalOf(batch.post(callArrival(aCall('ws_any'))))).code).toBe(shuttingDown)
    await db.destroy()
  })
})

function startPosting(batch: PostingBatch, count: number, workspaceId: string) {
  return Array.from({ length: count }, () => batch.post(callArrival(aCall(workspaceId))))
}

async function postAll(batch: PostingBatch, count: number, workspaceId: string) {
  return await Promise.all(startPosting(batch, count, workspaceId))
}

/** Makes Postgres refuse one value, as a bug on one event would. */
async function raiseFor(
  db: Db,
  { table, column, value }: { table: string; column: string; value: string },
): Promise<void> {
  await sql`create function poison() returns trigger language plpgsql as $$ begin raise 'poison'; end $$`.execute(
    db,
  )
  await sql`create trigger poison before insert on ${sql.table(table)} for each row
    when (new.${sql.ref(column)} = ${sql.lit(value)}) execute function poison()`.execute(db)
}

/** Makes the first two transactions fail with this code. */
async function raiseTwice(db: Db, code: string): Promise<void> {
  await sql`create sequence attempt`.execute(db)
  await sql`grant usage on sequence attempt to wallet_worker`.execute(db)
  await sql`create function fail_twice() returns trigger language plpgsql as $$ begin
    if nextval('attempt') <= 2 then raise 'not now' using errcode = ${sql.lit(code)}; end if;
    return null;
  end $$`.execute(db)
  await sql`create trigger fail_twice after insert on ledger_transaction
    for each statement execute function fail_twice()`.execute(db)
}
