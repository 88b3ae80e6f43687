/** How every worker of ours is set up. What a job's failure means is decided here and nowhere else. */
import { Worker, type Job } from 'bullmq'
import type { Redis } from 'ioredis'

import type { QueueName } from '../jobs/queues.ts'
import type { Log } from '../runtime/log.ts'
import type { JobSeen } from '../runtime/metrics.ts'

export type WorkerContext = {
  connection: Redis
  prefix: string
  log: Log
  /** How long a job belongs to a worker that has not been heard of. Default: 30,000. */
  lockDurationMs?: number
  /** How often jobs are looked for whose worker is gone. Default: 10,000. */
  stalledIntervalMs?: number
  /** Told of every job's end. Default: nobody is. */
  onJob?: ((job: JobSeen) => void) | undefined
}

export type StartedWorker = {
  /** From its next job on. */
  takeAtMost: (jobs: number) => void
  close: () => Promise<void>
}

/**
 * Shape: a lock is renewed when half of it is over; a crashed worker's jobs run again within a lock and a look, by default
 *        about 40 s; a job may be found stalled 10 times before it fails for good, because two crashes of a worker say
 *        nothing about the job.
 */
export function startWorker(
  { connection, prefix, log, lockDurationMs = 30_000, stalledIntervalMs = 10_000, onJob }: WorkerContext,
  queue: QueueName,
  {
    concurrency,
    handle,
    limiter,
  }: {
    concurrency: number
    handle: (job: Job, token: string | undefined) => Promise<unknown>
    /** The most jobs within a time, over all workers of the queue. */
    limiter?: { max: number; duration: number }
  },
): StartedWorker {
  const worker = new Worker(queue, handle, {
    connection,
    prefix,
    concurrency,
    lockDuration: lockDurationMs,
    stalledInterval: stalledIntervalMs,
    maxStalledCount: 10,
    ...(limiter === undefined ? {} : { limiter }),
  })
  // Redis going away is one event for the operator, not one for every retry.
  let away = false
  worker.on('error', (error) => {
    if (!away) log.warn({ queue, err: error }, 'worker lost its queue and keeps trying')
    away = true
  })
  worker.on('ready', () => {
    if (away) log.info({ queue }, 'worker has its queue again')
    away = false
  })
  worker.on('stalled', (jobId) => log.warn({ queue, jobId }, 'job stalled and runs again'))
  worker.on('failed', (job, error) =>
    log.error(
      { queue, jobId: job?.id, name: job?.name, attempt: job?.attemptsMade, err: error },
      'job failed',
    ),
  )
  if (onJob !== undefined) {
    worker.on('completed', ({ name }) => onJob({ queue, name, outcome: 'completed' }))
    worker.on('failed', (job) => onJob({ queue, name: job?.name ?? 'unknown', outcome: 'failed' }))
    worker.on('stalled', () => onJob({ queue, name: 'unknown', outcome: 'stalled' }))
  }
  return {
    takeAtMost: (jobs) => {
      worker.concurrency = jobs
    },
    close: () => worker.close(),
  }
}
