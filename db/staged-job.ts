/** The outbox: jobs committed with their cause, and moved to BullMQ afterwards by the relay. */
import type { Job, JobOptions } from '../jobs/contract.ts'
import type { Db, Tx } from './schema.ts'

export type StagedJob = {
  workspaceId: string
  id: bigint
  queue: string
  name: string
  jobId: string
  data: unknown
  options: JobOptions
}

/** Commits with the caller's transaction: the job exists exactly if its cause does. */
export async function stageJob(trx: Tx, workspaceId: string, job: Job): Promise<void> {
  await trx
    .insertInto('staged_job')
    .values({
      workspace_id: workspaceId,
      queue: job.queue,
      name: job.name,
      job_id: job.jobId,
      data: JSON.stringify(job.data),
      options: JSON.stringify(job.options),
    })
    .execute()
}

/** Oldest first. */
export async function listStagedJobs(db: Db, limit: number): Promise<StagedJob[]> {
  const rows = await db.selectFrom('staged_job').selectAll().orderBy('id').limit(limit).execute()
  return rows.map((row) => ({
    workspaceId: row.workspace_id,
    id: row.id,
    queue: row.queue,
    name: row.name,
    jobId: row.job_id,
    data: row.data,
    options: row.options,
  }))
}

/** Once BullMQ has them. */
export async function deleteStagedJobs(db: Db, ids: readonly bigint[]): Promise<void> {
  if (ids.length === 0) return
  await db.deleteFrom('staged_job').where('id', 'in', ids).execute()
}
