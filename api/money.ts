/** Money at the edge: what comes in as JSON numbers or decimal strings, and what goes out. */
import { z } from 'zod'

import { balanceUsd, formatUsd, parseUsd, type Micros } from '../billing/money.ts'

/**
 * An amount of dollars in a request: a JSON number or a decimal string, in whole cents.
 *
 * Shape: micro-dollars. Nothing is rounded: a fraction of a cent, an exponent, a minus or what is no number is refused.
 */
export function usdAmount({ least, most }: { least: Micros; most: Micros }) {
  const expected = `expected dollars in whole cents from ${plain(least)} to ${plain(most)}, such as 50 or "12.50"`
  return (
    z
      .union([z.number(), z.string()], expected)
      // Here and not below: of what is transformed the document gives no examples.
      .meta({ examples: [50] })
      .transform((value, context): Micros => {
        const text = String(value)
        const amount = /^\d{1,9}(?:\.\d{1,2})?$/.test(text) && !/^0\d/.test(text) ? parseUsd(text) : null
        if (amount !== null && amount >= least && amount <= most) return amount
        context.addIssue({ code: 'custom', message: expected })
        return z.NEVER
      })
      .meta({ type: 'number' })
  )
}

/**
 * Dollars as a JSON number, for balances that people see.
 *
 * Rounds: down to the cent.
 */
export function usdNumber(amount: Micros): number {
  return balanceUsd(amount)
}

/** Dollars as an exact decimal text of six places, for what has to add up. */
export function usdText(amount: Micros): string {
  return formatUsd(amount)
}

function plain(amount: Micros): string {
  return formatUsd(amount).replace(/\.?0+$/, '')
}
