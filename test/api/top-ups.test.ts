// Top-ups by HTTP: each is asked for once, for an amount that makes sense, by whoever may, and told in plain words.
import { sql } from 'kysely'
import { describe, expect } from 'vitest'
import { z } from 'zod'

import { freezeWallet } from '../../db/freeze.ts'
import { listTopUps, moveTopUp } from '../../db/top-up.ts'
import { lockWallet } from '../../db/wallet.ts'
import { createPaddleGateway } from '../../paddle/gateway.ts'
import { getOnlyTopUp, givenTopUp, underLock } from '../support/given-money-in.ts'
import { givenCard, test } from '../support/api-with-paddle.ts'
import { newId } from '../support/given.ts'
import { countLockWaits } from '../support/lock-waits.ts'
import { until } from '../support/until.ts'

const topUp = '/v1/wallet/topup'
const told = z.object({ state: z.string(), steps: z.array(z.object({ state: z.string() })) })

describe('with a saved card', () => {
  test('a top-up is written down for the charge worker, and answered with its state', async ({
    shop,
    paddle,
    db,
  }) => {
    const { savedCardId, subscriptionId } = await givenCard(db, paddle, shop.workspaceId)

    const answer = await shop.post(topUp, { body: { amount_usd: 50, payment_method_id: savedCardId } })

    const row = await getOnlyTopUp(db, shop.workspaceId)
    expect(row).toMatchObject({ source: 'api', state: 'ready', amountMicros: 50_000_000n, subscriptionId })
    expect(answer.status).toBe(202)
    expect(answer.headers['location']).toBe(`/v1/wallet/topups/${row.topUpId}`)
    expect(answer.body).toEqual({
      id: row.topUpId,
      status: 'pending',
      state: 'ready',
      source: 'api',
      amount_usd: 50,
      credited_usd: 0,
      payment_method_id: savedCardId,
      checkout_url: null,
      paddle_transaction_id: null,
      reason: null,
      message: 'The charge of the card is on its way to Paddle.',
      created_at: row.createdAt.toISOString(),
      updated_at: row.createdAt.toISOString(),
    })
  })

  test('100 identical requests with one Idempotency-Key at once are one top-up and 100 equal answers', async ({
    shop,
    paddle,
    db,
  }) => {
    await givenCard(db, paddle, shop.workspaceId)
    const ask = { body: { amount_usd: '12.50' }, headers: { 'idempotency-key': newId('key') } }

    const answers = await Promise.all(Array.from({ length: 100 }, () => shop.post(topUp, ask)))

    const { topUpId } = await getOnlyTopUp(db, shop.workspaceId)
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([202]))
    expect(new Set(answers.map(({ body }) => JSON.stringify(body))).size).toBe(1)
    expect(answers[0]?.body).toMatchObject({ id: topUpId, amount_usd: 12.5 })
  })

  test('a request whose answer was lost with its process finds the top-up that it opened', async ({
    shop,
    paddle,
    db,
  }) => {
    await givenCard(db, paddle, shop.workspaceId)
    const ask = { body: { amount_usd: 20 }, headers: { 'idempotency-key': newId('key') } }
    const first = await shop.post(topUp, ask)
    await db.deleteFrom('idempotent_request').where('workspace_id', '=', shop.workspaceId).execute()

    const second = await shop.post(topUp, ask)
    await db.deleteFrom('idempotent_request').where('workspace_id', '=', shop.workspaceId).execute()
    const other = await shop.post(topUp, { ...ask, body: { amount_usd: 21 } })

    expect(second).toMatchObject({ status: 202, body: first.body })
    expect(other).toMatchObject({ status: 422, body: { error: { code: 'idempotency_key_reused' } } })
    await getOnlyTopUp(db, shop.workspaceId)
  })

  test('the same key in two workspaces is two top-ups, each in its own', async ({ shop, paddle, db }) => {
    const other = await shop.another()
    await givenCard(db, paddle, shop.workspaceId)
    await givenCard(db, paddle, other.workspaceId)
    const ask = { body: { amount_usd: 20 }, headers: { 'idempotency-key': newId('key') } }

    await shop.post(topUp, ask)
    await other.post(topUp, ask)

    const mine = await getOnlyTopUp(db, shop.workspaceId)
    const theirs = await getOnlyTopUp(db, other.workspaceId)
    expect(theirs.topUpId).not.toBe(mine.topUpId)
  })

  test('while an earlier charge needs a review, the card is not charged again', async ({
    shop,
    paddle,
    db,
  }) => {
    const card = await givenCard(db, paddle, shop.workspaceId)
    const payer = { workspaceId: shop.workspaceId, customerId: '', subscriptionId: card.subscriptionId }
    await givenTopUp(db, payer, { source: 'api', state: 'needs_review' })

    const answer = await shop.post(topUp, { body: { amount_usd: 20 } })

    expect(answer).toMatchObject({ status: 409, body: { error: { code: 'charge_in_review' } } })
    await getOnlyTopUp(db, shop.workspaceId)
  })
})

