/** Errors as values, for tests that look at more than their message. */
import { sql, type RawBuilder } from 'kysely'

import { BillingError } from '../../billing/billing-error.ts'
import { codeOf } from '../../db/errors.ts'
import type { Db } from '../../db/schema.ts'

/** The error of ours with which a promise is rejected. Any other end is rethrown, and success is a failure of the test. */
export async function refusalOf(promise: Promise<unknown>): Promise<BillingError> {
  const end = await promise.then(
    () => new Error('it was expected to be refused, and was not'),
    (error: unknown) => error,
  )
  if (end instanceof BillingError) return end
  throw end
}

/** The SQLSTATE with which Postgres refuses a statement; null when it does not. Nothing of the statement stays. */
export async function sqlStateOf(
  db: Db,
  statement: RawBuilder<unknown>,
  { session = null }: { session?: 'origin' | 'replica' | null } = {},
): Promise<string | null> {
  const trx = await db.startTransaction().execute()
  try {
    if (session !== null)
      await sql`select set_config('session_replication_role', ${session}, true)`.execute(trx)
    await statement.execute(trx)
    return null
  } catch (error) {
    return codeOf(error)
  } finally {
    await trx.rollback().execute()
  }
}
