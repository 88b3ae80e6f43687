/** Top-ups and cards as their workspace reads them: pages of what was paid, what is under way, and with which card. */
import { sql, type ExpressionBuilder, type Selectable } from 'kysely'

import type { TopUpId, WorkspaceId } from '../billing/ids.ts'
import type { Micros } from '../billing/money.ts'
import type { TopUpSource, TopUpState } from '../billing/top-up.ts'
import type { Db, SavedCardState, Schema } from './schema.ts'
import { inOneSnapshot } from './snapshot.ts'
import { listTopUpSteps, type TopUpStep } from './top-up.ts'

export type Payment = {
  topUpId: TopUpId
  source: TopUpSource
  state: TopUpState
  reason: string | null
  amountMicros: Micros
  creditedMicros: Micros
  /** Our name of the card that is charged; null for a checkout. */
  savedCardId: string | null
  paddleTransactionId: string | null
  checkoutUrl: string | null
  createdAt: Date
  changedAt: Date
}

/** Newest first, with how many there are. */
export async function listPayments(
  db: Db,
  page: {
    workspaceId: WorkspaceId
    states?: readonly TopUpState[] | undefined
    source?: TopUpSource | undefined
    limit: number
    offset: number
  },
): Promise<{ payments: Payment[]; total: number }> {
  const { workspaceId, states, source } = page
  const matches = db
    .selectFrom('top_up')
    .where('top_up.workspace_id', '=', workspaceId)
    .$if(states !== undefined, (query) => query.where('top_up.state', 'in', states ?? []))
    .$if(source !== undefined, (query) => query.where('top_up.source', '=', source ?? 'api'))
  const [rows, { total }] = await Promise.all([
    matches
      .selectAll('top_up')
      .select(savedCardIdOf)
      .orderBy('top_up.created_at', 'desc')
      .orderBy('top_up.top_up_id', 'desc')
      .limit(page.limit)
      .offset(page.offset)
      .execute(),
    matches.select(sql<number>`count(*)::int`.as('total')).executeTakeFirstOrThrow(),
  ])
  return { payments: rows.map(paymentOf), total }
}

/** Shape: null when the workspace has no such top-up. */
export async function findPayment(
  db: Db,
  { workspaceId, topUpId }: { workspaceId: WorkspaceId; topUpId: string },
): Promise<Payment | null> {
  const row = await db
    .selectFrom('top_up')
    .selectAll('top_up')
    .select(savedCardIdOf)
    .where('top_up.workspace_id', '=', workspaceId)
    .where(sql`top_up.top_up_id`, '=', topUpId)
    .executeTakeFirst()
  return row === undefined ? null : paymentOf(row)
}

/** A payment and every step that it took, as of one moment. Shape: null when the workspace has no such top-up. */
export async function findPaymentWithSteps(
  db: Db,
  key: { workspaceId: WorkspaceId; topUpId: string },
): Promise<{ payment: Payment; steps: TopUpStep[] } | null> {
  return await inOneSnapshot(db, async (trx) => {
    const payment = await findPayment(trx, key)
    return payment === null ? null : { payment, steps: await listTopUpSteps(trx, key) }
  })
}

/** The recharge that charges the card now, if one does; one that needs a review charges nothing by itself. */
export async function findRechargeUnderWay(
  db: Db,
  workspaceId: WorkspaceId,
): Promise<{ topUpId: TopUpId; amountMicros: Micros } | null> {
  const row = await db
    .selectFrom('top_up')
    .select(['top_up_id as topUpId', 'amount_micros as amountMicros'])
    .where('workspace_id', '=', workspaceId)
    .where('source', '=', 'auto_recharge')
    .where('state', 'in', underWay)
    .executeTakeFirst()
  return row ?? null
}

/** Whether a charge of this subscription's card has begun and may still take money. */
export async function hasOpenCharge(
  db: Db,
  { workspaceId, subscriptionId }: { workspaceId: WorkspaceId; subscriptionId: string },
): Promise<boolean> {
  const row = await db
    .selectFrom('top_up')
    .select('top_up_id')
    .where('workspace_id', '=', workspaceId)
    .where('subscription_id', '=', subscriptionId)
    .where('state', 'in', underWay)
    .executeTakeFirst()
  return row !== undefined
}

export type CardRecord = {
  savedCardId: string
  subscriptionId: string
  customerId: string
  state: SavedCardState
  /** As of when Paddle said so. */
  stateAt: Date
  brand: string | null
  last4: string | null
  expiryMonth: number | null
  expiryYear: number | null
  createdAt: Date
}

/** The cards that Paddle keeps for the workspace, whether or not each can be charged just now. Newest first. */
export async function listCards(db: Db, workspaceId: WorkspaceId): Promise<CardRecord[]> {
  const rows = await db
    .selectFrom('saved_card')
    .selectAll()
    .where('workspace_id', '=', workspaceId)
    .where('state', 'in', ['active', 'paused', 'past_due'])
    .orderBy('created_at', 'desc')
    .execute()
  return rows.map(cardOf)
}

/** Shape: in any state; null when the workspace never had such a card. */
export async function findCard(
  db: Db,
  { workspaceId, savedCardId }: { workspaceId: WorkspaceId; savedCardId: string },
): Promise<CardRecord | null> {
  const row = await db
    .selectFrom('saved_card')
    .selectAll()
    .where('workspace_id', '=', workspaceId)
    .where('saved_card_id', '=', savedCardId)
    .executeTakeFirst()
  return row === undefined ? null : cardOf(row)
}

const underWay = ['ready', 'submitting', 'unknown', 'processing'] as const satisfies TopUpState[]

function savedCardIdOf(builder: ExpressionBuilder<Schema, 'top_up'>) {
  return builder
    .selectFrom('saved_card')
    .select('saved_card.saved_card_id')
    .whereRef('saved_card.workspace_id', '=', 'top_up.workspace_id')
    .whereRef('saved_card.subscription_id', '=', 'top_up.subscription_id')
    .as('saved_card_id')
}

function paymentOf(row: Selectable<Schema['top_up']> & { saved_card_id: string | null }): Payment {
  return {
    topUpId: row.top_up_id,
    source: row.source,
    state: row.state,
    reason: row.reason,
    amountMicros: row.amount_micros,
    creditedMicros: row.credited_micros,
    savedCardId: row.saved_card_id,
    paddleTransactionId: row.paddle_transaction_id,
    checkoutUrl: row.checkout_url,
    createdAt: row.created_at,
    changedAt: row.changed_at,
  }
}

function cardOf(row: Selectable<Schema['saved_card']>): CardRecord {
  return {
    savedCardId: row.saved_card_id,
    subscriptionId: row.subscription_id,
    customerId: row.customer_id,
    state: row.state,
    stateAt: row.state_at,
    brand: row.brand,
    last4: row.last4,
    expiryMonth: row.expiry_month,
    expiryYear: row.expiry_year,
    createdAt: row.created_at,
  }
}
