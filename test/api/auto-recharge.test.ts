// Auto-recharge by HTTP, under both names: consent and a card first, charged at once where it is low, and never a secret why not.
import { describe, expect } from 'vitest'

import { listAudit } from '../../db/audit-log.ts'
import { countDecline } from '../../db/auto-recharge.ts'
import { freezeWallet } from '../../db/freeze.ts'
import { listTopUps } from '../../db/top-up.ts'
import { test, type TestApi } from '../support/api-server.ts'
import { aSubscription } from '../support/paddle-news.ts'
import { bringSubscription, getOnlyTopUp, underLock } from '../support/given-money-in.ts'
import { until } from '../support/until.ts'
import { bindPaddleCustomer } from '../../db/paddle-customer.ts'
import { newId } from '../support/given.ts'
import type { Db } from '../../db/schema.ts'

const address = '/v1/wallet/auto-recharge'
const older = '/v1/payments/auto-charge'

describe('switching it on', () => {
  test('below the threshold charges at once, and says so', async ({ api, db }) => {
    const { savedCardId } = await givenCard(db, api)

    const answer = await api.put(address, { body: { enabled: true, threshold_usd: 20, topup_usd: 50 } })

    const { topUpId } = await getOnlyTopUp(db, api.workspaceId)
    expect(answer.status).toBe(200)
    expect(answer.body).toEqual({
      enabled: true,
      threshold_usd: 20,
      topup_usd: 50,
      daily_limit: 10,
      monthly_cap_usd: null,
      payment_method_id: savedCardId,
      charging_now: true,
      charging_usd: 50,
      charging_topup_id: topUpId,
      last_decision: {
        decision: 'recharge',
        message: 'The available balance was below the threshold, so a charge of the card was begun.',
        decided_at: expect.any(String),
      },
      suspended: null,
      cooling_down: null,
    })
    expect((await api.get(address, { key: 'read' })).body).toEqual(answer.body)
    expect((await api.get('/v1/wallet')).body).toMatchObject({
      auto_recharge: { enabled: true, threshold_usd: 20, topup_usd: 50 },
    })
  })

  test('above the threshold charges nothing, and says why', async ({ api, db }) => {
    await givenCard(db, api)

    const answer = await api.put(address, { body: { enabled: true, threshold_usd: 5, topup_usd: 50 } })

    expect(answer.body).toMatchObject({
      charging_now: false,
      charging_usd: null,
      last_decision: {
        decision: 'above_threshold',
        message: 'The available balance is not below the threshold.',
      },
    })
    expect(await listTopUps(db, { workspaceId: api.workspaceId, limit: 1 })).toEqual([])
  })

  test.for([address, older])(
    'without a card is refused at %s, and nothing is saved',
    async (path, { api }) => {
      const answer = await api.put(path, { body: { enabled: true, threshold_usd: 20 } })

      expect(answer).toMatchObject({ status: 409, body: { error: { code: 'no_card' } } })
      expect((await api.get(path)).body).toMatchObject({ enabled: false, payment_method_id: null })
    },
  )

  test('with a card that cannot be charged is refused', async ({ api, db }) => {
    const { savedCardId } = await givenCard(db, api)
    await db
      .updateTable('saved_card')
      .set({ state: 'paused' })
      .where('saved_card_id', '=', savedCardId)
      .execute()

    const answer = await api.put(address, { body: { enabled: true } })

    expect(answer).toMatchObject({ status: 409, body: { error: { code: 'card_not_usable' } } })
  })

  test('with another workspace’s card is refused as one that does not exist', async ({ api, db }) => {
    const other = await api.another()
    const theirs = await givenCard(db, other)
    await givenCard(db, api)

    const foreign = await api.put(address, { body: { enabled: true, payment_method_id: theirs.savedCardId } })
    const nobodys = await api.put(address, { body: { enabled: true, payment_method_id: 'pm_0' } })

    expect(foreign).toMatchObject({ status: 404, body: { error: { field: 'payment_method_id' } } })
    expect(nobodys).toMatchObject({ status: 404, body: { error: { field: 'payment_method_id' } } })
    expect((await api.get(address)).body).toMatchObject({ enabled: false })
  })

  test('of a frozen wallet is saved, and charges nothing', async ({ api, db }) => {
    await givenCard(db, api)
    const frozen = { actor: 'test', reason: 'chargeback', now: new Date() }
    await underLock(db, api.workspaceId, (trx, wallet) => freezeWallet(trx, wallet, frozen))

    const answer = await api.put(address, { body: { enabled: true, threshold_usd: 20, topup_usd: 50 } })

    expect(answer.body).toMatchObject({
      enabled: true,
      charging_now: false,
      last_decision: { decision: 'frozen' },
    })
  })

  test('100 times at once charges once', async ({ api, db }) => {
    await givenCard(db, api)
    const body = { enabled: true, threshold_usd: 20, topup_usd: 50 }

    // Who waits for the wallet for two seconds is told to ask again, and does.
    const answers = await Promise.all(
      Array.from({ length: 100 }, () =>
        until('it is answered', async () => {
          const answer = await api.put(address, { body })
          return answer.status !== 503 && answer
        }),
      ),
    )

    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]))
    expect(answers.every(({ body: answer }) => JSON.stringify(answer).includes('"charging_now":true'))).toBe(
      true,
    )
    await getOnlyTopUp(db, api.workspaceId)
  })
})

