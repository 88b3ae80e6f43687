/** What the wallet page shows of the ledger: a page of transactions with how many there are, and where money went. */
import type { WorkspaceId } from '../billing/ids.ts'
import {
  listSpendByDay,
  readUsageStats,
  type DaySpend,
  type StatsWindow,
  type UsageStats,
} from '../db/usage-stats.ts'
import {
  countWalletTransactions,
  listWalletTransactions,
  type WalletTransaction,
  type WalletTransactionFilter,
} from '../db/wallet-transaction.ts'
import type { Db } from '../db/schema.ts'

export type TransactionPage = { transactions: WalletTransaction[]; total: bigint }

/** Newest first, as the wallet was when `newest` was its newest transaction. */
export async function readTransactionPage(
  db: Db,
  workspaceId: WorkspaceId,
  filter: WalletTransactionFilter,
  page: { newest: bigint; offset: number; limit: number },
): Promise<TransactionPage> {
  const [transactions, total] = await Promise.all([
    listWalletTransactions(db, workspaceId, filter, page),
    countWalletTransactions(db, workspaceId, filter, page.newest),
  ])
  return { transactions, total }
}

export type Spend = UsageStats & { byDayAndMeter: DaySpend[] }

export async function readSpend(db: Db, workspaceId: WorkspaceId, window: StatsWindow): Promise<Spend> {
  const [stats, byDayAndMeter] = await Promise.all([
    readUsageStats(db, workspaceId, window),
    listSpendByDay(db, workspaceId, window),
  ])
  return { ...stats, byDayAndMeter }
}