describe('without a card that can be charged', () => {
  test('a checkout is opened, and it leads back to where the caller says', async ({ shop, paddle, db }) => {
    const answer = await shop.post(topUp, {
      body: {
        amount_usd: 25,
        email: 'payer@example.com',
        success_url: 'https://shop.example/paid?x=1&y=2',
        cancel_url: 'https://shop.example/back',
      },
    })

    const row = await getOnlyTopUp(db, shop.workspaceId)
    expect(answer).toMatchObject({
      status: 202,
      body: { id: row.topUpId, status: 'requires_action', state: 'awaiting_customer', amount_usd: 25 },
    })
    const url = new URL(urlIn(answer.body))
    expect(url.searchParams.get('return_url')).toBe('https://shop.example/paid?x=1&y=2')
    expect(url.searchParams.get('cancel_url')).toBe('https://shop.example/back')
    const page = await fetch(url)
    expect(page.status).toBe(200)
    expect(await page.text()).toContain('$25.00')
    expect((await paddle.gateway.getTransaction(row.paddleTransactionId ?? '')).outcome).toBe('found')
  })

  test('the e-mail address is needed once, and the customer that it makes stays', async ({
    shop,
    paddle,
    db,
  }) => {
    const unknown = await shop.post(topUp, { body: { amount_usd: 25 } })
    await shop.post(topUp, { body: { amount_usd: 25, email: 'first@example.com' } })
    const known = await shop.post(topUp, { body: { amount_usd: 25 } })
    const another = await shop.post(topUp, { body: { amount_usd: 25, email: 'second@example.com' } })

    expect(unknown).toMatchObject({ status: 422, body: { error: { code: 'email_needed', field: 'email' } } })
    expect([known.status, another.status]).toEqual([202, 202])
    const topUps = await listTopUps(db, { workspaceId: shop.workspaceId, limit: 10 })
    const transactions = await Promise.all(
      topUps.map((each) => paddle.gateway.getTransaction(each.paddleTransactionId ?? '')),
    )
    const customers = transactions.map((each) =>
      each.outcome === 'found' ? each.transaction.customerId : null,
    )
    expect(customers).toHaveLength(3)
    expect(new Set(customers).size).toBe(1)
  })

  test('a card of ours that Paddle does not let us charge leads to a checkout too', async ({
    shop,
    paddle,
    db,
  }) => {
    const { savedCardId, subscriptionId } = await givenCard(db, paddle, shop.workspaceId)
    await db
      .updateTable('saved_card')
      .set({ state: 'past_due' })
      .where('subscription_id', '=', subscriptionId)
      .execute()

    const answer = await shop.post(topUp, { body: { amount_usd: 25, payment_method_id: savedCardId } })

    expect(answer).toMatchObject({ status: 202, body: { status: 'requires_action' } })
  })
})

