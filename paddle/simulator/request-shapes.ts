/**
 * What Paddle accepts in a request's body: names in snake_case, nothing that it does not know, everything within its
 * ranges. What our product sends and Paddle would refuse is refused here too.
 */
import type { CountryCode, CurrencyCode, IEventName } from '@paddle/paddle-node-sdk'
import { z } from 'zod'

import { invalidFields, type FieldError } from './api-refusal.ts'

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

const idOf = (prefix: string): z.ZodString =>
  z.string().regex(new RegExp(`^${prefix}_[a-z\\d]{26}$`), `must be a Paddle ID that starts with ${prefix}_`)
const instant = z.iso.datetime({ offset: true })
const customData = z.record(z.string(), z.unknown()).nullable()
const amount = z.string().regex(/^\d{1,15}$/, 'must be an amount in the lowest denomination, as a string')
const money = z.strictObject({ amount, currency_code: currencyCode })
const status = z.enum(['active', 'archived'])
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
const chargeItem = z
  .strictObject({ price_id: idOf('pri').optional(), price: chargePrice.optional(), quantity: itemQuantity })
  .refine(hasOnePrice, onePrice())
const transactionItem = z
  .strictObject({
    price_id: idOf('pri').optional(),
    price: transactionPrice.optional(),
    quantity: itemQuantity,
  })
  .refine(hasOnePrice, onePrice())

export type OrderedItem = z.infer<typeof transactionItem>
export type NonCatalogPrice = z.infer<typeof transactionPrice>

export const charge = z.strictObject({
  effective_from: z.enum(['immediately', 'next_billing_period']),
  items: z.array(chargeItem).min(1).max(100),
  on_payment_failure: z.enum(['prevent_change', 'apply_change']).default('prevent_change'),
})

const checkout = z.strictObject({ url: z.url().nullable().optional() }).nullable()
const billingPeriod = z.strictObject({ starts_at: instant, ends_at: instant }).nullable()

export const newTransaction = z.strictObject({
  items: z.array(transactionItem).min(1).max(100),
  status: z.enum(['billed']).optional(),
  customer_id: idOf('ctm').nullable().optional(),
  address_id: idOf('add').nullable().optional(),
  business_id: idOf('biz').nullable().optional(),
  custom_data: customData.optional(),
  currency_code: currencyCode.optional(),
  collection_mode: z.enum(['automatic']).optional(),
  discount_id: z.null().optional(),
  billing_details: z.null().optional(),
  billing_period: billingPeriod.optional(),
  checkout: checkout.optional(),
})
export const transactionChanges = newTransaction
  .partial()
  .extend({ status: z.enum(['billed', 'canceled']).optional() })

export const transactionPreview = z.strictObject({
  items: z
    .array(transactionItem.safeExtend({ include_in_totals: z.boolean().nullable().optional() }))
    .min(1)
    .max(100),
  customer_id: idOf('ctm').nullable().optional(),
  address_id: idOf('add').nullable().optional(),
  business_id: idOf('biz').nullable().optional(),
  currency_code: currencyCode.nullable().optional(),
  discount_id: z.null().optional(),
  customer_ip_address: z.string().nullable().optional(),
  address: z
    .strictObject({ postal_code: z.string().nullable().optional(), country_code: countryCode })
    .nullable()
    .optional(),
  ignore_trials: z.boolean().nullable().optional(),
})

export const newCustomer = z.strictObject({
  email: z.email().max(320),
  name: z.string().max(1024).nullable().optional(),
  locale: z.string().optional(),
  custom_data: customData.optional(),
})
export const customerChanges = newCustomer.partial().extend({ status: status.optional() })

const addressText = z.string().max(1024).nullable().optional()
export const newAddress = z.strictObject({
  country_code: countryCode,
  description: addressText,
  first_line: addressText,
  second_line: addressText,
  city: addressText,
  postal_code: addressText,
  region: addressText,
  custom_data: customData.optional(),
})
export const addressChanges = newAddress.partial().extend({ status: status.optional() })

