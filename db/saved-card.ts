/**
 * The card that a workspace saved, kept by a subscription for nothing at Paddle. Two kinds of news come about it, in any order
 * and any number of times: what state the subscription is in, and which card was seen to pay. Each is taken only when it is
 * newer than what is known, so the same news in any order gives the same row.
 */
import { randomBytes } from 'node:crypto'

import { sql, type Selectable } from 'kysely'

import type { WorkspaceId } from '../billing/ids.ts'
import type { PaddleCard, PaddlePayment, PaddleSubscription } from '../billing/paddle-facts.ts'
import { writeAudit } from './audit-log.ts'
import type { Db, SavedCardState, Schema, Tx } from './schema.ts'
import type { LockedWallet } from './wallet.ts'

export type SavedCard = {
  workspaceId: WorkspaceId
  /** Our own name for it, which the API calls a payment method id. */
  savedCardId: string
  subscriptionId: string
  customerId: string
  state: SavedCardState
  /** Null until a payment has shown which card it is. */
  card: PaddleCard | null
}

/** The card that can be charged now. */
export async function findUsableCard(db: Db, workspaceId: WorkspaceId): Promise<SavedCard | null> {
  const card = await findCardInUse(db, workspaceId)
  return card?.state === 'active' ? card : null
}

/** The card that the wallet keeps, whether or not it can be charged just now. */
export async function findCardInUse(db: Db, workspaceId: WorkspaceId): Promise<SavedCard | null> {
  const row = await db
    .selectFrom('saved_card')
    .selectAll()
    .where('workspace_id', '=', workspaceId)
    .where('state', 'in', inUse)
    .executeTakeFirst()
  return row === undefined ? null : savedCardOf(row)
}

/** Workspaces that a subscription keeps a card for; there is one, or none. */
export async function findWorkspaceOfSubscription(
  db: Db,
  subscriptionId: string,
): Promise<WorkspaceId | null> {
  const row = await db
    .selectFrom('saved_card')
    .select('workspace_id')
    .where('subscription_id', '=', subscriptionId)
    .executeTakeFirst()
  return row?.workspace_id ?? null
}

/** What news about a card came to. */
export type CardNews = 'saved' | 'changed' | 'removed' | 'known'

/**
 * Takes in what Paddle says of the subscription. The newest subscription of a wallet keeps its card, also after it has ended:
 * older ones are replaced for good, in whatever order the news came.
 */
export async function noteSubscription(
  trx: Tx,
  wallet: LockedWallet,
  subscription: PaddleSubscription,
): Promise<CardNews> {
  const { subscriptionId } = subscription
  const before = await lockSavedCard(trx, wallet, subscription)
  if (before.state_at >= subscription.updatedAt) return 'known'
  const told = stateOf(subscription.status)
  await replaceOlder(trx, wallet, subscriptionId)
  const state = isInUse(told) && (await hasNewer(trx, wallet, subscriptionId)) ? 'replaced' : told
  await trx
    .updateTable('saved_card')
    .set({ state, state_at: subscription.updatedAt })
    .where('workspace_id', '=', wallet.workspaceId)
    .where('subscription_id', '=', subscriptionId)
    .execute()
  if (isInUse(state) && !isInUse(before.state)) {
    await auditCard(trx, wallet, 'card.saved', { subscription_id: subscriptionId })
    return 'saved'
  }
  if (isInUse(before.state) && !isInUse(state)) {
    await auditCard(trx, wallet, 'card.removed', { subscription_id: subscriptionId })
    return 'removed'
  }
  return state === before.state || !isInUse(state) ? 'known' : 'changed'
}

