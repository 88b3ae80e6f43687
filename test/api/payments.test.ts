// Payments under the names of the older API: a checkout, its return, and the history of what came of it.
import { describe, expect } from 'vitest'

import { applyPaddleTransaction } from '../../db/paddle-transaction.ts'
import { listTopUps } from '../../db/top-up.ts'
import { getOnlyTopUp, givenTopUp } from '../support/given-money-in.ts'
import { test } from '../support/api-with-paddle.ts'
import { newId } from '../support/given.ts'
import { sendWebhook } from '../support/paddle-sender.ts'

const checkout = '/v1/payments/checkout'

describe('a checkout', () => {
  test('answers where to send the customer, and the wallet is credited with what is paid there', async ({
    shop,
    paddle,
    db,
  }) => {
    const body = {
      amount: 30,
      currency: 'USD',
      email: 'payer@example.com',
      success_url: 'https://shop.example/ok',
    }

    const answer = await shop.post(checkout, { body })

    const row = await getOnlyTopUp(db, shop.workspaceId)
    expect(answer.status).toBe(201)
    expect(answer.headers['location']).toBe(`/v1/wallet/topups/${row.topUpId}`)
    expect(answer.body).toEqual({
      session_id: row.topUpId,
      provider: 'paddle',
      checkout_url: `${row.checkoutUrl ?? ''}&return_url=https%3A%2F%2Fshop.example%2Fok`,
    })

    const paddleTransactionId = row.paddleTransactionId ?? ''
    await paddle.control.payCheckout(paddleTransactionId)
    const found = await paddle.gateway.getTransaction(paddleTransactionId)
    if (found.outcome !== 'found') throw new Error('Paddle has no such transaction')
    const context = { productId: paddle.productId, now: new Date(), nextLookAt: new Date() }
    await db.transaction().execute((trx) => applyPaddleTransaction(trx, found.transaction, context))

    expect((await shop.get('/v1/wallet')).body).toMatchObject({ balance_usd: 40 })
    const history = await shop.get('/v1/payments/history', { key: 'read' })
    const paid = await getOnlyTopUp(db, shop.workspaceId)
    expect(history.body).toEqual({
      payments: [
        {
          id: row.topUpId,
          provider: 'paddle',
          amount_usd: 30,
          currency: 'USD',
          status: 'completed',
          is_auto_charge: false,
          created_at: row.createdAt.toISOString(),
          completed_at: paid.changedAt.toISOString(),
        },
      ],
      total: 1,
      limit: 20,
      offset: 0,
    })
  })

  test('sent 20 times at once with one Idempotency-Key is one checkout', async ({ shop, db }) => {
    const ask = {
      body: { amount: 30, email: 'payer@example.com' },
      headers: { 'idempotency-key': newId('key') },
    }

    const answers = await Promise.all(Array.from({ length: 20 }, () => shop.post(checkout, ask)))

    await getOnlyTopUp(db, shop.workspaceId)
    expect(new Set(answers.map(({ status, body }) => `${status} ${JSON.stringify(body)}`)).size).toBe(1)
  })

  test('first ones at once with two addresses are both paid by the customer that came first', async ({
    shop,
    paddle,
    db,
  }) => {
    const answers = await Promise.all(
      ['one@example.com', 'other@example.com'].map((email) =>
        shop.post(checkout, { body: { amount: 30, email } }),
      ),
    )

    expect(answers.map(({ status }) => status)).toEqual([201, 201])
    const topUps = await listTopUps(db, { workspaceId: shop.workspaceId, limit: 3 })
    const transactions = await Promise.all(
      topUps.map((each) => paddle.gateway.getTransaction(each.paddleTransactionId ?? '')),
    )
    const customers = transactions.map((each) =>
      each.outcome === 'found' ? each.transaction.customerId : null,
    )
    expect(customers).toHaveLength(2)
    expect(new Set(customers).size).toBe(1)
  })

  test.for([
    ['{"amount":4.99}', 'amount'],
    ['{"amount":2000.01}', 'amount'],
    ['{"amount":-1}', 'amount'],
    ['{"amount":1e308}', 'amount'],
    ['{}', 'amount'],
    ['{"amount":30,"currency":"EUR"}', 'currency'],
    ['{"amount":30,"save_card":"yes"}', 'save_card'],
    ['{"amount":30,"email":"nobody"}', 'email'],
    ['{"amount":30,"cancel_url":"javascript:alert(1)"}', 'cancel_url'],
  ])('of %s is refused with the field %s', async ([body, field], { shop, db }) => {
    const answer = await shop.post(checkout, { body })

    expect(answer).toMatchObject({ status: 400, body: { error: { code: 'invalid_request', field } } })
    expect(await listTopUps(db, { workspaceId: shop.workspaceId, limit: 1 })).toEqual([])
  })

  test('needs an admin key, and a Paddle', async ({ shop, api }) => {
    const body = { amount: 30, email: 'payer@example.com' }

    const statuses = await Promise.all(
      (['read', 'write', null, 'operator'] as const).map(
        async (key) => (await shop.post(checkout, { key, body })).status,
      ),
    )

    expect(statuses).toEqual([403, 403, 401, 403])
    expect(await api.post(checkout, { body })).toMatchObject({
      status: 503,
      body: { error: { code: 'payments_not_configured' } },
    })
  })

  test('that Paddle cannot show, for want of a payment link, says what to set', async ({
    startTestApi,
    paddle,
    db,
  }) => {
    const { gateway } = paddle
    const withoutLink = {
      ...gateway,
      createCheckout: async (order: Parameters<typeof gateway.createCheckout>[0]) => {
        const created = await gateway.createCheckout(order)
        return created.outcome === 'created' ? { ...created, checkoutUrl: null } : created
      },
    }
    const shop = await startTestApi({ context: { paddle: withoutLink } })

    const answer = await shop.post(checkout, { body: { amount: 30, email: 'payer@example.com' } })

    expect(answer).toMatchObject({ status: 502, body: { error: { code: 'paddle_refused' } } })
    expect(JSON.stringify(answer.body)).toContain('default payment link')
    expect(await getOnlyTopUp(db, shop.workspaceId)).toMatchObject({ state: 'failed' })
  })
})

