/** The sweep of rents: SQL says which numbers are due, and each wallet is settled by itself, so that one in trouble delays no other. */
import type { WorkspaceId } from '../billing/ids.ts'
import { readClock } from '../db/clock.ts'
import { listWorkspacesWithDueNumbers } from '../db/phone-number.ts'
import { readClockAndVersion } from '../db/price-version.ts'
import { createRateBookCache } from '../db/rate-book.ts'
import { settleRentals } from '../db/rental.ts'
import type { Db } from '../db/schema.ts'
import { withLockedWallet } from '../db/wallet.ts'
import type { Log } from '../runtime/log.ts'

const pageSize = 500

/** What a round of the sweep did. */
export type RentalSweep = {
  wallets: number
  billed: number
  owed: number
  released: number
  /** Wallets that could not be settled; they are due still, and the next round looks again. */
  failed: number
}

/**
 * Settles everything that is due, wallet by wallet. Two sweeps at once do no harm: each wallet's lock lets one of them settle it,
 * and the other finds nothing due.
 */
export async function sweepRentals(db: Db, log: Log): Promise<RentalSweep> {
  const rateBookOf = createRateBookCache()
  const now = await readClock(db)
  const swept: RentalSweep = { wallets: 0, billed: 0, owed: 0, released: 0, failed: 0 }
  let after: WorkspaceId | null = null
  for (;;) {
    const page: WorkspaceId[] = await listWorkspacesWithDueNumbers(db, now, { after, limit: pageSize })
    for (const workspaceId of page) {
      try {
        const { billed, owed, released } = await settleWorkspaceRentals(db, workspaceId, rateBookOf)
        swept.wallets += 1
        swept.billed += billed
        swept.owed += owed
        swept.released += released
      } catch (error) {
        swept.failed += 1
        log.error({ workspaceId, err: error }, 'rents of a wallet could not be settled and stay due')
      }
    }
    if (page.length < pageSize) return swept
    after = page.at(-1) ?? null
  }
}

/** Settles what is due on one wallet, a transaction at a time, until nothing is. */
export async function settleWorkspaceRentals(
  db: Db,
  workspaceId: WorkspaceId,
  rateBookOf: ReturnType<typeof createRateBookCache>,
): Promise<{ billed: number; owed: number; released: number }> {
  const done = { billed: 0, owed: 0, released: 0 }
  for (;;) {
    const settled = await withLockedWallet(db, workspaceId, async (trx, wallet) => {
      const { now, version } = await readClockAndVersion(trx)
      return await settleRentals(trx, wallet, { now, prices: await rateBookOf(trx, version) })
    })
    done.billed += settled?.billed ?? 0
    done.owed += settled?.owed ?? 0
    done.released += settled?.released ?? 0
    if (settled?.more !== true) return done
  }
}
