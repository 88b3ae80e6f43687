// Receipts: what was booked follows again from what is stored, for every kind; and where it does not, the receipt says so.
import * as fc from 'fast-check'
import { sql } from 'kysely'
import { describe, expect } from 'vitest'

import type { WorkspaceId } from '../../billing/ids.ts'
import { agreeWorkspaceRate, publishRateCard, readRateBook } from '../../db/rate-book.ts'
import { findReceipt, type Receipt } from '../../db/receipt.ts'
import type { Db } from '../../db/schema.ts'
import { defaultRateCardJson } from '../../billing/rates-default.ts'
import { test } from '../support/fixtures.ts'
import { givenUsage } from '../support/given-history.ts'
import { bringAdjustment, bringTransaction, givenPayer } from '../support/given-money-in.ts'
import { aCall, aMessage, callArrival, givenWorkspace, messageArrival } from '../support/given.ts'
import { aTransaction, anAdjustment } from '../support/paddle-news.ts'

test('every kind of transaction recomputes, whatever the usage was', async ({ db }) => {
  const payer = await givenPayer(db)
  const { workspaceId } = payer
  const startedAt = new Date(Date.now() - 7_300_000).toISOString()
  const calls = fc.sample(
    fc.record({
      durationSeconds: fc.oneof(
        fc.integer({ min: 1, max: 7_200 }),
        fc.double({ min: 0.001, max: 7_200, noNaN: true }),
      ),
      direction: fc.constantFrom('outbound', 'web', 'inbound'),
      to: fc.constantFrom('+14155550100', '+442079460000', '+61491570006'),
      recorded: fc.boolean(),
    }),
    { numRuns: 40, seed: 1 },
  )
  await givenUsage(
    db,
    calls.map((call) => callArrival(aCall(workspaceId, { startedAt, ...call }))),
  )
  await givenUsage(db, [messageArrival(aMessage(workspaceId, { chatId: 'chat_1' }))])
  const paid = aTransaction(payer)
  await bringTransaction(db, paid)
  await bringAdjustment(db, anAdjustment(paid))

  const receipts = await receiptsOf(db, workspaceId)

  expect(receipts.map(({ transaction, differences }) => ({ kind: transaction.kind, differences }))).toEqual(
    ['grant', ...calls.map(() => 'call'), 'message', 'top_up', 'refund'].map((kind) => ({
      kind,
      differences: [],
    })),
  )
  for (const [index, receipt] of receipts.entries()) {
    expect(receipt.previousHash.equals(receipts[index - 1]?.hash ?? Buffer.alloc(32))).toBe(true)
    expect(receipt.balanceBeforeMicros).toBe(receipts[index - 1]?.transaction.balanceAfterMicros ?? 0n)
  }
})

test('a receipt is rated with the card and the agreed rates of its time, also after newer ones', async ({
  ownDb: db,
}) => {
  const workspaceId = await givenWorkspace(db)
  await db.transaction().execute((trx) =>
    agreeWorkspaceRate(trx, {
      workspaceId,
      meter: 'voice',
      prefix: null,
      rate: aRate('0.04'),
      effectiveFrom: null,
    }),
  )
  const startedAt = new Date(Date.now() + 1_000).toISOString()
  await givenUsage(db, [
    callArrival(aCall(workspaceId)),
    callArrival(aCall(workspaceId, { startedAt, durationSeconds: 60 })),
  ])
  await db.transaction().execute((trx) =>
    publishRateCard(trx, {
      rateCardId: 'dearer',
      effectiveFrom: new Date('2025-01-01T00:00:00Z'),
      card: { ...defaultRateCardJson, voice: aRate('9') },
    }),
  )

  const [, listed, agreed] = await receiptsOf(db, workspaceId)

  expect(listed?.usage).toMatchObject({ hasAgreedRates: false, card: { id: 'standard' } })
  expect(agreed?.usage).toMatchObject({ hasAgreedRates: true, rating: { totalMicros: 120_000n } })
  expect([listed?.differences, agreed?.differences]).toEqual([[], []])
})

