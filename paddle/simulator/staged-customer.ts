/** Scenes that a test wants ready: a customer whose card is saved, a card that changes, a transaction that is odd. */
import { invalidField } from './api-refusal.ts'
import { getPrice, resolveOrder } from './catalog.ts'
import { payCheckout } from './checkout.ts'
import type { SavedCard } from './control.ts'
import type { CommandOutput } from './control-commands.ts'
import { addAddress, addCustomer, getCustomer } from './customer-store.ts'
import { emit } from './event-feed.ts'
import { parseBody } from './parse-body.ts'
import { countryCode, currencyCode } from './price-shapes.ts'
import type { Simulation } from './simulation.ts'
import { setupPriceId, walletProductId } from './simulator-defaults.ts'
import { openCardChange } from './subscription-routes.ts'
import { findCard, getSubscription, updateSubscription } from './subscription-store.ts'
import { addTransaction, getTransaction, orderOf, totalsOf, updateTransaction } from './transaction-store.ts'

/** A customer walks the whole way: setup transaction, checkout, subscription. Throws: ApiRefusal when the card says no. */
export function saveCard(simulation: Simulation, input: CommandOutput<'saveCard'>): SavedCard {
  const customData = { workspace_id: input.workspaceId }
  const customer =
    input.customerId === undefined
      ? addCustomer(simulation, {
          email: input.email ?? `${input.workspaceId.toLowerCase().replaceAll(/[^a-z\d]/g, '-')}@example.com`,
          custom_data: customData,
        })
      : getCustomer(simulation, input.customerId)
  const address = addAddress(simulation, customer.id, {
    country_code: parseBody(countryCode, input.country ?? 'US'),
    postal_code: input.postalCode ?? null,
    region: input.region ?? null,
  })
  const price = getPrice(simulation, setupPriceId)
  const transaction = addTransaction(simulation, {
    status: 'ready',
    origin: 'api',
    order: [{ price, quantity: 1 }],
    currency: price.unit_price.currency_code,
    customerId: customer.id,
    addressId: address.id,
    customData,
  })
  emit(simulation, 'transaction.created', transaction)
  emit(simulation, 'transaction.ready', transaction)
  const paid = payCheckout(simulation, transaction.id, { card: input.card, saveCard: input.consent })
  if (paid.subscriptionId === null || paid.paymentMethodId === null)
    throw invalidField('card', `the card said ${paid.declineCode ?? 'nothing'}`)
  return {
    customerId: customer.id,
    subscriptionId: paid.subscriptionId,
    paymentMethodId: paid.paymentMethodId,
    transactionId: transaction.id,
  }
}

/** Another card for a subscription, through the checkout that Paddle opens for that. */
export function changeCard(
  simulation: Simulation,
  { subscriptionId, card }: CommandOutput<'changeCard'>,
): { transactionId: string; paymentMethodId: string | null } {
  const transaction = openCardChange(simulation, getSubscription(simulation, subscriptionId))
  const { paymentMethodId } = payCheckout(simulation, transaction.id, { card })
  return { transactionId: transaction.id, paymentMethodId }
}

export function pastDue(simulation: Simulation, subscriptionId: string): void {
  updateSubscription(simulation, subscriptionId, { status: 'past_due' }, 'subscription.past_due')
}

/** Makes a transaction say what no honest one would; its totals follow. */
export function tamper(simulation: Simulation, input: CommandOutput<'tamper'>): void {
  const transaction = getTransaction(simulation, input.transactionId)
  const currency =
    input.currency === undefined ? transaction.currency_code : parseBody(currencyCode, input.currency)
  const order = orderOf(transaction).map(({ price, quantity }) => ({
    price: {
      ...price,
      product_id: input.productId ?? price.product_id,
      unit_price: { amount: input.unitAmount ?? price.unit_price.amount, currency_code: currency },
      custom_data: input.dropCustomData === true ? null : price.custom_data,
    },
    quantity,
  }))
  const customerId = input.customerId ?? transaction.customer_id
  const details = totalsOf(simulation, {
    order,
    currency,
    customerId,
    addressId: transaction.address_id,
  })
  updateTransaction(
    simulation,
    transaction.id,
    {
      currency_code: currency,
      customer_id: customerId,
      custom_data: input.dropCustomData === true ? null : transaction.custom_data,
      items: order.map(({ price, quantity }) => ({ price, quantity, proration: null })),
      details: {
        ...details,
        totals: {
          ...details.totals,
          balance: transaction.details.totals.balance === '0' ? '0' : details.totals.balance,
          fee: transaction.details.totals.fee,
          earnings: transaction.details.totals.earnings,
        },
      },
    },
    'transaction.updated',
  )
}

/** A transaction that our product never asked for: another customer's, or one whose custom data somebody made up. */
export function createOddTransaction(
  simulation: Simulation,
  input: CommandOutput<'createTransaction'>,
): { transactionId: string; customerId: string } {
  const subscription =
    input.subscriptionId === undefined ? null : getSubscription(simulation, input.subscriptionId)
  const customerId =
    input.customerId ??
    subscription?.customer_id ??
    addCustomer(simulation, { email: `${simulation.newId('ctm')}@example.com` }).id
  const address = subscription?.address_id ?? addAddress(simulation, customerId, { country_code: 'US' }).id
  const currency = parseBody(currencyCode, input.currency ?? 'USD')
  const order = resolveOrder(simulation, [
    {
      price: {
        product_id: input.productId ?? walletProductId,
        name: 'Wallet top-up',
        description: 'made by the simulator',
        tax_mode: 'external',
        unit_price: { amount: input.amount, currency_code: currency },
        custom_data: input.priceCustomData ?? null,
      },
      quantity: 1,
    },
  ])
  const transaction = addTransaction(simulation, {
    status: 'ready',
    origin: input.origin ?? 'web',
    order,
    currency,
    customerId,
    addressId: address,
    subscriptionId: input.subscriptionId ?? null,
    customData: input.customData ?? null,
  })
  emit(simulation, 'transaction.created', transaction)
  if (input.paid ?? true) {
    const card = subscription === null ? null : findCard(simulation, subscription.id)
    payCheckout(simulation, transaction.id, { outcome: 'pay' })
    if (card !== null && subscription !== null)
      simulation.world.subscriptionCards.set(subscription.id, card.id)
  }
  return { transactionId: transaction.id, customerId }
}
