/** `/products` and `/prices`. */
import { addPrice, addProduct, getPrice } from './catalog.ts'
import { instantKey } from './clock.ts'
import type { Price, Product } from './entities.ts'
import { emit } from './event-feed.ts'
import type { ListRules } from './lists.ts'
import { parseBody } from './parse-body.ts'
import { priceChanges, priceFields, productChanges, productFields } from './price-shapes.ts'
import { answerList, included, param, type Answer, type ApiRequest, type Routes } from './routing.ts'
import type { Simulation } from './simulation.ts'
import { getProduct } from './transaction-store.ts'

export const catalogRoutes: Routes = {
  'GET /products': (simulation, request) =>
    answerList(simulation, request, {
      all: simulation.world.products.values(),
      rules: productRules,
      present: (product) => withPrices(simulation, product, request),
    }),
  'POST /products': (simulation, request) => ({
    status: 201,
    data: addProduct(simulation, parseBody(productFields, request.body)),
  }),
  'GET /products/{id}': (simulation, request) => ({
    status: 200,
    data: withPrices(simulation, getProduct(simulation, param(request, 'id')), request),
  }),
  'PATCH /products/{id}': changeProduct,
  'GET /prices': (simulation, request) =>
    answerList(simulation, request, {
      all: simulation.world.prices.values(),
      rules: priceRules,
      present: (price) => withProduct(simulation, price, request),
    }),
  'POST /prices': (simulation, request) => ({
    status: 201,
    data: addPrice(simulation, parseBody(priceFields, request.body)),
  }),
  'GET /prices/{id}': (simulation, request) => ({
    status: 200,
    data: withProduct(simulation, getPrice(simulation, param(request, 'id')), request),
  }),
  'PATCH /prices/{id}': changePrice,
}

const productRules: ListRules<Product> = {
  idOf: ({ id }) => id,
  fields: {
    id: ({ id }) => id,
    status: ({ status }) => status,
    type: ({ type }) => type,
    tax_category: ({ tax_category: category }) => category,
  },
  orders: {
    created_at: ({ created_at: at }) => instantKey(at),
    updated_at: ({ updated_at: at }) => instantKey(at),
    name: ({ name }) => name,
  },
  perPage: 50,
  mostPerPage: 200,
}

const priceRules: ListRules<Price> = {
  idOf: ({ id }) => id,
  fields: {
    id: ({ id }) => id,
    product_id: ({ product_id: productId }) => productId,
    status: ({ status }) => status,
    type: ({ type }) => type,
    recurring: ({ billing_cycle: cycle }) => String(cycle !== null),
  },
  orders: {
    created_at: ({ created_at: at }) => instantKey(at),
    updated_at: ({ updated_at: at }) => instantKey(at),
  },
  perPage: 50,
  mostPerPage: 200,
}

function changeProduct(simulation: Simulation, request: ApiRequest): Answer {
  const product = getProduct(simulation, param(request, 'id'))
  const changes = parseBody(productChanges, request.body)
  const changed: Product = {
    ...product,
    name: changes.name ?? product.name,
    description: changes.description === undefined ? product.description : changes.description,
    type: changes.type ?? product.type,
    tax_category: changes.tax_category ?? product.tax_category,
    image_url: changes.image_url === undefined ? product.image_url : changes.image_url,
    custom_data: changes.custom_data === undefined ? product.custom_data : changes.custom_data,
    status: changes.status ?? product.status,
    updated_at: simulation.clock.stamp(),
  }
  simulation.world.products.set(product.id, changed)
  emit(simulation, 'product.updated', changed)
  return { status: 200, data: changed }
}

function changePrice(simulation: Simulation, request: ApiRequest): Answer {
  const price = getPrice(simulation, param(request, 'id'))
  const changes = parseBody(priceChanges, request.body)
  const changed: Price = {
    ...price,
    description: changes.description ?? price.description,
    name: changes.name === undefined ? price.name : changes.name,
    type: changes.type ?? price.type,
    tax_mode: changes.tax_mode ?? price.tax_mode,
    unit_price: changes.unit_price ?? price.unit_price,
    quantity: changes.quantity ?? price.quantity,
    custom_data: changes.custom_data === undefined ? price.custom_data : changes.custom_data,
    status: changes.status ?? price.status,
    updated_at: simulation.clock.stamp(),
  }
  simulation.world.prices.set(price.id, changed)
  emit(simulation, 'price.updated', changed)
  return { status: 200, data: changed }
}

function withPrices({ world }: Simulation, product: Product, request: ApiRequest): object {
  if (!included(request).has('prices')) return product
  const prices = [...world.prices.values()].filter(({ product_id: productId }) => productId === product.id)
  return { ...product, prices }
}

function withProduct(simulation: Simulation, price: Price, request: ApiRequest): object {
  if (!included(request).has('product')) return price
  return { ...price, product: getProduct(simulation, price.product_id) }
}
