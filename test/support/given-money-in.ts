/** Given: a workspace whose card Paddle keeps, its auto-recharge, and the news that money-in tests bring. */
import { workspaceId as workspaceIdSchema, type TopUpId, type WorkspaceId } from '../../billing/ids.ts'
import { micros } from '../../billing/money.ts'
import type { PaddleAdjustment, PaddleSubscription, PaddleTransaction } from '../../billing/paddle-facts.ts'
import type { AutoRechargeSettings } from '../../billing/recharge.ts'
import type { TopUpSource, TopUpState } from '../../billing/top-up.ts'
import { saveAutoRecharge } from '../../db/auto-recharge.ts'
import { applyPaddleAdjustment, type AppliedAdjustment } from '../../db/paddle-adjustment.ts'
import { bindPaddleCustomer } from '../../db/paddle-customer.ts'
import { applyPaddleSubscription, type AppliedSubscription } from '../../db/paddle-subscription.ts'
import { applyPaddleTransaction, type AppliedTransaction } from '../../db/paddle-transaction.ts'
import type { Db, Tx } from '../../db/schema.ts'
import { listTopUps, newTopUpId, type TopUp } from '../../db/top-up.ts'
import { withLockedWallet, type LockedWallet } from '../../db/wallet.ts'
import { givenWorkspace, newId } from './given.ts'
import { aSubscription, productId, type Payer } from './paddle-news.ts'

export type GivenPayer = Payer & { workspaceId: WorkspaceId }

/** A workspace with $10 and a customer at Paddle, without a card. */
export async function givenCustomer(db: Db): Promise<GivenPayer> {
  const workspaceId = await givenWorkspace(db)
  const payer = { workspaceId, customerId: newId('ctm'), subscriptionId: newId('sub') }
  await underLock(db, workspaceId, (trx, wallet) =>
    bindPaddleCustomer(trx, wallet, { customerId: payer.customerId, email: 'payer@example.com' }, 'test'),
  )
  return payer
}

/** A workspace with $10 and an active card. */
export async function givenPayer(db: Db): Promise<GivenPayer> {
  const payer = await givenCustomer(db)
  await bringSubscription(db, aSubscription(payer))
  return payer
}

/** $20 whenever less than $5 is there, unless said otherwise. */
export const settings: AutoRechargeSettings = {
  enabled: true,
  thresholdMicros: micros(5_000_000n),
  topUpMicros: micros(20_000_000n),
  dailyLimit: 10,
  monthlyCapMicros: null,
}

export async function givenAutoRecharge(
  db: Db,
  { workspaceId }: { workspaceId: WorkspaceId },
  changed: Partial<AutoRechargeSettings> = {},
): Promise<void> {
  await underLock(db, workspaceId, (trx, wallet) =>
    saveAutoRecharge(trx, wallet, { ...settings, ...changed }, { actor: 'test', now: new Date() }),
  )
}

/** A payer with $10 whose recharge has just been decided: the threshold is $15. */
export async function givenRecharge(
  db: Db,
  changed: Partial<AutoRechargeSettings> = {},
): Promise<{ payer: GivenPayer; topUp: TopUp }> {
  const payer = await givenPayer(db)
  await givenAutoRecharge(db, payer, { thresholdMicros: micros(15_000_000n), ...changed })
  return { payer, topUp: await getOnlyTopUp(db, payer.workspaceId) }
}

/** A row as it may stand there, written without the lock and without its steps. */
export async function givenTopUp(
  db: Db,
  { workspaceId, subscriptionId }: GivenPayer,
  topUp: {
    source?: TopUpSource
    state: TopUpState
    amountMicros?: bigint
    createdAt?: Date
    submissions?: number
    sentAt?: Date
    paddleTransactionId?: string
    reason?: string
  },
): Promise<TopUpId> {
  const { source = 'auto_recharge', state, amountMicros = 20_000_000n, createdAt = new Date() } = topUp
  const topUpId = newTopUpId(createdAt)
  await db
    .insertInto('top_up')
    .values({
      workspace_id: workspaceId,
      top_up_id: topUpId,
      source,
      state,
      amount_micros: micros(amountMicros),
      credited_micros: micros(state === 'succeeded' ? amountMicros : 0n),
      subscription_id: source === 'checkout' ? null : subscriptionId,
      paddle_transaction_id: topUp.paddleTransactionId ?? null,
      submissions: topUp.submissions ?? 0,
      first_sent_at: topUp.sentAt ?? null,
      sent_at: topUp.sentAt ?? null,
      due_at: createdAt,
      reason: topUp.reason ?? null,
      created_at: createdAt,
      changed_at: createdAt,
    })
    .execute()
  return topUpId
}

/** Fails unless the workspace has exactly one. */
export async function getOnlyTopUp(db: Db, workspaceId: WorkspaceId): Promise<TopUp> {
  const [topUp, ...others] = await listTopUps(db, { workspaceId, limit: 10 })
  if (topUp === undefined || others.length > 0) {
    throw new Error(`${workspaceId} has ${others.length + (topUp === undefined ? 0 : 1)} top-ups, not one`)
  }
  return topUp
}

/** Does `work` in a transaction of its own that holds the wallet. */
export async function underLock<Result>(
  db: Db,
  workspaceId: string,
  work: (trx: Tx, wallet: LockedWallet) => Promise<Result>,
): Promise<Result> {
  const done = await withLockedWallet(db, workspaceIdSchema.parse(workspaceId), async (trx, wallet) => ({
    result: await work(trx, wallet),
  }))
  if (done === null) throw new Error(`${workspaceId} has no wallet`)
  return done.result
}

/** A minute from now: when these tests would have Paddle asked again. */
export function nextLook(): Date {
  return new Date(Date.now() + 60_000)
}

export async function bringTransaction(
  db: Db,
  transaction: PaddleTransaction,
  now = new Date(),
): Promise<AppliedTransaction> {
  return await db
    .transaction()
    .execute((trx) => applyPaddleTransaction(trx, transaction, { productId, now, nextLookAt: nextLook() }))
}

export async function bringSubscription(
  db: Db,
  subscription: PaddleSubscription,
): Promise<AppliedSubscription> {
  return await db.transaction().execute((trx) => applyPaddleSubscription(trx, subscription, new Date()))
}

export async function bringAdjustment(db: Db, adjustment: PaddleAdjustment): Promise<AppliedAdjustment> {
  return await db.transaction().execute((trx) => applyPaddleAdjustment(trx, adjustment, new Date()))
}
