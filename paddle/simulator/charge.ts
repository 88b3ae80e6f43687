/**
 * `POST /subscriptions/{id}/charge`: money from a saved card with nobody present. What may stop it, in Paddle's order, and
 * what it leaves behind.
 */
import type { ISubscriptionPreviewResponse } from '@paddle/paddle-node-sdk'

import { ApiRefusal } from './api-refusal.ts'
import { askCard } from './cards.ts'
import { resolveOrder } from './catalog.ts'
import { admitCharge, chargeTotals, enterCharge, type ChargeBody } from './charge-admission.ts'
import type { PaymentMethod, Subscription, Transaction } from './entities.ts'
import { emit } from './event-feed.ts'
import { capture, completeSoon, recordDecline } from './payments.ts'
import type { Simulation } from './simulation.ts'
import { getSubscription } from './subscription-store.ts'
import { addTransaction, getTransaction, updateTransaction, type Order } from './transaction-store.ts'

/** Shape: the subscription, as Paddle answers; the transaction has to be listed. Throws: ApiRefusal. */
export async function chargeSubscription(
  simulation: Simulation,
  {
    subscriptionId,
    body,
    visibleAfterMs,
  }: { subscriptionId: string; body: ChargeBody; visibleAfterMs: number },
): Promise<Subscription> {
  const subscription = getSubscription(simulation, subscriptionId)
  const { order, method } = admitCharge(simulation, subscription, body)
  if (body.effective_from === 'next_billing_period')
    throw new ApiRefusal(
      400,
      'simulator_unsupported',
      'The simulator does not bill charges with the next renewal: a wallet must not wait for one.',
      { family: 'subscriptions' },
    )
  const leave = enterCharge(simulation, subscriptionId)
  try {
    await takeMoney(simulation, { subscription, body, order, method, visibleAfterMs })
  } finally {
    leave()
  }
  return getSubscription(simulation, subscriptionId)
}

/** The same order, and nothing happens. */
export function previewCharge(
  simulation: Simulation,
  { subscriptionId, body }: { subscriptionId: string; body: ChargeBody },
): ISubscriptionPreviewResponse {
  const subscription = getSubscription(simulation, subscriptionId)
  const order = resolveOrder(simulation, body.items)
  const { id: _id, ...known } = subscription
  const details = chargeTotals(simulation, subscription, order)
  const now = simulation.clock.stamp()
  return {
    ...known,
    immediate_transaction: {
      billing_period: subscription.current_billing_period ?? { starts_at: now, ends_at: now },
      details,
      adjustments: [],
    },
    next_transaction: null,
    recurring_transaction_details: null,
    update_summary: null,
  }
}

async function takeMoney(
  simulation: Simulation,
  {
    subscription,
    body,
    order,
    method,
    visibleAfterMs,
  }: {
    subscription: Subscription
    body: ChargeBody
    order: Order
    method: PaymentMethod
    visibleAfterMs: number
  },
): Promise<void> {
  const { switches, clock } = simulation
  const isPrevented = body.on_payment_failure === 'prevent_change'
  const leavesNothing = isPrevented && switches.declinedTransaction === 'absent'
  // What leaves no trace when it is declined must not be told before the card has answered.
  const early = leavesNothing ? null : billTransaction(simulation, subscription, order, visibleAfterMs)
  await clock.wait(switches.captureAfterMs)
  const code = askCard(simulation, method)
  if (code === null) {
    const { id } = early ?? billTransaction(simulation, subscription, order, visibleAfterMs)
    capture(simulation, id, method)
    completeSoon(simulation, id)
    return
  }
  if (early !== null) {
    recordDecline(simulation, early.id, { method, code })
    updateTransaction(
      simulation,
      early.id,
      { status: isPrevented ? 'canceled' : 'past_due' },
      isPrevented ? 'transaction.canceled' : 'transaction.past_due',
    )
  }
  if (isPrevented)
    throw new ApiRefusal(
      400,
      'subscription_payment_declined',
      'Subscription changes not applied as the payment for the transaction was declined',
      { family: 'subscriptions' },
    )
}

function billTransaction(
  simulation: Simulation,
  subscription: Subscription,
  order: Order,
  visibleAfterMs: number,
): Transaction {
  const transaction = addTransaction(simulation, {
    status: 'billed',
    origin: 'subscription_charge',
    order,
    currency: subscription.currency_code,
    customerId: subscription.customer_id,
    addressId: subscription.address_id,
    subscriptionId: subscription.id,
    customData: simulation.switches.customDataPropagation ? (subscription.custom_data ?? null) : null,
    checkoutUrl: null,
  })
  if (visibleAfterMs > 0)
    simulation.world.hiddenUntilMs.set(transaction.id, simulation.clock.now().getTime() + visibleAfterMs)
  emit(simulation, 'transaction.created', transaction)
  emit(simulation, 'transaction.billed', transaction)
  return getTransaction(simulation, transaction.id)
}
