/** Customers and their addresses. */
import type { z } from 'zod'

import { ApiRefusal, notFound } from './api-refusal.ts'
import type { Address, Customer } from './entities.ts'
import { emit } from './event-feed.ts'
import type { newAddress, newCustomer } from './request-shapes.ts'
import type { Simulation } from './simulation.ts'

/** Throws: ApiRefusal `customer_already_exists`; the detail names the customer who has this email. */
export function addCustomer(simulation: Simulation, fields: z.infer<typeof newCustomer>): Customer {
  const other = findCustomerByEmail(simulation, fields.email)
  if (other !== null) throw emailTaken(other)
  const stamp = simulation.clock.stamp()
  const customer: Customer = {
    id: simulation.newId('ctm'),
    name: fields.name ?? null,
    email: fields.email,
    marketing_consent: false,
    status: 'active',
    custom_data: fields.custom_data ?? null,
    locale: fields.locale ?? 'en',
    created_at: stamp,
    updated_at: stamp,
    import_meta: null,
  }
  simulation.world.customers.set(customer.id, customer)
  emit(simulation, 'customer.created', customer)
  return customer
}

export function getCustomer({ world }: Simulation, id: string): Customer {
  const customer = world.customers.get(id)
  if (customer === undefined) throw notFound(id)
  return customer
}

export function findCustomerByEmail({ world }: Simulation, email: string): Customer | null {
  for (const customer of world.customers.values()) {
    if (customer.email.toLowerCase() === email.toLowerCase()) return customer
  }
  return null
}

export function emailTaken({ id }: Customer): ApiRefusal {
  return new ApiRefusal(
    409,
    'customer_already_exists',
    `customer email conflicts with customer of id ${id}`,
    { family: 'customers' },
  )
}

export function addAddress(
  simulation: Simulation,
  customerId: string,
  fields: z.infer<typeof newAddress>,
): Address {
  const customer = getCustomer(simulation, customerId)
  const stamp = simulation.clock.stamp()
  const address: Address = {
    id: simulation.newId('add'),
    customer_id: customer.id,
    description: fields.description ?? null,
    first_line: fields.first_line ?? null,
    second_line: fields.second_line ?? null,
    city: fields.city ?? null,
    postal_code: fields.postal_code ?? null,
    region: fields.region ?? null,
    country_code: fields.country_code,
    custom_data: fields.custom_data ?? null,
    status: 'active',
    created_at: stamp,
    updated_at: stamp,
    import_meta: null,
  }
  simulation.world.addresses.set(address.id, address)
  emit(simulation, 'address.created', address)
  return address
}

/** An address is only ever found under its own customer. */
export function getAddress({ world }: Simulation, customerId: string, id: string): Address {
  const address = world.addresses.get(id)
  if (address?.customer_id !== customerId) throw notFound(id)
  return address
}

export function addressesOf({ world }: Simulation, customerId: string): Address[] {
  return [...world.addresses.values()].filter((address) => address.customer_id === customerId)
}
