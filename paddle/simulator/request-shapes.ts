/**
 * What Paddle accepts in a request's body: names in snake_case, nothing that it does not know, everything within its
 * ranges. What our product sends and Paddle would refuse is refused here too.
 */
import type { IEventName } from '@paddle/paddle-node-sdk'
import { z } from 'zod'

import {
  amount,
  chargeItem,
  countryCode,
  currencyCode,
  customData,
  idOf,
  instant,
  status,
  transactionItem,
} from './price-shapes.ts'

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
