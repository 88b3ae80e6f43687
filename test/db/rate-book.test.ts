// Which price a call has: the one in force when it started, the workspace's own before the card's, and a new one at once.
import { describe, expect } from 'vitest'

import { findTelephonyRate, type RateCardJson } from '../../billing/rate-card.ts'
import { postUsage, type UsageOutcome } from '../../db/post-usage.ts'
import {
  agreeWorkspaceRate,
  createRateBookCache,
  listRateCards,
  publishRateCard,
  readRateBook,
} from '../../db/rate-book.ts'
import type { Db } from '../../db/schema.ts'
import type { UsageArrival } from '../../jobs/usage-arrival.ts'
import { findBreaks } from '../support/books.ts'
import { test } from '../support/fixtures.ts'
import { aCall, aMessage, callArrival, givenWorkspace, messageArrival } from '../support/given.ts'
import { refusalOf } from '../support/refusal.ts'

const hour = 3_600_000

describe('a new rate card', () => {
  test('prices the calls that started with it or after it, and the next posting knows it', async ({
    ownDb: db,
  }) => {
    const workspaceId = await givenWorkspace(db)
    const rateBookOf = createRateBookCache()
    const turn = new Date(Date.now() - hour)
    // Before, during and after are seen from the call's start: the first one talks across the turn.
    const before = aCall(workspaceId, { startedAt: at(turn, -60_000), durationSeconds: 1_200 })
    const exactly = aCall(workspaceId, { startedAt: at(turn, 0) })
    const after = aCall(workspaceId, { startedAt: at(turn, 1) })
    const [old] = await post(db, rateBookOf, callArrival(aCall(workspaceId, { startedAt: at(turn, 0) })))

    await publish(db, { rateCardId: 'dearer', effectiveFrom: turn, card: flatCard('1.00') })
    const outcomes = await post(db, rateBookOf, ...[before, exactly, after].map(callArrival))

    expect([old, ...outcomes].map(amountOf)).toEqual([-180_000n, -3_600_000n, -2_000_000n, -2_000_000n])
    expect(await rateCardsOf(db, workspaceId)).toEqual(['standard', 'standard', 'dearer', 'dearer'])
  })

  test('that reaches further back than any call does not reach what a newer one prices', async ({
    ownDb: db,
  }) => {
    const workspaceId = await givenWorkspace(db)
    await publish(db, {
      rateCardId: 'newest',
      effectiveFrom: new Date(Date.now() - hour),
      card: flatCard('2.00'),
    })
    await publish(db, {
      rateCardId: 'older',
      effectiveFrom: new Date(Date.now() - 2 * hour),
      card: flatCard('3.00'),
    })

    const outcomes = await post(db, createRateBookCache(), callArrival(aCall(workspaceId)))

    expect(outcomes.map(amountOf)).toEqual([-4_000_000n])
  })

  test('cannot take the name or the date of another', async ({ ownDb: db }) => {
    const effectiveFrom = new Date('2021-01-01T00:00:00Z')
    await publish(db, { rateCardId: 'first', effectiveFrom, card: flatCard('1.00') })

    const sameName = await refusalOf(
      publish(db, { rateCardId: 'first', effectiveFrom: new Date(), card: flatCard('2.00') }),
    )
    const sameDate = await refusalOf(
      publish(db, { rateCardId: 'second', effectiveFrom, card: flatCard('2.00') }),
    )

    expect([sameName.code, sameDate.code]).toEqual(['rate_card_exists', 'rate_card_exists'])
  })
})

describe('what was agreed with a workspace', () => {
  test('prices its usage from the agreed moment on, meter by meter, and nobody else has it', async ({
    ownDb: db,
  }) => {
    const workspaceId = await givenWorkspace(db)
    const neighbour = await givenWorkspace(db)
    const rateBookOf = createRateBookCache()
    const started = new Date(Date.now() - 60_000).toISOString()
    await post(db, rateBookOf, callArrival(aCall(workspaceId)))

    const from = await agree(db, { workspaceId, meter: 'voice', prefix: null, rate: flatRate('0.04') })
    await agree(db, { workspaceId, meter: 'telephony', prefix: '1415', rate: flatRate('0.01') })
    await agree(db, { workspaceId, meter: 'message', prefix: null, rate: '0.002' })
    const now = new Date(from.getTime() + 1_000).toISOString()
    const outcomes = await post(
      db,
      rateBookOf,
      callArrival(aCall(workspaceId, { startedAt: started })),
      callArrival(aCall(workspaceId, { startedAt: now })),
      callArrival(aCall(workspaceId, { startedAt: now, to: '+12125550100' })),
      messageArrival(aMessage(workspaceId, { sentAt: now })),
      callArrival(aCall(neighbour, { startedAt: now })),
      messageArrival(aMessage(neighbour, { sentAt: now })),
    )

    expect(outcomes.map(amountOf)).toEqual([-180_000n, -50_000n, -120_000n, -2_000n, -180_000n, -10_000n])
  })

  test('does not make a call unexplained that was booked before it was agreed', async ({
    ownPlace,
    ownDb: db,
  }) => {
    const workspaceId = await givenWorkspace(db)
    const ahead = new Date(Date.now() + 120_000).toISOString()
    await post(
      db,
      createRateBookCache(),
      callArrival(aCall(workspaceId, { startedAt: ahead, durationSeconds: 10 })),
    )

    await agree(db, { workspaceId, meter: 'voice', prefix: null, rate: flatRate('0.04') })

    expect(await findBreaks(ownPlace.databaseUrl)).toEqual([])
  })

  test('cannot begin in the past', async ({ ownDb: db }) => {
    const workspaceId = await givenWorkspace(db)

    const refusal = await refusalOf(
      agree(db, {
        workspaceId,
        meter: 'voice',
        prefix: null,
        rate: flatRate('0.04'),
        effectiveFrom: new Date(Date.now() - hour),
      }),
    )

    expect(refusal.code).toBe('backdated_rate')
  })
})

