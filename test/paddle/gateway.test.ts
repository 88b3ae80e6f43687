// The gateway against the simulator: what a wallet asks of Paddle, from the first checkout to the last refund.
import { randomUUID } from 'node:crypto'

import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { micros } from '../../billing/money.ts'
import type { PaddleTransaction } from '../../billing/paddle-facts.ts'
import { createPaddleCatalog } from '../../paddle/catalog.ts'
import { createPaddleGateway, type PaddleGateway } from '../../paddle/gateway.ts'
import { controlSimulator, type SimulatorControl } from '../../paddle/simulator/control.ts'
import { startPaddleSimulator, type PaddleSimulator } from '../../paddle/simulator/simulator.ts'
import { installPaddleTransport } from '../../paddle/transport.ts'

const hundredDollars = micros(100_000_000n)
const longAgo = new Date(0)

let transport: { close: () => Promise<void> }
let simulator: PaddleSimulator
let control: SimulatorControl
let gateway: PaddleGateway

beforeAll(async () => {
  transport = installPaddleTransport()
  simulator = await startPaddleSimulator()
  control = controlSimulator(simulator.url)
  gateway = createPaddleGateway({
    apiKey: simulator.apiKey,
    environment: simulator.url,
    productId: simulator.productId,
    setupPriceId: simulator.setupPriceId,
    timeouts: { chargeMs: 1_000, otherMs: 1_000 },
  })
})

afterAll(async () => {
  await simulator.close()
  await transport.close()
})

describe('charging', () => {
  test('takes the amount and its tax once, and can be found by what it was for', async () => {
    const { workspaceId, subscriptionId, customerId } = await givenCard({ country: 'GB' })
    const topUpId = aTopUp()

    const charged = await charge({ subscriptionId, workspaceId, topUpId })
    const listed = await gateway.listCharges({ subscriptionId, since: longAgo })

    expect(charged).toEqual({ outcome: 'accepted' })
    expect(listed).toMatchObject({
      outcome: 'listed',
      transactions: [
        {
          origin: 'subscription_charge',
          customerId,
          subscriptionId,
          lines: [
            {
              productId: simulator.productId,
              net: { amount: 10_000n, currency: 'USD' },
              topUpId,
              workspaceId,
              source: 'auto_recharge',
            },
          ],
          grandTotal: { amount: 12_000n, currency: 'USD' },
          payments: [{ status: 'captured', errorCode: null, card: { brand: 'visa', last4: '4242' } }],
        },
      ],
    })
    expect(await capturesOf(subscriptionId)).toBe(1)
  })

  test('tells a decline, and its reason is on the transaction', async () => {
    const { workspaceId, subscriptionId, paymentMethodId } = await givenCard()
    await control.setCard(paymentMethodId, { decline: 'expired_card' })

    const charged = await charge({ subscriptionId, workspaceId })
    const [transaction] = await chargesOn(subscriptionId)

    expect(charged).toEqual({ outcome: 'declined', code: 'subscription_payment_declined' })
    expect(transaction).toMatchObject({
      status: 'canceled',
      payments: [{ status: 'error', errorCode: 'expired_card' }],
    })
    expect(await capturesOf(subscriptionId)).toBe(0)
  })

  test('whose answer is lost is unknown, and was made', async () => {
    const { workspaceId, subscriptionId } = await givenCard()
    const topUpId = aTopUp()
    await control.fault({ on: 'charge', kind: 'reset', when: 'after' })

    const charged = await charge({ subscriptionId, workspaceId, topUpId })
    const found = await chargesOn(subscriptionId)

    expect(charged.outcome).toBe('unknown')
    expect(found.flatMap(({ lines }) => lines.map((line) => line.topUpId))).toEqual([topUpId])
  })

  test.for([
    ['hang', 'unknown'],
    ['reset', 'unknown'],
    ['http_500', 'unknown'],
    ['html_502', 'unknown'],
    ['empty_504', 'unknown'],
    ['truncated_json', 'unknown'],
    ['rate_limited', 'not_processed'],
    ['locked_renewal', 'not_processed'],
    ['concurrent_modification', 'not_processed'],
    ['outstanding_transaction', 'blocked'],
  ] as const)('through %s is %s, and takes nothing', async ([kind, outcome]) => {
    const { workspaceId, subscriptionId } = await givenCard()
    await control.fault({ on: 'charge', kind, when: 'before', retryAfterSeconds: 7 })

    const charged = await charge({ subscriptionId, workspaceId })

    expect(charged.outcome).toBe(outcome)
    expect(await capturesOf(subscriptionId)).toBe(0)
  })

  test('a subscription that has ended is refused for good', async () => {
    const { workspaceId, subscriptionId } = await givenCard()

    const canceled = await gateway.cancelSubscription(subscriptionId)
    const again = await gateway.cancelSubscription(subscriptionId)
    const charged = await charge({ subscriptionId, workspaceId })

    expect([canceled, again]).toEqual([{ outcome: 'canceled' }, { outcome: 'canceled' }])
    expect(charged.outcome).toBe('rejected')
    expect(await gateway.getSubscription(subscriptionId)).toMatchObject({
      outcome: 'found',
      subscription: { subscriptionId, status: 'canceled' },
    })
  })

  test('is previewed with its tax', async () => {
    const { subscriptionId } = await givenCard({ country: 'GB' })

    expect(await gateway.previewCharge({ subscriptionId, amountMicros: hundredDollars })).toEqual({
      outcome: 'previewed',
      netMicros: 100_000_000n,
      taxMicros: 20_000_000n,
      totalMicros: 120_000_000n,
    })
  })
})

