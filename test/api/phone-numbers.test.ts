// Numbers by HTTP: what renting, reading and cancelling answer, and how a month reads in the wallet's transactions.
import { describe, expect } from 'vitest'
import { z } from 'zod'

import type { WorkspaceId } from '../../billing/ids.ts'
import { agreeWorkspaceRate } from '../../db/rate-book.ts'
import { giveBackNumber } from '../../db/rental.ts'
import type { Db } from '../../db/schema.ts'
import { withLockedWallet } from '../../db/wallet.ts'
import { test, type ApiAnswer, type TestApi } from '../support/api-server.ts'
import { givenAutoRecharge, bringSubscription } from '../support/given-money-in.ts'
import { anyNumber, givenNumber, lifeOf, rentalsAt } from '../support/given-numbers.ts'
import { spend } from '../support/given-calls.ts'
import { aSubscription } from '../support/paddle-news.ts'
import { newId } from '../support/given.ts'
import { bindPaddleCustomer } from '../../db/paddle-customer.ts'
import { micros } from '../../billing/money.ts'

const day = 86_400_000
const path = '/v1/phone-numbers'

async function rent(
  api: TestApi,
  phoneNumber = anyNumber,
  headers: Record<string, string> = {},
): Promise<ApiAnswer> {
  return await api.post(path, { key: 'write', body: { phone_number: phoneNumber }, headers })
}

const numberShape = z.object({
  id: z.string(),
  rented_at: z.string(),
  paid_until: z.string(),
  cancels_at: z.string().nullable(),
  next_anniversary: z.string().nullable(),
})

function numberIn({ body }: ApiAnswer): z.output<typeof numberShape> {
  return numberShape.parse(body)
}

function idOf(answer: ApiAnswer): string {
  return numberIn(answer).id
}

describe('renting a number', () => {
  test('pays its first month and says when the next one is due', async ({ api }) => {
    const rented = await rent(api)

    expect(rented.status).toBe(201)
    expect(rented.headers['location']).toBe(`${path}/${idOf(rented)}`)
    expect(rented.body).toMatchObject({
      phone_number: anyNumber,
      state: 'active',
      month_usd: 5,
      cancels_at: null,
      released_at: null,
    })
    const { rented_at: from, paid_until: until, next_anniversary: next } = numberIn(rented)
    expect(until).toBe(next)
    expect(Date.parse(until) - Date.parse(from)).toBeGreaterThanOrEqual(28 * day)
    expect((await api.get('/v1/wallet')).body).toMatchObject({ balance_usd: 5 })
  })

  test('again answers 200 and takes nothing', async ({ api }) => {
    const first = await rent(api)
    const second = await rent(api)

    expect([second.status, idOf(second)]).toEqual([200, idOf(first)])
    expect((await api.get('/v1/wallet')).body).toMatchObject({ balance_usd: 5 })
  })

  test('with the same Idempotency-Key is answered the same, and with another body is refused', async ({
    api,
  }) => {
    const headers = { 'idempotency-key': newId('key') }

    const answers = [await rent(api, anyNumber, headers), await rent(api, anyNumber, headers)]
    const other = await rent(api, '+14155550101', headers)

    expect(answers.map(({ status }) => status)).toEqual([201, 201])
    expect(answers[0]?.body).toEqual(answers[1]?.body)
    expect(other.status).toBeGreaterThanOrEqual(400)
  })

  test('that cannot be paid is refused with the numbers, and rents nothing', async ({ api, db }) => {
    await spend(db, api.workspaceId, 501)

    const refused = await rent(api)

    expect(refused.status).toBe(402)
    expect(refused.body).toMatchObject({
      error: { code: 'insufficient_balance', balance_usd: 4.99, required_usd: 5 },
    })
    expect(refused.headers['retry-after']).toBeUndefined()
    expect((await api.get(path)).body).toMatchObject({ phone_numbers: [], total: 0 })
  })

  test('that cannot be paid says when to ask again while the card is charged', async ({ api, db }) => {
    await givenCardAndRecharge(db, api.workspaceId)
    await spend(db, api.workspaceId, 501)

    const refused = await rent(api)

    expect(refused.status).toBe(402)
    expect(Number(refused.headers['retry-after'])).toBeGreaterThan(0)
  })

  test('on a frozen wallet is refused, and what is rented can be cancelled', async ({ api, db }) => {
    const kept = await rent(api)
    const frozen = { frozen_at: new Date(), frozen_reason: 'chargeback' }
    await db.updateTable('wallet').set(frozen).where('workspace_id', '=', api.workspaceId).execute()

    const refused = await rent(api, '+14155550101')

    expect(refused).toMatchObject({ status: 403, body: { error: { code: 'wallet_frozen' } } })
    expect((await api.delete(`${path}/${idOf(kept)}`, { key: 'write' })).status).toBe(200)
  })

  test.for([
    [{}],
    [{ phone_number: '4155550100' }],
    [{ phone_number: '+0' }],
    [{ phone_number: 14_155_550_100 }],
    [{ phone_number: null }],
    [{ phone_number: anyNumber, month_usd: 0 }],
    [[anyNumber]],
  ])('with %j is refused as it is written', async ([body], { api }) => {
    expect(await api.post(path, { body })).toMatchObject({
      status: 400,
      body: { error: { code: 'invalid_request' } },
    })
  })

  test('costs what was agreed with the workspace', async ({ api, db }) => {
    const agreed = {
      workspaceId: api.workspaceId,
      meter: 'number_rental',
      prefix: null,
      rate: '1.250000',
      effectiveFrom: null,
    } as const
    await db.transaction().execute((trx) => agreeWorkspaceRate(trx, agreed))

    const rented = await rent(api)

    expect(rented.body).toMatchObject({ month_usd: 1.25 })
    expect((await api.get('/v1/wallet')).body).toMatchObject({ balance_usd: 8.75 })
  })
})

