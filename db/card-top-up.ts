/** A top-up that somebody asks for and the saved card pays: decided under the wallet's lock, charged as a recharge is. */
import type { Micros } from '../billing/money.ts'
import { findUsableCard } from './saved-card.ts'
import type { Tx } from './schema.ts'
import { newTopUpId, openTopUp, type TopUp } from './top-up.ts'
import type { LockedWallet } from './wallet.ts'

/** Shape: `no_card` when no saved card can be charged, or the one that is named is not the one in use. */
export async function openCardTopUp(
  trx: Tx,
  wallet: LockedWallet,
  { amountMicros, savedCardId }: { amountMicros: Micros; savedCardId?: string | undefined },
  now: Date,
): Promise<{ outcome: 'opened'; topUp: TopUp } | { outcome: 'no_card' }> {
  const card = await findUsableCard(trx, wallet.workspaceId)
  if (card === null || (savedCardId !== undefined && savedCardId !== card.savedCardId))
    return { outcome: 'no_card' }
  const { subscriptionId } = card
  const topUpId = newTopUpId(now)
  const fields = { topUpId, source: 'api', state: 'ready', amountMicros, subscriptionId, dueAt: now } as const
  const topUp = await openTopUp(trx, wallet, fields, now)
  return topUp === null ? { outcome: 'no_card' } : { outcome: 'opened', topUp }
}
