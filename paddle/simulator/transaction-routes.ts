/** `/transactions`: made for a checkout, changed until paid, previewed, listed and read. */
import type { ITransactionPreviewResponse } from '@paddle/paddle-node-sdk'

import { ApiRefusal, invalidField } from './api-refusal.ts'
import { resolveOrder } from './catalog.ts'
import { checkMinimum } from './charge-admission.ts'
import { instantKey } from './clock.ts'
import { getAddress, getCustomer } from './customer-store.ts'
import type { Transaction } from './entities.ts'
import { emit } from './event-feed.ts'
import type { ListRules } from './lists.ts'
import { parseBody } from './parse-body.ts'
import { newTransaction, transactionChanges, transactionPreview } from './request-shapes.ts'
import { answerList, included, param, type Answer, type ApiRequest, type Routes } from './routing.ts'
import type { Simulation } from './simulation.ts'
import {
  addTransaction,
  currencyOf,
  getTransaction,
  orderOf,
  totalsOf,
  updateTransaction,
  type Order,
} from './transaction-store.ts'

export const transactionRoutes: Routes = {
  'GET /transactions': listTransactions,
  'POST /transactions': createTransaction,
  'POST /transactions/preview': previewTransaction,
  'GET /transactions/{id}': (simulation, request) => ({
    status: 200,
    data: withIncluded(simulation, getTransaction(simulation, param(request, 'id')), request),
  }),
  'PATCH /transactions/{id}': changeTransaction,
  'GET /transactions/{id}/invoice': (simulation, request) => {
    const { id, invoice_number: number } = getTransaction(simulation, param(request, 'id'))
    if (number === null)
      throw new ApiRefusal(400, 'transaction_invoice_not_ready', 'the transaction has no invoice yet', {
        family: 'transactions',
      })
    return { status: 200, data: { url: `${simulation.url}/invoices/${id}.pdf` } }
  },
}

const rules: ListRules<Transaction> = {
  idOf: ({ id }) => id,
  fields: {
    id: ({ id }) => id,
    customer_id: ({ customer_id: customerId }) => customerId,
    subscription_id: ({ subscription_id: subscriptionId }) => subscriptionId,
    status: ({ status }) => status,
    origin: ({ origin }) => origin,
    collection_mode: ({ collection_mode: mode }) => mode,
    invoice_number: ({ invoice_number: number }) => number,
  },
  instants: {
    billed_at: ({ billed_at: at }) => at,
    created_at: ({ created_at: at }) => at,
    updated_at: ({ updated_at: at }) => at,
  },
  orders: {
    billed_at: ({ billed_at: at }) => instantKey(at ?? ''),
    created_at: ({ created_at: at }) => instantKey(at),
    updated_at: ({ updated_at: at }) => instantKey(at),
  },
  perPage: 30,
  mostPerPage: 30,
}

function listTransactions(simulation: Simulation, request: ApiRequest): Answer {
  const { world, clock } = simulation
  const nowMs = clock.now().getTime()
  const subscriptions = request.query.get('subscription_id')?.split(',') ?? []
  const all =
    subscriptions.length === 0 || subscriptions.includes('null')
      ? [...world.transactions.values()]
      : subscriptions
          .flatMap((id) => world.subscriptionTransactions.get(id) ?? [])
          .map((id) => getTransaction(simulation, id))
  return answerList(simulation, request, {
    all: all.filter(({ id }) => (world.hiddenUntilMs.get(id) ?? 0) <= nowMs),
    rules,
    present: (transaction) => withIncluded(simulation, transaction, request),
  })
}

function createTransaction(simulation: Simulation, request: ApiRequest): Answer {
  const body = parseBody(newTransaction, request.body)
  if (body.status === 'billed')
    throw invalidField('status', 'only a manually collected transaction is billed')
  const order = resolveOrder(simulation, body.items)
  const { customerId, addressId } = whoseOf(simulation, body)
  const draft = {
    status: customerId !== null && addressId !== null ? ('ready' as const) : ('draft' as const),
    origin: 'api' as const,
    order,
    currency: currencyOf(order),
    customerId,
    addressId,
    customData: body.custom_data ?? null,
    billingPeriod: body.billing_period ?? null,
  }
  checkAmounts(order, totalsOf(simulation, draft).totals.grand_total)
  const added = addTransaction(simulation, draft)
  const ownPage = body.checkout?.url ?? null
  const transaction =
    ownPage === null
      ? added
      : updateTransaction(simulation, added.id, { checkout: { url: onPage(ownPage, added.id) } }, null)
  emit(simulation, 'transaction.created', transaction)
  if (transaction.status === 'ready') emit(simulation, 'transaction.ready', transaction)
  return { status: 201, data: withIncluded(simulation, transaction, request) }
}

