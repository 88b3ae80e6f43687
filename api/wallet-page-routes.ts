/** The wallet's first page, and the stream that keeps it up to date. */
import type { WorkspaceId } from '../billing/ids.ts'
import { describeWalletTransaction, walletTransactionId } from '../billing/wallet-transaction.ts'
import type { RechargeState } from '../dashboard/recharge-sentence.ts'
import type { TransactionRow } from '../dashboard/transaction-rows.ts'
import { places } from '../dashboard/places.ts'
import { walletPage, type WalletView } from '../dashboard/wallet-page.ts'
import { readBurnRate } from '../db/burn-rate.ts'
import { readClock } from '../db/clock.ts'
import { countOpenHolds } from '../db/hold.ts'
import { findRechargeOutlook, type RechargeOutlook } from '../db/recharge-outlook.ts'
import type { Db } from '../db/schema.ts'
import type { WalletTransaction } from '../db/wallet-transaction.ts'
import { workspaceOf, type Api } from './api.ts'
import { readFrame, sendPage, type DashboardContext } from './dashboard-page.ts'
import { createPrices, type Prices } from './prices.ts'
import { listRentalsDue } from './rentals-due.ts'
import { readTransactionPage } from './wallet-figures.ts'
import { getWallet, noWallet } from './wallet-routes.ts'

export function registerWalletPage(scope: Api, context: DashboardContext): void {
  const prices = createPrices(context.db)
  scope.get(
    places.wallet.path,
    { config: { scope: 'session' }, schema: { hide: true } },
    async (request, reply) => {
      const [frame, view] = await Promise.all([
        readFrame(context, request, 'wallet'),
        readWalletView({ db: context.db, prices }, workspaceOf(request)),
      ])
      return await sendPage(reply, walletPage(frame, view))
    },
  )
}

const latestShown = 8

async function readWalletView(
  { db, prices }: { db: Db; prices: Prices },
  workspaceId: WorkspaceId,
): Promise<WalletView> {
  const [now, wallet] = await Promise.all([readClock(db), getWallet(db, workspaceId)])
  const { newest } = wallet
  const [liveCalls, burn, outlook, latest, rentals] = await Promise.all([
    countOpenHolds(db, workspaceId),
    readBurnRate(db, workspaceId, wallet, now),
    findRechargeOutlook(db, workspaceId, now),
    readTransactionPage(db, workspaceId, {}, { newest, offset: 0, limit: latestShown }),
    listRentalsDue({ db, prices }, workspaceId),
  ])
  if (outlook === null) throw noWallet()
  const { balanceMicros, heldMicros, availableMicros } = wallet
  return {
    balanceMicros,
    heldMicros,
    availableMicros,
    liveCalls,
    burn,
    recharge: rechargeState(outlook),
    rentals,
    latest: latest.transactions.map(transactionRow),
  }
}

export function transactionRow(transaction: WalletTransaction): TransactionRow {
  const { workspaceId, sequence, kind, agentId, campaignId, amountMicros, balanceAfterMicros, postedAt } =
    transaction
  return {
    id: walletTransactionId(workspaceId, sequence),
    kind,
    description: describeWalletTransaction(transaction),
    agentId,
    campaignId,
    amountMicros,
    balanceAfterMicros,
    postedAt,
  }
}

export function rechargeState(outlook: RechargeOutlook): RechargeState {
  const { settings, card, openCharge, availableMicros, belowThreshold } = outlook
  const isCharging = openCharge !== null && openCharge.state !== 'needs_review'
  return {
    settings: settings?.enabled === true ? settings : null,
    card: card?.card ?? null,
    chargingMicros: isCharging ? openCharge.amountMicros : null,
    isBelowThreshold: settings !== null && availableMicros < settings.thresholdMicros,
    obstacle: belowThreshold.decision === 'wait' ? belowThreshold.reason : null,
  }
}