describe('a checkout', () => {
  test('of a top-up can save the card that later charges are made on', async () => {
    const { workspaceId, customerId } = await givenCustomer()
    const topUpId = aTopUp()

    const checkout = await gateway.createCheckout({
      customerId,
      workspaceId,
      topUpId,
      amountMicros: hundredDollars,
      saveCard: true,
    })
    const transactionId = createdId(checkout)
    await control.payCheckout(transactionId)
    const paid = await gateway.getTransaction(transactionId)
    const subscriptions = await gateway.listSubscriptions({ customerId })

    expect(paid).toMatchObject({
      outcome: 'found',
      transaction: {
        customerId,
        workspaceId,
        payments: [{ status: 'captured' }],
        lines: [
          { topUpId, workspaceId, source: 'checkout', net: { amount: 10_000n } },
          { topUpId: null, net: { amount: 0n } },
        ],
      },
    })
    expect(subscriptions).toMatchObject({
      outcome: 'listed',
      subscriptions: [{ customerId, workspaceId, status: 'active' }],
    })
  })

  test('of a top-up alone saves no card', async () => {
    const { workspaceId, customerId } = await givenCustomer()

    const checkout = await gateway.createCheckout({
      customerId,
      workspaceId,
      topUpId: aTopUp(),
      amountMicros: hundredDollars,
      saveCard: false,
    })
    await control.payCheckout(createdId(checkout))

    expect(await gateway.listSubscriptions({ customerId })).toMatchObject({ subscriptions: [] })
  })

  test('of nothing saves a card, and is worth nothing', async () => {
    const { workspaceId, customerId } = await givenCustomer()

    const setup = await gateway.createCardSetup({ customerId, workspaceId })
    await control.payCheckout(createdId(setup))
    const paid = await gateway.getTransaction(createdId(setup))

    expect(paid).toMatchObject({
      outcome: 'found',
      transaction: { workspaceId, lines: [{ topUpId: null, net: { amount: 0n } }] },
    })
    expect(await gateway.listSubscriptions({ customerId })).toMatchObject({
      subscriptions: [{ workspaceId, status: 'active' }],
    })
  })

  test('replaces the card of a subscription', async () => {
    const { subscriptionId } = await givenCard()

    const update = await gateway.getCardUpdate(subscriptionId)
    const transaction = await gateway.getTransaction(createdId(update))

    expect(transaction).toMatchObject({
      outcome: 'found',
      transaction: { subscriptionId, origin: 'subscription_payment_method_change' },
    })
  })

  test('is previewed for a country', async () => {
    const preview = { amountMicros: hundredDollars }

    expect(await gateway.previewCheckout({ ...preview, country: 'GB' })).toMatchObject({
      outcome: 'previewed',
      netMicros: 100_000_000n,
      taxMicros: 20_000_000n,
      totalMicros: 120_000_000n,
    })
    await expect(gateway.previewCheckout({ ...preview, country: 'Britain' })).rejects.toMatchObject({
      code: 'malformed_country',
    })
  })
})

describe('a customer', () => {
  test('is created once, however often and in whatever case the address is given', async () => {
    const email = `${randomUUID()}@example.com`

    const first = await gateway.openCustomer({ workspaceId: 'ws_first', email, name: 'Mara' })
    const second = await gateway.openCustomer({ workspaceId: 'ws_second', email })

    expect(first).toMatchObject({ outcome: 'opened', customer: { email, workspaceId: 'ws_first' } })
    expect(second).toEqual(first)
    if (first.outcome !== 'opened') throw new Error('unreachable')
    expect(await gateway.getCustomer(first.customer.customerId)).toEqual({
      outcome: 'found',
      customer: first.customer,
    })
  })

  test('that is not there is not found', async () => {
    expect(await gateway.getCustomer('ctm_01hv6y1jedq4p1n0yqn5ba3ky4')).toEqual({ outcome: 'not_found' })
  })

  test('sees the cards that it agreed to have saved', async () => {
    const { customerId, paymentMethodId } = await givenCard({ consent: true })
    const { customerId: other } = await givenCard({ consent: false })

    expect(await gateway.listPaymentMethods(customerId)).toMatchObject({
      outcome: 'listed',
      paymentMethods: [{ paymentMethodId, type: 'card', card: { brand: 'visa', last4: '4242' } }],
    })
    expect(await gateway.listPaymentMethods(other)).toEqual({ outcome: 'listed', paymentMethods: [] })
  })

  test('gets a token for checkouts and a link to its own pages', async () => {
    const { customerId, subscriptionId } = await givenCard()

    expect(await gateway.createCustomerToken(customerId)).toMatchObject({
      outcome: 'created',
      token: expect.stringMatching(/^pca_/),
      expiresAt: expect.any(Date),
    })
    expect(
      await gateway.createPortalSession({ customerId, subscriptionIds: [subscriptionId] }),
    ).toMatchObject({
      outcome: 'created',
      url: expect.stringMatching(/^https?:/),
    })
  })
})

