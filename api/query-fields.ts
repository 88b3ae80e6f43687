/** What comes in a query string: text that has to be a number, a moment, a phone number. Nothing is guessed. */
import { z } from 'zod'

/** A whole number within bounds; `otherwise` where it is not given. */
export function wholeNumber({ least, most, otherwise }: { least: number; most: number; otherwise: number }) {
  const expected = `expected a whole number from ${least} to ${most}`
  return z
    .string(expected)
    .regex(/^\d{1,9}$/, expected)
    .transform(Number)
    .refine((number) => number >= least && number <= most, expected)
    .prefault(String(otherwise))
    .meta({ type: 'integer', minimum: least, maximum: most, default: otherwise })
}

/** The span that a date or an instant begins: a date is the whole day, UTC. Shape: the end is outside. */
export type Moment = { readonly from: Date; readonly until: Date }

const dayMs = 86_400_000
const expectedMoment = 'expected a date such as 2026-11-01, or an instant such as 2026-11-01T10:00:00Z'

/** A date, or an instant with its offset. */
export const moment = z
  .union([z.iso.date(), z.iso.datetime({ offset: true })], expectedMoment)
  .transform((text): Moment => {
    const from = new Date(text)
    return { from, until: text.length === dateLength ? new Date(from.getTime() + dayMs) : from }
  })
  .meta({ type: 'string', examples: ['2026-11-01', '2026-11-01T10:00:00Z'] })

const dateLength = '2026-11-01'.length

/** A phone number, or as much of one as names its price. A plus that nobody encoded arrives as a blank. */
export const phoneNumber = z
  .string()
  .regex(/^[+ ]?[1-9]\d{1,14}$/, 'expected a phone number such as +14155550100')
  .transform((text) => `+${text.replace(/^[+ ]/, '')}`)
  .meta({ type: 'string', examples: ['+14155550100'] })

/** `true` or `false`. */
export const flag = z
  .enum(['true', 'false'])
  .transform((text) => text === 'true')
  .meta({ type: 'boolean' })
