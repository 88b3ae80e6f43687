/** A round of hold expiry: a call that nobody has mentioned for a while gives back what was held for it, and is listed as unbilled. */
import { expireSilentHolds } from '../db/hold.ts'
import type { RoundOutcome } from '../db/schedule.ts'
import type { Db } from '../db/schema.ts'
import type { Log } from '../runtime/log.ts'

const pageSize = 500

export async function expireHolds(db: Db, log: Log): Promise<RoundOutcome> {
  let calls = 0
  for (;;) {
    const { expired, more } = await db.transaction().execute((trx) => expireSilentHolds(trx, pageSize))
    calls += expired
    if (!more) break
  }
  if (calls > 0) log.warn({ calls }, 'calls went silent without usage, and hold nothing more')
  return { did: { expired: calls }, found: [] }
}
