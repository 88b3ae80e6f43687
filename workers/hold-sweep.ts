/** The sweep of holds: a call that nobody has mentioned for a while gives back what was held for it, and is listed as unbilled. */
import { expireSilentHolds } from '../db/hold.ts'
import type { Db } from '../db/schema.ts'
import type { Log } from '../runtime/log.ts'
import { repeat, type Repeating } from '../runtime/repeat.ts'

const pageSize = 500

export function startHoldSweep({ db, log }: { db: Db; log: Log }): Repeating {
  return repeat('expire holds of silent calls', {
    everyMs: 10_000,
    log,
    run: async () => {
      const { expired, more } = await db.transaction().execute((trx) => expireSilentHolds(trx, pageSize))
      if (expired > 0) log.warn({ calls: expired }, 'calls went silent without usage, and hold nothing more')
      return more
    },
  })
}