describe('what happened', () => {
  test('is in the lists, and in the events as in their webhooks', async () => {
    const { workspaceId, subscriptionId } = await givenCard()
    await charge({ subscriptionId, workspaceId })
    const [charged] = await chargesOn(subscriptionId)
    if (charged === undefined) throw new Error('nothing was charged')
    const { transactionId } = charged
    await control.refund({ transactionId, amount: '2500', status: 'approved' })

    const transactions = await gateway.listTransactions({ updatedSince: longAgo })
    const adjustments = await gateway.listAdjustments({ updatedSince: longAgo })
    const events = await gateway.listEvents({ since: longAgo })

    expect(transactions).toMatchObject({ outcome: 'listed', unreadable: [] })
    expect(idsOf(transactions)).toContain(transactionId)
    expect(adjustments).toMatchObject({
      outcome: 'listed',
      unreadable: [],
      adjustments: expect.arrayContaining([
        expect.objectContaining({
          transactionId,
          status: 'approved',
          net: { amount: 2_500n, currency: 'USD' },
        }),
      ]),
    })
    if (events.outcome !== 'listed') throw new Error('no events')
    expect(events.events.filter(({ outcome }) => outcome === 'unreadable')).toEqual([])
    const kinds = events.events.flatMap((reading) =>
      reading.outcome === 'read' && reading.event.fact?.kind === 'transaction'
        ? reading.event.fact.transaction.transactionId === transactionId
          ? [reading.event.eventType]
          : []
        : [],
    )
    expect(kinds).toEqual(expect.arrayContaining(['transaction.created', 'transaction.completed']))
  })
})

describe('a catalog', () => {
  test('once created is what a gateway works with', async () => {
    const options = { apiKey: simulator.apiKey, environment: simulator.url }

    const catalog = await createPaddleCatalog({ ...options, name: 'Acme Voice credit' })
    if (catalog.outcome !== 'created') throw new Error('no catalog')
    const ours = createPaddleGateway({ ...options, ...catalog })
    const { customerId, workspaceId } = await givenCustomer()
    const setup = await ours.createCardSetup({ customerId, workspaceId })
    await control.payCheckout(createdId(setup))

    expect(await ours.listSubscriptions({ customerId })).toMatchObject({
      subscriptions: [{ workspaceId, status: 'active' }],
    })
  })
})

function aTopUp(): string {
  return `top_${randomUUID()}`
}

async function givenCard(options: { country?: string; consent?: boolean } = {}) {
  const workspaceId = `ws_${randomUUID()}`
  return { workspaceId, ...(await control.saveCard({ workspaceId, ...options })) }
}

async function givenCustomer(): Promise<{ workspaceId: string; customerId: string }> {
  const workspaceId = `ws_${randomUUID()}`
  const opened = await gateway.openCustomer({ workspaceId, email: `${workspaceId}@example.com` })
  if (opened.outcome !== 'opened') throw new Error(`no customer: ${opened.outcome}`)
  return { workspaceId, customerId: opened.customer.customerId }
}

function charge(target: { subscriptionId: string; workspaceId: string; topUpId?: string }) {
  return gateway.charge({
    topUpId: aTopUp(),
    source: 'auto_recharge',
    amountMicros: hundredDollars,
    sendBefore: performance.now() + 60_000,
    ...target,
  })
}

async function chargesOn(subscriptionId: string): Promise<readonly PaddleTransaction[]> {
  const listed = await gateway.listCharges({ subscriptionId, since: longAgo })
  if (listed.outcome !== 'listed') throw new Error(`no list: ${listed.outcome}`)
  return listed.transactions
}

/** How often money left the card, whatever anyone was told. */
async function capturesOf(subscriptionId: string): Promise<number> {
  const { captures } = await control.journal()
  return captures.filter((capture) => capture.subscriptionId === subscriptionId && capture.net !== '0').length
}

function createdId(created: { outcome: string; transactionId?: string }): string {
  if (created.transactionId === undefined) throw new Error(`nothing was created: ${created.outcome}`)
  return created.transactionId
}

function idsOf(listed: { outcome: string; transactions?: readonly PaddleTransaction[] }): string[] {
  return (listed.transactions ?? []).map(({ transactionId }) => transactionId)
}
