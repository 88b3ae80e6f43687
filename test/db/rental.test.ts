// Rents in Postgres: what a month comes to in the books, what ends a number, and who may touch what.
import { sql, type RawBuilder } from 'kysely'
import { describe, expect } from 'vitest'

import type { WorkspaceId } from '../../billing/ids.ts'
import { micros } from '../../billing/money.ts'
import { connect } from '../../db/connect.ts'
import { listWorkspacesWithDueNumbers, lockDuePhoneNumbers, type PhoneNumber } from '../../db/phone-number.ts'
import { createRateBookCache, readRateBook } from '../../db/rate-book.ts'
import { findReceipt } from '../../db/receipt.ts'
import { cancelNumber, giveBackNumber, noteRentedNumber, releaseNumber, rentNumber } from '../../db/rental.ts'
import { postUsage } from '../../db/post-usage.ts'
import type { Db } from '../../db/schema.ts'
import { listTopUps } from '../../db/top-up.ts'
import { findBalance } from '../../db/wallet.ts'
import { createLog } from '../../runtime/log.ts'
import { sweepRentals } from '../../workers/rental-sweep.ts'
import { createPostingBatch } from '../../workers/posting-batch.ts'
import { findBreaks } from '../support/books.ts'
import { test } from '../support/fixtures.ts'
import { aMessage, givenWorkspace, messageArrival } from '../support/given.ts'
import { givenWalletWith } from '../support/given-calls.ts'
import { bringTransaction, givenAutoRecharge, givenPayer } from '../support/given-money-in.ts'
import { anyNumber, givenNumber, lifeOf, rentalsAt, settleAt } from '../support/given-numbers.ts'
import { whileHeld } from '../support/held.ts'
import { aLine, aTransaction, cents } from '../support/paddle-news.ts'
import { until } from '../support/until.ts'

const log = createLog('silent', 'test')
const day = 86_400_000
const january = new Date('2026-01-31T10:00:00Z')
const february = new Date('2026-02-28T10:00:00Z')
const march = new Date('2026-03-31T10:00:00Z')

function after(instant: Date, ms: number): Date {
  return new Date(instant.getTime() + ms)
}

