/** What people type into the forms of the wallet page, read kindly, and what is said beside a field that cannot be read. */
import { displayUsd, type Micros } from '../billing/money.ts'
import type { Typed } from '../dashboard/form.ts'
import { usdAmount } from './money.ts'
import { refusalIn, type ApiError } from './errors.ts'

/** A field that was read, or what is wrong with it. */
export type FieldRead<Value> = { value: Value } | { problem: string }

/** Shape: `$1,000` is read as 1000; a fraction of a cent and what is out of bounds is a problem. */
export function readDollars(text: string, bounds: { least: Micros; most: Micros }): FieldRead<Micros> {
  const plain = text.trim().replace(/^\$\s*/, '')
  const digits = /^\d{1,3}(?:,\d{3})+(?:\.\d+)?$/.test(plain) ? plain.replaceAll(',', '') : plain
  const read = usdAmount(bounds).safeParse(digits)
  if (read.success) return { value: read.data }
  const range = `from ${displayUsd(bounds.least)} to ${displayUsd(bounds.most)}`
  return {
    problem:
      digits === ''
        ? `Enter an amount ${range}.`
        : `Enter dollars and whole cents, ${range}, such as 50 or 12.50.`,
  }
}

export function readWholeNumber(
  text: string,
  { least, most }: { least: number; most: number },
): FieldRead<number> {
  const value = /^\d{1,6}$/.test(text.trim()) ? Number(text) : Number.NaN
  return value >= least && value <= most
    ? { value }
    : { problem: `Enter a whole number from ${least} to ${most}.` }
}

/** Shape: an empty text is no address, and no problem. */
export function readEmail(text: string): FieldRead<string | undefined> {
  const email = text.trim()
  if (email === '') return { value: undefined }
  return /^[^\s@]{1,64}@[^\s@]+\.[^\s@]{2,}$/.test(email) && email.length <= 254
    ? { value: email }
    : { problem: 'Enter an e-mail address, such as billing@example.com.' }
}

/** The problems of what was read, by field. */
export function problemsOf(fields: Record<string, FieldRead<unknown>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(fields).flatMap(([name, read]) => ('problem' in read ? [[name, read.problem]] : [])),
  )
}

/**
 * What a refusal says beside the form that asked.
 *
 * Shape:  by the field that it is about, or `form`.
 * Throws: what is no refusal, again.
 */
export function typedAfter(
  error: unknown,
  values: Typed['values'],
  words: Partial<Record<string, { field: string; text: string }>>,
): { typed: Typed; refused: ApiError } {
  const refused = refusalIn(error)
  if (refused === null) throw error
  const { field, text } = words[refused.code] ?? { field: 'form', text: refused.message }
  return { typed: { values, problems: { [field]: text } }, refused }
}
