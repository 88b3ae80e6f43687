/**
 * The sweep of blocks: closes every 1,000 transactions of a wallet, for its pages and figures. Nothing waits for it; what it has
 * not reached yet is read from the ledger.
 */
import { closeBlocks, listFullBlocks } from '../db/ledger-block.ts'
import type { Db } from '../db/schema.ts'
import type { Log } from '../runtime/log.ts'
import { repeat, type Repeating } from '../runtime/repeat.ts'

/** A look reads every wallet once. Pages read at most as many rows one by one as a wallet gets in this time, and 1,000. */
const everyMs = 5_000
const page = { wallets: 100, most: 20 }

export function startBlockSweep({ db, log }: { db: Db; log: Log }): Repeating {
  return repeat('close full blocks', { everyMs, log, run: () => closeFullBlocks(db) })
}

/** One page. Returns whether there is more to do. */
export async function closeFullBlocks(db: Db): Promise<boolean> {
  const spans = await listFullBlocks(db, page)
  let closed = 0
  for (const span of spans) closed += await closeBlocks(db, span)
  const isFull = spans.length === page.wallets || spans.some(({ first, end }) => end - first >= page.most)
  // Where nothing can be closed, looking again at once would find the same.
  return isFull && closed > 0
}
