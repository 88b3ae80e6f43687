// Every entity goes through Paddle's own SDK, whose constructors are the only other reader of these shapes that we have.
import { describe, expect, test } from 'vitest'

import { aCharge, givenSimulator } from './given-simulator.ts'

const paddleId = (prefix: string): unknown => expect.stringMatching(new RegExp(`^${prefix}_[a-z\\d]{26}$`))

test('customers and addresses', async () => {
  const { paddle } = await givenSimulator()

  const customer = await paddle.customers.create({
    email: 'ada@example.com',
    customData: { workspace_id: 'ws_1' },
  })
  const address = await paddle.addresses.create(customer.id, { countryCode: 'GB', postalCode: 'N1 9GU' })
  await paddle.customers.update(customer.id, { name: 'Ada' })
  await paddle.addresses.update(customer.id, address.id, { city: 'London' })

  expect(await paddle.customers.get(customer.id)).toMatchObject({
    id: paddleId('ctm'),
    name: 'Ada',
    customData: { workspace_id: 'ws_1' },
  })
  expect(await paddle.addresses.get(customer.id, address.id)).toMatchObject({
    id: paddleId('add'),
    city: 'London',
  })
  expect(await paddle.customers.list({ email: ['ada@example.com'] }).next()).toHaveLength(1)
  expect(await paddle.addresses.list(customer.id).next()).toHaveLength(1)
  await expect(paddle.customers.create({ email: 'ADA@example.com' })).rejects.toMatchObject({
    code: 'customer_already_exists',
    detail: expect.stringContaining(customer.id),
  })
})

test('the catalog, which always holds the wallet product and its setup price', async () => {
  const { simulator, paddle } = await givenSimulator()

  const product = await paddle.products.create({ name: 'Other', taxCategory: 'saas' })
  const price = await paddle.prices.create({
    productId: product.id,
    description: 'Other price',
    unitPrice: { amount: '500', currencyCode: 'EUR' },
  })
  await paddle.products.update(product.id, { status: 'archived' })
  await paddle.prices.update(price.id, { description: 'Renamed price' })

  expect(await paddle.products.get(simulator.productId)).toMatchObject({
    id: paddleId('pro'),
    status: 'active',
  })
  expect(await paddle.prices.get(simulator.setupPriceId, { include: ['product'] })).toMatchObject({
    id: paddleId('pri'),
    unitPrice: { amount: '0', currencyCode: 'USD' },
    billingCycle: { interval: 'year', frequency: 1 },
    product: { id: simulator.productId },
  })
  expect(await paddle.products.list({ status: ['active'] }).next()).toHaveLength(1)
  expect(await paddle.prices.list({ productId: [product.id] }).next()).toMatchObject([
    { description: 'Renamed price' },
  ])
})

test('a setup transaction, and the subscription that its checkout makes', async () => {
  const { simulator, control, paddle } = await givenSimulator()
  const customer = await paddle.customers.create({ email: 'ada@example.com' })
  const address = await paddle.addresses.create(customer.id, { countryCode: 'DE' })

  const transaction = await paddle.transactions.create({
    items: [{ priceId: simulator.setupPriceId, quantity: 1 }],
    customerId: customer.id,
    addressId: address.id,
    customData: { workspace_id: 'ws_1' },
  })
  const paid = await control.payCheckout(transaction.id, { saveCard: true })

  expect(transaction).toMatchObject({
    id: paddleId('txn'),
    status: 'ready',
    origin: 'api',
    checkout: { url: `${simulator.url}/checkout/${transaction.id}?_ptxn=${transaction.id}` },
    details: { totals: { grandTotal: '0' } },
  })
  expect(await paddle.transactions.get(transaction.id, { include: ['customer', 'address'] })).toMatchObject({
    status: 'completed',
    subscriptionId: paid.subscriptionId,
    customer: { id: customer.id },
    address: { countryCode: 'DE' },
    payments: [{ paymentMethodId: paid.paymentMethodId, methodDetails: { card: { last4: '4242' } } }],
  })
  const subscription = await paddle.subscriptions.get(paid.subscriptionId ?? '', {
    include: ['next_transaction', 'recurring_transaction_details'],
  })
  expect(subscription).toMatchObject({
    id: paddleId('sub'),
    status: 'active',
    customData: { workspace_id: 'ws_1' },
    items: [{ price: { id: simulator.setupPriceId }, product: { id: simulator.productId } }],
    nextTransaction: { details: { totals: { grandTotal: '0' } } },
  })
  expect((await control.journal()).captures).toEqual([])
})

