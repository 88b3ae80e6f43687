/** `/subscriptions`: read and listed, charged, and brought to an end. Paddle lets nobody create one without a checkout. */
import { ApiRefusal } from './api-refusal.ts'
import { chargeSubscription, previewCharge } from './charge.ts'
import { getAddress, getCustomer } from './customer-store.ts'
import type { Subscription, Transaction } from './entities.ts'
import { emit } from './event-feed.ts'
import type { ListRules } from './lists.ts'
import { parseBody } from './parse-body.ts'
import {
  cancelSubscription as cancelShape,
  charge,
  pauseSubscription as pauseShape,
  resumeSubscription as resumeShape,
  subscriptionChanges,
} from './request-shapes.ts'
import { answerList, included, param, type Answer, type ApiRequest, type Routes } from './routing.ts'
import type { Simulation } from './simulation.ts'
import {
  cancelSubscription,
  getSubscription,
  pauseSubscription,
  resumeSubscription,
  updateSubscription,
} from './subscription-store.ts'
import { addTransaction, getTransaction, totalsOf } from './transaction-store.ts'

export const subscriptionRoutes: Routes = {
  'GET /subscriptions': (simulation, request) =>
    answerList(simulation, request, {
      all: simulation.world.subscriptions.values(),
      rules,
    }),
  'GET /subscriptions/{id}': (simulation, request) => ({
    status: 200,
    data: withIncluded(simulation, getSubscription(simulation, param(request, 'id')), request),
  }),
  'PATCH /subscriptions/{id}': changeSubscription,
  'POST /subscriptions/{id}/charge': async (simulation, request) => ({
    status: 201,
    data: await chargeSubscription(simulation, {
      subscriptionId: param(request, 'id'),
      body: parseBody(charge, request.body),
      visibleAfterMs: request.visibleAfterMs,
    }),
  }),
  'POST /subscriptions/{id}/charge/preview': (simulation, request) => ({
    status: 200,
    data: previewCharge(simulation, {
      subscriptionId: param(request, 'id'),
      body: parseBody(charge, request.body),
    }),
  }),
  'POST /subscriptions/{id}/cancel': (simulation, request) => {
    const body = parseBody(cancelShape, request.body)
    const subscription = requireNotCanceled(simulation, request)
    if (body.effective_from === 'immediately')
      return { status: 200, data: cancelSubscription(simulation, subscription.id) }
    return { status: 200, data: scheduleChange(simulation, subscription, 'cancel') }
  },
  'POST /subscriptions/{id}/pause': (simulation, request) => {
    const body = parseBody(pauseShape, request.body)
    const subscription = requireNotCanceled(simulation, request)
    if (body.effective_from === 'immediately')
      return { status: 200, data: pauseSubscription(simulation, subscription.id) }
    return { status: 200, data: scheduleChange(simulation, subscription, 'pause') }
  },
  'POST /subscriptions/{id}/resume': (simulation, request) => {
    parseBody(resumeShape, request.body)
    const subscription = requireNotCanceled(simulation, request)
    if (subscription.status !== 'paused')
      throw new ApiRefusal(
        400,
        'subscription_not_paused',
        'cannot resume a subscription that is not paused',
        {
          family: 'subscriptions',
        },
      )
    return { status: 200, data: resumeSubscription(simulation, subscription.id) }
  },
  'GET /subscriptions/{id}/update-payment-method-transaction': (simulation, request) => ({
    status: 200,
    data: openCardChange(simulation, requireNotCanceled(simulation, request)),
  }),
}

/**
 * The transaction in whose checkout a customer gives another card: the one that is past due, which is then collected, or
 * a new one of nothing.
 */