describe('a rental', () => {
  test('pays its first month, renews on the anniversary, and its books verify', async ({
    ownPlace,
    ownDb: db,
  }) => {
    const workspaceId = await givenWorkspace(db)

    const number = await givenNumber(db, workspaceId, { now: january })
    const early = await settleAt(db, workspaceId, after(february, -1))
    const due = await settleAt(db, workspaceId, february)
    const short = await settleAt(db, workspaceId, march)

    expect([early, due, short]).toMatchObject([
      { billed: 0, owed: 0 },
      { billed: 1, billedMicros: 5_000_000n },
      { billed: 0, owed: 1 },
    ])
    expect(await lifeOf(db, number)).toMatchObject({
      state: 'past_due',
      months: [january, february].map((start) => start.toISOString()),
      paidUntil: march,
      nextLookAt: after(march, day),
      reasons: ['rented', 'renewed', 'insufficient_funds'],
    })
    expect(await findBreaks(ownPlace.databaseUrl)).toEqual([])
  })

  test('is suspended, released, and told why at each step', async ({ db }) => {
    const workspaceId = await givenWalletWith(db, 500)
    const number = await givenNumber(db, workspaceId, { now: january })

    for (let days = 0; days <= 10; days += 1) await settleAt(db, workspaceId, after(february, days * day))

    const { state, releasedAt, suspendedAt, reasons, steps } = await lifeOf(db, number)
    expect({ state, suspendedAt, releasedAt }).toEqual({
      state: 'released',
      suspendedAt: after(february, 3 * day),
      releasedAt: after(february, 10 * day),
    })
    expect(reasons).toEqual(['rented', ...Array.from({ length: 10 }, () => 'insufficient_funds'), 'unpaid'])
    expect(steps.map((step) => step.state)).toEqual([
      'active',
      ...Array.from({ length: 3 }, () => 'past_due'),
      ...Array.from({ length: 7 }, () => 'suspended'),
      'released',
    ])
    expect(steps[1]?.detail).toEqual({
      period_start: february.toISOString(),
      available_usd: '0.000000',
      required_usd: '5.000000',
      recharge: 'not_enabled',
    })
    expect(await findBalance(db, workspaceId)).toBe(0n)
  })

  test('is rented again as another rental, which does not continue the first', async ({ db }) => {
    const workspaceId = await givenWorkspace(db)
    const first = await givenNumber(db, workspaceId, { now: january })
    await rentalsAt(db, workspaceId, after(january, day), (trx, wallet, context) =>
      releaseNumber(trx, wallet, first, context),
    )

    const second = await givenNumber(db, workspaceId, { now: after(january, 2 * day) })

    expect(second.phoneNumberId).not.toBe(first.phoneNumberId)
    expect(await lifeOf(db, first)).toMatchObject({ state: 'released', periodsBilled: 1 })
    expect(await findBalance(db, workspaceId)).toBe(0n)
  })

  test('is another one even when the first ended within the millisecond in which it began', async ({
    db,
  }) => {
    const workspaceId = await givenWorkspace(db)
    const first = await givenNumber(db, workspaceId, { now: january })
    await rentalsAt(db, workspaceId, january, (trx, wallet, context) =>
      releaseNumber(trx, wallet, first, context),
    )

    const second = await givenNumber(db, workspaceId, { now: january })

    expect(second.phoneNumberId).not.toBe(first.phoneNumberId)
    expect(await lifeOf(db, second)).toMatchObject({ state: 'active', periodsBilled: 1 })
    expect(await findBalance(db, workspaceId)).toBe(0n)
  })

  test('leaves what is held for calls alone', async ({ db }) => {
    const workspaceId = await givenWorkspace(db)
    await db.transaction().execute(async (trx) => {
      await sql`insert into hold (workspace_id, call_id, amount_micros, direction, recorded, started_at, heard_at, expires_at)
        values (${workspaceId}, 'call_live', 5000001, 'web', false, now(), now(), now())`.execute(trx)
      await sql`update wallet set held_micros = 5000001 where workspace_id = ${workspaceId}`.execute(trx)
    })

    const rented = await rentalsAt(db, workspaceId, january, (trx, wallet, context) =>
      rentNumber(trx, wallet, { phoneNumber: anyNumber }, context),
    )

    expect(rented).toMatchObject({
      outcome: 'insufficient_balance',
      availableMicros: 4_999_999n,
      requiredMicros: 5_000_000n,
    })
  })
})

