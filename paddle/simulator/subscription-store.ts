/** Subscriptions: how a paid checkout makes one, how it changes, renews and ends. */
import type { IEventName, ITimePeriod } from '@paddle/paddle-node-sdk'

import { notFound } from './api-refusal.ts'
import { askCard } from './cards.ts'
import type { PaymentMethod, Subscription, Transaction } from './entities.ts'
import { emit, emitSubscription } from './event-feed.ts'
import { capture, completeSoon } from './payments.ts'
import type { Simulation } from './simulation.ts'
import { addTransaction, getProduct } from './transaction-store.ts'

/** What a paid checkout with a recurring item makes. Its custom data is the transaction's. */
export function addSubscription(
  simulation: Simulation,
  transaction: Transaction,
  method: PaymentMethod,
): Subscription {
  const { clock, world } = simulation
  const id = simulation.newId('sub')
  const startedAt = clock.stamp()
  const recurring = transaction.items.filter(({ price }) => price.billing_cycle !== null)
  const cycle: ITimePeriod = recurring[0]?.price.billing_cycle ?? { interval: 'year', frequency: 1 }
  const period = { starts_at: startedAt, ends_at: endOfPeriod(startedAt, cycle) }
  const subscription: Subscription = {
    id,
    status: 'active',
    customer_id: method.customerId,
    address_id: method.addressId,
    business_id: null,
    currency_code: transaction.currency_code,
    created_at: startedAt,
    updated_at: startedAt,
    started_at: startedAt,
    first_billed_at: startedAt,
    next_billed_at: period.ends_at,
    paused_at: null,
    canceled_at: null,
    discount: null,
    collection_mode: 'automatic',
    billing_details: null,
    current_billing_period: period,
    billing_cycle: cycle,
    scheduled_change: null,
    management_urls: {
      update_payment_method: `${simulation.url}/manage/${id}/update-payment-method`,
      cancel: `${simulation.url}/manage/${id}/cancel`,
    },
    items: recurring.map(({ price, quantity }) => ({
      status: 'active',
      quantity,
      recurring: true,
      created_at: startedAt,
      updated_at: startedAt,
      previously_billed_at: startedAt,
      next_billed_at: period.ends_at,
      trial_dates: null,
      price,
      product: getProduct(simulation, price.product_id),
    })),
    custom_data: transaction.custom_data,
    import_meta: null,
  }
  world.subscriptions.set(id, subscription)
  world.subscriptionCards.set(id, method.id)
  emitSubscription(simulation, 'subscription.created', subscription, { transaction_id: transaction.id })
  emitSubscription(simulation, 'subscription.activated', subscription)
  renewInTime(simulation, id)
  return subscription
}

export function updateSubscription(
  simulation: Simulation,
  id: string,
  changes: Partial<Subscription>,
  eventType: IEventName,
): Subscription {
  const subscription: Subscription = {
    ...getSubscription(simulation, id),
    ...changes,
    updated_at: simulation.clock.stamp(),
  }
  simulation.world.subscriptions.set(id, subscription)
  emitSubscription(simulation, eventType, subscription)
  return subscription
}

export function getSubscription({ world }: Simulation, id: string): Subscription {
  const subscription = world.subscriptions.get(id)
  if (subscription === undefined) throw notFound(id)
  return subscription
}

/** The card of a subscription, if it has one. */
export function findCard({ world }: Simulation, subscriptionId: string): PaymentMethod | null {
  const id = world.subscriptionCards.get(subscriptionId)
  return (id === undefined ? undefined : world.paymentMethods.get(id)) ?? null
}

export function cancelSubscription(simulation: Simulation, id: string): Subscription {
  const { clock, world } = simulation
  const { items } = getSubscription(simulation, id)
  world.subscriptionCards.delete(id)
  return updateSubscription(
    simulation,
    id,
    {
      status: 'canceled',
      canceled_at: clock.stamp(),
      next_billed_at: null,
      current_billing_period: null,
      scheduled_change: null,
      items: items.map((item) => ({ ...item, status: 'inactive', next_billed_at: null })),
    },
    'subscription.canceled',
  )
}

export function pauseSubscription(simulation: Simulation, id: string): Subscription {
  return updateSubscription(
    simulation,
    id,
    {
      status: 'paused',
      paused_at: simulation.clock.stamp(),
      next_billed_at: null,
      current_billing_period: null,
    },
    'subscription.paused',
  )
}

export function resumeSubscription(simulation: Simulation, id: string): Subscription {
  const { billing_cycle: cycle } = getSubscription(simulation, id)
  const startsAt = simulation.clock.stamp()
  const endsAt = endOfPeriod(startsAt, cycle)
  const resumed = updateSubscription(
    simulation,
    id,
    {
      status: 'active',
      paused_at: null,
      next_billed_at: endsAt,
      current_billing_period: { starts_at: startsAt, ends_at: endsAt },
    },
    'subscription.resumed',
  )
  renewInTime(simulation, id)
  return resumed
}

/** Another period: a transaction of its own, which for a $0 price takes nothing and must credit nobody. */
export function renewSubscription(simulation: Simulation, id: string): Transaction {
  const subscription = getSubscription(simulation, id)
  const startsAt = subscription.current_billing_period?.ends_at ?? simulation.clock.stamp()
  const period = { starts_at: startsAt, ends_at: endOfPeriod(startsAt, subscription.billing_cycle) }
  const transaction = addTransaction(simulation, {
    status: 'billed',
    origin: 'subscription_recurring',
    order: subscription.items.map(({ price, quantity }) => ({ price, quantity })),
    currency: subscription.currency_code,
    customerId: subscription.customer_id,
    addressId: subscription.address_id,
    subscriptionId: id,
    customData: simulation.switches.customDataPropagation ? (subscription.custom_data ?? null) : null,
    billingPeriod: period,
    checkoutUrl: null,
  })
  emit(simulation, 'transaction.created', transaction)
  emit(simulation, 'transaction.billed', transaction)
  const method = findCard(simulation, id)
  const isFree = transaction.details.totals.grand_total === '0'
  if (method !== null && (isFree || askCard(simulation, method) === null)) {
    capture(simulation, transaction.id, method)
    completeSoon(simulation, transaction.id)
  }
  updateSubscription(
    simulation,
    id,
    {
      current_billing_period: period,
      next_billed_at: period.ends_at,
      items: subscription.items.map((item) => ({
        ...item,
        previously_billed_at: startsAt,
        next_billed_at: period.ends_at,
      })),
    },
    'subscription.updated',
  )
  renewInTime(simulation, id)
  return transaction
}

/** Renews by itself when its period ends, be it that the clock was advanced by a year. */
export function renewInTime(simulation: Simulation, id: string): void {
  const due = simulation.world.subscriptions.get(id)?.next_billed_at
  if (due === null || due === undefined) return
  simulation.clock.schedule(Date.parse(due) - simulation.clock.now().getTime(), () => {
    const { status, next_billed_at: nextBilledAt } = simulation.world.subscriptions.get(id) ?? {}
    if (status === 'active' && nextBilledAt === due) renewSubscription(simulation, id)
  })
}

function endOfPeriod(startsAt: string, { interval, frequency }: ITimePeriod): string {
  const end = new Date(startsAt)
  if (interval === 'day') end.setUTCDate(end.getUTCDate() + frequency)
  else if (interval === 'week') end.setUTCDate(end.getUTCDate() + 7 * frequency)
  else if (interval === 'month') end.setUTCMonth(end.getUTCMonth() + frequency)
  else end.setUTCFullYear(end.getUTCFullYear() + frequency)
  return end.toISOString()
}