export function openCardChange(simulation: Simulation, subscription: Subscription): Transaction {
  const outstanding = (simulation.world.subscriptionTransactions.get(subscription.id) ?? [])
    .map((id) => getTransaction(simulation, id))
    .find(({ status }) => status === 'past_due')
  if (outstanding !== undefined) return outstanding
  const transaction = addTransaction(simulation, {
    status: 'ready',
    origin: 'subscription_payment_method_change',
    order: subscription.items.map(({ price, quantity }) => ({
      price: { ...price, unit_price: { ...price.unit_price, amount: '0' } },
      quantity,
    })),
    currency: subscription.currency_code,
    customerId: subscription.customer_id,
    addressId: subscription.address_id,
    subscriptionId: subscription.id,
    customData: simulation.switches.customDataPropagation ? (subscription.custom_data ?? null) : null,
  })
  emit(simulation, 'transaction.created', transaction)
  emit(simulation, 'transaction.ready', transaction)
  return transaction
}

const rules: ListRules<Subscription> = {
  idOf: ({ id }) => id,
  fields: {
    id: ({ id }) => id,
    customer_id: ({ customer_id: customerId }) => customerId,
    address_id: ({ address_id: addressId }) => addressId,
    status: ({ status }) => status,
    collection_mode: ({ collection_mode: mode }) => mode,
    price_id: ({ items }) => items.map(({ price }) => price.id),
    scheduled_change_action: ({ scheduled_change: change }) => change?.action,
  },
  perPage: 50,
  mostPerPage: 200,
}

function changeSubscription(simulation: Simulation, request: ApiRequest): Answer {
  const body = parseBody(subscriptionChanges, request.body)
  const subscription = requireNotCanceled(simulation, request)
  const customerId = body.customer_id ?? subscription.customer_id
  getCustomer(simulation, customerId)
  if (body.address_id !== undefined) getAddress(simulation, customerId, body.address_id)
  // A card belongs to its customer: another customer has none here.
  if (customerId !== subscription.customer_id) simulation.world.subscriptionCards.delete(subscription.id)
  const changed = updateSubscription(
    simulation,
    subscription.id,
    {
      customer_id: customerId,
      address_id: body.address_id ?? subscription.address_id,
      ...(body.custom_data === undefined ? {} : { custom_data: body.custom_data }),
      ...(body.next_billed_at === undefined ? {} : { next_billed_at: body.next_billed_at }),
      ...(body.scheduled_change === undefined ? {} : { scheduled_change: null }),
    },
    'subscription.updated',
  )
  return { status: 200, data: changed }
}

function scheduleChange(
  simulation: Simulation,
  subscription: Subscription,
  action: 'cancel' | 'pause',
): Subscription {
  const effectiveAt = subscription.next_billed_at ?? simulation.clock.stamp()
  const scheduled = updateSubscription(
    simulation,
    subscription.id,
    { scheduled_change: { action, effective_at: effectiveAt, resume_at: null } },
    'subscription.updated',
  )
  simulation.clock.schedule(Date.parse(effectiveAt) - simulation.clock.now().getTime(), () => {
    const planned = simulation.world.subscriptions.get(subscription.id)?.scheduled_change
    if (planned?.action !== action || planned.effective_at !== effectiveAt) return
    if (action === 'cancel') cancelSubscription(simulation, subscription.id)
    else pauseSubscription(simulation, subscription.id)
  })
  return scheduled
}

function requireNotCanceled(simulation: Simulation, request: ApiRequest): Subscription {
  const subscription = getSubscription(simulation, param(request, 'id'))
  if (subscription.status === 'canceled')
    throw new ApiRefusal(
      400,
      'subscription_is_canceled_action_invalid',
      'cannot perform this action on a canceled subscription',
      { family: 'subscriptions' },
    )
  return subscription
}

function withIncluded(simulation: Simulation, subscription: Subscription, request: ApiRequest): object {
  const wanted = included(request)
  if (wanted.size === 0) return subscription
  const details = totalsOf(simulation, {
    order: subscription.items.map(({ price, quantity }) => ({ price, quantity })),
    currency: subscription.currency_code,
    customerId: subscription.customer_id,
    addressId: subscription.address_id,
  })
  const period = subscription.current_billing_period
  return {
    ...subscription,
    ...(wanted.has('recurring_transaction_details') ? { recurring_transaction_details: details } : {}),
    ...(wanted.has('next_transaction') && period !== null
      ? { next_transaction: { billing_period: period, details, adjustments: [] } }
      : {}),
  }
}
