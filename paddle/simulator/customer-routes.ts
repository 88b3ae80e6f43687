/** `/customers`, and what hangs below one: addresses, saved cards, the tokens that show them. */
import type {
  IAuthTokenResponse,
  ICustomerPortalSessionResponse,
  IPaymentMethodResponse,
} from '@paddle/paddle-node-sdk'
import { randomBytes } from 'node:crypto'

import { ApiRefusal, notFound } from './api-refusal.ts'
import { instantKey } from './clock.ts'
import {
  addAddress,
  addCustomer,
  addressesOf,
  emailTaken,
  findCustomerByEmail,
  getAddress,
  getCustomer,
} from './customer-store.ts'
import type { Address, Customer, PaymentMethod } from './entities.ts'
import { emit } from './event-feed.ts'
import type { ListRules } from './lists.ts'
import { parseBody } from './parse-body.ts'
import {
  addressChanges,
  customerChanges,
  newAddress,
  newCustomer,
  newPortalSession,
} from './request-shapes.ts'
import { answerList, param, type Answer, type ApiRequest, type Routes } from './routing.ts'
import type { Simulation } from './simulation.ts'
import { getSubscription } from './subscription-store.ts'

export const customerRoutes: Routes = {
  'GET /customers': (simulation, request) =>
    answerList(simulation, request, { all: simulation.world.customers.values(), rules: customerRules }),
  'POST /customers': (simulation, request) => ({
    status: 201,
    data: addCustomer(simulation, parseBody(newCustomer, request.body)),
  }),
  'GET /customers/{id}': (simulation, request) => ({
    status: 200,
    data: getCustomer(simulation, param(request, 'id')),
  }),
  'PATCH /customers/{id}': changeCustomer,
  'GET /customers/{id}/credit-balances': readCreditBalances,

  'GET /customers/{id}/addresses': (simulation, request) =>
    answerList(simulation, request, {
      all: addressesOf(simulation, getCustomer(simulation, param(request, 'id')).id),
      rules: addressRules,
    }),
  'POST /customers/{id}/addresses': (simulation, request) => ({
    status: 201,
    data: addAddress(simulation, param(request, 'id'), parseBody(newAddress, request.body)),
  }),
  'GET /customers/{id}/addresses/{address}': (simulation, request) => ({
    status: 200,
    data: getAddress(simulation, param(request, 'id'), param(request, 'address')),
  }),
  'PATCH /customers/{id}/addresses/{address}': changeAddress,

  'GET /customers/{id}/payment-methods': (simulation, request) =>
    answerList(simulation, request, {
      all: savedCardsOf(simulation, getCustomer(simulation, param(request, 'id')).id),
      rules: paymentMethodRules,
      present: paymentMethodResponse,
    }),
  'GET /customers/{id}/payment-methods/{method}': (simulation, request) => ({
    status: 200,
    data: paymentMethodResponse(getSavedCard(simulation, request)),
  }),
  'DELETE /customers/{id}/payment-methods/{method}': deletePaymentMethod,

  'POST /customers/{id}/auth-token': (simulation, request) => {
    getCustomer(simulation, param(request, 'id'))
    const token: IAuthTokenResponse = {
      customer_auth_token: `pca_${randomBytes(24).toString('hex')}`,
      expires_at: new Date(simulation.clock.now().getTime() + 30 * 60_000).toISOString(),
    }
    return { status: 201, data: token }
  },
  'POST /customers/{id}/portal-sessions': openPortal,
}

const customerRules: ListRules<Customer> = {
  idOf: ({ id }) => id,
  fields: {
    id: ({ id }) => id,
    email: ({ email }) => email,
    status: ({ status }) => status,
    search: ({ id, email, name }) => [id, email, ...(name === null ? [] : [name])],
  },
  orders: { created_at: ({ created_at: at }) => instantKey(at) },
  perPage: 50,
  mostPerPage: 200,
}

const addressRules: ListRules<Address> = {
  idOf: ({ id }) => id,
  fields: { id: ({ id }) => id, status: ({ status }) => status, search: ({ id }) => id },
  orders: { created_at: ({ created_at: at }) => instantKey(at) },
  perPage: 50,
  mostPerPage: 200,
}

const paymentMethodRules: ListRules<PaymentMethod> = {
  idOf: ({ id }) => id,
  fields: { address_id: ({ addressId }) => addressId, supports_checkout: () => ['true', 'false'] },
  perPage: 50,
  mostPerPage: 200,
}