describe('cancelling a number', () => {
  test('lets it end with the month that is paid, once, and renting it again takes that back', async ({
    api,
  }) => {
    const id = idOf(await rent(api))

    const cancelled = await api.delete(`${path}/${id}`, { key: 'write' })
    const again = await api.delete(`${path}/${id}`, { key: 'write' })

    expect(cancelled.body).toMatchObject({ state: 'active', next_anniversary: null, month_usd: null })
    const { cancels_at: end, paid_until: until } = numberIn(cancelled)
    expect(end).toBe(until)
    expect(again.body).toEqual(cancelled.body)
    expect(await rent(api)).toMatchObject({
      status: 200,
      body: { id, cancels_at: null, next_anniversary: until },
    })
    const { body } = await api.get(`${path}/${id}`)
    expect(reasonsIn(body)).toEqual(['cancel_withdrawn', 'cancel_asked', 'rented'])
  })

  test('with now=true ends it at once and keeps what was paid', async ({ api }) => {
    const id = idOf(await rent(api))

    const ended = await api.delete(`${path}/${id}?now=true`, { key: 'write' })

    expect(ended.body).toMatchObject({ state: 'released', next_anniversary: null })
    expect((await api.get('/v1/wallet')).body).toMatchObject({ balance_usd: 5 })
    expect(await rent(api)).toMatchObject({ status: 201 })
  })

  test('with another word for now is refused', async ({ api }) => {
    const id = idOf(await rent(api))

    expect((await api.delete(`${path}/${id}?now=perhaps`, { key: 'write' })).status).toBe(400)
  })
})

describe('a number', () => {
  test('tells its months and its steps, each with its reason', async ({ api }) => {
    const id = idOf(await rent(api))

    const { body } = await api.get(`${path}/${id}`, { key: 'read' })

    expect(body).toMatchObject({
      id,
      periods: [{ amount_usd: 5, transaction_id: expect.stringMatching(/^txn_/), reversal_id: null }],
      history: [{ state: 'active', reason: 'rented', message: 'The number was rented.' }],
    })
  })

  test('of another workspace is not there', async ({ api }) => {
    const stranger = await api.another()
    const id = idOf(await rent(stranger))

    const answers = [await api.get(`${path}/${id}`), await api.delete(`${path}/${id}`)]

    expect(answers.map(({ status }) => status)).toEqual([404, 404])
  })

  test('is listed, the newest first, by its state and in pages', async ({ api }) => {
    await rent(api)
    const second = idOf(await rent(api, '+14155550101'))
    await api.delete(`${path}/${second}?now=true`)

    const all = await api.get(`${path}?limit=1`)
    const active = await api.get(`${path}?state=active`)

    expect(all.body).toMatchObject({ phone_numbers: [{ id: second, state: 'released' }], total: 2, limit: 1 })
    expect(active.body).toMatchObject({ phone_numbers: [{ phone_number: anyNumber }], total: 1 })
  })
})

