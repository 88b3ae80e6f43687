/** A workspace signed up: it gets its wallet and its signup grant, once. */
import { z } from 'zod'

import { workspaceId } from '../billing/ids.ts'
import { defineJob } from './contract.ts'

export const workspaceCreated = defineJob({
  name: 'workspace-created',
  queue: 'workspace',
  schema: z.strictObject({ workspaceId, name: z.string().min(1).max(200).optional() }),
  jobId: (workspace) => `workspace-created_${workspace.workspaceId}`,
  options: {
    attempts: 8,
    backoff: { type: 'exponential', delay: 500, jitter: 0.5 },
    removeOnComplete: true,
    removeOnFail: false,
  },
})
