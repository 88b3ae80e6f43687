// Random lives of rented numbers, lived once in Postgres and once in a plain model: the same months, money, states and dates.
import assert from 'node:assert/strict'

import * as fc from 'fast-check'
import { sql } from 'kysely'
import { expect } from 'vitest'

import { findPhoneNumber, type PhoneNumber } from '../../db/phone-number.ts'
import { agreeWorkspaceRate, createRateBookCache } from '../../db/rate-book.ts'
import {
  cancelNumber,
  giveBackNumber,
  noteRentedNumber,
  releaseNumber,
  rentNumber,
  settleRentals,
} from '../../db/rental.ts'
import type { RentalContext } from '../../db/rent-plan.ts'
import type { Db, Tx } from '../../db/schema.ts'
import type { LockedWallet } from '../../db/wallet.ts'
import { findBreaks } from '../support/books.ts'
import { test } from '../support/fixtures.ts'
import { bringTransaction, givenCustomer, underLock, type GivenPayer } from '../support/given-money-in.ts'
import { aLine, aTransaction, cents } from '../support/paddle-news.ts'
import * as model from '../support/rental-model.ts'

const phones = ['+14155550100', '+442071838750'] as const
const hour = 3_600_000
const day = 24 * hour
/** Later than the database's own clock, so that prices can be agreed for it. */
const begin = Date.parse('2031-12-31T10:00:00.007Z')

