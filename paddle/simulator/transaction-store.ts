/** How a transaction comes to be, changes and is found. Every change is stamped, kept and told. */
import type { CurrencyCode, IEventName, TransactionOrigin, TransactionStatus } from '@paddle/paddle-node-sdk'

import { invalidField, notFound } from './api-refusal.ts'
import type {
  Address,
  CustomData,
  Price,
  Product,
  Transaction,
  TransactionDetails,
  TransactionItem,
} from './entities.ts'
import { emit } from './event-feed.ts'
import type { Simulation } from './simulation.ts'
import { taxRateOf, totalOrder } from './tax.ts'

export type Order = { price: Price; quantity: number }[]

export type TransactionDraft = {
  status: TransactionStatus
  origin: TransactionOrigin
  order: Order
  currency: CurrencyCode
  customerId: string | null
  addressId: string | null
  subscriptionId?: string | null
  customData?: CustomData | null
  billingPeriod?: { starts_at: string; ends_at: string } | null
  /** Where the customer pays; the simulator's own page unless told, null when nobody is asked. */
  checkoutUrl?: string | null
}

/** Keeps a new transaction; telling is for the caller, who knows what happened. */
export function addTransaction(simulation: Simulation, draft: TransactionDraft): Transaction {
  const id = simulation.newId('txn')
  const stamp = simulation.clock.stamp()
  const isBilled = !['draft', 'ready'].includes(draft.status)
  const page = `${simulation.url}/checkout/${id}?_ptxn=${id}`
  const transaction: Transaction = {
    id,
    status: draft.status,
    customer_id: draft.customerId,
    address_id: draft.addressId,
    business_id: null,
    custom_data: draft.customData ?? null,
    currency_code: draft.currency,
    origin: draft.origin,
    subscription_id: draft.subscriptionId ?? null,
    invoice_id: null,
    invoice_number: null,
    collection_mode: 'automatic',
    discount_id: null,
    billing_details: null,
    billing_period: draft.billingPeriod ?? null,
    items: draft.order.map(itemOf),
    details: totalsOf(simulation, draft),
    payments: [],
    checkout: { url: draft.checkoutUrl === undefined ? page : draft.checkoutUrl },
    created_at: stamp,
    updated_at: stamp,
    billed_at: isBilled ? stamp : null,
    revised_at: null,
  }
  keepTransaction(simulation, transaction)
  return transaction
}

/** Changes a transaction and tells it as `eventType`, when there is something to tell. */
export function updateTransaction(
  simulation: Simulation,
  transactionId: string,
  changes: Partial<Transaction>,
  eventType: IEventName | null,
): Transaction {
  const transaction: Transaction = {
    ...getTransaction(simulation, transactionId),
    ...changes,
    updated_at: simulation.clock.stamp(),
  }
  keepTransaction(simulation, transaction)
  if (eventType !== null) emit(simulation, eventType, transaction)
  return transaction
}

export function getTransaction({ world }: Simulation, id: string): Transaction {
  const transaction = world.transactions.get(id)
  if (transaction === undefined) throw notFound(id)
  return transaction
}

/** What an order comes to for this customer, with the tax of their address and what Paddle owes them. */
export function totalsOf(
  simulation: Simulation,
  {
    order,
    currency,
    customerId,
    addressId,
    address,
  }: Pick<TransactionDraft, 'order' | 'currency' | 'customerId' | 'addressId'> & {
    address?: Pick<Address, 'country_code' | 'postal_code' | 'region'>
  },
): TransactionDetails {
  const { world } = simulation
  const found = addressId === null ? null : (world.addresses.get(addressId) ?? null)
  return totalOrder({
    lines: order.map(({ price, quantity }) => ({
      id: simulation.newId('txnitm'),
      price,
      product: getProduct(simulation, price.product_id),
      quantity,
    })),
    taxRate: taxRateOf(address ?? found),
    currency,
    credit: BigInt(world.creditBalances.get(`${customerId}/${currency}`) ?? '0'),
  })
}

export function orderOf(transaction: Transaction): Order {
  return transaction.items.map(({ price, quantity }) => ({ price, quantity }))
}

/** One currency to a transaction. Throws: ApiRefusal. */
export function currencyOf(order: Order): CurrencyCode {
  const currencies = [...new Set(order.map(({ price }) => price.unit_price.currency_code))]
  const [currency, other] = currencies
  if (currency === undefined || other !== undefined)
    throw invalidField('items', 'all items must be priced in one currency')
  return currency
}

export function getProduct({ world }: Simulation, id: string): Product {
  const product = world.products.get(id)
  if (product === undefined) throw notFound(id)
  return product
}

/** Invoices are numbered in the order in which money came in. */
export function invoiceOf(simulation: Simulation): { invoice_id: string; invoice_number: string } {
  const issued = simulation.world.captures.length
  return { invoice_id: simulation.newId('inv'), invoice_number: `325-${10_000 + issued}` }
}

function itemOf({ price, quantity }: Order[number]): TransactionItem {
  return { price, quantity, proration: null }
}

function keepTransaction({ world }: Simulation, transaction: Transaction): void {
  world.transactions.set(transaction.id, transaction)
  if (transaction.subscription_id === null) return
  const ofSubscription = world.subscriptionTransactions.get(transaction.subscription_id)
  if (ofSubscription === undefined)
    world.subscriptionTransactions.set(transaction.subscription_id, [transaction.id])
  else if (!ofSubscription.includes(transaction.id)) ofSubscription.push(transaction.id)
}