test('saved cards, and what shows them', async () => {
  const { control, paddle } = await givenSimulator()
  const quiet = await control.saveCard({ workspaceId: 'ws_1' })
  const shown = await control.saveCard({ workspaceId: 'ws_2', consent: true })

  const token = await paddle.customers.generateAuthToken(shown.customerId)
  const portal = await paddle.customerPortalSessions.create(shown.customerId, [shown.subscriptionId])

  expect(token.customerAuthToken).toMatch(/^pca_/)
  expect(portal.urls.subscriptions).toMatchObject([{ id: shown.subscriptionId }])
  expect(await paddle.paymentMethods.list(quiet.customerId).next()).toEqual([])
  expect(await paddle.paymentMethods.list(shown.customerId).next()).toMatchObject([
    { id: paddleId('paymtd') },
  ])
  expect(await paddle.paymentMethods.get(shown.customerId, shown.paymentMethodId)).toMatchObject({
    card: { type: 'visa', last4: '4242' },
  })
  await expect(paddle.paymentMethods.delete(shown.customerId, shown.paymentMethodId)).rejects.toMatchObject({
    code: 'payment_method_associated_with_subscription',
  })
  await control.removeCard(shown.subscriptionId)
  await paddle.paymentMethods.delete(shown.customerId, shown.paymentMethodId)
  expect(await paddle.paymentMethods.list(shown.customerId).next()).toEqual([])
})

describe('a subscription', () => {
  test('is changed, paused, resumed and canceled', async () => {
    const { control, paddle } = await givenSimulator()
    const { subscriptionId } = await control.saveCard({ workspaceId: 'ws_1' })

    const changed = await paddle.subscriptions.update(subscriptionId, {
      customData: { workspace_id: 'ws_9' },
    })
    const paused = await paddle.subscriptions.pause(subscriptionId, { effectiveFrom: 'immediately' })
    const resumed = await paddle.subscriptions.resume(subscriptionId, { effectiveFrom: 'immediately' })
    const scheduled = await paddle.subscriptions.cancel(subscriptionId, {})
    const canceled = await paddle.subscriptions.cancel(subscriptionId, { effectiveFrom: 'immediately' })

    expect(changed.customData).toEqual({ workspace_id: 'ws_9' })
    expect([paused.status, resumed.status, scheduled.status, canceled.status]).toEqual([
      'paused',
      'active',
      'active',
      'canceled',
    ])
    expect(scheduled.scheduledChange).toMatchObject({ action: 'cancel' })
    expect(await paddle.subscriptions.list({ status: ['canceled'] }).next()).toMatchObject([
      { id: subscriptionId },
    ])
  })

  test('gets another card through a checkout of its own', async () => {
    const { control, paddle } = await givenSimulator()
    const { subscriptionId, paymentMethodId } = await control.saveCard({ workspaceId: 'ws_1' })

    const change = await paddle.subscriptions.getPaymentMethodChangeTransaction(subscriptionId)
    const paid = await control.payCheckout(change.id, { card: '5555 5555 5555 4444' })
    await paddle.subscriptions.createOneTimeCharge(subscriptionId, aCharge('topup_1'))

    const { captures } = await control.journal()
    expect(change).toMatchObject({ origin: 'subscription_payment_method_change', status: 'ready' })
    expect(paid.paymentMethodId).not.toBe(paymentMethodId)
    expect(captures).toMatchObject([{ paymentMethodId: paid.paymentMethodId, topUpId: 'topup_1' }])
  })

  test('renews for nothing, by itself when its year is over, and credits nobody', async () => {
    const { control, paddle } = await givenSimulator()
    const { subscriptionId } = await control.saveCard({ workspaceId: 'ws_1' })

    await control.renewSubscription(subscriptionId)
    await control.advance(3 * 366 * 24 * 3_600_000)

    const renewals = await paddle.transactions
      .list({ subscriptionId: [subscriptionId], origin: ['subscription_recurring'] })
      .next()
    expect(renewals.map(({ status, details }) => [status, details?.totals?.grandTotal])).toEqual([
      ['completed', '0'],
      ['completed', '0'],
      ['completed', '0'],
    ])
    expect((await control.journal()).captures).toEqual([])
  })
})

