/** What a top-up would cost with the tax on it, as Paddle works it out before anything is paid. */
import { z } from 'zod'

import type { Micros } from '../billing/money.ts'
import { amount } from './facts.ts'
import type { PaddleRefusal } from './outcome.ts'
import { microsOfCents } from './top-up-item.ts'

/** In micro-dollars; `totalMicros` is `netMicros` and `taxMicros` together, before any credit the customer has at Paddle. */
export type Previewed = {
  readonly outcome: 'previewed'
  readonly netMicros: Micros
  readonly taxMicros: Micros
  readonly totalMicros: Micros
}

const wireTotals = z.object({
  subtotal: amount,
  discount: amount,
  tax: amount,
  total: amount,
  currency_code: z.string(),
})

/** Shape: a preview in another currency than USD is `rejected` as `unexpected_currency`. */
export function readPreview(wire: unknown): Previewed | PaddleRefusal {
  const totals = wireTotals.safeParse(wire)
  if (!totals.success) return { outcome: 'unknown', cause: 'unreadable answer: no totals' }
  const { subtotal, discount, tax, total, currency_code } = totals.data
  if (currency_code !== 'USD') return { outcome: 'rejected', code: 'unexpected_currency' }
  return {
    outcome: 'previewed',
    netMicros: microsOfCents(subtotal - discount),
    taxMicros: microsOfCents(tax),
    totalMicros: microsOfCents(total),
  }
}