const phone = fc.constantFrom(...phones)
const action = fc.oneof(
  { weight: 6, arbitrary: fc.record({ act: fc.constant('sweep' as const) }) },
  { weight: 4, arbitrary: fc.record({ act: fc.constant('rent' as const), phone }) },
  {
    weight: 2,
    arbitrary: fc.record({ act: fc.constant('note' as const), phone, agoMs: fc.nat(34 * day) }),
  },
  { weight: 2, arbitrary: fc.record({ act: fc.constant('cancel' as const), phone }) },
  { weight: 2, arbitrary: fc.record({ act: fc.constant('cancel_now' as const), phone }) },
  {
    weight: 2,
    arbitrary: fc.record({ act: fc.constant('give_back' as const), phone, agoMs: fc.nat(70 * day) }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      act: fc.constant('credit' as const),
      cents: fc.integer({ min: 100, max: 6_000 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ act: fc.constant('hold' as const), cents: fc.nat(1_500) }) },
  { weight: 1, arbitrary: fc.record({ act: fc.constant('freeze' as const), frozen: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ act: fc.constant('price' as const), cents: fc.nat(900) }) },
)
/** How much later it happens: by chance, or right at, before or after the instant at which the next look is due. */
const pause = fc.oneof(
  fc.record({
    ms: fc.oneof(
      fc.integer({ min: 1, max: 1_000 }),
      fc.integer({ min: 1, max: 5 * day }),
      fc.integer({ min: 20 * day, max: 40 * day }),
      fc.integer({ min: 1, max: 100 * day }),
    ),
  }),
  fc.record({ besideLookMs: fc.integer({ min: -1, max: 1 }) }),
)
const lives = fc.array(fc.tuple(pause, action), { minLength: 10, maxLength: 40 })
type Action = typeof action extends fc.Arbitrary<infer Value> ? Value : never
type Pause = typeof pause extends fc.Arbitrary<infer Value> ? Value : never

type Life = { db: Db; payer: GivenPayer; wallet: model.ModelWallet }

test('whatever becomes of numbers, the months that were started while active and affordable are billed, and no others', async ({
  db,
  place,
}) => {
  await fc.assert(
    fc.asyncProperty(lives, async (steps) => {
      const payer = await givenCustomer(db)
      const life = { db, payer, wallet: model.newModel(10_000_000n, 5_000_000n) }
      let now = begin
      for (const [wait, what] of steps) {
        now = later(life.wallet, now, wait)
        await act(life, what, now)
        expect(await pictureOf(life)).toEqual(modelPicture(life.wallet))
      }
      expect(await journalOf(life)).toEqual(life.wallet.journal)
    }),
    { numRuns: 15 },
  )
  expect(await findBreaks(place.databaseUrl)).toEqual([])
})

function later({ numbers }: model.ModelWallet, now: number, wait: Pause): number {
  if ('ms' in wait) return now + wait.ms
  const looks = numbers.flatMap(({ nextLook }) => (nextLook === null ? [] : [nextLook]))
  return Math.max(now + 1, Math.min(...looks, now + day) + wait.besideLookMs)
}

async function act(life: Life, what: Action, now: number): Promise<void> {
  const { db, payer, wallet } = life
  const { workspaceId } = payer
  if (what.act === 'sweep') {
    await inLife(life, now, (trx, locked, context) => settleRentals(trx, locked, context))
    model.sweep(wallet, now)
  } else if (what.act === 'rent') {
    const expected = model.rent(wallet, what.phone, now)
    const rented = await inLife(life, now, (trx, locked, context) =>
      rentNumber(trx, locked, { phoneNumber: what.phone }, context),
    )
    assert.equal(rented.outcome, expected)
    if (expected === 'rented') await openInModel(life, { phone: what.phone, anchor: now }, now)
  } else if (what.act === 'note') {
    const anchor = now - what.agoMs
    const isTaken = model.live(wallet, what.phone) !== undefined
    const { outcome } = await inLife(life, now, (trx, locked, context) =>
      noteRentedNumber(trx, locked, { phoneNumber: what.phone, rentedAt: new Date(anchor) }, context),
    )
    assert.equal(outcome, isTaken ? 'taken' : 'rented')
    if (!isTaken) await openInModel(life, { phone: what.phone, anchor }, now, model.note)
  } else if (what.act === 'credit') {
    const lines = [aLine({ net: cents(BigInt(what.cents)), workspaceId })]
    await bringTransaction(db, aTransaction(payer, { lines }), new Date(now))
    model.credit(wallet, BigInt(what.cents) * 10_000n, now)
  } else if (what.act === 'hold') {
    await givenHeld(life, BigInt(what.cents) * 10_000n)
    wallet.held = BigInt(what.cents) * 10_000n
  } else if (what.act === 'freeze') {
    const frozen = what.frozen
      ? { frozen_at: new Date(now), frozen_reason: 'chargeback' }
      : { frozen_at: null, frozen_reason: null }
    await db.updateTable('wallet').set(frozen).where('workspace_id', '=', workspaceId).execute()
    wallet.frozen = what.frozen
  } else if (what.act === 'price') {
    const agreed = {
      workspaceId,
      meter: 'number_rental',
      prefix: null,
      rate: (what.cents / 100).toFixed(2),
      effectiveFrom: new Date(now),
    } as const
    await db.transaction().execute((trx) => agreeWorkspaceRate(trx, agreed))
    wallet.fees.push({ from: now, fee: BigInt(what.cents) * 10_000n })
  } else {
    const number = model.live(wallet, what.phone)
    if (number === undefined) return
    if (what.act === 'give_back') {
      const since = Math.max(number.anchor, now - what.agoMs)
      await onNumber(life, number, now, (trx, locked, row, context) =>
        giveBackNumber(trx, locked, row, new Date(since), context),
      )
      model.giveBack(wallet, number, since, now)
    } else if (what.act === 'cancel_now') {
      await onNumber(life, number, now, releaseNumber)
      model.cancelNow(wallet, number, now)
    } else {
      await onNumber(life, number, now, cancelNumber)
      model.cancel(wallet, number, now)
    }
  }
}

const rateBookOf = createRateBookCache()

async function inLife<Result>(
  { db, payer }: Life,
  now: number,
  work: (trx: Tx, wallet: LockedWallet, context: RentalContext) => Promise<Result>,
): Promise<Result> {
  return await underLock(db, payer.workspaceId, async (trx, wallet) => {
    const { version } = await trx.selectFrom('price_list').select('version').executeTakeFirstOrThrow()
    return await work(trx, wallet, { now: new Date(now), prices: await rateBookOf(trx, version) })
  })
}

async function onNumber(
  life: Life,
  { id }: model.ModelNumber,
  now: number,
  work: (trx: Tx, wallet: LockedWallet, number: PhoneNumber, context: RentalContext) => Promise<unknown>,
): Promise<void> {
  await inLife(life, now, async (trx, wallet, context) => {
    const number = await findPhoneNumber(trx, wallet.workspaceId, { phoneNumberId: id })
    if (number === null) throw new Error(`${id} is gone`)
    await work(trx, wallet, number, context)
  })
}

/** The id is the one name that the model is told. */
async function openInModel(
  { db, payer, wallet }: Life,
  rental: { phone: string; anchor: number },
  now: number,
  open = model.open,
): Promise<void> {
  const { phone_number_id: id } = await db
    .selectFrom('phone_number')
    .select('phone_number_id')
    .where('workspace_id', '=', payer.workspaceId)
    .where('phone_number', '=', rental.phone)
    .where('anchor_at', '=', new Date(rental.anchor))
    .executeTakeFirstOrThrow()
  open(wallet, { id, ...rental }, now)
}

/** One call that lasts, and for which so much is held. */
async function givenHeld({ db, payer: { workspaceId } }: Life, amountMicros: bigint): Promise<void> {
  await db.transaction().execute(async (trx) => {
    await sql`delete from hold where workspace_id = ${workspaceId}`.execute(trx)
    if (amountMicros > 0n) {
      await sql`insert into hold (workspace_id, call_id, amount_micros, direction, recorded, started_at, heard_at, expires_at)
        values (${workspaceId}, 'call_lasting', ${amountMicros}, 'web', false, now(), now(), now())`.execute(
        trx,
      )
    }
    await sql`update wallet set held_micros = ${amountMicros} where workspace_id = ${workspaceId}`.execute(
      trx,
    )
  })
}

async function pictureOf({ db, payer: { workspaceId } }: Life) {
  const { balance_micros: balance } = await db
    .selectFrom('wallet')
    .select('balance_micros')
    .where('workspace_id', '=', workspaceId)
    .executeTakeFirstOrThrow()
  const numbers = await db
    .selectFrom('phone_number')
    .selectAll()
    .where('workspace_id', '=', workspaceId)
    .orderBy('phone_number_id')
    .execute()
  const periods = await db
    .selectFrom('rental_period')
    .selectAll()
    .where('workspace_id', '=', workspaceId)
    .orderBy('period')
    .execute()
  return {
    balance: BigInt(balance),
    numbers: numbers.map((row) => ({
      id: String(row.phone_number_id),
      state: row.state,
      paid: periods
        .filter((period) => period.phone_number_id === row.phone_number_id)
        .map((period) => ({ starts: period.starts_at.getTime(), fee: BigInt(period.amount_micros) })),
      paidUntil: row.paid_until.getTime(),
      nextLook: row.next_look_at?.getTime() ?? null,
      cancel: row.cancel_at?.getTime() ?? null,
      released: row.released_at?.getTime() ?? null,
      // What a number that is gone has owed is history.
      pastDue: row.state === 'released' ? null : (row.past_due_at?.getTime() ?? null),
      suspended: row.state === 'released' ? null : (row.suspended_at?.getTime() ?? null),
    })),
  }
}

function modelPicture({ balance, numbers }: model.ModelWallet): Awaited<ReturnType<typeof pictureOf>> {
  return {
    balance,
    numbers: numbers
      .map((number) => ({
        id: number.id,
        state: number.state,
        paid: number.paid,
        paidUntil: model.startOf(number),
        nextLook: number.nextLook,
        cancel: number.cancel,
        released: number.released,
        pastDue: number.state === 'released' ? null : number.pastDue,
        suspended: number.state === 'released' ? null : number.suspended,
      }))
      .toSorted((one, other) => (one.id < other.id ? -1 : 1)),
  }
}

async function journalOf({ db, payer: { workspaceId } }: Life): Promise<model.ModelWallet['journal']> {
  const rows = await db
    .selectFrom('ledger_transaction')
    .select(['idempotency_key', 'reference', 'amount_micros', 'occurred_at'])
    .where('workspace_id', '=', workspaceId)
    .where('kind', 'in', ['number_rental', 'reversal'])
    .orderBy('wallet_sequence')
    .execute()
  return rows.map((row) => ({
    key: row.idempotency_key,
    reference: row.reference,
    amount: BigInt(row.amount_micros),
    at: row.occurred_at.getTime(),
  }))
}
