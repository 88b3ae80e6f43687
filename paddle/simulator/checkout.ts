/**
 * A customer at the hosted checkout: who they are, which card they hold out, and what becomes of it. The page and the
 * control's shortcut are the same customer.
 */
import type { IPaymentCardResponse } from '@paddle/paddle-node-sdk'

import { ApiRefusal } from './api-refusal.ts'
import { addPaymentMethod, answersOf, cardOf, goodCard } from './cards.ts'
import type { DeclineCode } from './control-commands.ts'
import { addAddress, addCustomer, addressesOf, findCustomerByEmail, getCustomer } from './customer-store.ts'
import type { PaymentMethod, Transaction } from './entities.ts'
import { emit } from './event-feed.ts'
import { capture, completeSoon, recordDecline } from './payments.ts'
import { parseBody } from './parse-body.ts'
import { countryCode } from './price-shapes.ts'
import type { Simulation } from './simulation.ts'
import { addSubscription, updateSubscription } from './subscription-store.ts'
import { getTransaction, orderOf, totalsOf, updateTransaction } from './transaction-store.ts'

export type Shopper = {
  card?: string | undefined
  expiry?: { month: number; year: number } | undefined
  cardholder?: string | undefined
  saveCard?: boolean | undefined
  email?: string | undefined
  country?: string | undefined
  postalCode?: string | undefined
  region?: string | undefined
  /** What happens whatever the card would say. */
  outcome?: 'pay' | 'abandon' | DeclineCode | undefined
}

export type CheckoutOutcome = {
  outcome: 'paid' | 'declined' | 'abandoned'
  declineCode: DeclineCode | null
  transactionId: string
  customerId: string | null
  subscriptionId: string | null
  paymentMethodId: string | null
}

/** Throws: ApiRefusal when there is nothing to pay any more. */
export function payCheckout(
  simulation: Simulation,
  transactionId: string,
  shopper: Shopper,
): CheckoutOutcome {
  const opened = getTransaction(simulation, transactionId)
  if (!isPayable(opened))
    throw new ApiRefusal(
      400,
      'transaction_immutable',
      `cannot pay transaction ${transactionId}, which is ${opened.status}`,
      { family: 'transactions' },
    )
  const untouched = {
    transactionId,
    customerId: opened.customer_id,
    subscriptionId: opened.subscription_id,
    paymentMethodId: null,
  }
  if (shopper.outcome === 'abandon') return { ...untouched, outcome: 'abandoned', declineCode: null }

  const { customerId, addressId } = identify(simulation, opened, shopper)
  const number = shopper.card ?? goodCard
  const answers = answersOf(number)
  const declineCode =
    shopper.outcome === undefined ? answers.atCheckout : shopper.outcome === 'pay' ? null : shopper.outcome
  const method = addPaymentMethod(simulation, {
    customerId,
    addressId,
    card: readCard(simulation, number, shopper),
    behaviour: shopper.outcome === 'pay' && answers.atCheckout !== null ? 'ok' : answers.later,
    consented: shopper.saveCard === true && declineCode === null,
  })
  if (declineCode !== null) {
    recordDecline(simulation, transactionId, { method, code: declineCode })
    return { ...untouched, customerId, outcome: 'declined', declineCode }
  }
  const subscriptionId = settle(simulation, transactionId, method)
  return {
    outcome: 'paid',
    declineCode: null,
    transactionId,
    customerId,
    subscriptionId,
    paymentMethodId: method.id,
  }
}

export function isPayable({ status }: Transaction): boolean {
  return status === 'draft' || status === 'ready' || status === 'billed' || status === 'past_due'
}

/** What a payment at the checkout sets in motion, beyond the money. */
function settle(simulation: Simulation, transactionId: string, method: PaymentMethod): string | null {
  const paid = capture(simulation, transactionId, method)
  if (method.consented) tellSaved(simulation, method, paid)
  const subscriptionId =
    paid.subscription_id ??
    (paid.items.some(({ price }) => price.billing_cycle !== null)
      ? addSubscription(simulation, paid, method).id
      : null)
  if (subscriptionId !== null && paid.subscription_id === null)
    updateTransaction(
      simulation,
      transactionId,
      {
        subscription_id: subscriptionId,
        billing_period: simulation.world.subscriptions.get(subscriptionId)?.current_billing_period ?? null,
      },
      'transaction.updated',
    )
  if (subscriptionId !== null && paid.subscription_id !== null) putCardOn(simulation, subscriptionId, method)
  completeSoon(simulation, transactionId)
  return subscriptionId
}

/** Another card for a subscription; one that was past due has now been paid for. */
function putCardOn(simulation: Simulation, subscriptionId: string, method: PaymentMethod): void {
  simulation.world.subscriptionCards.set(subscriptionId, method.id)
  const status = simulation.world.subscriptions.get(subscriptionId)?.status
  updateSubscription(
    simulation,
    subscriptionId,
    status === 'past_due' ? { status: 'active' } : {},
    'subscription.updated',
  )
}

/** Only what is not a secret of the card. */
function tellSaved(simulation: Simulation, method: PaymentMethod, transaction: Transaction): void {
  const isRecurring = transaction.items.some(({ price }) => price.billing_cycle !== null)
  emit(simulation, 'payment_method.saved', {
    id: method.id,
    customer_id: method.customerId,
    address_id: method.addressId,
    type: 'card',
    origin: isRecurring ? 'subscription' : 'saved_during_purchase',
    saved_at: method.savedAt,
    updated_at: method.updatedAt,
  })
}

function readCard(simulation: Simulation, number: string, shopper: Shopper): IPaymentCardResponse {
  return cardOf(number, {
    year: simulation.clock.now().getUTCFullYear(),
    cardholder: shopper.cardholder ?? 'Test Customer',
    ...(shopper.expiry === undefined ? {} : { expiry: shopper.expiry }),
  })
}

/** Whoever pays has a customer and an address, and the tax of that address. */
function identify(
  simulation: Simulation,
  transaction: Transaction,
  shopper: Shopper,
): { customerId: string; addressId: string } {
  const { customer_id: knownCustomer, address_id: knownAddress } = transaction
  if (knownCustomer !== null && knownAddress !== null)
    return { customerId: knownCustomer, addressId: knownAddress }
  const email = shopper.email ?? `${transaction.id}@example.com`
  const customer =
    knownCustomer === null
      ? (findCustomerByEmail(simulation, email) ?? addCustomer(simulation, { email }))
      : getCustomer(simulation, knownCustomer)
  const address =
    (shopper.country === undefined ? addressesOf(simulation, customer.id).at(-1) : undefined) ??
    addAddress(simulation, customer.id, {
      country_code: parseBody(countryCode, shopper.country ?? 'US'),
      postal_code: shopper.postalCode ?? null,
      region: shopper.region ?? null,
    })
  const known = { customerId: customer.id, addressId: address.id }
  const wasDraft = transaction.status === 'draft'
  const changes = {
    customer_id: customer.id,
    address_id: address.id,
    details: totalsOf(simulation, {
      order: orderOf(transaction),
      currency: transaction.currency_code,
      ...known,
    }),
  }
  updateTransaction(simulation, transaction.id, changes, 'transaction.updated')
  if (wasDraft) updateTransaction(simulation, transaction.id, { status: 'ready' }, 'transaction.ready')
  return known
}
