/** Products and prices: those of the catalog, and those that an order brings with it. */
import { invalidField, notFound } from './api-refusal.ts'
import type { Price, Product } from './entities.ts'
import { emit } from './event-feed.ts'
import type { NonCatalogPrice, OrderedItem, productFields, priceFields } from './price-shapes.ts'
import type { Simulation } from './simulation.ts'
import { getProduct, type Order } from './transaction-store.ts'
import type { z } from 'zod'

export function addProduct(
  simulation: Simulation,
  fields: z.infer<typeof productFields>,
  type: Product['type'] = fields.type ?? 'standard',
): Product {
  const stamp = simulation.clock.stamp()
  const product: Product = {
    id: simulation.newId('pro'),
    name: fields.name,
    type,
    description: fields.description ?? null,
    tax_category: fields.tax_category,
    image_url: fields.image_url ?? null,
    custom_data: fields.custom_data ?? null,
    status: 'active',
    created_at: stamp,
    updated_at: stamp,
    import_meta: null,
  }
  simulation.world.products.set(product.id, product)
  emit(simulation, 'product.created', product)
  return product
}

export function addPrice(simulation: Simulation, fields: z.infer<typeof priceFields>): Price {
  getProduct(simulation, fields.product_id)
  const price = makePrice(simulation, fields, fields.product_id, fields.type ?? 'standard')
  simulation.world.prices.set(price.id, price)
  emit(simulation, 'price.created', price)
  return price
}

export function getPrice({ world }: Simulation, id: string): Price {
  const price = world.prices.get(id)
  if (price === undefined) throw notFound(id)
  return price
}

/**
 * The prices that an order's items mean. A price that is not of the catalog is made for this order and is no entity of
 * its own.
 *
 * Throws: ApiRefusal for a product or price that is not there, or a quantity out of the price's range.
 */
export function resolveOrder(simulation: Simulation, items: readonly OrderedItem[]): Order {
  return items.map(({ price_id: priceId, price: fields, quantity }, index) => {
    const price = priceId === undefined ? customPrice(simulation, fields) : getPrice(simulation, priceId)
    const { minimum, maximum } = price.quantity
    if (quantity < minimum || quantity > maximum)
      throw invalidField(`items[${index}].quantity`, `must be from ${minimum} to ${maximum}`)
    return { price, quantity }
  })
}

function customPrice(simulation: Simulation, fields: NonCatalogPrice | undefined): Price {
  if (fields === undefined) throw invalidField('items', 'an item needs a price')
  const { product_id: productId, product } = fields
  if (product !== undefined)
    return makePrice(simulation, fields, addProduct(simulation, product, 'custom').id, 'custom')
  if (productId === undefined) throw invalidField('items', 'a price needs a product')
  return makePrice(simulation, fields, getProduct(simulation, productId).id, 'custom')
}

function makePrice(
  simulation: Simulation,
  fields: Omit<NonCatalogPrice, 'product_id' | 'product'>,
  productId: string,
  type: Price['type'],
): Price {
  const stamp = simulation.clock.stamp()
  return {
    id: simulation.newId('pri'),
    product_id: productId,
    description: fields.description,
    type,
    name: fields.name ?? null,
    billing_cycle: fields.billing_cycle ?? null,
    trial_period: withConsent(fields.trial_period ?? null),
    tax_mode: fields.tax_mode ?? 'account_setting',
    unit_price: fields.unit_price,
    unit_price_overrides: fields.unit_price_overrides ?? [],
    quantity: fields.quantity ?? { minimum: 1, maximum: 100 },
    status: 'active',
    custom_data: fields.custom_data ?? null,
    created_at: stamp,
    updated_at: stamp,
    import_meta: null,
  }
}

function withConsent(period: NonNullable<NonCatalogPrice['trial_period']> | null): Price['trial_period'] {
  if (period === null) return null
  const { interval, frequency, requires_payment_method: requiresPaymentMethod = true } = period
  return { interval, frequency, requires_payment_method: requiresPaymentMethod }
}