describe('a receipt says what does not follow', () => {
  const forgeries: [what: string, forge: (db: Db, workspaceId: string) => Promise<unknown>, said: RegExp][] =
    [
      [
        'another amount',
        (db, workspaceId) =>
          sql`update ledger_transaction set amount_micros = amount_micros - 1
          where workspace_id = ${workspaceId} and kind = 'call'`.execute(db),
        /postings do not move.*balance does not follow.*hash does not cover/s,
      ],
      [
        'another balance',
        (db, workspaceId) =>
          sql`update ledger_transaction set balance_after_micros = balance_after_micros + 1
          where workspace_id = ${workspaceId} and kind = 'call'`.execute(db),
        /balance does not follow.*hash does not cover/s,
      ],
      [
        'another payload',
        (db, workspaceId) =>
          sql`update usage_event set payload = replace(payload::text, '"durationSeconds":60', '"durationSeconds":59')::json
          where workspace_id = ${workspaceId}`.execute(db),
        /payload other than the one/,
      ],
      [
        'no event',
        (db, workspaceId) => sql`delete from usage_event where workspace_id = ${workspaceId}`.execute(db),
        /no posted usage event/,
      ],
      [
        'another posting',
        (db, workspaceId) =>
          sql`update posting set credit_account = 'recording_revenue'
          where workspace_id = ${workspaceId} and credit_account = 'voice_revenue'`.execute(db),
        /hash does not cover.*rated again they are/s,
      ],
    ]

  test.for(forgeries)('of a call with %s', async ([, forge, said], { db }) => {
    const workspaceId = await givenWorkspace(db)
    await givenUsage(db, [callArrival(aCall(workspaceId))])
    await db.transaction().execute(async (trx) => {
      for (const table of ['ledger_transaction', 'posting']) {
        await sql`alter table ${sql.table(table)} disable trigger ${sql.id(`${table}_is_append_only`)}`.execute(
          trx,
        )
      }
      await forge(trx, workspaceId)
      for (const table of ['ledger_transaction', 'posting']) {
        await sql`alter table ${sql.table(table)} enable always trigger ${sql.id(`${table}_is_append_only`)}`.execute(
          trx,
        )
      }
    })

    const [, receipt] = await receiptsOf(db, workspaceId)

    expect(receipt?.differences.join(' ')).toMatch(said)
  })

  test('of a top-up whose row forgot the money', async ({ db }) => {
    const payer = await givenPayer(db)
    await bringTransaction(db, aTransaction(payer))
    await sql`update top_up set state = 'canceled', credited_micros = 0
      where workspace_id = ${payer.workspaceId}`.execute(db)

    const [, receipt] = await receiptsOf(db, payer.workspaceId)

    expect(receipt?.differences).toEqual(['The top-up does not say that it was credited.'])
  })
})

test('there is no receipt of what is not there', async ({ db }) => {
  const workspaceId = await givenWorkspace(db)

  const found = await db.transaction().execute(async (trx) => {
    const prices = await readRateBook(trx)
    return [
      await findReceipt(trx, { workspaceId, sequence: 0n }, prices),
      await findReceipt(trx, { workspaceId, sequence: 2n }, prices),
      await findReceipt(trx, { workspaceId, sequence: 2n ** 63n - 1n }, prices),
    ]
  })

  expect(found).toEqual([null, null, null])
})

/** All of a wallet, the first first. */
async function receiptsOf(db: Db, workspaceId: WorkspaceId): Promise<Receipt[]> {
  const { sequence } = await db
    .selectFrom('wallet')
    .select('sequence')
    .where('workspace_id', '=', workspaceId)
    .executeTakeFirstOrThrow()
  return await db.transaction().execute(async (trx) => {
    const prices = await readRateBook(trx)
    const receipts: Receipt[] = []
    for (let at = 1n; at <= sequence; at += 1n) {
      const receipt = await findReceipt(trx, { workspaceId, sequence: at }, prices)
      if (receipt !== null) receipts.push(receipt)
    }
    return receipts
  })
}

function aRate(perMinuteUsd: string) {
  return {
    connection_fee_usd: '0',
    intervals: [{ from_second: 0, per_minute_usd: perMinuteUsd, increment_seconds: 1 }],
  }
}