function changeCustomer(simulation: Simulation, request: ApiRequest): Answer {
  const customer = getCustomer(simulation, param(request, 'id'))
  const { email, name, locale, custom_data: customData, status } = parseBody(customerChanges, request.body)
  const other = email === undefined ? null : findCustomerByEmail(simulation, email)
  if (other !== null && other.id !== customer.id) throw emailTaken(other)
  const changed: Customer = {
    ...customer,
    email: email ?? customer.email,
    name: name === undefined ? customer.name : name,
    locale: locale ?? customer.locale,
    custom_data: customData === undefined ? customer.custom_data : customData,
    status: status ?? customer.status,
    updated_at: simulation.clock.stamp(),
  }
  simulation.world.customers.set(customer.id, changed)
  emit(simulation, 'customer.updated', changed)
  return { status: 200, data: changed }
}

function changeAddress(simulation: Simulation, request: ApiRequest): Answer {
  const address = getAddress(simulation, param(request, 'id'), param(request, 'address'))
  const changes = parseBody(addressChanges, request.body)
  const text = (field: 'description' | 'first_line' | 'second_line' | 'city' | 'postal_code' | 'region') =>
    changes[field] === undefined ? address[field] : changes[field]
  const changed: Address = {
    ...address,
    country_code: changes.country_code ?? address.country_code,
    description: text('description'),
    first_line: text('first_line'),
    second_line: text('second_line'),
    city: text('city'),
    postal_code: text('postal_code'),
    region: text('region'),
    custom_data: changes.custom_data === undefined ? address.custom_data : changes.custom_data,
    status: changes.status ?? address.status,
    updated_at: simulation.clock.stamp(),
  }
  simulation.world.addresses.set(address.id, changed)
  emit(simulation, 'address.updated', changed)
  return { status: 200, data: changed }
}

function readCreditBalances({ world }: Simulation, request: ApiRequest): Answer {
  const id = param(request, 'id')
  const balances = [...world.creditBalances]
    .map(([key, available]) => ({ owner: key.split('/')[0], currency: key.split('/')[1], available }))
    .filter(({ owner }) => owner === id)
    .map(({ currency, available }) => ({
      customer_id: id,
      currency_code: currency,
      balance: { available, reserved: '0', used: '0' },
    }))
  return { status: 200, data: balances }
}

/** Only what the customer agreed to keep is shown; the card of a subscription need not be among it. */
function savedCardsOf({ world }: Simulation, customerId: string): PaymentMethod[] {
  return [...world.paymentMethods.values()].filter(
    (method) => method.customerId === customerId && method.consented,
  )
}

function getSavedCard(simulation: Simulation, request: ApiRequest): PaymentMethod {
  const id = param(request, 'method')
  const method = savedCardsOf(simulation, param(request, 'id')).find((each) => each.id === id)
  if (method === undefined) throw notFound(id)
  return method
}

function deletePaymentMethod(simulation: Simulation, request: ApiRequest): Answer {
  const method = getSavedCard(simulation, request)
  const { world } = simulation
  const isInUse = [...world.subscriptionCards].some(
    ([subscriptionId, id]) =>
      id === method.id && getSubscription(simulation, subscriptionId).status !== 'canceled',
  )
  if (isInUse)
    throw new ApiRefusal(
      409,
      'payment_method_associated_with_subscription',
      'cannot delete a payment method that a subscription is charged to',
      { family: 'customers' },
    )
  world.paymentMethods.delete(method.id)
  emit(simulation, 'payment_method.deleted', {
    id: method.id,
    customer_id: method.customerId,
    address_id: method.addressId,
    deletion_reason: 'api',
    type: 'card',
    origin: 'saved_during_purchase',
    saved_at: method.savedAt,
    updated_at: simulation.clock.stamp(),
  })
  return { status: 204 }
}

function paymentMethodResponse(method: PaymentMethod): IPaymentMethodResponse {
  return {
    id: method.id,
    customer_id: method.customerId,
    address_id: method.addressId,
    type: 'card',
    card: method.card,
    paypal: null,
    south_korea_local_card: null,
    underlying_details: null,
    origin: 'saved_during_purchase',
    saved_at: method.savedAt,
    updated_at: method.updatedAt,
  }
}

function openPortal(simulation: Simulation, request: ApiRequest): Answer {
  const customer = getCustomer(simulation, param(request, 'id'))
  const { subscription_ids: ids = [] } = parseBody(newPortalSession, request.body)
  const session: ICustomerPortalSessionResponse = {
    id: simulation.newId('cpls'),
    customer_id: customer.id,
    urls: {
      general: { overview: `${simulation.url}/portal/${customer.id}` },
      subscriptions: ids.map((id) => {
        const subscription = getSubscription(simulation, id)
        if (subscription.customer_id !== customer.id) throw notFound(id)
        return {
          id,
          cancel_subscription: `${simulation.url}/manage/${id}/cancel`,
          update_subscription_payment_method: `${simulation.url}/manage/${id}/update-payment-method`,
        }
      }),
    },
    created_at: simulation.clock.stamp(),
  }
  return { status: 201, data: session }
}
