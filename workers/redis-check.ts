/** What must be true of Redis before a worker trusts it with a job. */
import type { Redis } from 'ioredis'

import { BillingError } from '../billing/billing-error.ts'

/**
 * Throws: BillingError `evicting_redis`: with any policy but noeviction, Redis deletes waiting jobs when memory is short.
 */
export async function assertDurableRedis(connection: Redis): Promise<void> {
  const memory = await connection.info('memory')
  const policy = /^maxmemory_policy:(\S+)/m.exec(memory)?.[1]
  if (policy === undefined || policy === 'noeviction') return
  throw new BillingError(
    'evicting_redis',
    `Redis has maxmemory-policy ${policy}, which deletes jobs when memory is short. Set it to noeviction.`,
    { policy },
  )
}
