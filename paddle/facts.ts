/**
 * Paddle's JSON as the facts of `billing/paddle-facts.ts`. There is one schema for each thing, of the wire's own shape:
 * webhooks and lists have it, and `wireOf` gives it back to what the SDK has made objects of. What Paddle adds is ignored;
 * what no longer fits is a value, `unreadable`, with the reason: nothing here throws.
 */
import { z } from 'zod'

import type {
  MinorUnits,
  PaddleAdjustment,
  PaddleCustomer,
  PaddleEvent,
  PaddleLine,
  PaddlePayment,
  PaddleSubscription,
  PaddleTransaction,
} from '../billing/paddle-facts.ts'
import { describeIssues } from '../billing/parse-issues.ts'

/** Something that Paddle said and we do not understand; `detail` names fields and never holds what they held. */
export type Unreadable = {
  readonly outcome: 'unreadable'
  readonly detail: string
  readonly id: string | null
}

export type Reading<Fact> = { readonly outcome: 'read'; readonly fact: Fact } | Unreadable

/** `eventId` and `eventType` are there when at least the envelope could be read. */
export type EventReading =
  | { readonly outcome: 'read'; readonly event: PaddleEvent }
  | {
      readonly outcome: 'unreadable'
      readonly detail: string
      readonly eventId?: string
      readonly eventType?: string
    }

/** Ids, statuses, codes: printable, without spaces, and short enough to be stored and logged. */
const word = z.string().regex(/^[!-~]{1,128}$/, 'expected a short printable word')
/** A word of ours in custom data, which anyone may have written, or nobody. */
const noted = word.nullable().catch(null)
/** Paddle's times have up to nine decimals; beyond milliseconds they are cut off. */
export const instant = z.iso.datetime({ offset: true }).transform((text) => new Date(text))
/** Money as Paddle writes it: a string of whole minor units. */
export const amount = z
  .string()
  .regex(/^-?\d{1,18}$/, 'expected whole minor units')
  .transform(BigInt)
const currency = z.string().regex(/^[A-Z]{3}$/, 'expected a currency code')

const nothingNoted = { workspace_id: null, top_up_id: null, source: null }
const customData = z.object({ workspace_id: noted, top_up_id: noted, source: noted }).catch(nothingNoted)

export const wireCard = z
  .object({
    type: word,
    last4: z.string().regex(/^\d{4}$/),
    expiry_month: z.number().int(),
    expiry_year: z.number().int(),
  })
  .transform(({ type, last4, expiry_month, expiry_year }) => ({
    brand: type,
    last4,
    expiryMonth: expiry_month,
    expiryYear: expiry_year,
  }))
  // A card is only shown. One that cannot be shown must not keep the payment from being understood.
  .nullable()
  .catch(null)

const wirePayment = z
  .object({
    status: word,
    error_code: word.nullish(),
    payment_method_id: word.nullish(),
    method_details: z.object({ card: wireCard }).nullable().catch(null),
    created_at: instant,
  })
  .transform((payment): PaddlePayment => ({
    status: payment.status,
    errorCode: payment.error_code ?? null,
    paymentMethodId: payment.payment_method_id ?? null,
    card: payment.method_details?.card ?? null,
    createdAt: payment.created_at,
  }))

const wireItem = z.object({
  quantity: z.number().int().min(0).max(1_000_000),
  price: z.object({
    id: word,
    product_id: word.nullish(),
    unit_price: z.object({ amount, currency_code: currency }),
    custom_data: customData,
  }),
})

const wireLineItem = z.object({
  price_id: word,
  totals: z.object({ subtotal: amount, discount: amount }),
})

