/**
 * Top-ups, row by row and step by step. Every change is made under the wallet's lock, from the states in which it is allowed,
 * and leaves a step behind, so that each attempt can be told from beginning to end.
 */
import { randomBytes } from 'node:crypto'

import { sql, type Selectable } from 'kysely'

import { BillingError } from '../billing/billing-error.ts'
import { topUpId as topUpIdSchema, type TopUpId, type WorkspaceId } from '../billing/ids.ts'
import type { Micros } from '../billing/money.ts'
import { openChargeStates, type TopUpSource, type TopUpState } from '../billing/top-up.ts'
import { jobOf, type Job } from '../jobs/contract.ts'
import { topUpDue } from '../jobs/top-up-jobs.ts'
import type { Db, Schema, Tx } from './schema.ts'
import { stageJob } from './staged-job.ts'
import type { LockedWallet } from './wallet.ts'

export type TopUp = {
  workspaceId: WorkspaceId
  topUpId: TopUpId
  source: TopUpSource
  state: TopUpState
  amountMicros: Micros
  creditedMicros: Micros
  /** The subscription whose card is charged; null for a checkout. */
  subscriptionId: string | null
  /** Once Paddle has one for it. */
  paddleTransactionId: string | null
  checkoutUrl: string | null
  /** How often the charge was sent. Fences: an answer counts only for the submission that it answers. */
  submissions: number
  /** Tries since the last submission that Paddle certainly did not process. */
  tries: number
  /** Searches since the last submission. */
  searches: number
  firstSentAt: Date | null
  sentAt: Date | null
  dueAt: Date | null
  reason: string | null
  createdAt: Date
  changedAt: Date
}

/** A new name for a top-up: sorts by time, and is what Paddle is searched for. */
export function newTopUpId(now: Date): TopUpId {
  const time = now.getTime().toString(36).padStart(9, '0')
  return topUpIdSchema.parse(`topup_${time}${randomBytes(8).toString('hex')}`)
}

/**
 * Writes a new top-up down. A charge is staged at once, in the same transaction.
 *
 * Shape: null when the wallet has an open recharge already and this would be a second one.
 */
export async function openTopUp(
  trx: Tx,
  wallet: LockedWallet,
  topUp: {
    topUpId: TopUpId
    source: TopUpSource
    state: Extract<TopUpState, 'ready' | 'awaiting_customer'>
    amountMicros: Micros
    subscriptionId: string | null
    dueAt: Date | null
  },
  now: Date,
): Promise<TopUp | null> {
  const row = await trx
    .insertInto('top_up')
    .values({
      workspace_id: wallet.workspaceId,
      top_up_id: topUp.topUpId,
      source: topUp.source,
      state: topUp.state,
      amount_micros: topUp.amountMicros,
      subscription_id: topUp.subscriptionId,
      due_at: topUp.dueAt,
      created_at: now,
      changed_at: now,
    })
    .onConflict((conflict) => conflict.doNothing())
    .returningAll()
    .executeTakeFirst()
  if (row === undefined) return null
  const opened = topUpOf(row)
  await addStep(trx, opened, { state: topUp.state, reason: null, paddleTransactionId: null }, now)
  if (topUp.state === 'ready') await stageJob(trx, wallet.workspaceId, topUpDueJob(opened))
  return opened
}

/** The job that does what is due for a top-up. */
export function topUpDueJob({ workspaceId, topUpId, submissions, tries, searches }: TopUp): Job {
  return jobOf(topUpDue, { workspaceId, topUpId, turn: `${submissions}-${tries}-${searches}` })
}

export type TopUpChange = {
  state: TopUpState
  reason?: string | null
  dueAt?: Date | null
  paddleTransactionId?: string
  checkoutUrl?: string | null
  creditedMicros?: Micros
  submissions?: number
  tries?: number
  searches?: number
  firstSentAt?: Date
  sentAt?: Date
}

/**
 * Moves a top-up on.
 *
 * Shape:  `from` names the states in which the move is allowed and, where it answers a submission, which one; null, and
 *         nothing changed, when the top-up is elsewhere by now.
 * Throws: a unique violation when the wallet has another charge under way.
 */
