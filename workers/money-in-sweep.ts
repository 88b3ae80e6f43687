/**
 * The sweeps of money in: what is due by its row and has no job, because Redis lost it or it was never to be at that time. They
 * ring; the decision about recharges they take themselves, under the wallet's lock, as a posting would.
 */
import type { Queue } from 'bullmq'

import type { WorkspaceId } from '../billing/ids.ts'
import { readClock } from '../db/clock.ts'
import { listOverduePaddleEvents, wakeEventsOfCredits } from '../db/paddle-event.ts'
import { decideWalletRecharge, listBelowThreshold } from '../db/recharge.ts'
import type { RoundOutcome } from '../db/schedule.ts'
import type { Db } from '../db/schema.ts'
import { listDueTopUps, topUpDueJob } from '../db/top-up.ts'
import { withLockedWallet } from '../db/wallet.ts'
import { jobOf } from '../jobs/contract.ts'
import { paddleEventReceived } from '../jobs/top-up-jobs.ts'
import type { Log } from '../runtime/log.ts'
import { repeat, type Repeating } from '../runtime/repeat.ts'
import { addJobs } from './add-jobs.ts'

const pageSize = 500
/** A webhook this young is still on its way through the queue. */
const youngMs = 5_000

export function startMoneyInSweeps({
  db,
  log,
  queueNamed,
}: {
  db: Db
  log: Log
  queueNamed: (name: string) => Queue
}): Repeating[] {
  return [
    repeat('ring for due top-ups', {
      everyMs: 1_000,
      log,
      run: async () => {
        const due = await listDueTopUps(db, await readClock(db), pageSize)
        await addJobs(queueNamed, due.map(topUpDueJob))
      },
    }),
    repeat('ring for Paddle events', {
      everyMs: 5_000,
      log,
      run: async () => {
        await wakeEventsOfCredits(db)
        const eventIds = await listOverduePaddleEvents(db, { olderThanMs: youngMs, limit: pageSize })
        await addJobs(
          queueNamed,
          eventIds.map((eventId) => jobOf(paddleEventReceived, { eventId })),
        )
      },
    }),
  ]
}

/** A round of recharges: decides for every wallet below its threshold, one lock at a time. Every one then has a reason, or a charge. */
export async function sweepRecharges(db: Db, log: Log, signal?: AbortSignal): Promise<RoundOutcome> {
  const did = { below_threshold: 0, begun: 0 }
  let after: WorkspaceId | null = null
  for (;;) {
    const page: WorkspaceId[] = await listBelowThreshold(db, { after, limit: pageSize })
    for (const workspaceId of page) {
      signal?.throwIfAborted()
      did.below_threshold += 1
      const decided = await withLockedWallet(db, workspaceId, async (trx, wallet) =>
        decideWalletRecharge(trx, wallet, await readClock(trx)),
      )
      if (decided?.decision !== 'recharge') continue
      did.begun += 1
      log.warn(
        { workspaceId, topUpId: decided.topUp.topUpId },
        'the sweep found a recharge that nothing had begun',
      )
    }
    if (page.length < pageSize) return { did, found: [] }
    after = page.at(-1) ?? null
  }
}