const wireTransaction = z
  .object({
    id: word,
    status: word,
    origin: word,
    customer_id: word.nullish(),
    subscription_id: word.nullish(),
    currency_code: currency,
    custom_data: customData,
    items: z.array(wireItem),
    details: z
      .object({
        totals: z.object({ grand_total: amount, currency_code: currency }).nullish(),
        line_items: z.array(wireLineItem).nullish(),
      })
      .nullish(),
    payments: z.array(wirePayment).nullish(),
    created_at: instant,
    updated_at: instant,
  })
  .transform((wire, context): PaddleTransaction => {
    const lines = linesOf(wire)
    if (lines === null) {
      context.addIssue({ code: 'custom', path: ['details', 'line_items'], message: 'do not match the items' })
      return z.NEVER
    }
    const totals = wire.details?.totals
    return {
      transactionId: wire.id,
      status: wire.status,
      origin: wire.origin,
      customerId: wire.customer_id ?? null,
      subscriptionId: wire.subscription_id ?? null,
      workspaceId: wire.custom_data.workspace_id,
      lines,
      // Before Paddle has worked out the totals there is no tax yet either.
      grandTotal:
        totals === undefined || totals === null
          ? { amount: lines.reduce((sum, { net }) => sum + net.amount, 0n), currency: wire.currency_code }
          : { amount: totals.grand_total, currency: totals.currency_code },
      payments: (wire.payments ?? []).toSorted(
        (one, other) => other.createdAt.getTime() - one.createdAt.getTime(),
      ),
      createdAt: wire.created_at,
      updatedAt: wire.updated_at,
    }
  })

const wireSubscription = z
  .object({
    id: word,
    status: word,
    customer_id: word,
    custom_data: customData,
    transaction_id: word.nullish(),
    updated_at: instant,
  })
  .transform((wire): PaddleSubscription => ({
    subscriptionId: wire.id,
    status: wire.status,
    customerId: wire.customer_id,
    workspaceId: wire.custom_data.workspace_id,
    transactionId: wire.transaction_id ?? null,
    updatedAt: wire.updated_at,
  }))

const wireAdjustment = z
  .object({
    id: word,
    action: word,
    status: word,
    transaction_id: word,
    customer_id: word,
    totals: z.object({
      subtotal: amount.refine((subtotal) => subtotal >= 0n, 'expected zero or more'),
      currency_code: currency,
    }),
    created_at: instant,
    updated_at: instant,
  })
  .transform((wire): PaddleAdjustment => ({
    adjustmentId: wire.id,
    action: wire.action,
    status: wire.status,
    transactionId: wire.transaction_id,
    customerId: wire.customer_id,
    net: { amount: wire.totals.subtotal, currency: wire.totals.currency_code },
    createdAt: wire.created_at,
    updatedAt: wire.updated_at,
  }))

const wireCustomer = z
  .object({ id: word, email: z.string().min(1).max(320), custom_data: customData })
  .transform((wire): PaddleCustomer => ({
    customerId: wire.id,
    email: wire.email,
    workspaceId: wire.custom_data.workspace_id,
  }))

const wireEnvelope = z.object({ event_id: word, event_type: word, occurred_at: instant, data: z.unknown() })

/**
 * A transaction, from a webhook, a list or an answer.
 *
 * Shape:  one line per item. Its `net` is the item's line total, subtotal less discount, in the transaction's currency;
 *         before Paddle has worked those out, unit price times quantity, in the price's.
 */
export function readTransaction(wire: unknown): Reading<PaddleTransaction> {
  return readAs(wireTransaction, wire)
}

export function readSubscription(wire: unknown): Reading<PaddleSubscription> {
  return readAs(wireSubscription, wire)
}

/** An adjustment of the tax alone has a `net` of zero and moves no wallet: see `movesWallet`. */
export function readAdjustment(wire: unknown): Reading<PaddleAdjustment> {
  return readAs(wireAdjustment, wire)
}

export function readCustomer(wire: unknown): Reading<PaddleCustomer> {
  return readAs(wireCustomer, wire)
}

/** Whether an adjustment takes or gives anything back but tax. */
export function movesWallet(adjustment: PaddleAdjustment): boolean {
  return adjustment.net.amount > 0n
}