const effectiveFrom = z.enum(['immediately', 'next_billing_period']).nullable().optional()
export const cancelSubscription = z.strictObject({ effective_from: effectiveFrom })
export const pauseSubscription = z.strictObject({
  effective_from: effectiveFrom,
  resume_at: instant.nullable().optional(),
  on_resume: z.enum(['continue_existing_billing_period', 'start_new_billing_period']).optional(),
})
export const resumeSubscription = z.strictObject({
  effective_from: z.union([z.literal('immediately'), instant]),
  on_resume: z.enum(['continue_existing_billing_period', 'start_new_billing_period']).optional(),
})
export const subscriptionChanges = z.strictObject({
  customer_id: idOf('ctm').optional(),
  address_id: idOf('add').optional(),
  custom_data: customData.optional(),
  next_billed_at: instant.optional(),
  scheduled_change: z.null().optional(),
  proration_billing_mode: z
    .enum([
      'prorated_immediately',
      'prorated_next_billing_period',
      'full_immediately',
      'full_next_billing_period',
      'do_not_bill',
    ])
    .optional(),
  on_payment_failure: z.enum(['prevent_change', 'apply_change']).optional(),
})

export const newAdjustment = z
  .strictObject({
    action: z.enum(['refund', 'credit']),
    transaction_id: idOf('txn'),
    reason: z.string().min(1),
    type: z.enum(['full', 'partial']).default('partial'),
    tax_mode: z.enum(['external', 'internal']).default('internal'),
    items: z
      .array(
        z.strictObject({
          item_id: idOf('txnitm'),
          type: z.enum(['full', 'partial']),
          amount: amount.nullable().optional(),
        }),
      )
      .min(1)
      .optional(),
  })
  .refine(({ type, items }) => (type === 'full') === (items === undefined), {
    path: ['items'],
    message: 'items are required when the type is partial, and not allowed when it is full',
  })

export const newPortalSession = z.strictObject({ subscription_ids: z.array(idOf('sub')).max(25).optional() })

const eventName = z.custom<IEventName>(
  (value) => typeof value === 'string' && /^[a-z_]+\.[a-z_]+$/.test(value),
  'must be the name of an event',
)
const eventNames = z.array(eventName).min(1)
export const newNotificationSetting = z.strictObject({
  description: z.string().min(1).max(500),
  destination: z.string().min(1).max(2048),
  subscribed_events: eventNames,
  type: z.enum(['email', 'url']),
  api_version: z.int().nullable().optional(),
  include_sensitive_fields: z.boolean().nullable().optional(),
  traffic_source: z.enum(['platform', 'simulation', 'all']).nullable().optional(),
})
export const notificationSettingChanges = newNotificationSetting
  .omit({ type: true })
  .partial()
  .extend({ active: z.boolean().optional() })

/** Throws: ApiRefusal `invalid_field`, with every field that does not pass. */
export function parseBody<Schema extends z.ZodType>(schema: Schema, body: unknown): z.output<Schema> {
  const parsed = schema.safeParse(body ?? {})
  if (parsed.success) return parsed.data
  throw invalidFields(parsed.error.issues.flatMap(fieldErrors))
}

function fieldErrors(issue: z.core.$ZodIssue): FieldError[] {
  const field = fieldName(issue.path)
  if (issue.code !== 'unrecognized_keys') return [{ field, message: issue.message }]
  return issue.keys.map((key) => ({
    field: fieldName([...issue.path, key]),
    message: `additional property ${key} is not allowed`,
  }))
}

/** `items[0].price.name` */
function fieldName(path: readonly PropertyKey[]): string {
  return path.reduce<string>((name, part) => {
    if (typeof part === 'number') return `${name}[${part}]`
    return name === '' ? String(part) : `${name}.${String(part)}`
  }, '')
}

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
