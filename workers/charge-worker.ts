/**
 * The charge worker: does what is due for a top-up. The row says what that is; a job only says that its time has come.
 *
 * Crash points, and what then holds: before the claim, nothing was sent and the row is due again; after the claim, the row is
 * `submitting` and whoever comes next searches instead of sending; after Paddle answered, the same, and the search finds what
 * was done; after the credit, its key is booked and every further telling changes nothing.
 */
import type { Job } from 'bullmq'

import { BillingError } from '../billing/billing-error.ts'
import { describeIssues } from '../billing/parse-issues.ts'
import type { PaddleTransaction } from '../billing/paddle-facts.ts'
import { afterWaiting, defaultChargeTiming, type ChargeTiming } from '../billing/top-up.ts'
import {
  claimCharge,
  postponeLook,
  recordAnswer,
  recordSearch,
  suspectCharge,
  type ClaimedCharge,
} from '../db/charge.ts'
import { readClock } from '../db/clock.ts'
import { applyPaddleTransaction } from '../db/paddle-transaction.ts'
import type { Db } from '../db/schema.ts'
import { findTopUp, type TopUp } from '../db/top-up.ts'
import { topUpDue } from '../jobs/top-up-jobs.ts'
import type { PaddleGateway } from '../paddle/gateway.ts'
import type { Log } from '../runtime/log.ts'
import { mayCharge } from './charging-watch.ts'
import { startWorker, type StartedWorker, type WorkerContext } from './start-worker.ts'

export type Charging = {
  db: Db
  log: Log
  gateway: PaddleGateway
  /** The product that top-ups are sold as. */
  productId: string
  timing?: ChargeTiming
}

/** What was done, for the job's record. */
type Done = { outcome: string }

export function startChargeWorker(
  context: WorkerContext,
  charging: Charging,
  { perMinute }: { perMinute: number },
): StartedWorker {
  return startWorker(context, 'charge', {
    concurrency: 16,
    // In small portions: Paddle counts any sixty seconds, and a charge takes two requests, sometimes three.
    limiter: { max: Math.max(1, Math.ceil(perMinute / 10)), duration: 6_000 },
    handle: async (job) => await handleTopUpDue(job, charging),
  })
}

async function handleTopUpDue(job: Job, charging: Charging): Promise<Done> {
  const parsed = topUpDue.schema.safeParse(job.data)
  if (!parsed.success || job.name !== topUpDue.name) {
    // Nothing is lost by it: whatever is due is due by its row.
    charging.log.error(
      { jobId: job.id, why: parsed.error ? describeIssues(parsed.error) : 'name' },
      'not a charge job',
    )
    return { outcome: 'not_understood' }
  }
  const topUp = await findTopUp(charging.db, parsed.data)
  if (topUp === null || topUp.dueAt === null) return { outcome: 'nothing_due' }
  if (topUp.dueAt > (await readClock(charging.db)) && topUp.state !== 'submitting')
    return { outcome: 'not_due_yet' }
  // It stays due, so the sweep rings again in a second.
  if (topUp.state === 'ready' && !(await mayCharge(charging.db))) return { outcome: 'paddle_not_asked_yet' }
  return await advanceTopUp(topUp, charging)
}

/** Does what is due for a top-up that is due. */
export async function advanceTopUp(topUp: TopUp, charging: Charging): Promise<Done> {
  const { db, timing = defaultChargeTiming } = charging
  switch (topUp.state) {
    case 'ready':
      return topUp.firstSentAt === null ? await send(topUp, charging) : await searchAndSend(topUp, charging)
    case 'submitting':
      await suspectCharge(db, topUp, timing)
      return { outcome: 'suspected' }
    case 'unknown':
    case 'processing':
    case 'needs_review':
    case 'awaiting_customer':
      return await look(topUp, charging)
    case 'succeeded':
    case 'declined':
    case 'failed':
    case 'canceled':
    case 'abandoned':
      return { outcome: 'ended' }
  }
  throw new BillingError('unknown_state', `No worker knows the state ${String(topUp.state)}`)
}

/** Sent once before: only if Paddle still has nothing of it. */
async function searchAndSend(topUp: TopUp, charging: Charging): Promise<Done> {
  const found = await search(topUp, charging)
  if (found.outcome !== 'missing') return found
  if (found.isDoubtful) {
    await recordSearch(charging.db, topUp, { isDoubtful: true }, charging.timing ?? defaultChargeTiming)
    return { outcome: 'doubtful' }
  }
  return await send(topUp, charging)
}