describe('changing it', () => {
  test('under the older names changes the same, and leaves what they do not name', async ({ api, db }) => {
    await givenCard(db, api)
    await api.put(address, {
      body: { enabled: true, threshold_usd: 5, topup_usd: 50, daily_limit: 3, monthly_cap_usd: 400 },
    })

    const answer = await api.put(older, {
      body: { enabled: true, threshold_usd: 6, charge_amount_usd: '60.00' },
    })

    expect(answer.body).toMatchObject({
      enabled: true,
      threshold_usd: 6,
      charge_amount_usd: 60,
      charging_now: false,
    })
    expect((await api.get(older)).body).toEqual(answer.body)
    expect((await api.get(address)).body).toMatchObject({
      threshold_usd: 6,
      topup_usd: 60,
      daily_limit: 3,
      monthly_cap_usd: 400,
    })
    const lifted = await api.put(address, { body: { enabled: true, monthly_cap_usd: null } })
    expect(lifted.body).toMatchObject({ topup_usd: 60, monthly_cap_usd: null })
  })

  test('is written down with the key that asked', async ({ api, db }) => {
    await givenCard(db, api)
    await api.put(address, { body: { enabled: true, threshold_usd: 5, topup_usd: 50 } })

    const entries = await listAudit(db, api.workspaceId, 9)

    const keyId = api.keys.admin.slice('sk_call2me_'.length).slice(0, 10)
    expect(entries.filter(({ action }) => action === 'auto_recharge.changed')).toMatchObject([
      { actor: `key ${keyId}`, detail: { enabled: true, threshold_usd: '5.000000', topup_usd: '50.000000' } },
    ])
  })

  test('off needs no card and nothing but the word', async ({ api, db }) => {
    await givenCard(db, api)
    await api.put(address, { body: { enabled: true, threshold_usd: 5, topup_usd: 50 } })
    await db
      .updateTable('saved_card')
      .set({ state: 'removed' })
      .where('workspace_id', '=', api.workspaceId)
      .execute()

    const answer = await api.put(address, { body: { enabled: false } })

    expect(answer).toMatchObject({ status: 200, body: { enabled: false, threshold_usd: 5, topup_usd: 50 } })
  })

  test.for([
    ['{"enabled":"yes"}', 400, 'enabled'],
    ['{}', 400, 'enabled'],
    ['{"enabled":true,"threshold_usd":-1}', 400, 'threshold_usd'],
    ['{"enabled":true,"threshold_usd":1e308}', 400, 'threshold_usd'],
    ['{"enabled":true,"threshold_usd":"-0"}', 400, 'threshold_usd'],
    ['{"enabled":true,"topup_usd":4.99}', 400, 'topup_usd'],
    ['{"enabled":true,"topup_usd":2000.01}', 400, 'topup_usd'],
    ['{"enabled":true,"topup_usd":"1e3"}', 400, 'topup_usd'],
    ['{"enabled":true,"topup_usd":0.001}', 400, 'topup_usd'],
    ['{"enabled":true,"daily_limit":0}', 400, 'daily_limit'],
    ['{"enabled":true,"daily_limit":21}', 400, 'daily_limit'],
    ['{"enabled":true,"daily_limit":1.5}', 400, 'daily_limit'],
    ['{"enabled":true,"monthly_cap_usd":0}', 400, 'monthly_cap_usd'],
    ['{"enabled":true,"topup_usd":50,"monthly_cap_usd":49}', 422, 'monthly_cap_usd'],
  ] as const)('to %s is refused with %i and the field %s', async ([body, status, field], { api, db }) => {
    await givenCard(db, api)

    const answer = await api.put(address, { body })

    expect(answer).toMatchObject({ status, body: { error: { field } } })
    expect((await api.get(address)).body).toMatchObject({ enabled: false })
  })

  test('needs an admin key', async ({ api }) => {
    const asks = (['read', 'write', null] as const).flatMap((key) => [
      api.put(address, { key, body: { enabled: false } }),
      api.put(older, { key, body: { enabled: false } }),
      api.post(`${address}/resume`, { key }),
    ])

    expect((await Promise.all(asks)).map(({ status }) => status)).toEqual([
      403, 403, 403, 403, 403, 403, 401, 401, 401,
    ])
  })
})

