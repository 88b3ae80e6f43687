/** A wallet with a saved card at the simulator and auto-recharge switched on: what every drill of money in begins with. */
import type { WorkspaceId } from '../../billing/ids.ts'
import { parseUsd } from '../../billing/money.ts'
import type { AutoRechargeSettings } from '../../billing/recharge.ts'
import { saveAutoRecharge, type SavedSettings } from '../../db/auto-recharge.ts'
import { readClock } from '../../db/clock.ts'
import { bindPaddleCustomer } from '../../db/paddle-customer.ts'
import { applyPaddleSubscription } from '../../db/paddle-subscription.ts'
import type { Db } from '../../db/schema.ts'
import { withLockedWallet } from '../../db/wallet.ts'
import { openWorkspace } from '../../db/workspace.ts'
import type { PaddleGateway } from '../../paddle/gateway.ts'
import type { SavedCard, SimulatorControl } from '../../paddle/simulator/control.ts'

export type Paddle = { control: SimulatorControl; gateway: Pick<PaddleGateway, 'getSubscription'> }

/** Opens the workspace and saves its card; what webhooks would tell is asked for instead, so that they may be lost. */
export async function openWalletWithCard(
  db: Db,
  { control, gateway }: Paddle,
  workspaceId: WorkspaceId,
  card?: string,
): Promise<SavedCard> {
  await db.transaction().execute((trx) => openWorkspace(trx, { workspaceId }))
  const email = `${workspaceId}@example.com`
  const saved = await control.saveCard({ workspaceId, email, ...(card === undefined ? {} : { card }) })
  const found = await gateway.getSubscription(saved.subscriptionId)
  if (found.outcome !== 'found') throw new Error(`the simulator has no ${saved.subscriptionId}`)
  const { customerId } = saved
  await withLockedWallet(db, workspaceId, (trx, wallet) =>
    bindPaddleCustomer(trx, wallet, { customerId, email }, 'drill'),
  )
  await db
    .transaction()
    .execute(async (trx) => applyPaddleSubscription(trx, found.subscription, await readClock(trx)))
  return saved
}

/** Below `threshold` dollars, `topUp` dollars are charged; at once, when the wallet is below already. */
export async function switchOn(
  db: Db,
  workspaceId: WorkspaceId,
  { threshold, topUp, ...others }: { threshold: string; topUp: string } & Partial<AutoRechargeSettings>,
): Promise<SavedSettings | null> {
  const settings = {
    enabled: true,
    thresholdMicros: parseUsd(threshold),
    topUpMicros: parseUsd(topUp),
    dailyLimit: 20,
    monthlyCapMicros: null,
    ...others,
  }
  return await withLockedWallet(db, workspaceId, async (trx, wallet) =>
    saveAutoRecharge(trx, wallet, settings, { actor: 'drill', now: await readClock(trx) }),
  )
}