async function send(topUp: TopUp, charging: Charging): Promise<Done> {
  const { db, gateway, log, timing = defaultChargeTiming } = charging
  // Measured from before the claim: a process that is frozen in between finds its time over, by a clock that went on.
  const claimedAt = performance.now()
  const charge = await claimCharge(db, topUp, timing)
  if (charge === null) return { outcome: 'not_claimed' }
  if (charge.source === 'checkout') throw new BillingError('not_a_charge', 'A checkout is not charged by us')
  const { workspaceId, topUpId, subscriptionId, source, amountMicros } = charge
  const fields = { workspaceId, topUpId, submission: charge.submissions }
  log.info(fields, 'charging the saved card')
  const answer = await gateway.charge({
    workspaceId,
    topUpId,
    subscriptionId,
    source,
    amountMicros,
    sendBefore: claimedAt + timing.sendWithinMs,
  })
  if (answer.outcome === 'declined') return await recordDecline(charge, answer.code, charging)
  await recordAnswer(db, charge, answer, timing)
  if (answer.outcome === 'accepted') {
    // The news of it may take a while, or never come; the list has it at once.
    return await look({ ...charge, state: 'processing' }, charging)
  }
  const level = answer.outcome === 'not_processed' ? 'info' : 'error'
  log[level]({ ...fields, answer }, 'the card was not charged, or nobody knows')
  return { outcome: answer.outcome }
}

/** The answer to a decline does not say why; the transaction does, where Paddle shows it. */
async function recordDecline(charge: ClaimedCharge, answered: string, charging: Charging): Promise<Done> {
  const { db, log, timing = defaultChargeTiming } = charging
  const { workspaceId, topUpId } = charge
  const found = await search(charge, charging)
  const code = answered === 'subscription_payment_declined' ? 'declined' : answered
  const ended = await recordAnswer(db, charge, { outcome: 'declined', code }, timing)
  log.warn({ workspaceId, topUpId, code: ended ? code : found.outcome }, 'the card was declined')
  return { outcome: 'declined' }
}

/** Asks Paddle what became of a top-up and books it, or says when to look again. */
async function look(topUp: TopUp, charging: Charging): Promise<Done> {
  const found = await search(topUp, charging)
  if (found.outcome === 'not_asked') return found
  const { timing = defaultChargeTiming } = charging
  const isDoubtful = found.outcome === 'missing' && found.isDoubtful
  await recordSearch(charging.db, topUp, { isDoubtful }, timing)
  return found
}

type Found = { outcome: 'applied' } | { outcome: 'missing'; isDoubtful: boolean } | { outcome: 'not_asked' }

async function search(topUp: TopUp, charging: Charging): Promise<Found> {
  const { gateway, log, timing = defaultChargeTiming } = charging
  const asked =
    topUp.paddleTransactionId !== null
      ? await gateway.getTransaction(topUp.paddleTransactionId)
      : topUp.subscriptionId !== null && topUp.firstSentAt !== null
        ? await gateway.listCharges({
            subscriptionId: topUp.subscriptionId,
            since: afterWaiting(topUp.firstSentAt, -clockDifferenceMs, timing),
          })
        : ({ outcome: 'not_found' } as const)
  if (asked.outcome === 'found') return await apply([asked.transaction], charging)
  if (asked.outcome === 'not_found') return { outcome: 'missing', isDoubtful: false }
  if (asked.outcome !== 'listed') {
    const { workspaceId, topUpId } = topUp
    log.warn({ workspaceId, topUpId, answer: asked }, 'Paddle could not be asked about a top-up')
    await postponeLook(charging.db, topUp, timing)
    return { outcome: 'not_asked' }
  }
  const ours = asked.transactions.filter((each) => each.lines.some((line) => line.topUpId === topUp.topUpId))
  if (ours.length > 0) return await apply(ours, charging)
  const isDoubtful = asked.transactions.some((each) => couldBe(each, topUp))
  return { outcome: 'missing', isDoubtful }
}

/** Each in a transaction of its own: two captures of one top-up are two credits. */
async function apply(transactions: readonly PaddleTransaction[], charging: Charging): Promise<Found> {
  const { db, productId, log, timing = defaultChargeTiming } = charging
  for (const transaction of transactions) {
    const applied = await db.transaction().execute(async (trx) => {
      const now = await readClock(trx)
      const nextLookAt = afterWaiting(now, timing.quietPeriodMs / 90, timing)
      return await applyPaddleTransaction(trx, transaction, { productId, now, nextLookAt })
    })
    const { transactionId } = transaction
    if (applied.outcome === 'credited') log.info({ ...applied, transactionId }, 'wallet credited')
    if (applied.outcome === 'review')
      log.error({ ...applied, transactionId }, 'a Paddle transaction needs a review')
  }
  return { outcome: 'applied' }
}

/** A charge of that subscription, for that much, that names no top-up at all. */
function couldBe(transaction: PaddleTransaction, topUp: TopUp): boolean {
  const net = transaction.lines.reduce((sum, line) => sum + line.net.amount, 0n)
  return transaction.lines.every((line) => line.topUpId === null) && net * 10_000n === topUp.amountMicros
}

/** Paddle's clock and ours may differ. */
const clockDifferenceMs = 120_000