describe('is refused', () => {
  const amounts =
    '-5 0 1e308 "NaN" "1e3" 0.001 "-0" -0 4.99 2000.01 "2000.001" 1e21 null true [50] {"amount":50} "" "+50" "0x32" "050" ' +
    '"5,00" "٥٠" 50.005 "$50" "Infinity" 9007199254740993 "50\\u0020" "\\u002050" "5\\u00000"'

  test.for(amounts.split(' '))('an amount of %s, with the field', async (amount, { shop, db }) => {
    const answer = await shop.post(topUp, { body: `{"amount_usd":${amount},"email":"a@example.com"}` })

    expect(answer).toMatchObject({
      status: 400,
      body: { error: { code: 'invalid_request', field: 'amount_usd' } },
    })
    expect(await listTopUps(db, { workspaceId: shop.workspaceId, limit: 1 })).toEqual([])
  })

  test.for(['NaN', 'Infinity', '50n', "'50'"])('%s, which is no JSON', async (amount, { shop }) => {
    const answer = await shop.post(topUp, { body: `{"amount_usd":${amount}}` })

    expect(answer.status).toBe(400)
  })

  test('a missing amount and a field that nobody knows, by name', async ({ shop }) => {
    const missing = await shop.post(topUp, { body: {} })
    const unknown = await shop.post(topUp, { body: { amount_usd: 50, amount_micros: 1 } })

    expect(missing).toMatchObject({ status: 400, body: { error: { field: 'amount_usd' } } })
    expect(unknown.status).toBe(400)
    expect(JSON.stringify(unknown.body)).toContain('amount_micros')
  })

  test('a read key, a write key, no key, and another workspace’s card', async ({ shop, paddle, db }) => {
    const other = await shop.another()
    const theirs = await givenCard(db, paddle, other.workspaceId)
    const body = { amount_usd: 50, payment_method_id: theirs.savedCardId, email: 'a@example.com' }

    const statuses = await Promise.all(
      (['read', 'write', null] as const).map(async (key) => (await shop.post(topUp, { key, body })).status),
    )
    const foreign = await shop.post(topUp, { body })
    const unknown = await shop.post(topUp, { body: { ...body, payment_method_id: 'pm_000000000000' } })

    expect(statuses).toEqual([403, 403, 401])
    expect(foreign.status).toBe(404)
    expect(withoutRequestId(foreign.body)).toEqual(withoutRequestId(unknown.body))
    expect(await listTopUps(db, { workspaceId: other.workspaceId, limit: 1 })).toEqual([])
    expect(await listTopUps(db, { workspaceId: shop.workspaceId, limit: 1 })).toEqual([])
  })

  test('while the wallet is frozen, with or without a card', async ({ shop, paddle, db }) => {
    const other = await shop.another()
    await givenCard(db, paddle, shop.workspaceId)
    for (const { workspaceId } of [shop, other]) {
      const frozen = { actor: 'test', reason: 'chargeback', now: new Date() }
      await underLock(db, workspaceId, (trx, wallet) => freezeWallet(trx, wallet, frozen))
    }

    const withCard = await shop.post(topUp, { body: { amount_usd: 50 } })
    const without = await other.post(topUp, { body: { amount_usd: 50, email: 'a@example.com' } })

    for (const answer of [withCard, without]) {
      expect(answer).toMatchObject({ status: 409, body: { error: { code: 'wallet_frozen' } } })
      expect(JSON.stringify(answer.body)).toContain('settle the dispute')
    }
    expect(await listTopUps(db, { workspaceId: other.workspaceId, limit: 1 })).toEqual([])
  })

  test.for(['javascript:alert(1)', 'ftp://shop.example', '/wallet', 'shop.example', 'data:text/html,x'])(
    'a way back to %s',
    async (success_url, { shop }) => {
      const answer = await shop.post(topUp, { body: { amount_usd: 50, email: 'a@example.com', success_url } })

      expect(answer).toMatchObject({ status: 400, body: { error: { field: 'success_url' } } })
    },
  )

  test('where no Paddle is configured, and everything else goes on', async ({ api, db }) => {
    const answer = await api.post(topUp, { body: { amount_usd: 50 } })

    expect(answer).toMatchObject({ status: 503, body: { error: { code: 'payments_not_configured' } } })
    expect(JSON.stringify(answer.body)).toContain('PADDLE_API_KEY')
    expect((await api.get('/v1/wallet/topups')).status).toBe(200)
    expect(await listTopUps(db, { workspaceId: api.workspaceId, limit: 1 })).toEqual([])
  })
})

