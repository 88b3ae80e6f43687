/** What Paddle accepts as a product, a price and an item of an order, and the words that they are made of. */
import type { CountryCode, CurrencyCode } from '@paddle/paddle-node-sdk'
import { z } from 'zod'

const currencyCodes = [
  'USD',
  'EUR',
  'GBP',
  'JPY',
  'AUD',
  'CAD',
  'CHF',
  'CLP',
  'HKD',
  'SGD',
  'SEK',
  'ARS',
  'BRL',
  'CNY',
  'COP',
  'CZK',
  'DKK',
  'HUF',
  'ILS',
  'INR',
  'KRW',
  'MXN',
  'NOK',
  'NZD',
  'PEN',
  'PLN',
  'RUB',
  'THB',
  'TRY',
  'TWD',
  'UAH',
  'VND',
  'ZAR',
] as const satisfies readonly CurrencyCode[]

export const currencyCode = z.enum(currencyCodes)
export const countryCode = z.custom<CountryCode>(
  (value) => typeof value === 'string' && /^[A-Z]{2}$/.test(value),
  'must be a two-letter country code',
)

export const idOf = (prefix: string): z.ZodString =>
  z.string().regex(new RegExp(`^${prefix}_[a-z\\d]{26}$`), `must be a Paddle ID that starts with ${prefix}_`)
export const instant = z.iso.datetime({ offset: true })
export const customData = z.record(z.string(), z.unknown()).nullable()
export const amount = z
  .string()
  .regex(/^\d{1,15}$/, 'must be an amount in the lowest denomination, as a string')
const money = z.strictObject({ amount, currency_code: currencyCode })
export const status = z.enum(['active', 'archived'])
const taxMode = z.enum(['account_setting', 'external', 'internal', 'location'])
const timePeriod = z.strictObject({
  interval: z.enum(['day', 'week', 'month', 'year']),
  frequency: z.int().min(1),
})
const taxCategory = z.enum([
  'digital-goods',
  'ebooks',
  'implementation-services',
  'professional-services',
  'saas',
  'software-programming-services',
  'standard',
  'training-services',
  'website-hosting',
])

export const productFields = z.strictObject({
  name: z.string().min(1).max(200),
  tax_category: taxCategory,
  description: z.string().max(2048).nullable().optional(),
  type: z.enum(['standard', 'custom']).nullable().optional(),
  image_url: z.url().nullable().optional(),
  custom_data: customData.optional(),
})
export const productChanges = productFields.partial().extend({ status: status.optional() })

const commonPriceFields = {
  name: z.string().min(1).max(50).nullable().optional(),
  description: z.string().min(2).max(200),
  tax_mode: taxMode.optional(),
  unit_price: money,
  unit_price_overrides: z
    .array(z.strictObject({ country_codes: z.array(countryCode).min(1), unit_price: money }))
    .max(250)
    .optional(),
  quantity: z
    .strictObject({
      minimum: z.int().min(1).max(999_999_999),
      maximum: z.int().min(1).max(999_999_999),
    })
    .refine(({ minimum, maximum }) => minimum <= maximum, 'minimum must not be above maximum')
    .optional(),
  custom_data: customData.optional(),
}
const recurringFields = {
  billing_cycle: timePeriod.nullable().optional(),
  trial_period: timePeriod.extend({ requires_payment_method: z.boolean().optional() }).nullable().optional(),
}
const productOrItsId = {
  product_id: idOf('pro').optional(),
  product: productFields.omit({ type: true }).optional(),
}

/** A price that exists for one charge alone. A charge takes no recurring ones. */
const chargePrice = z
  .strictObject({ ...commonPriceFields, ...productOrItsId })
  .refine(hasOneProduct, oneProduct())
const transactionPrice = z
  .strictObject({ ...commonPriceFields, ...recurringFields, ...productOrItsId })
  .refine(hasOneProduct, oneProduct())

export const priceFields = z.strictObject({
  ...commonPriceFields,
  ...recurringFields,
  name: z.string().min(1).max(150).nullable().optional(),
  description: z.string().min(2).max(500),
  product_id: idOf('pro'),
  type: z.enum(['standard', 'custom']).nullable().optional(),
})
export const priceChanges = priceFields
  .omit({ product_id: true })
  .partial()
  .extend({ status: status.optional() })

const itemQuantity = z.int().min(1).max(999_999_999)
export const chargeItem = z
  .strictObject({ price_id: idOf('pri').optional(), price: chargePrice.optional(), quantity: itemQuantity })
  .refine(hasOnePrice, onePrice())
export const transactionItem = z
  .strictObject({
    price_id: idOf('pri').optional(),
    price: transactionPrice.optional(),
    quantity: itemQuantity,
  })
  .refine(hasOnePrice, onePrice())

export type OrderedItem = z.infer<typeof transactionItem>
export type NonCatalogPrice = z.infer<typeof transactionPrice>

function hasOneProduct(price: { product_id?: unknown; product?: unknown }): boolean {
  return (price.product_id === undefined) !== (price.product === undefined)
}

function oneProduct(): { path: string[]; message: string } {
  return { path: ['product_id'], message: 'either product_id or product is required' }
}

function hasOnePrice(item: { price_id?: unknown; price?: unknown }): boolean {
  return (item.price_id === undefined) !== (item.price === undefined)
}

function onePrice(): { path: string[]; message: string } {
  return { path: ['price_id'], message: 'either price_id or price is required' }
}