test('the history tells automatic charges from others, newest first, and only of this workspace', async ({
  api,
  db,
}) => {
  const other = await api.another()
  const payer = { workspaceId: api.workspaceId, customerId: 'ctm_1', subscriptionId: 'sub_1' }
  await givenTopUp(db, payer, { state: 'succeeded', createdAt: at(1) })
  await givenTopUp(db, payer, { source: 'api', state: 'declined', createdAt: at(2) })
  await givenTopUp(db, payer, { source: 'checkout', state: 'awaiting_customer', createdAt: at(3) })

  const history = await api.get('/v1/payments/history?limit=2')
  const older = await api.get('/v1/payments/history?limit=2&offset=2')

  expect(history.body).toMatchObject({
    payments: [
      { status: 'pending', is_auto_charge: false },
      { status: 'failed', is_auto_charge: false },
    ],
    total: 3,
  })
  expect(older.body).toMatchObject({
    payments: [{ status: 'completed', is_auto_charge: true }],
    total: 3,
    offset: 2,
  })
  expect((await other.get('/v1/payments/history')).body).toMatchObject({ payments: [], total: 0 })
})

test('a webhook sent to the older address is checked and stored as any other', async ({
  startTestApi,
  db,
}) => {
  const shop = await startTestApi()
  const url = await shop.server.listen({ host: '127.0.0.1', port: 0 })
  const eventId = newId('evt')
  const body = JSON.stringify({
    event_id: eventId,
    event_type: 'address.updated',
    occurred_at: new Date().toISOString(),
    data: {},
  })

  const taken = await sendWebhook(`${url}/v1/payments`, body)
  const forged = await sendWebhook(`${url}/v1/payments`, body, { signature: 'ts=1;h1=00' })

  expect(taken).toMatchObject({ status: 200, body: { status: 'received' } })
  expect(forged.status).toBe(401)
  const row = await db
    .selectFrom('paddle_event')
    .select('body')
    .where('event_id', '=', eventId)
    .executeTakeFirst()
  expect(row?.body).toBe(body)
})

function at(minute: number): Date {
  return new Date(Date.UTC(2026, 10, 1, 10, minute))
}