describe('after declines', () => {
  test('it tells until when it waits, then why it is suspended, and goes on when asked to', async ({
    api,
    db,
  }) => {
    await givenCard(db, api)
    await api.put(address, { body: { enabled: true, threshold_usd: 5, topup_usd: 50 } })
    const decline = (code: string) =>
      underLock(db, api.workspaceId, (trx, wallet) => countDecline(trx, wallet, code, new Date()))

    await decline('not_enough_balance')
    const cooling = await api.get(address)
    await decline('expired_card')
    const suspended = await api.get(older)
    const resumed = await api.post(`${address}/resume`)

    expect(cooling.body).toMatchObject({ cooling_down: { declines_in_a_row: 1 }, suspended: null })
    expect(suspended.body).toMatchObject({ cooling_down: null, suspended: { reason: 'expired_card' } })
    expect(JSON.stringify(suspended.body)).toContain('The card has expired')
    expect(resumed).toMatchObject({ status: 200, body: { cooling_down: null, suspended: null } })
    const entries = await listAudit(db, api.workspaceId, 9)
    expect(entries.find(({ action }) => action === 'auto_recharge.resumed')?.actor).toMatch(/^key /)
  })

  test('resuming what was never set up changes nothing', async ({ api, db }) => {
    const answer = await api.post(`${address}/resume`)

    expect(answer).toMatchObject({ status: 200, body: { enabled: false, last_decision: null } })
    expect(await listAudit(db, api.workspaceId, 9)).toEqual([])
  })
})

test('says what it would be where nobody has set it up', async ({ api }) => {
  expect((await api.get(address)).body).toMatchObject({
    enabled: false,
    threshold_usd: 20,
    topup_usd: 100,
    last_decision: null,
  })
  expect((await api.get(older)).body).toMatchObject({
    enabled: false,
    threshold_usd: 20,
    charge_amount_usd: 100,
  })
})

async function givenCard(db: Db, { workspaceId }: TestApi): Promise<{ savedCardId: string }> {
  const payer = { workspaceId, customerId: newId('ctm'), subscriptionId: newId('sub') }
  const customer = { customerId: payer.customerId, email: 'payer@example.com' }
  await underLock(db, workspaceId, (trx, wallet) => bindPaddleCustomer(trx, wallet, customer, 'test'))
  await bringSubscription(db, aSubscription(payer))
  const row = await db
    .selectFrom('saved_card')
    .select('saved_card_id')
    .where('workspace_id', '=', workspaceId)
    .executeTakeFirstOrThrow()
  return { savedCardId: row.saved_card_id }
}
