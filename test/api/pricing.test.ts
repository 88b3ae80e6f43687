// Prices over HTTP: the list prices for everybody, a workspace's own for itself, and quotes that are what a call then costs.
import * as fc from 'fast-check'
import { describe, expect } from 'vitest'

import { agreeWorkspaceRate } from '../../db/rate-book.ts'
import { test, type TestApi } from '../support/api-server.ts'
import { givenUsage } from '../support/given-history.ts'
import { aCall, callArrival } from '../support/given.ts'

const rate = (per_minute_usd: string) => ({
  connection_fee_usd: '0.00',
  intervals: [{ from_second: 0, per_minute_usd, increment_seconds: 1 }],
})

const listPrices = {
  currency: 'USD',
  rate_card_id: 'standard',
  effective_from: '2020-01-01T00:00:00.000Z',
  base_rate_per_min: 0.1,
  telephony_rate_per_min: 0.08,
  recording_rate_per_min: 0.02,
  inbound_rate_per_min: 0.08,
  chat_rate_per_message: 0.01,
  number_month_usd: 5,
  min_balance_usd: 0.2,
  signup_bonus_usd: 10,
  margin_percent: 0,
  rates: { voice: rate('0.10'), recording: rate('0.02'), inbound: rate('0.08') },
  telephony: { to: null, prefix: '1', place: 'United States, Canada', rate: rate('0.08') },
}

describe('prices', () => {
  test('are public as they are listed, in the documented shape', async ({ api }) => {
    const anybody = await api.get('/v1/pricing', { key: null })
    const workspace = await api.get('/v1/wallet/pricing', { key: 'read' })

    expect(anybody).toMatchObject({ status: 200 })
    expect(anybody.body).toEqual(listPrices)
    expect(workspace.body).toEqual(listPrices)
  })

  const destinations: [to: string, prefix: string, place: string, price: number][] = [
    ['%2B14155550100', '1', 'United States, Canada', 0.08],
    ['+1415', '1', 'United States, Canada', 0.08],
    ['12425550100', '1242', 'Bahamas', 0.22],
    ['+447911123456', '447', 'United Kingdom, mobile', 0.11],
    ['+8816', '8816', 'Iridium satellite', 8.2],
  ]

  test.for(destinations)(
    'to %s are those of the longest prefix, %s',
    async ([to, prefix, place, price], { api }) => {
      const { body } = await api.get(`/v1/pricing?to=${to}`, { key: null })

      expect(body).toMatchObject({ telephony_rate_per_min: price, telephony: { prefix, place } })
    },
  )

  test('of nowhere are refused', async ({ api }) => {
    const nowhere = await api.get('/v1/pricing?to=%2B979123456')
    const nothing = await api.get('/v1/pricing?to=home')

    expect(nowhere).toMatchObject({
      status: 422,
      body: { error: { code: 'unknown_destination', field: 'to' } },
    })
    expect(nothing).toMatchObject({ status: 400, body: { error: { code: 'invalid_request', field: 'to' } } })
  })

  test('that were agreed with a workspace are told to it alone, from then on', async ({ api, db }) => {
    await api.get('/v1/wallet/pricing')
    await agree(api, db, { meter: 'voice', prefix: null, rate: rate('0.055555') })
    await agree(api, db, { meter: 'telephony', prefix: '1415', rate: rate('0.0123456789') })

    const own = await api.get('/v1/wallet/pricing?to=14155550100')
    const others = await (await api.another()).get('/v1/wallet/pricing?to=14155550100')
    const anybody = await api.get('/v1/pricing?to=14155550100')

    expect(own.body).toMatchObject({
      base_rate_per_min: 0.055555,
      telephony_rate_per_min: 0.0123456789,
      telephony: { prefix: '1415', place: null, rate: rate('0.0123456789') },
    })
    for (const { body } of [others, anybody]) {
      expect(body).toMatchObject({ base_rate_per_min: 0.1, telephony: { prefix: '1' } })
    }
  })
})

