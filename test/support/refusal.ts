/** Errors as values, for tests that look at more than their message. */
import { BillingError } from '../../billing/billing-error.ts'

/** The error of ours with which a promise is rejected. Any other end is rethrown, and success is a failure of the test. */
export async function refusalOf(promise: Promise<unknown>): Promise<BillingError> {
  const end = await promise.then(
    () => new Error('it was expected to be refused, and was not'),
    (error: unknown) => error,
  )
  if (end instanceof BillingError) return end
  throw end
}