describe('when Paddle does not do it', () => {
  const faults = [
    { kind: 'http_500', status: 502, code: 'paddle_did_not_answer' },
    { kind: 'html_502', status: 502, code: 'paddle_did_not_answer' },
    { kind: 'truncated_json', status: 502, code: 'paddle_did_not_answer' },
    { kind: 'reset', status: 502, code: 'paddle_did_not_answer' },
    { kind: 'rate_limited', status: 503, code: 'paddle_busy' },
  ] as const

  test.for(faults)(
    '($kind) the answer is $status $code and no checkout is left open',
    async (fault, { shop, paddle, db }) => {
      await shop.post(topUp, { body: { amount_usd: 25, email: 'payer@example.com' } })
      await paddle.control.fault({ on: 'POST /transactions', kind: fault.kind })

      const answer = await shop.post(topUp, { body: { amount_usd: 30 } })
      const again = await shop.post(topUp, { body: { amount_usd: 30 } })

      expect(answer).toMatchObject({ status: fault.status, body: { error: { code: fault.code } } })
      expect(again).toMatchObject({ status: 202, body: { status: 'requires_action' } })
      const states = (await listTopUps(db, { workspaceId: shop.workspaceId, limit: 9 })).map(
        ({ state }) => state,
      )
      expect(states).toEqual(['awaiting_customer', 'failed', 'awaiting_customer'])
    },
  )

  test('a Paddle that never answers is given up in time, and one that is not there at once', async ({
    startTestApi,
    paddle,
    db,
  }) => {
    const { PADDLE_API_KEY: apiKey = '', PADDLE_SETUP_PRICE_ID: setupPriceId = '' } = paddle.environment
    const gatewayTo = (environment: string) =>
      createPaddleGateway({
        apiKey,
        environment,
        productId: paddle.productId,
        setupPriceId,
        timeouts: { otherMs: 500 },
      })
    const slow = await startTestApi({ context: { paddle: gatewayTo(paddle.url) } })
    const gone = await startTestApi({ context: { paddle: gatewayTo('http://127.0.0.1:9') } })
    const body = { amount_usd: 25, email: 'payer@example.com' }
    await paddle.control.fault({ on: 'POST /customers', kind: 'hang' })

    const [late, nowhere] = await Promise.all([slow.post(topUp, { body }), gone.post(topUp, { body })])

    expect(late).toMatchObject({ status: 502, body: { error: { code: 'paddle_did_not_answer' } } })
    expect(nowhere).toMatchObject({ status: 503, body: { error: { code: 'paddle_busy' } } })
    expect(nowhere.headers['retry-after']).toBe('5')
    expect(await listTopUps(db, { workspaceId: slow.workspaceId, limit: 1 })).toEqual([])
    expect((await slow.get('/v1/wallet')).status).toBe(200)
  })
})

