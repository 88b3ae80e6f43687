/**
 * The one error class of the project: an assumption that broke, with a code a program can read, a message a person can
 * read, and the facts that explain it. What is expected (a decline, an unknown destination) is a value, not an error.
 */

/**
 * A broken assumption.
 *
 * Shape:  `code` is snake_case and stable; `fields` are plain facts, safe to log; `cause` is the error underneath.
 */
export class BillingError extends Error {
  readonly code: string
  readonly fields: Readonly<Record<string, unknown>>

  constructor(code: string, message: string, { cause, ...fields }: BillingErrorDetail = {}) {
    super(message, cause === undefined ? undefined : { cause })
    this.name = 'BillingError'
    this.code = code
    this.fields = fields
  }
}

type BillingErrorDetail = { readonly cause?: unknown; readonly [field: string]: unknown }
