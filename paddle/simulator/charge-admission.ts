/** What must be true before a saved card is charged, and what Paddle says when it is not. */
import type { CurrencyCode } from '@paddle/paddle-node-sdk'
import type { z } from 'zod'

import { ApiRefusal, invalidField } from './api-refusal.ts'
import { resolveOrder } from './catalog.ts'
import type { PaymentMethod, Subscription, TransactionDetails } from './entities.ts'
import type { charge } from './request-shapes.ts'
import type { Simulation } from './simulation.ts'
import { findCard } from './subscription-store.ts'
import { currencyOf, getTransaction, totalsOf, type Order } from './transaction-store.ts'

export type ChargeBody = z.infer<typeof charge>

const hourMs = 3_600_000
const renewalLockMs = 30 * 60_000

/** Throws: ApiRefusal with the first thing that is in the way. */
export function admitCharge(
  simulation: Simulation,
  subscription: Subscription,
  body: ChargeBody,
): { order: Order; method: PaymentMethod } {
  checkStatus(simulation, subscription)
  const method = findCard(simulation, subscription.id)
  if (method === null)
    throw refused(
      'subscription_missing_payment_method_cannot_update',
      'cannot charge a subscription that has no payment method',
    )
  const order = resolveOrder(simulation, body.items)
  checkOrder(simulation, subscription, order)
  checkLimits(simulation, subscription.id)
  if (simulation.switches.parallelCharges === 'conflict' && simulation.traffic.charging.has(subscription.id))
    throw new ApiRefusal(
      409,
      'concurrent_modification',
      'cannot modify an entity that another request is modifying',
    )
  return { order, method }
}

/** Counts the charge and notes that it is under way; the answer ends that. */
export function enterCharge({ world, clock, traffic }: Simulation, subscriptionId: string): () => void {
  const times = world.chargeTimesMs.get(subscriptionId) ?? []
  world.chargeTimesMs.set(subscriptionId, [...times.slice(-1_000), clock.now().getTime()])
  traffic.charging.set(subscriptionId, (traffic.charging.get(subscriptionId) ?? 0) + 1)
  return () => {
    const left = (traffic.charging.get(subscriptionId) ?? 1) - 1
    if (left > 0) traffic.charging.set(subscriptionId, left)
    else traffic.charging.delete(subscriptionId)
  }
}

export function chargeTotals(
  simulation: Simulation,
  subscription: Subscription,
  order: Order,
): TransactionDetails {
  return totalsOf(simulation, {
    order,
    currency: subscription.currency_code,
    customerId: subscription.customer_id,
    addressId: subscription.address_id,
  })
}

/** Throws: ApiRefusal for an amount that no card is asked for. Nothing at all is no charge. */
export function checkMinimum(
  balance: bigint,
  currency: CurrencyCode,
  { family, code }: { family: 'subscriptions' | 'transactions'; code: string } = {
    family: 'transactions',
    code: 'transaction_balance_less_than_charge_limit',
  },
): void {
  const least = leastCharge[currency] ?? 70n
  if (balance > 0n && balance < least)
    throw new ApiRefusal(
      400,
      code,
      `Transaction balance: ${balance}, Minimum payment amount: ${least}, Currency code: ${currency}`,
      { family },
    )
}

/** About 70 US cents. */
const leastCharge: Partial<Record<CurrencyCode, bigint>> = { GBP: 60n, JPY: 100n, KRW: 1_000n }

function checkStatus(simulation: Simulation, subscription: Subscription): void {
  const { status, collection_mode: mode, next_billed_at: nextBilledAt } = subscription
  if (status === 'canceled')
    throw refused(
      'subscription_is_canceled_action_invalid',
      'cannot perform this action on a canceled subscription',
    )
  if (hasOutstanding(simulation, subscription.id))
    throw new ApiRefusal(
      409,
      'subscription_outstanding_transaction',
      'cannot charge a subscription that has an outstanding transaction',
      { family: 'subscriptions' },
    )
  if (status === 'past_due')
    throw refused('subscription_update_when_past_due', 'cannot charge a past due subscription')
  if (status === 'paused')
    throw refused('subscription_not_active', 'cannot charge a subscription that is not active')
  if (mode !== 'automatic')
    throw refused(
      'subscription_not_automatic_collection',
      'cannot charge a subscription that is collected manually',
    )
  if (nextBilledAt !== null && Date.parse(nextBilledAt) - simulation.clock.now().getTime() < renewalLockMs)
    throw new ApiRefusal(
      409,
      'subscription_locked_renewal',
      'cannot change a subscription within 30 minutes of its renewal',
      { family: 'subscriptions' },
    )
}

function hasOutstanding(simulation: Simulation, subscriptionId: string): boolean {
  const ids = simulation.world.subscriptionTransactions.get(subscriptionId) ?? []
  return ids.some((id) => getTransaction(simulation, id).status === 'past_due')
}

function checkOrder(simulation: Simulation, subscription: Subscription, order: Order): void {
  const currency = currencyOf(order)
  if (currency !== subscription.currency_code)
    throw invalidField(
      'items[0].price.unit_price.currency_code',
      `must be the subscription's currency, ${subscription.currency_code}`,
    )
  const ids = order.map(({ price }) => price.id)
  if (new Set(ids).size < ids.length)
    throw refused('subscription_charge_duplicate_price_ids', 'cannot charge the same price more than once')
  checkMinimum(BigInt(chargeTotals(simulation, subscription, order).totals.grand_total), currency)
}

/** Paddle's limits on immediate charges. Their 429 says nothing about when to come back. */
function checkLimits({ world, clock, limits }: Simulation, subscriptionId: string): void {
  const nowMs = clock.now().getTime()
  const times = world.chargeTimesMs.get(subscriptionId) ?? []
  const within = (windowMs: number): number => times.filter((at) => at > nowMs - windowMs).length
  if (limits.chargesPerHour !== null && within(hourMs) >= limits.chargesPerHour)
    throw new ApiRefusal(
      429,
      'subscription_immediate_charge_hour_limit_exceeded',
      'exceeded the number of immediate charges on this subscription in an hour',
      { family: 'subscriptions' },
    )
  if (limits.chargesPerDay !== null && within(24 * hourMs) >= limits.chargesPerDay)
    throw new ApiRefusal(
      429,
      'subscription_immediate_charge_24_hour_limit_exceeded',
      'exceeded the number of immediate charges on this subscription in 24 hours',
      { family: 'subscriptions' },
    )
}

function refused(code: string, detail: string): ApiRefusal {
  return new ApiRefusal(400, code, detail, { family: 'subscriptions' })
}