function changeTransaction(simulation: Simulation, request: ApiRequest): Answer {
  const id = param(request, 'id')
  const body = parseBody(transactionChanges, request.body)
  const transaction = getTransaction(simulation, id)
  const isOpen = transaction.status === 'draft' || transaction.status === 'ready'
  if (!isOpen && !(body.status === 'canceled' && ['billed', 'past_due'].includes(transaction.status)))
    throw new ApiRefusal(
      400,
      'transaction_immutable',
      `cannot update transaction ${id}, which is ${transaction.status}`,
      { family: 'transactions' },
    )
  if (body.status === 'canceled')
    return {
      status: 200,
      data: updateTransaction(simulation, id, { status: 'canceled' }, 'transaction.canceled'),
    }
  const ownPage = body.checkout?.url ?? null
  const order = body.items === undefined ? orderOf(transaction) : resolveOrder(simulation, body.items)
  const currency = currencyOf(order)
  const { customerId, addressId } = whoseOf(simulation, {
    customer_id: body.customer_id === undefined ? transaction.customer_id : body.customer_id,
    address_id: body.address_id === undefined ? transaction.address_id : body.address_id,
  })
  const details = totalsOf(simulation, { order, currency, customerId, addressId })
  checkAmounts(order, details.totals.grand_total)
  const becomesReady = transaction.status === 'draft' && customerId !== null && addressId !== null
  const changed = updateTransaction(
    simulation,
    id,
    {
      status: becomesReady ? 'ready' : transaction.status,
      customer_id: customerId,
      address_id: addressId,
      currency_code: currency,
      items: order.map(({ price, quantity }) => ({ price, quantity, proration: null })),
      details,
      ...(body.custom_data === undefined ? {} : { custom_data: body.custom_data }),
      ...(ownPage === null ? {} : { checkout: { url: onPage(ownPage, id) } }),
    },
    'transaction.updated',
  )
  if (becomesReady) emit(simulation, 'transaction.ready', changed)
  return { status: 200, data: withIncluded(simulation, changed, request) }
}

function previewTransaction(simulation: Simulation, request: ApiRequest): Answer {
  const body = parseBody(transactionPreview, request.body)
  const order = resolveOrder(simulation, body.items)
  const currency = currencyOf(order)
  const customerId = body.customer_id ?? null
  const addressId = body.address_id ?? null
  const address = body.address ?? null
  const preview: ITransactionPreviewResponse = {
    customer_id: customerId,
    address_id: addressId,
    business_id: null,
    currency_code: currency,
    discount_id: null,
    customer_ip_address: body.customer_ip_address ?? null,
    address:
      address === null
        ? null
        : { country_code: address.country_code, postal_code: address.postal_code ?? null },
    ignore_trials: body.ignore_trials ?? false,
    items: order.map(({ price, quantity }, index) => ({
      price,
      quantity,
      include_in_totals: body.items[index]?.include_in_totals ?? true,
      proration: null,
    })),
    details: totalsOf(simulation, {
      order,
      currency,
      customerId,
      addressId,
      ...(address === null
        ? {}
        : {
            address: {
              country_code: address.country_code,
              postal_code: address.postal_code ?? null,
              region: null,
            },
          }),
    }),
  }
  return { status: 200, data: { ...preview, available_payment_methods: ['card'] } }
}

function withIncluded(simulation: Simulation, transaction: Transaction, request: ApiRequest): object {
  const { world } = simulation
  const wanted = included(request)
  if (wanted.size === 0) return transaction
  const adjustments = [...world.adjustments.values()].filter(
    ({ transaction_id: transactionId }) => transactionId === transaction.id,
  )
  return {
    ...transaction,
    ...(wanted.has('customer') && transaction.customer_id !== null
      ? { customer: world.customers.get(transaction.customer_id) }
      : {}),
    ...(wanted.has('address') && transaction.address_id !== null
      ? { address: world.addresses.get(transaction.address_id) }
      : {}),
    ...(wanted.has('adjustment') || wanted.has('adjustments') ? { adjustments } : {}),
    ...(wanted.has('available_payment_methods') ? { available_payment_methods: ['card'] } : {}),
  }
}

/** The customer and the address have to belong together. */
function whoseOf(
  simulation: Simulation,
  {
    customer_id: customerId = null,
    address_id: addressId = null,
  }: {
    customer_id?: string | null | undefined
    address_id?: string | null | undefined
  },
): { customerId: string | null; addressId: string | null } {
  if (customerId === null) {
    if (addressId !== null) throw invalidField('address_id', 'an address needs its customer')
    return { customerId: null, addressId: null }
  }
  getCustomer(simulation, customerId)
  if (addressId !== null) getAddress(simulation, customerId, addressId)
  return { customerId, addressId }
}

function checkAmounts(order: Order, grandTotal: string): void {
  const recurring = order.filter(({ price }) => price.billing_cycle !== null)
  for (const { price, quantity } of recurring)
    checkMinimum(BigInt(price.unit_price.amount) * BigInt(quantity), price.unit_price.currency_code, {
      family: 'transactions',
      code: 'transaction_recurring_balance_less_than_charge_limit',
    })
  const [first] = order
  if (first !== undefined) checkMinimum(BigInt(grandTotal), first.price.unit_price.currency_code)
}

/** The merchant's own page, as Paddle.js is told which transaction to open. */
function onPage(url: string, transactionId: string): string {
  const page = new URL(url)
  page.searchParams.set('_ptxn', transactionId)
  return page.href
}