export async function moveTopUp(
  trx: Tx,
  wallet: LockedWallet,
  topUpId: TopUpId,
  from: { states: readonly TopUpState[]; submission?: number },
  change: TopUpChange,
  now: Date,
): Promise<TopUp | null> {
  const row = await trx
    .updateTable('top_up')
    .set({
      state: change.state,
      changed_at: now,
      ...(change.reason === undefined ? {} : { reason: change.reason }),
      ...(change.dueAt === undefined ? {} : { due_at: change.dueAt }),
      ...(change.paddleTransactionId === undefined
        ? {}
        : { paddle_transaction_id: change.paddleTransactionId }),
      ...(change.checkoutUrl === undefined ? {} : { checkout_url: change.checkoutUrl }),
      ...(change.creditedMicros === undefined ? {} : { credited_micros: change.creditedMicros }),
      ...(change.submissions === undefined ? {} : { submissions: change.submissions }),
      ...(change.tries === undefined ? {} : { tries: change.tries }),
      ...(change.searches === undefined ? {} : { searches: change.searches }),
      ...(change.firstSentAt === undefined ? {} : { first_sent_at: change.firstSentAt }),
      ...(change.sentAt === undefined ? {} : { sent_at: change.sentAt }),
    })
    .where('workspace_id', '=', wallet.workspaceId)
    .where('top_up_id', '=', topUpId)
    .where('state', 'in', from.states)
    .$if(from.submission !== undefined, (query) => query.where('submissions', '=', from.submission ?? -1))
    .returningAll()
    .executeTakeFirst()
  if (row === undefined) return null
  const moved = topUpOf(row)
  await addStep(
    trx,
    moved,
    {
      state: change.state,
      reason: change.reason ?? null,
      paddleTransactionId: change.paddleTransactionId ?? null,
    },
    now,
  )
  return moved
}

/**
 * Writes a top-up down that only Paddle remembers, as after a restore, or that was made at Paddle by hand.
 *
 * Throws: a unique violation when it is there after all.
 */
export async function adoptTopUp(
  trx: Tx,
  wallet: LockedWallet,
  topUp: {
    topUpId: TopUpId
    source: TopUpSource
    amountMicros: Micros
    subscriptionId: string | null
    paddleTransactionId: string
    createdAt: Date
  },
  now: Date,
): Promise<void> {
  const row = await trx
    .insertInto('top_up')
    .values({
      workspace_id: wallet.workspaceId,
      top_up_id: topUp.topUpId,
      source: topUp.source,
      state: 'succeeded',
      amount_micros: topUp.amountMicros,
      credited_micros: topUp.amountMicros,
      subscription_id: topUp.subscriptionId,
      paddle_transaction_id: topUp.paddleTransactionId,
      created_at: topUp.createdAt,
      changed_at: now,
    })
    .returningAll()
    .executeTakeFirstOrThrow()
  const step = {
    state: 'succeeded',
    reason: 'adopted',
    paddleTransactionId: topUp.paddleTransactionId,
  } as const
  await addStep(trx, topUpOf(row), step, now)
}

export async function findTopUp(
  db: Db,
  { workspaceId, topUpId }: { workspaceId: WorkspaceId; topUpId: string },
): Promise<TopUp | null> {
  const row = await db
    .selectFrom('top_up')
    .selectAll()
    .where('workspace_id', '=', workspaceId)
    .where(sql`top_up_id`, '=', topUpId)
    .executeTakeFirst()
  return row === undefined ? null : topUpOf(row)
}

/** The top-up that a Paddle transaction is bound to. */
export async function findTopUpOfTransaction(
  db: Db,
  { workspaceId, paddleTransactionId }: { workspaceId: WorkspaceId; paddleTransactionId: string },
): Promise<TopUp | null> {
  const row = await db
    .selectFrom('top_up')
    .selectAll()
    .where('paddle_transaction_id', '=', paddleTransactionId)
    .where('workspace_id', '=', workspaceId)
    .executeTakeFirst()
  return row === undefined ? null : topUpOf(row)
}

/** Whether another charge of the wallet's card has been sent and its end is not known. */
export async function hasChargeUnderWay(trx: Tx, wallet: LockedWallet, besides: TopUpId): Promise<boolean> {
  const row = await trx
    .selectFrom('top_up')
    .select('top_up_id')
    .where('workspace_id', '=', wallet.workspaceId)
    .where('top_up_id', '<>', besides)
    .where('subscription_id', 'is not', null)
    .where('state', 'in', sentStates)
    .executeTakeFirst()
  return row !== undefined
}