describe('the rate book', () => {
  test('is read once for each version of the prices, and not again', async ({ ownDb: db }) => {
    const rateBookOf = createRateBookCache()
    const read = async () => {
      const { version } = await db.selectFrom('price_list').select('version').executeTakeFirstOrThrow()
      return await db.transaction().execute((trx) => rateBookOf(trx, version))
    }

    const [first, again] = [await read(), await read()]
    await publish(db, { rateCardId: 'new', effectiveFrom: new Date(), card: flatCard('1.00') })
    const next = await read()

    expect(again).toBe(first)
    expect(next).not.toBe(first)
    expect(next.version).toBeGreaterThan(first.version)
  })

  test('still names the card that priced a booked transaction, whatever came later', async ({
    ownDb: db,
  }) => {
    const workspaceId = await givenWorkspace(db)
    const startedAt = new Date()
    await publish(db, { rateCardId: 'new', effectiveFrom: new Date(0), card: flatCard('1.00') })

    const book = await readRateBook(db)

    expect(book.cardNamed('standard', { workspaceId, startedAt, postedAt: startedAt })?.id).toBe('standard')
    expect(book.cardNamed('new', { workspaceId, startedAt, postedAt: startedAt })?.id).toBe('new')
    expect(book.cardNamed('none', { workspaceId, startedAt, postedAt: startedAt })).toBeNull()
  })

  test('begins with at least 200 prefixes, and calls the United States at $0.08 a minute', async ({ db }) => {
    const { cards } = await listRateCards(db)
    const card = (await readRateBook(db)).cardFor('ws_any', new Date())

    expect(cards).toMatchObject([{ rateCardId: 'standard' }])
    expect(card?.telephony.size).toBeGreaterThanOrEqual(200)
    expect(card && findTelephonyRate(card, '+14155550100')).toMatchObject({
      prefix: '1',
      rate: { intervals: [{ perMinuteUsd: 80_000_000_000n }] },
    })
  })

  test('has no card for a day before the first one', async ({ db }) => {
    const book = await readRateBook(db)

    expect(book.cardFor('ws_any', new Date('2019-12-31T23:59:59.999Z'))).toBeNull()
    expect(book.cardFor('ws_any', new Date('2020-01-01T00:00:00Z'))?.id).toBe('standard')
  })
})

async function post(
  db: Db,
  rateBookOf: ReturnType<typeof createRateBookCache>,
  ...arrivals: UsageArrival[]
): Promise<UsageOutcome[]> {
  return await db.transaction().execute((trx) => postUsage(trx, arrivals, rateBookOf))
}

async function publish(db: Db, card: Parameters<typeof publishRateCard>[1]): Promise<void> {
  await db.transaction().execute((trx) => publishRateCard(trx, card))
}

type Agreement = Parameters<typeof agreeWorkspaceRate>[1]

async function agree(
  db: Db,
  agreement: Omit<Agreement, 'effectiveFrom'> & Partial<Pick<Agreement, 'effectiveFrom'>>,
): Promise<Date> {
  return await db
    .transaction()
    .execute((trx) => agreeWorkspaceRate(trx, { effectiveFrom: null, ...agreement }))
}

function amountOf(outcome: UsageOutcome | undefined): bigint | null {
  return outcome?.outcome === 'posted' ? outcome.amountMicros : null
}

/** The cards that priced its calls, in the order in which they were booked. */
async function rateCardsOf(db: Db, workspaceId: Awaited<ReturnType<typeof givenWorkspace>>) {
  const rows = await db
    .selectFrom('ledger_transaction')
    .select('rate_card_id')
    .where('workspace_id', '=', workspaceId)
    .where('kind', '=', 'call')
    .orderBy('wallet_sequence')
    .execute()
  return rows.map((row) => row.rate_card_id)
}

function flatRate(perMinuteUsd: string) {
  return { intervals: [{ from_second: 0, per_minute_usd: perMinuteUsd, increment_seconds: 1 }] }
}

/** A card on which voice and telephony to the United States cost the same. */
function flatCard(perMinuteUsd: string): RateCardJson {
  const rate = flatRate(perMinuteUsd)
  return { voice: rate, recording: rate, telephony: { '1': rate }, message_usd: '0.01' }
}

function at(moment: Date, offsetMs: number): string {
  return new Date(moment.getTime() + offsetMs).toISOString()
}
