/**
 * The Paddle event worker: applies stored webhooks. Each is applied in one transaction with its own verdict, so it is known
 * exactly if what it says is done; an event that cannot be understood or trusted is marked for review and never tried again by
 * itself.
 */
import type { Job } from 'bullmq'

import { readClock } from '../db/clock.ts'
import { codeOf, isOutage } from '../db/errors.ts'
import { applyPaddleAdjustment } from '../db/paddle-adjustment.ts'
import { decidePaddleEvent, findPaddleEvent, type EventDecision } from '../db/paddle-event.ts'
import { applyPaddleSubscription } from '../db/paddle-subscription.ts'
import { applyPaddleTransaction } from '../db/paddle-transaction.ts'
import type { Db, Tx } from '../db/schema.ts'
import type { PaddleEvent } from '../billing/paddle-facts.ts'
import { afterWaiting, defaultChargeTiming, type ChargeTiming } from '../billing/top-up.ts'
import { paddleEventReceived } from '../jobs/top-up-jobs.ts'
import { readPaddleEvent } from '../paddle/webhook.ts'
import type { Log } from '../runtime/log.ts'
import { startWorker, type StartedWorker, type WorkerContext } from './start-worker.ts'

export type PaddleEventContext = { db: Db; log: Log; productId: string; timing?: ChargeTiming }

export function startPaddleEventWorker(context: WorkerContext, events: PaddleEventContext): StartedWorker {
  return startWorker(context, 'paddle-event', {
    concurrency: 4,
    handle: async (job) => await handlePaddleEvent(job, events),
  })
}

async function handlePaddleEvent(job: Job, context: PaddleEventContext): Promise<{ outcome: string }> {
  const { db, log } = context
  const parsed = paddleEventReceived.schema.safeParse(job.data)
  const stored = parsed.success ? await findPaddleEvent(db, parsed.data.eventId) : null
  if (stored === null) {
    log.error({ jobId: job.id }, 'a job names no Paddle event that we have')
    return { outcome: 'not_understood' }
  }
  if (stored.state !== 'received') return { outcome: 'known' }
  const read = readPaddleEvent(stored.body)
  const decide = async (trx: Tx): Promise<EventDecision> => {
    const now = await readClock(trx)
    const decision: EventDecision =
      read.outcome === 'unreadable'
        ? { state: 'needs_review', outcome: 'unreadable', detail: read.detail }
        : await applyEvent(trx, read.event, context, now)
    await decidePaddleEvent(trx, stored.eventId, decision, now)
    return decision
  }
  const decision = await db
    .transaction()
    .execute(decide)
    .catch((error: unknown) => setAside(error, job, stored.eventId, context))
  const { eventId, eventType } = stored
  const fields = { eventId, eventType, outcome: decision.outcome, workspaceId: decision.workspaceId }
  if (decision.state === 'needs_review') log.error(fields, 'a Paddle event needs a review')
  else log.info(fields, 'Paddle event applied')
  return { outcome: decision.outcome }
}

/** What fails every time for its own sake is put before a person; an outage is nobody's fault, and the job comes again. */
async function setAside(
  error: unknown,
  job: Job,
  eventId: string,
  { db, log }: PaddleEventContext,
): Promise<EventDecision> {
  const attempts = job.opts.attempts ?? 1
  if (isOutage(error) || job.attemptsMade + 1 < attempts) throw error
  log.error({ eventId, err: error }, 'a Paddle event cannot be applied')
  const decision = {
    state: 'needs_review',
    outcome: 'failed',
    detail: codeOf(error) ?? 'unknown error',
  } as const
  await db
    .transaction()
    .execute(async (trx) => decidePaddleEvent(trx, eventId, decision, await readClock(trx)))
  return decision
}

async function applyEvent(
  trx: Tx,
  { fact }: PaddleEvent,
  { productId, timing = defaultChargeTiming }: PaddleEventContext,
  now: Date,
): Promise<EventDecision> {
  if (fact === null) return { state: 'ignored', outcome: 'no_concern' }
  if (fact.kind === 'transaction') {
    const nextLookAt = afterWaiting(now, timing.quietPeriodMs / 90, timing)
    const applied = await applyPaddleTransaction(trx, fact.transaction, { productId, now, nextLookAt })
    if (applied.outcome === 'ignored') return { state: 'ignored', outcome: applied.reason }
    if (applied.outcome !== 'review') {
      return { state: 'applied', outcome: applied.outcome, workspaceId: applied.workspaceId }
    }
    return { state: 'needs_review', outcome: applied.reason, workspaceId: applied.workspaceId }
  }
  if (fact.kind === 'subscription') {
    const applied = await applyPaddleSubscription(trx, fact.subscription, now)
    if (applied.outcome === 'ignored') return { state: 'ignored', outcome: 'not_ours' }
    if (applied.outcome === 'review') return { state: 'needs_review', outcome: applied.reason }
    return { state: 'applied', outcome: applied.outcome, workspaceId: applied.workspaceId }
  }
  const applied = await applyPaddleAdjustment(trx, fact.adjustment, now)
  if (applied.outcome === 'ignored') return { state: 'ignored', outcome: 'not_approved' }
  if (applied.outcome === 'waiting') {
    const waitsForTransaction = applied.paddleTransactionId
    return { state: 'waiting', outcome: 'not_credited_yet', waitsForTransaction }
  }
  if (applied.outcome === 'review') {
    return { state: 'needs_review', outcome: applied.reason, workspaceId: applied.workspaceId }
  }
  return { state: 'applied', outcome: applied.outcome, workspaceId: applied.workspaceId }
}