describe('a month', () => {
  test('names its number and when it starts, in the list, the CSV and the receipt, which computes', async ({
    api,
  }) => {
    const rented = await rent(api)
    const [id, starts] = [idOf(rented), numberIn(rented).rented_at.slice(0, 10)]

    const list = await api.get(`/v1/wallet/transactions?number=${encodeURIComponent(anyNumber)}`)
    const csv = await api.get('/v1/wallet/transactions.csv?kind=number_rental')

    const [transaction] = z
      .object({ transactions: z.array(z.looseObject({ id: z.string() })) })
      .parse(list.body).transactions
    expect(transaction).toMatchObject({
      type: 'usage',
      kind: 'number_rental',
      amount_usd: -5,
      endpoint_type: 'number',
      number: anyNumber,
      phone_number_id: id,
      period_start: starts,
      description: `Rental of ${anyNumber}, the month from ${starts}`,
    })
    const [header, row] = String(csv.body).split(/\r?\n/)
    expect(header).toMatch(/,phone_number_id,period_start$/)
    expect(row).toMatch(new RegExp(`,${id},${starts}$`))
    const receipt = await api.get(`/v1/wallet/transactions/${transaction?.id}`)
    expect(receipt.body).toMatchObject({
      recomputes: true,
      differences: [],
      usage: {
        event: { kind: 'number_rental', phoneNumber: anyNumber, period: 0 },
        total_usd: 5,
        lines: [{ meter: 'number_rental', amount_usd: 5 }],
      },
      postings: [{ credit_account: 'number_rental_revenue', amount_usd: 5 }],
    })
  })

  test('that was given back names both transactions, and the reversal computes', async ({ api, db }) => {
    const now = new Date()
    const number = await givenNumber(db, api.workspaceId, { now: new Date(now.getTime() - 20 * day) })
    await rentalsAt(db, api.workspaceId, now, (trx, wallet, context) =>
      giveBackNumber(trx, wallet, number, number.anchorAt, context),
    )

    const { body } = await api.get(`${path}/${number.phoneNumberId}`)

    const [period] = z.object({ periods: z.array(z.object({ reversal_id: z.string() })) }).parse(body).periods
    const receipt = await api.get(`/v1/wallet/transactions/${period?.reversal_id}`)
    const starts = number.anchorAt.toISOString().slice(0, 10)
    expect(receipt.body).toMatchObject({
      kind: 'reversal',
      type: 'refund',
      amount_usd: 5,
      phone_number_id: number.phoneNumberId,
      period_start: starts,
      description: `Rental of ${anyNumber}, the month from ${starts}, given back`,
      recomputes: true,
    })
    expect(await lifeOf(db, number)).toMatchObject({ state: 'released' })
    const filtered = await api.get(`/v1/wallet/transactions?number=${encodeURIComponent(anyNumber)}`)
    expect(filtered.body).toMatchObject({ total: 2 })
  })

  test('has its price on the price list', async ({ api }) => {
    expect((await api.get('/v1/pricing', { key: null })).body).toMatchObject({ number_month_usd: 5 })
  })
})

function reasonsIn(body: unknown): string[] {
  const { history } = z.object({ history: z.array(z.object({ reason: z.string() })) }).parse(body)
  return history.map(({ reason }) => reason)
}

/** A card, and $20 whenever less than $5 is there. */
async function givenCardAndRecharge(db: Db, workspaceId: WorkspaceId): Promise<void> {
  const payer = { workspaceId, customerId: newId('ctm'), subscriptionId: newId('sub') }
  await withLockedWallet(db, workspaceId, (trx, wallet) =>
    bindPaddleCustomer(trx, wallet, { customerId: payer.customerId, email: 'payer@example.com' }, 'test'),
  )
  await bringSubscription(db, aSubscription(payer))
  await givenAutoRecharge(db, payer, { thresholdMicros: micros(5_000_000n) })
}
