/**
 * The usage queue: calls and messages go to the posting batch; the doorbell `usage-received` fetches what lies in Postgres.
 * A job is done when its events are committed, set aside included; running it again changes nothing.
 */
import { DelayedError, type Job } from 'bullmq'

import { BillingError } from '../billing/billing-error.ts'
import type { Db } from '../db/schema.ts'
import { listReceivedUsage } from '../db/usage-event.ts'
import { kindOf, refusedArrival, usageArrival, type UsageArrival } from '../jobs/usage-arrival.ts'
import { callEnded, messageSent, usageBatch, usageReceived } from '../jobs/usage-jobs.ts'
import type { Log } from '../runtime/log.ts'
import { createAppetite, type Appetite } from './appetite.ts'
import { shuttingDown, type PostedOutcome, type PostingBatch } from './posting-batch.ts'
import { startWorker, type StartedWorker, type WorkerContext } from './start-worker.ts'

const pageSize = 500

/** What a job came to: how many events had which outcome. Kept by nobody; tests and traces read it. */
type UsageSummary = Partial<Record<PostedOutcome['outcome'], number>>

/** Several small workers share one batch: each fills its share of jobs one round trip at a time. */
export function startUsageWorkers(
  context: WorkerContext,
  { db, batch, workers, concurrency }: { db: Db; batch: PostingBatch; workers: number; concurrency: number },
): StartedWorker[] {
  const appetite = createAppetite({
    workers,
    most: concurrency,
    tell: (jobs) => {
      for (const worker of started) worker.takeAtMost(jobs)
    },
  })
  const handle = async (job: Job, token: string | undefined): Promise<UsageSummary> => {
    try {
      return await handleUsageJob(job, { db, batch, appetite })
    } catch (error) {
      if (!(error instanceof BillingError && error.code === shuttingDown)) throw error
      // The process ends, the job does not: it goes back without losing one of its attempts.
      await job.moveToDelayed(Date.now() + 1_000, token)
      throw new DelayedError()
    }
  }
  const started = Array.from({ length: workers }, () =>
    startWorker(context, 'usage', { concurrency: appetite.atFirst, handle }),
  )
  return started
}

async function handleUsageJob(
  job: Job,
  { db, batch, appetite }: { db: Db; batch: PostingBatch; appetite: Appetite },
): Promise<UsageSummary> {
  // It fetches its events itself, a page at a time.
  if (job.name === usageReceived.name) return await postReceived(db, batch)
  const arrivals = arrivalsOf(job)
  return await appetite.whileInHand(arrivals.length, async (decided) =>
    summarize(await Promise.all(arrivals.map((arrival) => batch.post(arrival).finally(decided)))),
  )
}

/**
 * The events that a job of the usage queue carries. Anything else becomes one refused arrival, so that it is kept.
 *
 * Shape: workers take a batch of any length; the limit of 500 is the producer's.
 */
export function arrivalsOf(job: Pick<Job, 'name' | 'data' | 'timestamp'>): UsageArrival[] {
  const receivedAt = new Date(job.timestamp)
  const data: unknown = job.data
  if (job.name === callEnded.name) return [usageArrival('call', data, receivedAt)]
  if (job.name === messageSent.name) return [usageArrival('message', data, receivedAt)]
  const events: unknown =
    job.name === usageBatch.name && typeof data === 'object' && data !== null
      ? Reflect.get(data, 'events')
      : undefined
  if (Array.isArray(events) && events.length > 0) {
    return events.map((event: unknown) => usageArrival(kindOf(event), event, receivedAt))
  }
  const detail =
    job.name === usageBatch.name
      ? 'events: expected a list of 1 to 500 calls and messages'
      : `no worker knows the job ${job.name}`
  return [
    refusedArrival('unknown', { job: job.name, data }, receivedAt, { reason: 'malformed_payload', detail }),
  ]
}

/**
 * Everything that was received and not posted, page by page, until a page is empty: what rang while the last page was being posted
 * rang for nothing, because this job was still there.
 *
 * Throws: after the last page, when an event could neither be posted nor set aside; at once, when that goes for all of a page.
 */
async function postReceived(db: Db, batch: PostingBatch): Promise<UsageSummary> {
  const outcomes: PostedOutcome[] = []
  const failures: unknown[] = []
  let after: UsageArrival | undefined
  for (;;) {
    const page = await listReceivedUsage(db, { after, limit: pageSize })
    const decided = await Promise.allSettled(page.map((arrival) => batch.post(arrival)))
    const posted = decided.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []))
    failures.push(...decided.flatMap((each) => (each.status === 'rejected' ? [each.reason] : [])))
    outcomes.push(...posted)
    if (posted.length === 0) break
    after = page.at(-1)
  }
  // That the process ends is no fault of the job's.
  const ends = failures.find((each) => each instanceof BillingError && each.code === shuttingDown)
  if (failures.length > 0) throw ends ?? failures.at(-1)
  return summarize(outcomes)
}

function summarize(outcomes: readonly PostedOutcome[]): UsageSummary {
  const summary: UsageSummary = {}
  for (const { outcome } of outcomes) summary[outcome] = (summary[outcome] ?? 0) + 1
  return summary
}

/**
 * Usage jobs that failed for good (they were found stalled too often: their worker died again and again) are the only
 * copy of what they carry. Their events are set aside in Postgres, and then they are removed, so that the same job id
 * can be enqueued again.
 *
 * Shape: how many jobs were rescued.
 */
export async function rescueFailedUsage(
  failed: readonly Job[],
  { batch, log }: { batch: PostingBatch; log: Log },
): Promise<number> {
  let rescued = 0
  for (const job of failed) {
    // One job that cannot be kept must not keep the others in Redis.
    try {
      await rescue(job, batch)
      rescued += 1
      log.error({ jobId: job.id, reason: job.failedReason }, 'failed usage job set aside')
    } catch (error) {
      log.error({ jobId: job.id, err: error }, 'failed usage job cannot be set aside and stays in Redis')
    }
  }
  return rescued
}

async function rescue(job: Job, batch: PostingBatch): Promise<void> {
  const detail = `the job failed: ${job.failedReason}`
  const arrivals = arrivalsOf(job).map((arrival): UsageArrival => ({
    ...arrival,
    event: null,
    refusal: arrival.refusal ?? { reason: 'crashed_worker', detail },
  }))
  await Promise.all(arrivals.map((arrival) => batch.post(arrival)))
  await job.remove()
}
