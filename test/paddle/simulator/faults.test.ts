// Each way in which a charge can go wrong, before and after the card was charged, and what the journal knows of it.
import { describe, expect, test } from 'vitest'

import { until } from '../../support/until.ts'
import { aCharge, givenSimulator, type Given } from './given-simulator.ts'

const kinds = [
  ['reset', 'fetch failed'],
  ['http_500', 'An unexpected error occurred'],
  ['html_502', 'is not valid JSON'],
  ['empty_504', 'Unexpected end of JSON input'],
  ['truncated_json', 'JSON'],
] as const
const moments = [
  ['before', 0],
  ['after', 1],
] as const

describe.for(moments)('%s the card was charged', ([when, captured]) => {
  test.for(kinds)('%s leaves the client without an answer', async ([kind, message]) => {
    const given = await givenSimulator()
    const { control, paddle } = given
    const subscriptionId = await givenCard(given)
    await control.fault({ on: 'charge', kind, when })

    const charge = paddle.subscriptions.createOneTimeCharge(subscriptionId, aCharge('topup_1'))

    await expect(charge).rejects.toThrow(message)
    expect((await control.journal()).captures).toHaveLength(captured)
    await paddle.subscriptions.createOneTimeCharge(subscriptionId, aCharge('topup_2'))
    expect((await control.journal()).captures).toHaveLength(captured + 1)
  })

  test('hang never answers', async () => {
    const given = await givenSimulator()
    const { control } = given
    const subscriptionId = await givenCard(given)
    await control.fault({ on: 'charge', kind: 'hang', when })
    const client = new AbortController()

    const charge = rawCharge(given, subscriptionId, client.signal)
    await until('the request has come', async () => {
      const { requests } = await control.journal()
      return requests['POST /subscriptions/{id}/charge'] === 1
    })
    client.abort()

    await expect(charge).rejects.toThrow('abort')
    expect((await control.journal()).captures).toHaveLength(captured)
  })

  test.for([
    ['rate_limited', 'too_many_requests'],
    ['locked_renewal', 'subscription_locked_renewal'],
    ['concurrent_modification', 'concurrent_modification'],
    ['outstanding_transaction', 'subscription_outstanding_transaction'],
  ] as const)('%s is a refusal in the form of Paddle', async ([kind, code]) => {
    const given = await givenSimulator()
    const { control, paddle } = given
    const subscriptionId = await givenCard(given)
    await control.fault({ on: 'charge', kind, when, retryAfterSeconds: 17 })

    const charge = paddle.subscriptions.createOneTimeCharge(subscriptionId, aCharge('topup_1'))

    await expect(charge).rejects.toMatchObject({ code, retryAfter: kind === 'rate_limited' ? 17 : null })
    expect((await control.journal()).captures).toHaveLength(captured)
  })
})

test('a slow charge takes effect when its time has come, even if the client has gone', async () => {
  const given = await givenSimulator()
  const { control } = given
  const subscriptionId = await givenCard(given)
  await control.fault({ on: 'charge', kind: 'slow', delayMs: 90_000 })
  const client = new AbortController()
  const charge = rawCharge(given, subscriptionId, client.signal)
  await until('the request has come', async () => {
    const { requests } = await control.journal()
    return requests['POST /subscriptions/{id}/charge'] === 1
  })
  client.abort()
  await expect(charge).rejects.toThrow('abort')

  await control.advance(89_000)
  const early = await control.journal()
  await control.advance(1_500)

  expect(early.captures).toEqual([])
  await until('the card is charged', async () => (await control.journal()).captures.length === 1)
})

test('a charge may be out of sight of the lists for a while, and is there all the same', async () => {
  const given = await givenSimulator()
  const { control, paddle } = given
  const subscriptionId = await givenCard(given)
  await control.fault({ on: 'charge', kind: 'http_500', when: 'after', visibleAfterMs: 120_000 })
  const list = async (): Promise<number> =>
    (
      await paddle.transactions
        .list({ subscriptionId: [subscriptionId], origin: ['subscription_charge'] })
        .next()
    ).length

  await expect(
    paddle.subscriptions.createOneTimeCharge(subscriptionId, aCharge('topup_1')),
  ).rejects.toMatchObject({ code: 'internal_error' })

  expect((await control.journal()).captures).toMatchObject([{ topUpId: 'topup_1' }])
  expect(await list()).toBe(0)
  await control.advance(120_000)
  expect(await list()).toBe(1)
})

test('a charge that Paddle processes twice is captured twice, and answered once', async () => {
  const given = await givenSimulator()
  const { control, paddle } = given
  const subscriptionId = await givenCard(given)
  await control.fault({ on: 'charge', kind: 'processed_twice' })

  await paddle.subscriptions.createOneTimeCharge(subscriptionId, aCharge('topup_1'))

  expect((await control.journal()).captures).toMatchObject([{ topUpId: 'topup_1' }, { topUpId: 'topup_1' }])
})

test('faults wait for the requests that they are meant for, in order', async () => {
  const given = await givenSimulator()
  const { control, paddle } = given
  const { customerId } = await control.saveCard({ workspaceId: 'ws_1' })
  await control.fault({ on: 'list_transactions', kind: 'html_502', times: 2 })
  await control.fault({ on: '^GET /customers/ctm_', kind: 'rate_limited' })

  await expect(paddle.transactions.list().next()).rejects.toThrow('JSON')
  await expect(paddle.customers.get(customerId)).rejects.toMatchObject({
    code: 'too_many_requests',
    retryAfter: null,
  })
  expect(await paddle.customers.get(customerId)).toMatchObject({ id: customerId })
  await expect(paddle.transactions.list().next()).rejects.toThrow('JSON')
  expect(await paddle.transactions.list().next()).toHaveLength(1)
  await expect(control.fault({ on: '(', kind: 'reset' })).rejects.toThrow('expected charge')
})

async function givenCard({ control }: Given): Promise<string> {
  const { subscriptionId } = await control.saveCard({ workspaceId: 'ws_1' })
  return subscriptionId
}

/** The SDK cannot be made to give up; a plain request can. */
async function rawCharge(
  { simulator }: Given,
  subscriptionId: string,
  signal: AbortSignal,
): Promise<Response> {
  return await fetch(`${simulator.url}/subscriptions/${subscriptionId}/charge`, {
    method: 'POST',
    signal,
    headers: { authorization: `Bearer ${simulator.apiKey}` },
    body: JSON.stringify({
      effective_from: 'immediately',
      items: [
        {
          quantity: 1,
          price: {
            product_id: simulator.productId,
            description: 'a recharge',
            unit_price: { amount: '10000', currency_code: 'USD' },
          },
        },
      ],
    }),
  })
}
