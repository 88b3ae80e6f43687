// Lists read to their end, whatever the server says of where that is.
import { describe, expect } from 'vitest'

import { answering, hanging, listing, refusing, test } from './scripted-paddle.ts'
import { adjustmentWire, eventWire, ids, itemWire, noted, subscriptionWire, transactionWire } from './wire.ts'

const since = new Date('2026-04-01T00:00:00Z')
const charges = { subscriptionId: ids.subscription, since }
const transaction = (at: number, changes: Record<string, unknown> = {}): Record<string, unknown> =>
  transactionWire({ id: `txn_${at}`, ...changes })

describe('pages', () => {
  test('are followed until there are no more', async ({ paddle, gatewayOn }) => {
    const next = `${paddle.url}/transactions?after=txn_2`
    paddle.answer(
      listing([transaction(1), transaction(2)], { next, hasMore: true }),
      listing([transaction(3)]),
    )

    const listed = await gatewayOn(paddle).listCharges(charges)

    expect(idsIn(listed)).toEqual(['txn_1', 'txn_2', 'txn_3'])
    expect(paddle.received.map(({ path }) => decodeURIComponent(path))).toEqual([
      `/transactions?subscription_id=${ids.subscription}&origin=subscription_charge&created_at[GTE]=2026-04-01T00:00:00.000Z&order_by=created_at[DESC]&per_page=30`,
      '/transactions?after=txn_2',
    ])
  })

  test('end at an empty one, although there are said to be more', async ({ paddle, gatewayOn }) => {
    const more = { next: `${paddle.url}/transactions?after=txn_1`, hasMore: true }
    paddle.answer(listing([transaction(1)], more), listing([], more))

    expect(idsIn(await gatewayOn(paddle).listCharges(charges))).toEqual(['txn_1'])
    expect(paddle.received).toHaveLength(2)
  })

  test('end at one that repeats what was listed, although there are said to be more', async ({
    paddle,
    gatewayOn,
  }) => {
    const more = { next: `${paddle.url}/transactions?after=txn_1`, hasMore: true }
    paddle.answer(listing([transaction(1), transaction(2)], more))

    expect(idsIn(await gatewayOn(paddle).listCharges(charges))).toEqual(['txn_1', 'txn_2'])
    expect(paddle.received).toHaveLength(2)
  })

  test('are the whole list or none of it: one that is refused refuses all', async ({ paddle, gatewayOn }) => {
    const more = { next: `${paddle.url}/transactions?after=txn_1`, hasMore: true }
    const limited = refusing(429, 'too_many_requests', { headers: { 'retry-after': '3' } })
    paddle.answer(listing([transaction(1)], more), limited)

    expect(await gatewayOn(paddle).listCharges(charges)).toEqual({
      outcome: 'not_processed',
      code: 'too_many_requests',
      retryAfterMs: 3_000,
    })
  })

  test('are waited for where the whole history is read and Paddle says that it is asked too much', async ({
    paddle,
    gatewayOn,
  }) => {
    const more = { next: `${paddle.url}/transactions?after=txn_1`, hasMore: true }
    const limited = refusing(429, 'too_many_requests', { headers: { 'retry-after': '0' } })
    paddle.answer(listing([transaction(1)], more), limited, limited, listing([transaction(2)]))

    const listed = await gatewayOn(paddle).listTransactions({ updatedSince: new Date(0) })

    expect(idsIn(listed)).toEqual(['txn_1', 'txn_2'])
    expect(paddle.received).toHaveLength(4)
  })

  test('that do not come leave the list unknown', async ({ paddle, gatewayOn }) => {
    paddle.answer(hanging)

    expect((await gatewayOn(paddle).listCharges(charges)).outcome).toBe('unknown')
  })

  test('without their pagination leave the list unknown', async ({ paddle, gatewayOn }) => {
    paddle.answer(answering([transaction(1)]))

    expect(await gatewayOn(paddle).listCharges(charges)).toEqual({
      outcome: 'unknown',
      cause: 'TypeError HTTP 200',
    })
  })
})