describe('a number that ends', () => {
  test('pays the month that had started before somebody cancelled, though no sweep had come by', async ({
    db,
  }) => {
    const workspaceId = await givenWorkspace(db)
    const number = await givenNumber(db, workspaceId, { now: january })

    await rentalsAt(db, workspaceId, after(february, 60_000), (trx, wallet, context) =>
      cancelNumber(trx, wallet, number, context),
    )

    const life = await lifeOf(db, number)
    expect(life).toMatchObject({ state: 'active', periodsBilled: 2, cancelAt: march })
    expect(life.reasons).toEqual(['rented', 'renewed', 'cancel_asked'])
    await settleAt(db, workspaceId, march)
    expect(await lifeOf(db, number)).toMatchObject({ state: 'released', releasedAt: march, periodsBilled: 2 })
  })

  test('pays every month that had started, in order, when it is cancelled at once after an outage', async ({
    db,
  }) => {
    const workspaceId = await givenWalletWith(db, 5_000)
    const number = await givenNumber(db, workspaceId, { now: january })

    await rentalsAt(db, workspaceId, after(january, 95 * day), (trx, wallet, context) =>
      releaseNumber(trx, wallet, number, context),
    )

    const life = await lifeOf(db, number)
    expect(life.reasons).toEqual(['rented', 'renewed', 'renewed', 'renewed', 'cancelled_at_once'])
    expect(life.months.map((month) => month.slice(0, 10))).toEqual([
      '2026-01-31',
      '2026-02-28',
      '2026-03-31',
      '2026-04-30',
    ])
  })

  test('owes nothing more when its month was owed', async ({ db }) => {
    const workspaceId = await givenWalletWith(db, 500)
    await givenNumber(db, workspaceId, { now: january })
    await settleAt(db, workspaceId, february)

    const ended = await rentalsAt(db, workspaceId, after(february, day), async (trx, wallet, context) => {
      const number = await getNumber(trx, workspaceId)
      return await cancelNumber(trx, wallet, number, context)
    })

    expect(ended).toMatchObject({ state: 'released', periodsBilled: 1 })
  })

  test('gets back the months that were paid after it was gone, by reversals that say so', async ({
    ownPlace,
    ownDb: db,
  }) => {
    const workspaceId = await givenWalletWith(db, 3_000)
    const number = await givenNumber(db, workspaceId, { now: january })
    await settleAt(db, workspaceId, march)
    const settled = await lifeOf(db, number)

    const releasedAt = after(february, -day)
    await rentalsAt(db, workspaceId, after(march, day), (trx, wallet, context) =>
      giveBackNumber(trx, wallet, settled, releasedAt, context),
    )

    expect(await findBalance(db, workspaceId)).toBe(25_000_000n)
    const life = await lifeOf(db, number)
    expect(life).toMatchObject({ state: 'released', periodsBilled: 3 })
    expect(life.steps.at(-1)).toMatchObject({
      reason: 'given_back',
      detail: { released_at: releasedAt.toISOString(), given_back_usd: '10.000000' },
    })
    const names = ['2026-02-28', '2026-03-31'].map((start) => `rental/${number.phoneNumberId}/${start}`)
    expect(await reversalsOf(db, workspaceId)).toEqual(
      names.map((reverses) => ({
        reverses,
        idempotency_key: `reversal/${reverses}`,
        reference: anyNumber,
        amount_micros: 5_000_000n,
      })),
    )
    expect(await findBreaks(ownPlace.databaseUrl)).toEqual([])
    const { sequence } = await db
      .selectFrom('wallet')
      .select('sequence')
      .where('workspace_id', '=', workspaceId)
      .executeTakeFirstOrThrow()
    const prices = await readRateBook(db)
    const receipt = await db
      .transaction()
      .execute((trx) => findReceipt(trx, { workspaceId, sequence }, prices))
    expect(receipt).toMatchObject({ transaction: { kind: 'reversal' }, differences: [] })
  })
})

describe('money that comes', () => {
  test('brings a number back, and an unpaid one asks for it', async ({ ownPlace, ownDb: db }) => {
    const payer = await givenPayer(db)
    const { workspaceId } = payer
    await givenAutoRecharge(db, payer, { thresholdMicros: micros(6_000_000n) })

    const number = await givenNumber(db, workspaceId)

    const [topUp] = await listTopUps(db, { workspaceId, limit: 2 })
    expect(topUp).toMatchObject({ source: 'auto_recharge', state: 'ready', amountMicros: 20_000_000n })
    await settleAt(db, workspaceId, after(number.paidUntil, 0))
    await settleAt(db, workspaceId, after(number.paidUntil, 31 * day))
    const owing = await lifeOf(db, number)
    expect(owing).toMatchObject({ state: 'past_due' })
    expect(owing.steps.at(-1)?.detail).toMatchObject({ recharge: 'charge_under_way' })

    const lines = [aLine({ net: cents(2_000n), workspaceId })]
    const creditedAt = after(number.paidUntil, 32 * day)
    await bringTransaction(db, aTransaction(payer, { lines }), creditedAt)

    const { rows } = await sql<{ name: string; data: unknown }>`
      select name, data from staged_job where workspace_id = ${workspaceId} and name = 'rental-due'`.execute(
      db,
    )
    expect(rows).toEqual([
      { name: 'rental-due', data: { workspaceId, turn: `credit_${creditedAt.getTime()}` } },
    ])
    // The job may be lost: what it would have done is due for the sweep as well.
    expect(await lifeOf(db, number)).toMatchObject({ nextLookAt: creditedAt })
    await settleAt(db, workspaceId, creditedAt)
    const back = await lifeOf(db, number)
    expect(back).toMatchObject({ state: 'active', pastDueAt: null })
    expect(back.reasons.at(-1)).toBe('reinstated')
    expect(await findBreaks(ownPlace.databaseUrl)).toEqual([])
  })
})