describe('an estimate', () => {
  test('is by the rating that bills, line by line', async ({ api }) => {
    const { body } = await api.get('/v1/wallet/estimate?to=%2B14155550100&minutes=1.5&recorded=true', {
      key: 'read',
    })

    expect(body).toMatchObject({
      currency: 'USD',
      estimated_cost_usd: 0.3,
      lines: [
        { meter: 'voice', quantity: 90, amount_usd: 0.15 },
        { meter: 'telephony', quantity: 90, prefix: '1', place: 'United States, Canada', amount_usd: 0.12 },
        { meter: 'recording', quantity: 90, amount_usd: 0.03 },
      ],
      rate_card_id: 'standard',
      to: '+14155550100',
      duration_seconds: 90,
      recorded: true,
      required_usd: 0.2,
      available_usd: 10,
      can_start: true,
      can_afford: true,
      affords_seconds: 3_000,
    })
  })

  test('is what the call then costs, for any length of it', async ({ api, db }) => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 5_400 }),
        fc.constantFrom('+14155550100', '+442079460000', '+8816123456'),
        fc.boolean(),
        async (durationSeconds, to, recorded) => {
          const minutes = `${Math.floor(durationSeconds / 60)}.${Math.floor(
            ((durationSeconds % 60) * 1_000_000) / 60,
          )
            .toString()
            .padStart(6, '0')}`
          const call = aCall(api.workspaceId, {
            to,
            recorded,
            durationSeconds,
            startedAt: new Date(Date.now() - 7_200_000).toISOString(),
          })

          const quote = await ask(
            api,
            `/v1/wallet/estimate?to=${encodeURIComponent(to)}&minutes=${minutes}&recorded=${recorded}`,
          )
          await givenUsage(db, [callArrival(call)])
          const booked = await ask(api, `/v1/wallet/transactions?call_id=${call.callId}`)

          expect(quote).toMatchObject({ duration_seconds: durationSeconds })
          expect(booked).toMatchObject({
            transactions: [{ amount_usd: -Number(quote['estimated_cost_usd']) }],
          })
        },
      ),
      { numRuns: 25 },
    )
  })

  test('counts the seconds that have begun, exactly', async ({ api }) => {
    const minutes = { '1': 60, '1.1': 66, '0.1': 6, '0.000001': 1, '2.35': 141, '0': 0, '1440': 86_400 }
    const seconds: Record<string, unknown> = {}
    for (const each of Object.keys(minutes)) {
      const quote = await ask(api, `/v1/wallet/estimate?minutes=${each}`)
      seconds[each] = quote['duration_seconds']
    }

    expect(seconds).toEqual(minutes)
  })

  test('of a web call has no telephony, and one of no length costs nothing', async ({ api }) => {
    const web = await ask(api, '/v1/wallet/estimate')
    const none = await ask(api, '/v1/wallet/estimate?minutes=0&to=14155550100')

    expect(web).toMatchObject({ estimated_cost_usd: 0.1, to: null, lines: [{ meter: 'voice' }] })
    expect(none).toMatchObject({ estimated_cost_usd: 0, lines: [] })
  })

  test('of more than is there says so', async ({ api }) => {
    const quote = await ask(api, '/v1/wallet/estimate?to=88161234567&minutes=10')

    expect(quote).toMatchObject({
      estimated_cost_usd: 83,
      required_usd: 8.3,
      can_start: true,
      can_afford: false,
      affords_seconds: 72,
    })
  })

  const refused: [query: string, status: number, field: string][] = [
    ['minutes=-1', 400, 'minutes'],
    ['minutes=1e3', 400, 'minutes'],
    ['minutes=NaN', 400, 'minutes'],
    ['minutes=1441', 400, 'minutes'],
    ['minutes=1440.000001', 400, 'minutes'],
    ['minutes=', 400, 'minutes'],
    ['recorded=yes', 400, 'recorded'],
    ['to=%2B0123', 400, 'to'],
    ['to=%2B979123456', 422, 'to'],
  ]

  test.for(refused)('of %s is refused', async ([query, status, field], { api }) => {
    expect(await api.get(`/v1/wallet/estimate?${query}`)).toMatchObject({
      status,
      body: { error: { field } },
    })
  })
})

async function ask(api: TestApi, path: string): Promise<Record<string, unknown>> {
  const answer = await api.server.inject({ url: path, headers: { authorization: `Bearer ${api.keys.read}` } })
  expect({ path, status: answer.statusCode }).toEqual({ path, status: 200 })
  return answer.json()
}

async function agree(
  { workspaceId }: TestApi,
  db: Parameters<typeof givenUsage>[0],
  agreed: { meter: 'voice' | 'telephony'; prefix: string | null; rate: unknown },
): Promise<void> {
  await db
    .transaction()
    .execute((trx) => agreeWorkspaceRate(trx, { workspaceId, ...agreed, effectiveFrom: null }))
}
