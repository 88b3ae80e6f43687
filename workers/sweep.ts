/** The sweep: searches Postgres and the queue for what was missed, and rings for it. It decides nothing. */
import type { Queue } from 'bullmq'
import { sql } from 'kysely'

import { purgeIdempotentRequests } from '../db/idempotency.ts'
import type { Db } from '../db/schema.ts'
import { requeueOvertakenUsage } from '../db/set-aside.ts'
import { jobOf } from '../jobs/contract.ts'
import { usageReceived } from '../jobs/usage-jobs.ts'
import type { Log } from '../runtime/log.ts'
import { repeat, type Repeating } from '../runtime/repeat.ts'
import { addJobs } from './add-jobs.ts'
import type { PostingBatch } from './posting-batch.ts'
import { rescueFailedUsage } from './usage-worker.ts'

/** An event this young is still on its way through the queue. */
const youngMs = 2_000

export function startSweeps({
  db,
  log,
  batch,
  queueNamed,
}: {
  db: Db
  log: Log
  batch: PostingBatch
  queueNamed: (name: string) => Queue
}): Repeating[] {
  return [
    repeat('sweep received usage', {
      everyMs: 5_000,
      log,
      run: async () => {
        if (await hasOverdueUsage(db)) await addJobs(queueNamed, [jobOf(usageReceived, {})])
      },
    }),
    repeat('rescue failed usage jobs', {
      everyMs: 10_000,
      log,
      run: async () => {
        const failed = await queueNamed('usage').getFailed(0, 99)
        return (await rescueFailedUsage(failed, { batch, log })) === 100
      },
    }),
    // What these jobs say only Redis knows. They can be tried as often as one likes, and nobody else will.
    ...(['workspace', 'rental'] as const).map((queue) =>
      repeat(`retry failed ${queue} jobs`, {
        everyMs: 30_000,
        log,
        run: async () => {
          const failed = await queueNamed(queue).getFailed(0, 99)
          for (const job of failed) {
            log.error({ queue, jobId: job.id, reason: job.failedReason }, 'a failed job is tried again')
            await job.retry('failed')
          }
        },
      }),
    ),
    repeat('requeue overtaken usage', {
      everyMs: 5_000,
      log,
      run: async () => {
        await db.transaction().execute(requeueOvertakenUsage)
      },
    }),
    repeat('forget answers given a month ago', {
      everyMs: 3_600_000,
      log,
      run: async () => (await purgeIdempotentRequests(db, { most: 1_000 })) === 1_000,
    }),
  ]
}

/** Whether an event has lain in Postgres for a while without being posted. */
async function hasOverdueUsage(db: Db): Promise<boolean> {
  const row = await db
    .selectFrom('usage_event')
    .select('key')
    .where('state', '=', 'received')
    .where('received_at', '<', sql<Date>`clock_timestamp() - make_interval(secs => ${youngMs / 1000})`)
    .limit(1)
    .executeTakeFirst()
  return row !== undefined
}