describe('at the same time', () => {
  test('two sweeps settle every wallet once', async ({ ownPlace, ownDb: db }) => {
    const workspaces = await Promise.all(Array.from({ length: 12 }, () => givenWorkspace(db)))
    const rentedAt = new Date(Date.now() - 40 * day)
    for (const workspaceId of workspaces) await givenNumber(db, workspaceId, { now: rentedAt })
    const other = connect(ownPlace.databaseUrl, { profile: 'worker', name: 'other', poolSize: 4 })

    const sweeps = await Promise.all([db, other, db, other].map((pool) => sweepRentals(pool, log)))

    await other.destroy()
    expect(sweeps.reduce((sum, { billed }) => sum + billed, 0)).toBe(12)
    expect(sweeps.reduce((sum, { failed }) => sum + failed, 0)).toBe(0)
    const balances = await Promise.all(workspaces.map((workspaceId) => findBalance(db, workspaceId)))
    expect(new Set(balances)).toEqual(new Set([0n]))
    expect(await findBreaks(ownPlace.databaseUrl)).toEqual([])
  })

  test('twenty rents of one number rent it once', async ({ db }) => {
    const workspaceId = await givenWalletWith(db, 3_000)

    const rented = await Promise.all(
      Array.from({ length: 20 }, () =>
        rentalsAt(db, workspaceId, new Date(), (trx, wallet, context) =>
          rentNumber(trx, wallet, { phoneNumber: anyNumber }, context),
        ),
      ),
    )

    expect(rented.filter(({ outcome }) => outcome === 'rented')).toHaveLength(1)
    expect(rented.filter(({ outcome }) => outcome === 'already_rented')).toHaveLength(19)
    expect(await findBalance(db, workspaceId)).toBe(25_000_000n)
  })

  test('a rent does not wait behind the calls of its wallet', async ({ place, db }) => {
    const workspaceId = await givenWalletWith(db, 10_000)
    const postingDb = connect(place.databaseUrl, { profile: 'posting', name: 'posting', poolSize: 1 })
    const lane = createPostingBatch({ db: postingDb, log, most: 100 })
    let posted = 0
    const calls = Array.from({ length: 3_000 }, () => messageArrival(aMessage(workspaceId)))
    const posting = Promise.all(calls.map((call) => lane.post(call).then(() => (posted += 1))))

    await givenNumber(db, workspaceId)
    const postedBefore = posted

    await posting
    await lane.close()
    await postingDb.destroy()
    expect(postedBefore).toBeLessThan(3_000)
    expect(await findBalance(db, workspaceId)).toBe(65_000_000n)
  })

  test.for(['cancel', 'cancel_now'] as const)(
    'a sweep and a %s agree, whichever is first, and the month is paid once',
    async (kind, { db }) => {
      for (let turn = 0; turn < 4; turn += 1) {
        const workspaceId = await givenWorkspace(db)
        await givenNumber(db, workspaceId, { now: january })

        await Promise.all([
          settleAt(db, workspaceId, after(february, 1)),
          rentalsAt(db, workspaceId, after(february, 1), async (trx, wallet, context) => {
            const end = kind === 'cancel' ? cancelNumber : releaseNumber
            return await end(trx, wallet, await getNumber(trx, workspaceId), context)
          }),
        ])

        expect(await findBalance(db, workspaceId)).toBe(0n)
        const [number] = await numbersOf(db, workspaceId)
        expect(number).toMatchObject(
          kind === 'cancel' ? { state: 'active', cancel_at: march } : { state: 'released' },
        )
      }
    },
  )

  test('money that comes while the sweep looks is found, by that look or by the next', async ({ db }) => {
    const payer = await givenPayer(db)
    const { workspaceId } = payer
    const number = await givenNumber(db, workspaceId, { now: january })
    await settleAt(db, workspaceId, march)
    await settleAt(db, workspaceId, march)

    // Both want the wallet while somebody else has it, so that they stand in line for it.
    const now = after(march, day)
    const lines = [aLine({ net: cents(2_000n), workspaceId })]
    const both = await whileHeld(
      db,
      (trx) => sql`select from wallet where workspace_id = ${workspaceId} for no key update`.execute(trx),
      async () => [settleAt(db, workspaceId, now), bringTransaction(db, aTransaction(payer, { lines }), now)],
    )
    await Promise.all(both)
    await settleAt(db, workspaceId, now)

    expect(await lifeOf(db, number)).toMatchObject({ state: 'active', periodsBilled: 3 })
    expect(await findBalance(db, workspaceId)).toBe(15_000_000n)
  })
})