const sentStates = openChargeStates.filter((state) => state !== 'ready')

/** Those whose time has come, the longest waiting first. */
export async function listDueTopUps(db: Db, now: Date, limit: number): Promise<TopUp[]> {
  const rows = await db
    .selectFrom('top_up')
    .selectAll()
    .where('due_at', '<=', now)
    .orderBy('due_at')
    .limit(limit)
    .execute()
  return rows.map(topUpOf)
}

/** Newest first. */
export async function listTopUps(
  db: Db,
  filter: {
    workspaceId?: WorkspaceId | undefined
    states?: readonly TopUpState[] | undefined
    limit: number
  },
): Promise<TopUp[]> {
  const rows = await db
    .selectFrom('top_up')
    .selectAll()
    .$if(filter.workspaceId !== undefined, (query) => query.where(sql`workspace_id`, '=', filter.workspaceId))
    .$if(filter.states !== undefined, (query) => query.where('state', 'in', filter.states ?? []))
    .orderBy('created_at', 'desc')
    .limit(filter.limit)
    .execute()
  return rows.map(topUpOf)
}

export type TopUpStep = {
  step: number
  state: TopUpState
  reason: string | null
  paddleTransactionId: string | null
  steppedAt: Date
}

/** The first first. */
export async function listTopUpSteps(
  db: Db,
  { workspaceId, topUpId }: { workspaceId: WorkspaceId; topUpId: string },
): Promise<TopUpStep[]> {
  return await db
    .selectFrom('top_up_step')
    .select([
      'step',
      'state',
      'reason',
      'paddle_transaction_id as paddleTransactionId',
      'stepped_at as steppedAt',
    ])
    .where('workspace_id', '=', workspaceId)
    .where(sql`top_up_id`, '=', topUpId)
    .orderBy('step')
    .execute()
}

/** How many submissions came to nothing for certain: Paddle said so, or nothing was sent. Each is a step back to `ready` with why. */
export async function countGivenBack(
  db: Db,
  { workspaceId, topUpId }: Pick<TopUp, 'workspaceId' | 'topUpId'>,
): Promise<number> {
  const { count } = await db
    .selectFrom('top_up_step')
    .select((expression) => expression.fn.countAll<bigint>().as('count'))
    .where('workspace_id', '=', workspaceId)
    .where('top_up_id', '=', topUpId)
    .where('state', '=', 'ready')
    .where('reason', '<>', notFoundAtPaddle)
    .executeTakeFirstOrThrow()
  return Number(count)
}

/** Why a charge is sent a second time, or given to a person. */
export const notFoundAtPaddle = 'not_found_at_paddle'

async function addStep(
  trx: Tx,
  { workspaceId, topUpId }: TopUp,
  step: Pick<TopUpStep, 'state' | 'reason' | 'paddleTransactionId'>,
  now: Date,
): Promise<void> {
  const result = await sql`
    insert into top_up_step (workspace_id, top_up_id, step, state, reason, paddle_transaction_id, stepped_at)
    select ${workspaceId}, ${topUpId}, coalesce(max(step), 0) + 1, ${step.state}, ${step.reason},
      ${step.paddleTransactionId}, ${now}
    from top_up_step where workspace_id = ${workspaceId} and top_up_id = ${topUpId}`.execute(trx)
  if (result.numAffectedRows !== 1n) {
    throw new BillingError('step_not_written', 'A step of a top-up was not written', { topUpId })
  }
}

function topUpOf(row: Selectable<Schema['top_up']>): TopUp {
  return {
    workspaceId: row.workspace_id,
    topUpId: row.top_up_id,
    source: row.source,
    state: row.state,
    amountMicros: row.amount_micros,
    creditedMicros: row.credited_micros,
    subscriptionId: row.subscription_id,
    paddleTransactionId: row.paddle_transaction_id,
    checkoutUrl: row.checkout_url,
    submissions: row.submissions,
    tries: row.tries,
    searches: row.searches,
    firstSentAt: row.first_sent_at,
    sentAt: row.sent_at,
    dueAt: row.due_at,
    reason: row.reason,
    createdAt: row.created_at,
    changedAt: row.changed_at,
  }
}
