/** The workspace queue: a new workspace gets its wallet and its signup grant. */
import type { Job } from 'bullmq'

import type { Db } from '../db/schema.ts'
import { openWorkspace, type Opening } from '../db/workspace.ts'
import { describeIssues } from '../billing/parse-issues.ts'
import { refusedArrival } from '../jobs/usage-arrival.ts'
import { workspaceCreated } from '../jobs/workspace-jobs.ts'
import type { PostingBatch } from './posting-batch.ts'
import { startWorker, type StartedWorker, type WorkerContext } from './start-worker.ts'
import { throughOutages } from './through-outages.ts'

export function startWorkspaceWorker(
  context: WorkerContext,
  { db, batch, stopping }: { db: Db; batch: PostingBatch; stopping: AbortSignal },
): StartedWorker {
  return startWorker(context, 'workspace', {
    concurrency: 8,
    handle: async (job) => await handleWorkspaceJob(job, { db, batch, stopping }),
  })
}

async function handleWorkspaceJob(
  job: Job,
  { db, batch, stopping }: { db: Db; batch: PostingBatch; stopping: AbortSignal },
): Promise<Opening | { outcome: 'set_aside' }> {
  const parsed = workspaceCreated.schema.safeParse(job.data)
  if (!parsed.success || job.name !== workspaceCreated.name) {
    const detail = parsed.success ? `no worker knows the job ${job.name}` : describeIssues(parsed.error)
    const data = { job: job.name, data: job.data as unknown }
    const refusal = { reason: 'malformed_payload', detail } as const
    await batch.post(refusedArrival('unknown', data, new Date(job.timestamp), refusal))
    return { outcome: 'set_aside' }
  }
  return await throughOutages(stopping, () =>
    db.transaction().execute((trx) => openWorkspace(trx, parsed.data)),
  )
}