describe('what cannot be read', () => {
  const broken = transaction(2, { items: [itemWire({ unit_price: null })] })

  test('leaves the charges of a subscription unknown, because it may be the one looked for', async ({
    paddle,
    gatewayOn,
  }) => {
    paddle.answer(listing([transaction(1), broken]))

    expect(await gatewayOn(paddle).listCharges(charges)).toEqual({
      outcome: 'unknown',
      cause: expect.stringMatching(/^unreadable charge txn_2: items\.0\.price\.unit_price/),
    })
  })

  test('hides none of the other transactions', async ({ paddle, gatewayOn }) => {
    paddle.answer(listing([broken, transaction(1), 'nonsense']))

    const listed = await gatewayOn(paddle).listTransactions({ updatedSince: since })

    expect(idsIn(listed)).toEqual(['txn_1'])
    expect(listed).toMatchObject({ unreadable: [{ id: 'txn_2' }, { id: null }] })
    expect(decodeURIComponent(paddle.received[0]?.path ?? '')).toBe(
      '/transactions?updated_at[GTE]=2026-04-01T00:00:00.000Z&order_by=updated_at[ASC]&per_page=30',
    )
  })

  test('hides none of the other events', async ({ paddle, gatewayOn }) => {
    paddle.answer(
      listing([
        anEvent(4, '2026-04-04', 'transaction.paid', broken),
        anEvent(3, '2026-04-03', 'transaction.paid', transaction(1)),
        anEvent(2, '2026-04-01'),
      ]),
    )

    const listed = await gatewayOn(paddle).listEvents({ since })

    expect(listed).toMatchObject({
      outcome: 'listed',
      events: [
        { outcome: 'read', event: { eventId: 'evt_2', fact: null } },
        { outcome: 'read', event: { eventId: 'evt_3', fact: { kind: 'transaction' } } },
        { outcome: 'unreadable', eventId: 'evt_4', eventType: 'transaction.paid' },
      ],
    })
  })
})

test('events are read back to where they are wanted from, and no further', async ({ paddle, gatewayOn }) => {
  const more = { next: `${paddle.url}/events?after=evt_2`, hasMore: true }
  paddle.answer(
    listing([anEvent(4, '2026-04-04'), anEvent(3, '2026-04-03')], more),
    listing([anEvent(2, '2026-04-02'), anEvent(1, '2026-03-31')], more),
  )

  const listed = await gatewayOn(paddle).listEvents({ since })

  expect(listed).toMatchObject({
    outcome: 'listed',
    events: [
      { event: { eventId: 'evt_2' } },
      { event: { eventId: 'evt_3' } },
      { event: { eventId: 'evt_4' } },
    ],
  })
  expect(paddle.received).toHaveLength(2)
})

test('adjustments are those that changed and move a wallet', async ({ paddle, gatewayOn }) => {
  paddle.answer(
    listing([
      adjustmentWire({ id: 'adj_3', ...oldButUpdated('2026-04-01T00:00:00Z') }),
      adjustmentWire({
        id: 'adj_2',
        ...oldButUpdated('2026-04-01T00:00:00Z'),
        totals: { subtotal: '0', currency_code: 'USD' },
      }),
      adjustmentWire({ id: 'adj_1', ...oldButUpdated('2026-03-31T23:59:59.999Z') }),
    ]),
  )

  expect(await gatewayOn(paddle).listAdjustments({ updatedSince: since })).toMatchObject({
    outcome: 'listed',
    adjustments: [{ adjustmentId: 'adj_3', net: { amount: 2_500n, currency: 'USD' } }],
    unreadable: [],
  })
})

test('a customer’s subscriptions are asked for by the customer', async ({ paddle, gatewayOn }) => {
  paddle.answer(listing([subscriptionWire()]))

  const listed = await gatewayOn(paddle).listSubscriptions({ customerId: ids.customer })

  expect(listed).toMatchObject({ subscriptions: [{ subscriptionId: ids.subscription }], unreadable: [] })
  expect(decodeURIComponent(paddle.received[0]?.path ?? '')).toBe(
    `/subscriptions?customer_id=${ids.customer}&order_by=id[DESC]&per_page=200`,
  )
})

test('a transaction that is not there is not found; one that cannot be read is unknown', async ({
  paddle,
  gatewayOn,
}) => {
  const gateway = gatewayOn(paddle)
  paddle.answer(
    refusing(404, 'not_found'),
    answering(transactionWire({ items: [itemWire({ custom_data: noted, id: '' })] })),
    answering({ id: ids.transaction }),
  )

  expect(await gateway.getTransaction(ids.transaction)).toEqual({ outcome: 'not_found' })
  expect(await gateway.getTransaction(ids.transaction)).toEqual({
    outcome: 'unknown',
    cause: expect.stringContaining('items.0.price.id'),
  })
  expect(await gateway.getTransaction(ids.transaction)).toEqual({
    outcome: 'unknown',
    cause: 'TypeError HTTP 200',
  })
})

function anEvent(at: number, day: string, type = 'customer.updated', data: unknown = null): unknown {
  return eventWire(type, data, { event_id: `evt_${at}`, occurred_at: `${day}T00:00:00Z` })
}

function oldButUpdated(updated_at: string): Record<string, string> {
  return { created_at: '2026-01-01T00:00:00Z', updated_at }
}

function idsIn(listed: { outcome: string; transactions?: readonly { transactionId: string }[] }): string[] {
  expect(listed.outcome).toBe('listed')
  return (listed.transactions ?? []).map(({ transactionId }) => transactionId)
}