describe('a month for nothing', () => {
  test('moves no money, also for a wallet below zero, and verify asks the card', async ({
    ownPlace,
    ownDb: db,
  }) => {
    const workspaceId = await givenWorkspace(db)
    await sql`insert into workspace_rate (workspace_id, meter, effective_from, created_at, rate)
      values (${workspaceId}, 'number_rental', ${january}, ${january}, '"0"')`.execute(db)
    await db.transaction().execute((trx) =>
      postUsage(
        trx,
        Array.from({ length: 1_001 }, () => messageArrival(aMessage(workspaceId))),
        createRateBookCache(),
      ),
    )
    expect(await findBalance(db, workspaceId)).toBe(-10_000n)

    const number = await givenNumber(db, workspaceId, { now: january })
    await settleAt(db, workspaceId, february)

    expect(await lifeOf(db, number)).toMatchObject({ state: 'active', periodsBilled: 2 })
    expect(await findBalance(db, workspaceId)).toBe(-10_000n)
    expect(await findBreaks(ownPlace.databaseUrl)).toEqual([])
  })
})

describe('with the triggers disabled by hand, the verifier names', () => {
  type Books = { workspaceId: WorkspaceId; number: PhoneNumber }
  const tamperings: Record<string, (books: Books) => RawBuilder<unknown>> = {
    'a number that was rented earlier': ({ number }) =>
      sql`update phone_number set anchor_at = anchor_at - interval '1 hour' where phone_number_id = ${number.phoneNumberId}`,
    'a number that is another': ({ number }) =>
      sql`update phone_number set phone_number = '+14155559999' where phone_number_id = ${number.phoneNumberId}`,
    'a number that has paid more months': ({ number }) =>
      sql`update phone_number set periods_billed = 9 where phone_number_id = ${number.phoneNumberId}`,
    'a number that is paid for longer': ({ number }) =>
      sql`update phone_number set paid_until = paid_until + interval '1 day' where phone_number_id = ${number.phoneNumberId}`,
    'a number that is in another state': ({ number }) =>
      sql`update phone_number set state = 'past_due', past_due_at = now() where phone_number_id = ${number.phoneNumberId}`,
    'a month that is gone': ({ number }) =>
      sql`delete from rental_period where phone_number_id = ${number.phoneNumberId} and period = 1`,
    'a month that begins later': ({ number }) =>
      sql`update rental_period set starts_at = starts_at + interval '1 minute' where phone_number_id = ${number.phoneNumberId} and period = 1`,
    'a month that is longer': ({ number }) =>
      sql`update rental_period set ends_at = ends_at + interval '1 day' where phone_number_id = ${number.phoneNumberId} and period = 0`,
    'a month that was cheaper': ({ number }) =>
      sql`update rental_period set amount_micros = 1 where phone_number_id = ${number.phoneNumberId} and period = 1`,
    'a month for nothing': ({ number }) =>
      sql`update rental_period set amount_micros = 0, wallet_sequence = null where phone_number_id = ${number.phoneNumberId} and period = 1`,
    'a month of another card': ({ number }) =>
      sql`update rental_period set rate_card_id = 'other' where phone_number_id = ${number.phoneNumberId} and period = 1`,
    'a month that was paid at another time': ({ number }) =>
      sql`update rental_period set billed_at = now() where phone_number_id = ${number.phoneNumberId} and period = 1`,
    'a payment of another amount': ({ workspaceId }) =>
      sql`update ledger_transaction set amount_micros = -1 where workspace_id = ${workspaceId} and wallet_sequence = 3`,
    'a payment of another month': ({ workspaceId }) =>
      sql`update ledger_transaction set idempotency_key = replace(idempotency_key, '2026-02', '2026-03')
        where workspace_id = ${workspaceId} and wallet_sequence = 3`,
    'a payment that goes elsewhere': ({ workspaceId }) =>
      sql`update posting set credit_account = 'adjustments' where workspace_id = ${workspaceId} and wallet_sequence = 3`,
    'a reversal of something else': ({ workspaceId }) =>
      sql`update ledger_transaction set reverses = 'grant/signup' where workspace_id = ${workspaceId} and kind = 'reversal'`,
  }

  test('whatever was changed: a number, a month, a payment, a reversal', async ({ ownPlace, ownDb: db }) => {
    const workspaceId = await givenWorkspace(db)
    const number = await givenNumber(db, workspaceId, { now: january })
    await settleAt(db, workspaceId, february)
    const other = await givenNumberGivenBack(db)
    expect(await findBreaks(ownPlace.databaseUrl)).toEqual([])
    for (const table of ['ledger_transaction', 'posting', 'rental_period']) {
      await sql`alter table ${sql.table(table)} disable trigger user`.execute(db)
    }

    for (const [what, statement] of Object.entries(tamperings)) {
      const books = what.includes('reversal') ? other : { workspaceId, number }
      const breaks = await breaksOf(db, ownPlace.databaseUrl, statement(books))

      const named = breaks.filter((each) => each.workspaceId === books.workspaceId)
      expect([what, named.length > 0, breaks.length - named.length]).toEqual([what, true, 0])
    }
  })
})

