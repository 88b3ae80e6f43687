/** Looks into the books and the queue, for tests that wait for what they will say. */
import type { Queue } from 'bullmq'

import type { LedgerTransactionKind } from '../../billing/ledger-draft.ts'
import type { Db, UsageEventState } from '../../db/schema.ts'
import { connect } from '../../db/connect.ts'
import { verifyLedger, type Verification } from '../../db/verify.ts'

/** Of all workspaces; of these kinds only, when some are given. */
export async function countTransactions(db: Db, kinds: LedgerTransactionKind[] = []): Promise<number> {
  const { count } = await db
    .selectFrom('ledger_transaction')
    .select((expression) => expression.fn.countAll<bigint>().as('count'))
    .$if(kinds.length > 0, (query) => query.where('kind', 'in', kinds))
    .executeTakeFirstOrThrow()
  return Number(count)
}

/** How many usage events are in each state; the states that none is in are left out. */
export async function countUsage(
  db: Db,
  workspaceId?: string,
): Promise<Partial<Record<UsageEventState, number>>> {
  const rows = await db
    .selectFrom('usage_event')
    .select(['state', (expression) => expression.fn.countAll<bigint>().as('count')])
    .$if(workspaceId !== undefined, (query) => query.where('workspace_id', '=', workspaceId ?? ''))
    .groupBy('state')
    .execute()
  return Object.fromEntries(rows.map((row) => [row.state, Number(row.count)]))
}

/** Every wallet's balance in micro-dollars. */
export async function readBalances(db: Db): Promise<Map<string, bigint>> {
  const rows = await db.selectFrom('wallet').select(['workspace_id', 'balance_micros']).execute()
  return new Map(rows.map((row) => [row.workspace_id, row.balance_micros]))
}

/** What the verifier finds, seen as the auditor sees it. */
export async function findBreaks(databaseUrl: string): Promise<Verification['breaks']> {
  const auditor = connect(databaseUrl, { profile: 'auditor', name: 'verify', poolSize: 1 })
  try {
    return (await verifyLedger(auditor)).breaks
  } finally {
    await auditor.destroy()
  }
}

/** Whether nothing waits, runs or is delayed. */
export async function isQuiet(queue: Queue): Promise<boolean> {
  const counts = await queue.getJobCounts('waiting', 'active', 'delayed', 'prioritized')
  return Object.values(counts).every((count) => count === 0)
}
