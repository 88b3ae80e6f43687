// The wallet over HTTP: the documented shapes, exactly, with the same numbers behind each.
import { sql } from 'kysely'
import { describe, expect } from 'vitest'

import { test } from '../support/api-server.ts'
import { aCall, aMessage, callArrival, messageArrival } from '../support/given.ts'
import { givenUsage } from '../support/given-history.ts'

describe('GET /v1/wallet', () => {
  test('has the documented shape and nothing else', async ({ api }) => {
    const answer = await api.get('/v1/wallet', { key: 'read' })

    expect(answer).toMatchObject({ status: 200 })
    expect(answer.body).toEqual({
      balance_usd: 10,
      currency: 'USD',
      auto_recharge: { enabled: false, threshold_usd: 20, topup_usd: 100 },
    })
  })

  test('rounds the balance down to the cent', async ({ api, db }) => {
    await givenUsage(db, [callArrival(aCall(api.workspaceId, { durationSeconds: 61 }))])

    const answer = await api.get('/v1/wallet')

    // 0.101667 of voice and 0.081333 of telephony leave 9.817.
    expect(answer.body).toMatchObject({ balance_usd: 9.81 })
  })
})

describe('GET /v1/wallet/balance', () => {
  test('says what is there, what is held and what is free', async ({ api, db }) => {
    await hold(db, api.workspaceId, 9_850_000n)

    const answer = await api.get('/v1/wallet/balance', { key: 'read' })

    expect(answer.body).toEqual({
      balance_usd: 10,
      held_usd: 9.85,
      available_usd: 0.15,
      has_balance: true,
      can_proceed: false,
      min_balance: 0.2,
      margin_percent: 0,
    })
  })

  test('lets calls proceed from exactly the buffer on', async ({ api, db }) => {
    await hold(db, api.workspaceId, 9_800_000n)
    const enough = await api.get('/v1/wallet/balance')
    await hold(db, api.workspaceId, 9_800_001n)
    const short = await api.get('/v1/wallet/balance')

    expect(enough.body).toMatchObject({ available_usd: 0.2, can_proceed: true })
    expect(short.body).toMatchObject({ available_usd: 0.19, can_proceed: false })
  })

  test('lets nothing proceed on a frozen wallet', async ({ api, db }) => {
    await sql`update wallet set frozen_at = now(), frozen_reason = 'chargeback'
      where workspace_id = ${api.workspaceId}`.execute(db)

    const answer = await api.get('/v1/wallet/balance')

    expect(answer.body).toMatchObject({ available_usd: 10, has_balance: true, can_proceed: false })
  })
})

test('GET /v1/wallet/summary sums up what came and went', async ({ api, db }) => {
  await givenUsage(db, [
    callArrival(aCall(api.workspaceId, { durationSeconds: 61 })),
    messageArrival(aMessage(api.workspaceId)),
  ])

  const { body } = await api.get('/v1/wallet/summary', { key: 'read' })

  expect(body).toEqual({
    current_balance: 9.807,
    total_topup: 10,
    total_usage: 0.193,
    total_refund: 0,
    total_granted: 10,
    topup_count: 0,
    usage_count: 2,
    transaction_count: 3,
    last_topup_at: null,
    last_usage_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]{12}Z$/),
  })
})

describe('GET /v1/wallet/can-afford', () => {
  const asked: [cost: string, can: boolean][] = [
    ['0', true],
    ['9.999999', true],
    ['10', true],
    ['10.000001', false],
    ['999999999', false],
  ]

  test.for(asked)('answers for $%s with %s', async ([cost, can], { api }) => {
    const answer = await api.get(`/v1/wallet/can-afford?estimated_cost=${cost}`, { key: 'read' })

    expect(answer.body).toEqual({
      can_afford: can,
      estimated_cost: Number(cost),
      balance_usd: 10,
      available_usd: 10,
    })
  })

  const refused = ['', '-1', '-0', '1e3', 'NaN', 'Infinity', '1e308', '0.0000001', '01', ' 1', '1,5', '$1']

  test.for(refused)('refuses %j by the name of its field', async (cost, { api }) => {
    const answer = await api.get(`/v1/wallet/can-afford?estimated_cost=${encodeURIComponent(cost)}`)

    expect(answer).toMatchObject({
      status: 400,
      body: { error: { code: 'invalid_request', field: 'estimated_cost' } },
    })
  })

  test('refuses to be asked for nothing, twice, or for something else', async ({ api }) => {
    const answers = await Promise.all(
      ['', '?estimated_cost=1&estimated_cost=2', '?estimated_cost=1&workspace_id=ws_1'].map((query) =>
        api.get(`/v1/wallet/can-afford${query}`),
      ),
    )

    expect(answers.map(({ status }) => status)).toEqual([400, 400, 400])
    expect(JSON.stringify(answers[2]?.body)).toContain('workspace_id')
  })
})

const reads = [
  '/v1/wallet',
  '/v1/wallet/balance',
  '/v1/wallet/summary',
  '/v1/wallet/transactions',
  '/v1/wallet/transactions.csv',
  '/v1/wallet/transactions/txn_0000000100000000',
  '/v1/wallet/analytics',
  '/v1/wallet/usage-stats',
  '/v1/wallet/pricing',
  '/v1/wallet/estimate',
  '/v1/wallet/can-afford?estimated_cost=1',
]

test.for(reads)('%s wants a key, any of the workspace', async (path, { api }) => {
  const without = await api.get(path, { key: null })
  const operator = await api.get(path, { key: 'operator' })
  const read = await api.get(path, { key: 'read' })

  expect([without.status, operator.status]).toEqual([401, 403])
  expect(read.status).toBe(path.includes('txn_') ? 404 : 200)
})

async function hold(db: Parameters<typeof givenUsage>[0], workspaceId: string, amountMicros: bigint) {
  await sql`update wallet set held_micros = ${amountMicros} where workspace_id = ${workspaceId}`.execute(db)
}