async function givenNumberGivenBack(db: Db): Promise<{ workspaceId: WorkspaceId; number: PhoneNumber }> {
  const workspaceId = await givenWorkspace(db)
  const number = await givenNumber(db, workspaceId, { now: january })
  await settleAt(db, workspaceId, february)
  const settled = await lifeOf(db, number)
  await rentalsAt(db, workspaceId, after(february, day), (trx, wallet, context) =>
    giveBackNumber(trx, wallet, settled, after(february, -day), context),
  )
  return { workspaceId, number }
}

/** What the verifier finds after a statement, which is undone again. */
async function breaksOf(db: Db, databaseUrl: string, statement: RawBuilder<unknown>) {
  const tables = ['phone_number', 'rental_period', 'ledger_transaction', 'posting']
  for (const table of tables) {
    await sql`create table ${sql.table(`kept_${table}`)} as select * from ${sql.table(table)}`.execute(db)
  }
  const { numAffectedRows } = await statement.execute(db)
  expect(numAffectedRows).not.toBe(0n)
  // That the guards are off is known here.
  const breaks = (await findBreaks(databaseUrl)).filter((each) => !each.what.includes('trigger'))
  await sql`alter table rental_period drop constraint if exists rental_period_is_of_a_number`.execute(db)
  for (const table of tables) {
    await sql`delete from ${sql.table(table)}`.execute(db)
  }
  for (const table of tables) {
    await sql`insert into ${sql.table(table)} select * from ${sql.table(`kept_${table}`)}`.execute(db)
    await sql`drop table ${sql.table(`kept_${table}`)}`.execute(db)
  }
  return breaks
}

