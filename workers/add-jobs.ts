/** Putting jobs on their queues. Each names itself, so one that still waits there is not added twice. */
import type { Queue } from 'bullmq'

import type { Job } from '../jobs/contract.ts'

/** Jobs as a contract makes them, and as the outbox gives them back. */
type JobToAdd = Pick<Job, 'name' | 'jobId' | 'data' | 'options'> & { queue: string }

export async function addJobs(queueNamed: (name: string) => Queue, jobs: readonly JobToAdd[]): Promise<void> {
  for (const [queue, ofQueue] of Map.groupBy(jobs, (job) => job.queue)) {
    await queueNamed(queue).addBulk(
      ofQueue.map(({ name, jobId, data, options }) => ({ name, data, opts: { ...options, jobId } })),
    )
  }
}