describe('reading top-ups', () => {
  test('lists them newest first, by status and source, a page at a time', async ({ shop, db }) => {
    const payer = { workspaceId: shop.workspaceId, customerId: 'ctm_1', subscriptionId: 'sub_1' }
    const first = await givenTopUp(db, payer, { state: 'succeeded', createdAt: at(1) })
    const second = await givenTopUp(db, payer, { source: 'checkout', state: 'abandoned', createdAt: at(2) })
    const third = await givenTopUp(db, payer, {
      source: 'api',
      state: 'declined',
      reason: 'expired_card',
      createdAt: at(3),
    })
    const other = await shop.another()

    const all = await shop.get('/v1/wallet/topups?limit=2')
    const rest = await shop.get('/v1/wallet/topups?limit=2&offset=2')
    const declined = await shop.get('/v1/wallet/topups?status=declined')
    const byPage = await shop.get('/v1/wallet/topups?source=checkout', { key: 'read' })

    expect(all.body).toMatchObject({ topups: [{ id: third }, { id: second }], total: 3, limit: 2, offset: 0 })
    expect(rest.body).toMatchObject({
      topups: [{ id: first, status: 'succeeded', credited_usd: 20 }],
      total: 3,
    })
    expect(declined.body).toMatchObject({
      topups: [
        {
          id: third,
          status: 'declined',
          reason: 'expired_card',
          message: 'The card has expired: save its successor.',
        },
      ],
      total: 1,
    })
    expect(byPage.body).toMatchObject({ topups: [{ id: second, status: 'canceled' }], total: 1 })
    expect((await other.get('/v1/wallet/topups')).body).toMatchObject({ topups: [], total: 0 })
  })

  test('tells one with every step, and nothing of another workspace’s', async ({ shop, paddle, db }) => {
    await givenCard(db, paddle, shop.workspaceId)
    const other = await shop.another()
    await shop.post(topUp, { body: { amount_usd: 20 } })
    const { topUpId } = await getOnlyTopUp(db, shop.workspaceId)

    const mine = await shop.get(`/v1/wallet/topups/${topUpId}`, { key: 'read' })
    const theirs = await other.get(`/v1/wallet/topups/${topUpId}`)
    const nobodys = await other.get('/v1/wallet/topups/topup_000')

    expect(mine).toMatchObject({
      status: 200,
      body: { id: topUpId, status: 'pending', steps: [{ state: 'ready', reason: null }] },
    })
    expect(theirs.status).toBe(404)
    expect(withoutRequestId(theirs.body)).toEqual(withoutRequestId(nobodys.body))
  })

  test('never tells one state and another as its last step, however its end falls between', async ({
    shop,
    paddle,
    db,
  }) => {
    await givenCard(db, paddle, shop.workspaceId)
    await shop.post(topUp, { body: { amount_usd: 20 } })
    const { topUpId } = await getOnlyTopUp(db, shop.workspaceId)
    const ending = await db.startTransaction().execute()
    const wallet = await lockWallet(ending, shop.workspaceId)
    if (wallet === null) throw new Error('there is no wallet')
    const canceled = { state: 'canceled', reason: 'switched_off' } as const
    await moveTopUp(ending, wallet, topUpId, { states: ['ready'] }, canceled, new Date())
    await sql`lock table top_up_step in access exclusive mode`.execute(ending)

    const asked = shop.get(`/v1/wallet/topups/${topUpId}`)
    await until('its steps are being read', async () => (await countLockWaits(db, 'top_up_step')) > 0)
    await ending.commit().execute()

    const { state, steps } = told.parse((await asked).body)
    expect(steps.at(-1)?.state).toBe(state)
  })

  test.for(['?limit=0', '?limit=101', '?limit=x', '?offset=-1', '?status=open', '?workspace_id=ws_1'])(
    'refuses %s',
    async (query, { shop }) => {
      expect((await shop.get(`/v1/wallet/topups${query}`)).status).toBe(400)
    },
  )

  test('answers without the end when it does not come in the time that was given', async ({
    shop,
    paddle,
    db,
  }) => {
    await givenCard(db, paddle, shop.workspaceId)

    const answer = await shop.post(`${topUp}?wait=1`, { body: { amount_usd: 20 } })
    const tooLong = await shop.post(`${topUp}?wait=21`, { body: { amount_usd: 20 } })

    expect(answer).toMatchObject({ status: 202, body: { status: 'pending' } })
    expect(tooLong).toMatchObject({ status: 400, body: { error: { field: 'wait' } } })
    await getOnlyTopUp(db, shop.workspaceId)
  })
})

function urlIn(body: unknown): string {
  if (typeof body === 'object' && body !== null && 'checkout_url' in body) return String(body.checkout_url)
  throw new Error(`there is no checkout in ${JSON.stringify(body)}`)
}

function withoutRequestId(body: unknown): string {
  return JSON.stringify(body).replaceAll(/req_[\w-]+/g, 'req')
}

function at(minute: number): Date {
  return new Date(Date.UTC(2026, 10, 1, 10, minute))
}