/** A webhook's parsed body, or a line of Paddle's list of events. */
export function readEvent(wire: unknown): EventReading {
  const envelope = wireEnvelope.safeParse(wire)
  if (!envelope.success) {
    return { outcome: 'unreadable', detail: describeIssues(envelope.error), ...namesIn(wire) }
  }
  const { event_id: eventId, event_type: eventType, occurred_at: occurredAt, data } = envelope.data
  const reading = readFact(eventType, data)
  if (reading.outcome === 'unreadable') {
    return { outcome: 'unreadable', detail: `data: ${reading.detail}`, eventId, eventType }
  }
  return { outcome: 'read', event: { eventId, eventType, occurredAt, fact: reading.fact } }
}

/**
 * An object of the SDK's as the wire had it. Keys inside custom data are the writer's own, and neither the SDK nor this
 * touches them.
 */
export function wireOf(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(wireOf)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]: [string, unknown]) => [
      key.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
      key === 'customData' ? inner : wireOf(inner),
    ]),
  )
}

function readAs<Fact>(schema: z.ZodType<Fact>, wire: unknown): Reading<Fact> {
  const parsed = schema.safeParse(wire)
  if (parsed.success) return { outcome: 'read', fact: parsed.data }
  const named = z.object({ id: word }).safeParse(wire)
  return {
    outcome: 'unreadable',
    detail: describeIssues(parsed.error),
    id: named.success ? named.data.id : null,
  }
}

function readFact(eventType: string, data: unknown): Reading<PaddleEvent['fact']> {
  const [subject = ''] = eventType.split('.')
  switch (subject) {
    case 'transaction':
      return asFact(readTransaction(data), (transaction) => ({ kind: 'transaction', transaction }))
    case 'subscription':
      return asFact(readSubscription(data), (subscription) => ({ kind: 'subscription', subscription }))
    case 'adjustment':
      return asFact(readAdjustment(data), (adjustment) =>
        movesWallet(adjustment) ? { kind: 'adjustment', adjustment } : null,
      )
    default:
      return { outcome: 'read', fact: null }
  }
}

function asFact<Fact>(
  reading: Reading<Fact>,
  kindOf: (fact: Fact) => PaddleEvent['fact'],
): Reading<PaddleEvent['fact']> {
  return reading.outcome === 'read' ? { outcome: 'read', fact: kindOf(reading.fact) } : reading
}

/** What can be read of an envelope that is not whole. */
function namesIn(wire: unknown): { eventId?: string; eventType?: string } {
  const eventId = z.object({ event_id: word }).safeParse(wire)
  const eventType = z.object({ event_type: word }).safeParse(wire)
  return {
    ...(eventId.success ? { eventId: eventId.data.event_id } : {}),
    ...(eventType.success ? { eventType: eventType.data.event_type } : {}),
  }
}

type WireLines = {
  currency_code: string
  items: z.output<typeof wireItem>[]
  details?: { line_items?: z.output<typeof wireLineItem>[] | null | undefined } | null | undefined
}

/** One line per item; null when Paddle has line totals, but none for one of the items. */
function linesOf({ currency_code, items, details }: WireLines): PaddleLine[] | null {
  const totals = [...(details?.line_items ?? [])]
  const areTotalled = totals.length > 0
  const lines = items.map(({ price, quantity }): PaddleLine | null => {
    // Items may share a price: each takes the next of its totals.
    const at = totals.findIndex(({ price_id }) => price_id === price.id)
    const [total] = at === -1 ? [] : totals.splice(at, 1)
    if (areTotalled && total === undefined) return null
    const net: MinorUnits =
      total === undefined
        ? { amount: price.unit_price.amount * BigInt(quantity), currency: price.unit_price.currency_code }
        : { amount: total.totals.subtotal - total.totals.discount, currency: currency_code }
    return {
      productId: price.product_id ?? null,
      net,
      topUpId: price.custom_data.top_up_id,
      workspaceId: price.custom_data.workspace_id,
      source: price.custom_data.source,
    }
  })
  return lines.every((line) => line !== null) ? lines : null
}
