/** A top-up that somebody asks for and the saved card pays: decided under the wallet's lock, charged as a recharge is. */
import type { TopUpId } from '../billing/ids.ts'
import type { Micros } from '../billing/money.ts'
import { findUsableCard } from './saved-card.ts'
import type { Tx } from './schema.ts'
import { findTopUp, newTopUpId, openTopUp, type TopUp } from './top-up.ts'
import type { LockedWallet } from './wallet.ts'

export type CardTopUp =
  | { outcome: 'opened'; topUp: TopUp }
  /** The same request came before and opened this. */
  | { outcome: 'known'; topUp: TopUp }
  /** A request of this name came before and asked for another amount. */
  | { outcome: 'contradicted' }
  /** No saved card can be charged, or the one that is named is not the one in use. */
  | { outcome: 'no_card' }
  /** An earlier charge of the card has to be looked into first. */
  | { outcome: 'needs_review' }
  | { outcome: 'frozen' }

/** Shape: `topUpId` names the request, where it has a name: the second time it opens nothing. */
export async function openCardTopUp(
  trx: Tx,
  wallet: LockedWallet,
  {
    amountMicros,
    savedCardId,
    topUpId = null,
  }: { amountMicros: Micros; savedCardId?: string | undefined; topUpId?: TopUpId | null },
  now: Date,
): Promise<CardTopUp> {
  const { workspaceId } = wallet
  const known = topUpId === null ? null : await findTopUp(trx, { workspaceId, topUpId })
  if (known !== null && known.amountMicros !== amountMicros) return { outcome: 'contradicted' }
  if (known !== null) return { outcome: 'known', topUp: known }
  if (wallet.frozen) return { outcome: 'frozen' }
  const card = await findUsableCard(trx, workspaceId)
  if (card === null || (savedCardId !== undefined && savedCardId !== card.savedCardId))
    return { outcome: 'no_card' }
  if (await hasChargeInReview(trx, wallet)) return { outcome: 'needs_review' }
  const { subscriptionId } = card
  const fields = { source: 'api', state: 'ready', amountMicros, subscriptionId, dueAt: now } as const
  const topUp = await openTopUp(trx, wallet, { ...fields, topUpId: topUpId ?? newTopUpId(now) }, now)
  return topUp === null ? { outcome: 'no_card' } : { outcome: 'opened', topUp }
}

/** Paddle charges a card for one top-up at a time, and this one will not end by itself. */
async function hasChargeInReview(trx: Tx, wallet: LockedWallet): Promise<boolean> {
  const row = await trx
    .selectFrom('top_up')
    .select('top_up_id')
    .where('workspace_id', '=', wallet.workspaceId)
    .where('state', '=', 'needs_review')
    .where('subscription_id', 'is not', null)
    .executeTakeFirst()
  return row !== undefined
}
