import { describe, expect } from 'vitest'

import { freezeWallet } from '../../db/freeze.ts'
import { test, type TestApi } from '../support/api-server.ts'
import { newId } from '../support/given.ts'
import { givenWriteKey, spend, topUp } from '../support/given-calls.ts'
import {
  getOnlyTopUp,
  givenAutoRecharge,
  givenCustomer,
  givenPayer,
  underLock,
} from '../support/given-money-in.ts'

describe('POST /v1/campaigns/{id}/action', () => {
  test('starts, pauses, resumes and cancels, and says how many calls may be live', async ({ api, db }) => {
    await spend(db, api.workspaceId, 900)
    const act = acting(api, newId('camp'))

    const started = await act('start')
    await act.call()
    const paused = await act('pause')
    const resumed = await act('resume')
    const cancelled = await act('cancel')
    const over = await act('start')

    expect(started).toMatchObject({
      status: 200,
      body: {
        campaign_id: act.campaignId,
        status: 'running',
        paused_by: null,
        resume_when_funded: false,
        live_calls: 0,
        max_live_calls: 5,
      },
    })
    expect(paused).toMatchObject({ body: { status: 'paused', paused_by: 'person', max_live_calls: 1 } })
    expect(resumed).toMatchObject({ body: { status: 'running', live_calls: 1, max_live_calls: 5 } })
    expect(cancelled).toMatchObject({ body: { status: 'cancelled', max_live_calls: 1 } })
    expect(over).toMatchObject({ status: 409, body: { error: { code: 'campaign_over' } } })
    expect(await api.get(`/v1/campaigns/${act.campaignId}`, { key: 'read' })).toMatchObject({
      status: 200,
      body: { status: 'cancelled' },
    })
  })

  test('refuses to start below the buffer with the documented 402', async ({ api, db }) => {
    await spend(db, api.workspaceId, 995)
    const act = acting(api, newId('camp'))

    const refused = await act('start')

    expect(refused.status).toBe(402)
    expect(refused.body).toEqual({
      error: {
        code: 'insufficient_balance',
        message: 'Wallet balance below minimum to start call',
        balance_usd: 0.05,
        required_usd: 0.2,
        request_id: refused.headers['x-request-id'],
      },
    })
    expect((await api.get(`/v1/campaigns/${act.campaignId}`)).status).toBe(404)
  })

  test('says when to ask again while the card is being charged', async ({ api, db }) => {
    const payer = await givenPayer(db)
    const key = await givenWriteKey(db, payer.workspaceId)
    await spend(db, payer.workspaceId, 990)
    await givenAutoRecharge(db, payer)
    await getOnlyTopUp(db, payer.workspaceId)

    const campaign = await api.post('/v1/campaigns/c1/action', { key, body: { action: 'start' } })
    const call = await api.post('/v1/calls', { key, body: { to: '+14155550100' } })

    expect([campaign, call]).toMatchObject([
      { status: 402, headers: { 'retry-after': '10' } },
      { status: 402, headers: { 'retry-after': '10' } },
    ])
  })

  test('pauses by itself when a call is refused, and goes on by itself after a top-up', async ({
    api,
    db,
  }) => {
    const payer = await givenCustomer(db)
    const write = await givenWriteKey(db, payer.workspaceId)
    const act = acting(api, newId('camp'), write)
    await act('start', true)
    await spend(db, payer.workspaceId, 1_000)

    const refused = await act.call()
    const paused = await api.get(`/v1/campaigns/${act.campaignId}`, { key: write })
    const stillRefused = await act.call()
    await topUp(db, payer, 500)
    const admitted = await act.call()

    expect([refused, stillRefused]).toMatchObject([{ status: 402 }, { status: 402 }])
    expect(paused).toMatchObject({
      body: { status: 'paused', paused_by: 'funds', resume_when_funded: true, max_live_calls: 0 },
    })
    expect(admitted.status).toBe(201)
  })

  test('stops the calls of a paused and of a cancelled campaign, and none that lives', async ({ api }) => {
    const act = acting(api, newId('camp'))
    await act('start')
    const live = await act.call()
    await act('pause')
    const whilePaused = await act.call()
    await act('cancel')
    const whileCancelled = await act.call()
    const id = String(Reflect.get(Object(live.body), 'call_id'))
    const extended = await api.post(`/v1/calls/${id}/extend`, { body: { duration_seconds: 60 } })

    expect(whilePaused).toMatchObject({
      status: 409,
      body: { error: { code: 'campaign_stopped', field: 'campaign_id', campaign_status: 'paused' } },
    })
    expect(whileCancelled).toMatchObject({ status: 409, body: { error: { campaign_status: 'cancelled' } } })
    expect(extended.status).toBe(200)
  })

  test('refuses a frozen wallet with 403', async ({ api, db }) => {
    await underLock(db, api.workspaceId, (trx, wallet) =>
      freezeWallet(trx, wallet, { actor: 'test', reason: 'chargeback', now: new Date() }),
    )

    expect(await acting(api, 'c1')('start')).toMatchObject({
      status: 403,
      body: { error: { code: 'wallet_frozen' } },
    })
  })

  test("knows nothing of another workspace's campaigns", async ({ api }) => {
    const act = acting(api, newId('camp'))
    await act('start')
    const other = await api.another()
    const otherAct = acting(other, act.campaignId)

    const foreign = await Promise.all([otherAct('pause'), otherAct('resume'), otherAct('cancel')])

    expect(foreign.map((each) => each.status)).toEqual([404, 404, 404])
    expect((await other.get(`/v1/campaigns/${act.campaignId}`)).status).toBe(404)
    expect(await api.get(`/v1/campaigns/${act.campaignId}`)).toMatchObject({ body: { status: 'running' } })
  })

  const malformed: [unknown, string | undefined][] = [
    [{}, 'action'],
    [{ action: 'stop' }, 'action'],
    [{ action: 'start', resume_when_funded: 'yes' }, 'resume_when_funded'],
    [{ action: 'start', status: 'running' }, undefined],
    [undefined, undefined],
  ]

  test.for(malformed)('refuses %j', async ([body, field], { api }) => {
    const answer = await api.post('/v1/campaigns/c1/action', { body })

    const error = { code: 'invalid_request', ...(field === undefined ? {} : { field }) }
    expect(answer).toMatchObject({ status: 400, body: { error } })
  })

  test.for(['%00', '%ED%A0%80', 'a'.repeat(129)])('has no campaign named %s', async (name, { api }) => {
    const answer = await api.post(`/v1/campaigns/${name}/action`, { body: { action: 'start' } })

    expect([400, 404]).toContain(answer.status)
  })
})

function acting(api: TestApi, campaignId: string, key = 'write') {
  const act = async (action: string, resumeWhenFunded?: boolean) =>
    await api.post(`/v1/campaigns/${campaignId}/action`, {
      key,
      body: { action, ...(resumeWhenFunded === undefined ? {} : { resume_when_funded: resumeWhenFunded }) },
    })
  const call = async () =>
    await api.post('/v1/calls', { key, body: { to_number: '+14155550100', campaign_id: campaignId } })
  return Object.assign(act, { campaignId, call })
}