/** Takes in which card a payment of the subscription was made with. `changed` means that it is another card than before. */
export async function noteCard(
  trx: Tx,
  wallet: LockedWallet,
  subscription: { subscriptionId: string; customerId: string },
  payment: PaddlePayment,
): Promise<CardNews> {
  if (payment.card === null || payment.paymentMethodId === null) return 'known'
  const before = await lockSavedCard(trx, wallet, subscription)
  if (before.card_at !== null && before.card_at >= payment.createdAt) return 'known'
  const { card, paymentMethodId } = payment
  await trx
    .updateTable('saved_card')
    .set({
      payment_method_id: paymentMethodId,
      brand: card.brand,
      last4: card.last4,
      expiry_month: card.expiryMonth,
      expiry_year: card.expiryYear,
      card_at: payment.createdAt,
    })
    .where('workspace_id', '=', wallet.workspaceId)
    .where('saved_card_id', '=', before.saved_card_id)
    .execute()
  const isAnother = before.payment_method_id !== null && before.payment_method_id !== paymentMethodId
  if (!isAnother) return 'known'
  await auditCard(trx, wallet, 'card.changed', { brand: card.brand, last4: card.last4 })
  return 'changed'
}

/** In use: at most one of a wallet. */
const inUse = ['active', 'paused', 'past_due'] as const satisfies SavedCardState[]

/** Long before any news. */
const never = new Date(0)

type Row = Selectable<Schema['saved_card']>

async function lockSavedCard(
  trx: Tx,
  wallet: LockedWallet,
  { subscriptionId, customerId }: { subscriptionId: string; customerId: string },
): Promise<Row> {
  await trx
    .insertInto('saved_card')
    .values({
      workspace_id: wallet.workspaceId,
      saved_card_id: `pm_${randomBytes(12).toString('hex')}`,
      subscription_id: subscriptionId,
      customer_id: customerId,
      state: 'pending',
      state_at: never,
    })
    .onConflict((conflict) => conflict.columns(['subscription_id', 'workspace_id']).doNothing())
    .execute()
  return await trx
    .selectFrom('saved_card')
    .selectAll()
    .where('workspace_id', '=', wallet.workspaceId)
    .where('subscription_id', '=', subscriptionId)
    .executeTakeFirstOrThrow()
}

/** Paddle's ids sort by the time they were made. */
async function replaceOlder(trx: Tx, wallet: LockedWallet, subscriptionId: string): Promise<void> {
  await trx
    .updateTable('saved_card')
    .set({ state: 'replaced' })
    .where('workspace_id', '=', wallet.workspaceId)
    .where(byteOrder, '<', subscriptionId)
    .where('state', 'in', inUse)
    .execute()
}

/** Whether there is news of a later subscription. One that only a payment has named says nothing of its state yet. */
async function hasNewer(trx: Tx, wallet: LockedWallet, subscriptionId: string): Promise<boolean> {
  const row = await trx
    .selectFrom('saved_card')
    .select('subscription_id')
    .where('workspace_id', '=', wallet.workspaceId)
    .where(byteOrder, '>', subscriptionId)
    .where('state', '<>', 'pending')
    .executeTakeFirst()
  return row !== undefined
}

const byteOrder = sql<string>`subscription_id collate "C"`

function stateOf(status: string): SavedCardState {
  if (status === 'active' || status === 'trialing') return 'active'
  if (status === 'paused' || status === 'past_due') return status
  return 'removed'
}

function isInUse(state: SavedCardState): boolean {
  return inUse.some((each) => each === state)
}

async function auditCard(
  trx: Tx,
  wallet: LockedWallet,
  action: 'card.saved' | 'card.changed' | 'card.removed',
  detail: Record<string, unknown>,
): Promise<void> {
  await writeAudit(trx, { workspaceId: wallet.workspaceId, actor: 'paddle', action, detail })
}

function savedCardOf(row: Row): SavedCard {
  const { brand, last4, expiry_month: expiryMonth, expiry_year: expiryYear } = row
  const isSeen = brand !== null && last4 !== null && expiryMonth !== null && expiryYear !== null
  return {
    workspaceId: row.workspace_id,
    savedCardId: row.saved_card_id,
    subscriptionId: row.subscription_id,
    customerId: row.customer_id,
    state: row.state,
    card: isSeen ? { brand, last4, expiryMonth, expiryYear } : null,
  }
}
