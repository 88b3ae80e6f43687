// Figures over HTTP: what usage came to is the sum of what was booked, however it is broken down.
import { describe, expect } from 'vitest'

import type { Db } from '../../db/schema.ts'
import { test, type TestApi } from '../support/api-server.ts'
import { givenHistory, givenUsage } from '../support/given-history.ts'
import { aCall, aMessage, callArrival, messageArrival } from '../support/given.ts'

const dayMs = 86_400_000

describe('GET /v1/wallet/usage-stats', () => {
  test('breaks usage down by meter, agent, campaign, destination and day, the costliest first', async ({
    api,
    db,
  }) => {
    await givenUse(db, api)

    const body = await ask(api, '/v1/wallet/usage-stats?days=1')

    const today = body['to']
    expect(body).toEqual({
      days: 1,
      from: today,
      to: expect.stringMatching(/^\d{4}-\d\d-\d\d$/),
      currency: 'USD',
      totals: { usage_usd: 0.583, count: 4, calls: 3, messages: 1, number_rentals: 0, billed_seconds: 181 },
      by_meter: [
        { meter: 'voice', quantity: 181, usage_usd: 0.301667, count: 3 },
        { meter: 'telephony', quantity: 181, usage_usd: 0.251333, count: 3 },
        { meter: 'recording', quantity: 60, usage_usd: 0.02, count: 1 },
        { meter: 'message', quantity: 1, usage_usd: 0.01, count: 1 },
      ],
      by_agent: [
        { agent_id: 'a1', usage_usd: 0.383, count: 2 },
        { agent_id: null, usage_usd: 0.19, count: 1 },
        { agent_id: 'a2', usage_usd: 0.01, count: 1 },
      ],
      by_campaign: [
        { campaign_id: null, usage_usd: 0.4, count: 3 },
        { campaign_id: 'c1', usage_usd: 0.183, count: 1 },
      ],
      by_destination: [
        { prefix: '1', billed_seconds: 121, usage_usd: 0.161333, count: 2 },
        { prefix: '44', billed_seconds: 60, usage_usd: 0.09, count: 1 },
      ],
      by_day: [{ date: today, usage_usd: 0.583, count: 4 }],
    })
  })

  test('reaches as many days back as it is asked to, and every day has its place', async ({ api, db }) => {
    await givenUse(db, api)

    const within = await ask(api, '/v1/wallet/usage-stats?days=11')
    const without = await ask(api, '/v1/wallet/usage-stats?days=10')

    expect(within).toMatchObject({ totals: { usage_usd: 1.583, count: 5 } })
    expect(within['by_day']).toHaveLength(11)
    expect(within['by_day']).toMatchObject({
      0: { usage_usd: 1, count: 1 },
      1: { usage_usd: 0, count: 0 },
      10: { usage_usd: 0.583, count: 4 },
    })
    expect(without).toMatchObject({ totals: { usage_usd: 0.583, count: 4 } })
  })

  test('is all zeros where nothing happened, and knows nothing of other workspaces', async ({ api, db }) => {
    await givenUse(db, api)

    const body = await ask(await api.another(), '/v1/wallet/usage-stats?days=365')

    expect(body).toMatchObject({
      days: 365,
      totals: { usage_usd: 0, count: 0, calls: 0, messages: 0, number_rentals: 0, billed_seconds: 0 },
      by_meter: [],
      by_agent: [],
      by_campaign: [],
      by_destination: [],
    })
    expect(body['by_day']).toHaveLength(365)
  })
})

describe('GET /v1/wallet/analytics', () => {
  test('has days, meters, hours of the day and the newest usage', async ({ api, db }) => {
    await givenUse(db, api)

    const body = await ask(api, '/v1/wallet/analytics?days=30')

    expect(Object.keys(body)).toEqual(['days', 'currency', 'daily', 'models', 'hourly', 'recent'])
    expect(body['daily']).toHaveLength(30)
    expect(body['daily']).toMatchObject({
      19: { usage_usd: 1, count: 1, topup_usd: 0 },
      29: { usage_usd: 0.583, count: 4, topup_usd: 10 },
    })
    expect(body['models']).toMatchObject([
      { model: 'voice', usage_usd: 1.301667, count: 4 },
      { model: 'telephony' },
      { model: 'recording' },
      { model: 'message', quantity: 1, usage_usd: 0.01, count: 1 },
    ])
    const hourly = listIn(body, 'hourly')
    expect(hourly.map(({ hour }) => hour)).toEqual(Array.from({ length: 24 }, (_, hour) => hour))
    expect(hourly.reduce((sum, { count }) => sum + Number(count), 0)).toBe(5)
    const recent = listIn(body, 'recent')
    expect(recent).toHaveLength(5)
    expect(recent.every(({ type }) => type === 'usage')).toBe(true)
  })
})

const refused = [
  'usage-stats?days=0',
  'usage-stats?days=366',
  'analytics?days=91',
  'analytics?days=1.5',
  'analytics?days=-1',
]

test.for(refused)('%s is refused by the name of its field', async (path, { api }) => {
  const answer = await api.get(`/v1/wallet/${path}`)

  expect(answer).toMatchObject({ status: 400, body: { error: { field: 'days' } } })
})

/** A dollar of usage ten days ago, and 58.3 cents today. */
async function givenUse(db: Db, { workspaceId }: TestApi): Promise<void> {
  const row = { kind: 'call', reference: 'call_old', agentId: null, campaignId: null } as const
  const postedAt = new Date(Date.now() - 10 * dayMs)
  await givenHistory(db, workspaceId, [{ ...row, amountMicros: -1_000_000n, postedAt }])
  await givenUsage(db, [
    callArrival(aCall(workspaceId, { durationSeconds: 61, agentId: 'a1', campaignId: 'c1' })),
    callArrival(aCall(workspaceId, { recorded: true, agentId: 'a1' })),
    callArrival(aCall(workspaceId, { to: '+442079460000' })),
    messageArrival(aMessage(workspaceId, { agentId: 'a2' })),
  ])
}

async function ask(api: TestApi, path: string): Promise<Record<string, unknown>> {
  const answer = await api.server.inject({ url: path, headers: { authorization: `Bearer ${api.keys.read}` } })
  expect({ path, status: answer.statusCode }).toEqual({ path, status: 200 })
  return answer.json()
}

function listIn(body: Record<string, unknown>, name: string): Record<string, unknown>[] {
  const list: unknown = body[name]
  return Array.isArray(list) ? list : []
}