test('previews say what would be paid, with the tax of the customer, and do nothing', async () => {
  const { control, paddle, simulator } = await givenSimulator()
  const { subscriptionId } = await control.saveCard({ workspaceId: 'ws_1', country: 'GB' })

  const charge = await paddle.subscriptions.previewOneTimeCharge(subscriptionId, aCharge('topup_1'))
  const transaction = await paddle.transactions.preview({
    items: [{ priceId: simulator.setupPriceId, quantity: 1 }],
    address: { countryCode: 'US', postalCode: '10001' },
  })

  expect(charge.immediateTransaction?.details.totals).toMatchObject({
    subtotal: '10000',
    tax: '2000',
    grandTotal: '12000',
  })
  expect(transaction.details.taxRatesUsed).toMatchObject([{ taxRate: '0.08875' }])
  expect((await control.journal()).captures).toEqual([])
})

test('events, notifications and where they go', async () => {
  const { control, paddle } = await givenSimulator()
  const setting = await paddle.notificationSettings.create({
    description: 'ours',
    destination: 'http://127.0.0.1:9/nowhere',
    subscribedEvents: ['subscription.created'],
    type: 'url',
  })
  await control.webhooks({ mode: 'hold' })
  const { transactionId } = await control.saveCard({ workspaceId: 'ws_1' })

  const events = await paddle.events.list().next()
  const notifications = await paddle.notifications.list({ notificationSettingId: [setting.id] }).next()

  expect(setting.endpointSecretKey).toMatch(/^pdl_ntfset_/)
  expect(events.map(({ eventType }) => eventType)).toEqual([
    'customer.created',
    'address.created',
    'transaction.created',
    'transaction.ready',
    'transaction.paid',
    'subscription.created',
    'subscription.activated',
    'transaction.updated',
    'transaction.completed',
  ])
  expect(notifications).toMatchObject([
    {
      id: paddleId('ntf'),
      type: 'subscription.created',
      status: 'not_attempted',
      payload: { data: { transactionId } },
    },
  ])
  await paddle.notificationSettings.update(setting.id, { active: false })
  expect(await paddle.notificationSettings.list()).toHaveLength(2)
  await paddle.notificationSettings.delete(setting.id)
  await expect(paddle.notificationSettings.get(setting.id)).rejects.toMatchObject({ code: 'not_found' })
})

test('custom data goes from the setup to the subscription to each charge, unless that is switched off', async () => {
  const { control, paddle } = await givenSimulator()
  const { subscriptionId } = await control.saveCard({ workspaceId: 'ws_1' })

  await paddle.subscriptions.createOneTimeCharge(subscriptionId, aCharge('topup_1'))
  await control.switches({ customDataPropagation: false })
  await paddle.subscriptions.createOneTimeCharge(subscriptionId, aCharge('topup_2'))

  const charges = await paddle.transactions.list({ origin: ['subscription_charge'] }).next()
  expect(charges.map(({ customData }) => customData)).toEqual([{ workspace_id: 'ws_1' }, null])
  expect(charges.map(({ items }) => items[0]?.price?.customData)).toMatchObject([
    { top_up_id: 'topup_1' },
    { top_up_id: 'topup_2' },
  ])
})

test('a tax that is inside the price is taken out of it', async () => {
  const { control, paddle } = await givenSimulator()
  const customer = await paddle.customers.create({ email: 'ada@example.com' })
  const address = await paddle.addresses.create(customer.id, { countryCode: 'GB' })
  const body = aCharge('topup_1').items[0]?.price

  const transaction = await paddle.transactions.create({
    customerId: customer.id,
    addressId: address.id,
    items: [
      {
        quantity: 1,
        price: {
          productId: body?.productId ?? '',
          description: 'inclusive',
          taxMode: 'internal',
          unitPrice: { amount: '10000', currencyCode: 'USD' },
        },
      },
    ],
  })
  await control.payCheckout(transaction.id)

  expect(transaction.details?.totals).toMatchObject({ subtotal: '8333', tax: '1667', grandTotal: '10000' })
  expect((await control.journal()).captures).toMatchObject([{ net: '8333', topUpId: null }])
})
