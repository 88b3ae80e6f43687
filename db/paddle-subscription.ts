/** News of the subscription that keeps a wallet's card: bound to the workspace whose customer it is, and to no other. */
import { workspaceId as workspaceIdSchema, type WorkspaceId } from '../billing/ids.ts'
import type { PaddleSubscription } from '../billing/paddle-facts.ts'
import { resumeAutoRecharge } from './auto-recharge.ts'
import { findPaddleCustomer } from './paddle-customer.ts'
import { decideWalletRecharge } from './recharge.ts'
import { findWorkspaceOfSubscription, noteSubscription } from './saved-card.ts'
import type { Tx } from './schema.ts'
import { lockWallet } from './wallet.ts'

export type AppliedSubscription =
  | { outcome: 'card_saved' | 'card_changed' | 'card_removed' | 'known'; workspaceId: WorkspaceId }
  | { outcome: 'ignored' }
  | { outcome: 'review'; reason: 'another_customer' }

/**
 * Shape: takes the wallet's lock; the same news in any order gives the same card. Another card than before lifts what declines of
 *        the old one did.
 */
export async function applyPaddleSubscription(
  trx: Tx,
  subscription: PaddleSubscription,
  now: Date,
): Promise<AppliedSubscription> {
  const claimed = workspaceIdSchema.safeParse(subscription.workspaceId).data
  const workspaceId = claimed ?? (await findWorkspaceOfSubscription(trx, subscription.subscriptionId))
  const wallet = workspaceId === null ? null : await lockWallet(trx, workspaceId)
  if (wallet === null) return { outcome: 'ignored' }
  // What a subscription says of itself may come from a checkout that somebody else opened.
  const customer = await findPaddleCustomer(trx, wallet.workspaceId)
  if (customer?.customerId !== subscription.customerId)
    return { outcome: 'review', reason: 'another_customer' }
  const news = await noteSubscription(trx, wallet, subscription)
  if (news === 'saved') {
    await resumeAutoRecharge(trx, wallet, { actor: 'paddle', cause: 'another_card', now })
  } else await decideWalletRecharge(trx, wallet, now)
  return { outcome: news === 'known' ? news : `card_${news}`, workspaceId: wallet.workspaceId }
}
