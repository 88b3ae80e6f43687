// What Paddle refuses before it does anything: keys, bodies, words that it does not know.
import { describe, expect, test } from 'vitest'

import { aCharge, givenSimulator } from './given-simulator.ts'

describe('a request', () => {
  test('needs the key, whatever the case of "bearer"', async () => {
    const { simulator } = await givenSimulator()
    const ask = async (authorization: string | null): Promise<[number, unknown]> => {
      const response = await fetch(`${simulator.url}/customers`, {
        headers: authorization === null ? {} : { authorization },
      })
      return [response.status, await response.json()]
    }

    expect(await ask(null)).toMatchObject([403, { error: { code: 'authentication_missing' } }])
    expect(await ask('Basic abc')).toMatchObject([403, { error: { code: 'authentication_malformed' } }])
    expect(await ask('Bearer wrong')).toMatchObject([403, { error: { code: 'invalid_token' } }])
    expect(await ask(`BEARER ${simulator.apiKey}`)).toMatchObject([
      200,
      { data: [], meta: { pagination: {} } },
    ])
  })

  test.for([
    ['broken JSON', '{"email":', 400, 'bad_request'],
    ['more than a megabyte', JSON.stringify({ email: 'x'.repeat(1_000_001) }), 413, 'request_body_too_large'],
    ['a name that Paddle does not know', '{"email":"a@b.co","emial":"a@b.co"}', 400, 'invalid_field'],
    ['an array', '[]', 400, 'invalid_field'],
  ] as const)('with %s is refused in the form of Paddle', async ([, body, status, code]) => {
    const { simulator } = await givenSimulator()

    const response = await fetch(`${simulator.url}/customers`, {
      method: 'POST',
      body,
      headers: { authorization: `Bearer ${simulator.apiKey}` },
    })

    expect(response.status).toBe(status)
    expect(await response.json()).toMatchObject({
      error: { type: 'request_error', code, documentation_url: expect.stringContaining(code) },
      meta: { request_id: expect.any(String) },
    })
  })

  test('to nowhere, or for nothing, is not found', async () => {
    const { simulator, paddle } = await givenSimulator()

    const response = await fetch(`${simulator.url}/nowhere`)

    expect(response.status).toBe(404)
    await expect(paddle.customers.get('ctm_00000000000000000000000000')).rejects.toMatchObject({
      code: 'not_found',
    })
  })
})

test('a web page that happens to be open does not pull the strings', async () => {
  const { simulator } = await givenSimulator()
  const ask = (headers: Record<string, string>, body = '{}'): Promise<Response> =>
    fetch(`${simulator.url}/_sim/reset`, { method: 'POST', body, headers })

  expect((await ask({ origin: 'https://elsewhere.example.com' })).status).toBe(400)
  expect((await ask({}, '{')).status).toBe(400)
  expect((await ask({}, '{"everything":true}')).status).toBe(400)
  expect((await ask({})).status).toBe(200)
})

describe('a charge', () => {
  test.for([
    ['a name of 51 characters', { name: 'x'.repeat(51) }, 'items[0].price.name'],
    ['a description of one', { description: 'x' }, 'items[0].price.description'],
    [
      'an amount with a point',
      { unitPrice: { amount: '100.00', currencyCode: 'USD' } },
      'items[0].price.unit_price.amount',
    ],
    [
      'a recurring price',
      { billingCycle: { interval: 'year', frequency: 1 } },
      'items[0].price.billing_cycle',
    ],
    ['no product', { productId: undefined }, 'items[0].price.product_id'],
    [
      'another currency',
      { unitPrice: { amount: '10000', currencyCode: 'EUR' } },
      'items[0].price.unit_price.currency_code',
    ],
  ] as const)('with %s is refused, and says where', async ([, change, field]) => {
    const { control, paddle } = await givenSimulator()
    const { subscriptionId } = await control.saveCard({ workspaceId: 'ws_1' })
    const body = aCharge('topup_1')
    Object.assign(body.items[0]?.price ?? {}, change)

    const charge = paddle.subscriptions.createOneTimeCharge(subscriptionId, body)

    await expect(charge).rejects.toMatchObject({ code: 'invalid_field', errors: [{ field }] })
    expect((await control.journal()).captures).toEqual([])
  })

  test('below 70 cents is refused, and 70 cents are not', async () => {
    const { control, paddle } = await givenSimulator()
    const { subscriptionId } = await control.saveCard({ workspaceId: 'ws_1' })

    const little = paddle.subscriptions.createOneTimeCharge(subscriptionId, aCharge('topup_1', '69'))

    await expect(little).rejects.toMatchObject({
      code: 'transaction_balance_less_than_charge_limit',
      detail: 'Transaction balance: 69, Minimum payment amount: 70, Currency code: USD',
    })
    await paddle.subscriptions.createOneTimeCharge(subscriptionId, aCharge('topup_1', '70'))
    expect((await control.journal()).captures).toMatchObject([{ net: '70' }])
  })

  test('for a product that is not there is refused', async () => {
    const { control, paddle } = await givenSimulator()
    const { subscriptionId } = await control.saveCard({ workspaceId: 'ws_1' })
    const body = aCharge('topup_1')
    Object.assign(body.items[0]?.price ?? {}, { productId: 'pro_00000000000000000000000000' })

    await expect(paddle.subscriptions.createOneTimeCharge(subscriptionId, body)).rejects.toMatchObject({
      code: 'not_found',
    })
  })
})
