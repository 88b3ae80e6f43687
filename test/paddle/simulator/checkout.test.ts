// A customer at the hosted checkout, by HTTP as a browser without scripts would: form, decline, payment, way back.
import { readFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { describe, expect, test } from 'vitest'

import { givenSimulator, type Given } from './given-simulator.ts'

const wayBack = 'https://wallet.example.com/?done=1&x=<y>'

test('shows what it costs and that it is not real, without a script or anything from elsewhere', async () => {
  const given = await givenSimulator()
  const address = await givenCheckout(given)

  const response = await fetch(address)

  const html = await response.text()
  expect(response.headers.get('content-security-policy')).toContain("default-src 'none'")
  expect(html).toContain('no real money')
  expect(html).toContain('$120.00')
  expect(html).toContain('4242 4242 4242 4242')
  expect(html).not.toContain('<script')
  expect(html).not.toMatch(/(?:src|href)="http/)
})

test('a declined card is told, the checkout stays open, and another card pays', async () => {
  const given = await givenSimulator()
  const { control, paddle } = given
  const address = await givenCheckout(given)

  const declined = await post(`${address}?return_url=${encodeURIComponent(wayBack)}`, {
    test_card: '4000000000009995',
  })
  const open = await paddle.transactions.list().next()
  const paid = await post(declined.url, {
    number: '5555 5555 5555 4444',
    expiry: '12/39',
    cvc: '123',
    save_card: 'on',
  })

  expect(declined.html).toContain('not_enough_balance')
  expect(open).toMatchObject([
    { status: 'ready', payments: [{ status: 'error', errorCode: 'not_enough_balance' }] },
  ])
  expect(paid.html).toContain('You paid $120.00')
  expect(paid.html).toContain('mastercard ending in 4444')
  expect(paid.html).toContain('href="https://wallet.example.com/?done=1&amp;x=&lt;y&gt;"')
  const { captures, events } = await control.journal()
  expect(captures).toMatchObject([{ net: '10000' }])
  expect(events.map(({ eventType }) => eventType)).toEqual(
    expect.arrayContaining(['transaction.payment_failed', 'payment_method.saved', 'transaction.completed']),
  )
})

test('pays once, however often the form is sent', async () => {
  const given = await givenSimulator()
  const address = await givenCheckout(given)

  const answers = await Promise.all([1, 2, 3].map(() => post(address, { test_card: '4242424242424242' })))

  expect(answers.every(({ html }) => html.includes('You paid'))).toBe(true)
  expect((await given.control.journal()).captures).toHaveLength(1)
})

test('asks who pays when nobody said so, and taxes them where they are', async () => {
  const given = await givenSimulator()
  const { simulator, control, paddle } = given
  const transaction = await paddle.transactions.create({
    items: [{ priceId: simulator.setupPriceId, quantity: 1 }],
  })
  const address = transaction.checkout?.url ?? ''

  const form = await (await fetch(address)).text()
  const paid = await post(address, {
    test_card: '4242424242424242',
    email: 'ada@example.com',
    country: 'gb',
    save_card: 'on',
  })

  expect(transaction.status).toBe('draft')
  expect(form).toContain('name="email"')
  expect(paid.html).toContain('Your card is saved')
  expect(await paddle.customers.list({ email: ['ada@example.com'] }).next()).toHaveLength(1)
  expect(await paddle.subscriptions.list({ status: ['active'] }).next()).toHaveLength(1)
  expect((await control.events()).map(({ eventType }) => eventType)).toContain('transaction.ready')
})

describe('what was typed is checked', () => {
  test.for([
    ['a number that is none', { number: '12' }, 'Enter a card number'],
    ['no expiry', { number: '4242424242424242', cvc: '123' }, 'MM/YY'],
    ['no security code', { number: '4242424242424242', expiry: '12/39' }, 'security code'],
    ['an expiry that is over', { number: '4242424242424242', expiry: '01/20', cvc: '123' }, 'expired_card'],
    [
      'a number with a mistake in it',
      { number: '4242424242424243', expiry: '12/39', cvc: '123' },
      'invalid_payment_details',
    ],
  ] as const)('%s', async ([, fields, said]) => {
    const given = await givenSimulator()
    const address = await givenCheckout(given)

    const answer = await post(address, fields)

    expect(answer.html).toContain(said)
    expect((await given.control.journal()).captures).toEqual([])
  })
})

test('an address that is no checkout, or a way back that is no page, is not followed', async () => {
  const given = await givenSimulator()
  const address = await givenCheckout(given)

  const missing = await fetch(`${given.simulator.url}/checkout/txn_00000000000000000000000000`)
  const hostile = await fetch(`${address}?return_url=${encodeURIComponent('javascript:alert(1)')}`)

  expect(missing.status).toBe(404)
  expect(await hostile.text()).not.toContain('javascript:')
})

test('the links in the mails lead to another card, or to none', async () => {
  const { simulator, control, paddle } = await givenSimulator()
  const { subscriptionId, customerId } = await control.saveCard({ workspaceId: 'ws_1' })
  const { managementUrls } = await paddle.subscriptions.get(subscriptionId)

  const portal = await (await fetch(`${simulator.url}/portal/${customerId}`)).text()
  const change = await fetch(managementUrls?.updatePaymentMethod ?? '')
  const changed = await post(change.url, { test_card: '5555555555554444', save_card: 'on' })
  const ask = await (await fetch(managementUrls?.cancel ?? '')).text()
  const removed = await post(managementUrls?.cancel ?? '', {})

  expect(portal).toContain('visa ending in 4242')
  expect(changed.html).toContain('Your card is saved')
  expect(ask).toContain('mastercard ending in 4444')
  expect(removed.html).toContain('The card is removed')
  expect(await paddle.subscriptions.get(subscriptionId)).toMatchObject({ status: 'canceled' })
})

test('the number of a card is kept nowhere', async () => {
  const stateFile = join(tmpdir(), `paddle-simulator-${process.pid}-card.json`)
  const logged: string[] = []
  const given = await givenSimulator({ stateFile, log: (message) => logged.push(message) })
  const address = await givenCheckout(given)

  await post(address, { number: '4111 1111 1111 1111', expiry: '12/39', cvc: '737' })
  await given.simulator.close()

  const state = await readFile(stateFile, 'utf8')
  expect(state).toContain('"last4":"1111"')
  expect(`${state}${logged.join('')}`.replaceAll(/\s/g, '')).not.toContain('4111111111111111')
})

/** $100.00 for somebody in Britain. */
async function givenCheckout({ simulator, paddle }: Given): Promise<string> {
  const customer = await paddle.customers.create({ email: 'grace@example.com' })
  const address = await paddle.addresses.create(customer.id, { countryCode: 'GB' })
  const transaction = await paddle.transactions.create({
    customerId: customer.id,
    addressId: address.id,
    items: [
      {
        quantity: 1,
        price: {
          productId: simulator.productId,
          name: 'Wallet top-up',
          description: 'top-up by checkout',
          taxMode: 'external',
          unitPrice: { amount: '10000', currencyCode: 'USD' },
          customData: { top_up_id: 'topup_1', workspace_id: 'ws_1', source: 'checkout' },
        },
      },
    ],
  })
  return `${simulator.url}/checkout/${transaction.id}`
}

async function post(address: string, fields: Record<string, string>): Promise<{ url: string; html: string }> {
  const response = await fetch(address, { method: 'POST', body: new URLSearchParams(fields) })
  return { url: response.url, html: await response.text() }
}
