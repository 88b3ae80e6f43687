/** What a failed transaction says about its cause: the weather, or the data. */
import { BillingError } from '../billing/billing-error.ts'

/**
 * Whether the same transaction, tried again, could succeed or fail alike for everybody: connections lost, deadlocks,
 * timeouts, a full disk, a missing grant. Such a failure is nobody's fault in particular, so it is waited out.
 * Anything else (a broken constraint, a value that does not fit, a bug on one event) is the fault of what was written.
 */
export function isOutage(error: unknown): boolean {
  if (error instanceof BillingError) return outageCodes.has(error.code)
  const code = codeOf(error)
  if (code === null) return error instanceof Error && connectionLost.test(error.message)
  return outageClasses.has(code.slice(0, 2)) || systemErrors.has(code)
}

/** The SQLSTATE, the system error code, or null. */
export function codeOf(error: unknown): string | null {
  const code: unknown = typeof error === 'object' && error !== null ? Reflect.get(error, 'code') : undefined
  return typeof code === 'string' ? code : null
}

/** Ours: somebody else claimed the same events between our look and our write. */
const outageCodes = new Set(['claim_lost', 'wallet_moved'])

/** 08 connection, 25 transaction state, 28 login, 40 rollback, 42 schema or grant, 53 resources, 55 locks, 57 stopped, 58 disk, XX internal. */
const outageClasses = new Set(['08', '25', '26', '28', '3D', '40', '42', '53', '55', '57', '58', 'XX'])

const systemErrors = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
])

const connectionLost =
  /connection (terminated|timeout)|timeout exceeded when trying to connect|not queryable|client was closed/i