test('news of the same rental is taken in once', async ({ db }) => {
  const workspaceId = await givenWorkspace(db)
  const note = async (rentedAt: Date) =>
    await rentalsAt(db, workspaceId, after(january, day), (trx, wallet, context) =>
      noteRentedNumber(trx, wallet, { phoneNumber: anyNumber, rentedAt }, context),
    )

  const outcomes = [await note(january), await note(january), await note(after(january, 1))]

  expect(outcomes.map(({ outcome }) => outcome)).toEqual(['rented', 'known', 'taken'])
  expect(await findBalance(db, workspaceId)).toBe(5_000_000n)
})

async function getNumber(db: Db, workspaceId: WorkspaceId): Promise<PhoneNumber> {
  const [row] = await numbersOf(db, workspaceId)
  if (row === undefined) throw new Error('no number')
  return await lifeOf(db, { workspaceId, phoneNumberId: row.phone_number_id })
}

async function numbersOf(db: Db, workspaceId: WorkspaceId) {
  return await db.selectFrom('phone_number').selectAll().where('workspace_id', '=', workspaceId).execute()
}

async function reversalsOf(db: Db, workspaceId: WorkspaceId) {
  return await db
    .selectFrom('ledger_transaction')
    .select(['reverses', 'idempotency_key', 'reference', 'amount_micros'])
    .where('workspace_id', '=', workspaceId)
    .where('kind', '=', 'reversal')
    .orderBy('wallet_sequence')
    .execute()
}

test('what is due is found by index, however many numbers there are', async ({ ownDb: db, ownPlace }) => {
  const workspaceId = await givenWorkspace(db)
  await givenNumber(db, workspaceId, { now: january })
  await sql`
    insert into phone_number (workspace_id, phone_number_id, phone_number, state, anchor_at, paid_until, next_look_at, created_at)
    select 'ws_' || n % 100, 'num_' || lpad(to_hex(n), 24, '0'), '+1' || 2000000000 + n, 'active', now(),
      now(), now() + make_interval(days => 1 + n % 28), now()
    from generate_series(1, 10000) n`.execute(db)
  await sql`analyze phone_number`.execute(db)
  const alone = connect(ownPlace.databaseUrl, { profile: 'worker', name: 'alone', poolSize: 1 })
  const before = await scansOf(db)

  const due = await listWorkspacesWithDueNumbers(alone, new Date(), { after: null, limit: 500 })
  const locked = await rentalsAt(alone, workspaceId, new Date(), (trx, wallet, { now }) =>
    lockDuePhoneNumbers(trx, wallet, now, 100),
  )
  await sql`select pg_stat_force_next_flush()`.execute(alone)
  const after = await until('the counts have arrived', async () => {
    const counts = await scansOf(db)
    return counts.byIndex >= before.byIndex + 2n && counts
  })

  await alone.destroy()
  expect([due, locked.map((number) => number.phoneNumber)]).toEqual([[workspaceId], [anyNumber]])
  expect(after.sequential).toBe(before.sequential)
})

async function scansOf(db: Db): Promise<{ sequential: bigint; byIndex: bigint }> {
  const { rows } = await sql<{ sequential: bigint; byIndex: bigint }>`
    select seq_scan as sequential, idx_scan as "byIndex" from pg_stat_user_tables where relname = 'phone_number'`.execute(
    db,
  )
  return rows[0] ?? { sequential: 0n, byIndex: 0n }
}
