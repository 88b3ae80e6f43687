// How Paddle lists, with the SDK following its pages to the end.
import { expect, test } from 'vitest'

import { aCharge, givenSimulator, type Given } from './given-simulator.ts'

test('a page of transactions holds 30 at most, and the pages end', async () => {
  const given = await givenSimulator()
  const { paddle } = given
  const subscriptionId = await givenCharges(given, 65)

  const pages = paddle.transactions.list({
    subscriptionId: [subscriptionId],
    origin: ['subscription_charge'],
    orderBy: 'created_at[DESC]',
    perPage: 200,
  })
  const sizes: number[] = []
  while (pages.hasMore) sizes.push((await pages.next()).length)
  const all: string[] = []
  for await (const { items } of paddle.transactions.list({ origin: ['subscription_charge'] }))
    all.push(String(items[0]?.price?.customData?.['top_up_id']))

  expect(sizes).toEqual([30, 30, 5])
  expect(pages.estimatedTotal).toBe(65)
  expect(all).toEqual(Array.from({ length: 65 }, (_, index) => `topup_${index}`))
})

test('a list knows commas, instants with operators, and both directions', async () => {
  const given = await givenSimulator()
  const { paddle, control } = given
  const subscriptionId = await givenCharges(given, 2)
  await control.advance(60_000)
  const { now } = await control.now()
  await paddle.subscriptions.createOneTimeCharge(subscriptionId, aCharge('topup_late'))
  const list = async (query: Parameters<typeof paddle.transactions.list>[0]): Promise<unknown[]> =>
    (await paddle.transactions.list(query).next()).map(
      ({ items, origin }) => items[0]?.price?.customData?.['top_up_id'] ?? origin,
    )

  expect(await list({ 'createdAt[GTE]': now })).toEqual(['topup_late'])
  expect(await list({ 'createdAt[LT]': now, origin: ['subscription_charge'] })).toEqual([
    'topup_0',
    'topup_1',
  ])
  expect(await list({ origin: ['subscription_charge', 'api'], orderBy: 'created_at[DESC]' })).toEqual([
    'topup_late',
    'topup_1',
    'topup_0',
    'api',
  ])
  expect(await list({ status: ['canceled', 'past_due'] })).toEqual([])
})

test('what a list does not understand is refused', async () => {
  const { simulator } = await givenSimulator()
  const ask = async (query: string): Promise<unknown> => {
    const response = await fetch(`${simulator.url}/transactions?${query}`, {
      headers: { authorization: `bearer ${simulator.apiKey}` },
    })
    return await response.json()
  }

  expect(await ask('subscription=sub_1')).toMatchObject({ error: { code: 'invalid_field' } })
  expect(await ask('order_by=amount[DESC]')).toMatchObject({ error: { code: 'invalid_field' } })
  expect(await ask('created_at[GTE]=yesterday')).toMatchObject({ error: { code: 'invalid_field' } })
  expect(await ask('per_page=0')).toMatchObject({ error: { code: 'invalid_field' } })
  expect(await ask('after=txn_00000000000000000000000000')).toMatchObject({ error: { code: 'bad_request' } })
})

async function givenCharges({ control, paddle }: Given, charges: number): Promise<string> {
  await control.limits({ requestsPerMinute: null, chargesPerHour: null, chargesPerDay: null })
  const { subscriptionId } = await control.saveCard({ workspaceId: 'ws_1' })
  for (let index = 0; index < charges; index += 1)
    await paddle.subscriptions.createOneTimeCharge(subscriptionId, aCharge(`topup_${index}`))
  return subscriptionId
}
