/** Money in on the wire: a top-up whose turn has come, and news from Paddle. Both only ring; the rows say what is to be done. */
import { z } from 'zod'

import { topUpId, workspaceId } from '../billing/ids.ts'
import { defineJob, type JobOptions } from './contract.ts'

/** A failed job is dropped: its row is still due, and the sweep rings again. */
const options: JobOptions = {
  attempts: 3,
  backoff: { type: 'exponential', delay: 1_000, jitter: 0.5 },
  removeOnComplete: true,
  removeOnFail: true,
}

/** The next thing is to be done for a top-up: charge, search or ask. `turn` names which, so that a repeat is dropped. */
export const topUpDue = defineJob({
  name: 'top-up-due',
  queue: 'charge',
  schema: z.object({ workspaceId, topUpId, turn: z.string().max(64) }),
  jobId: (topUp) => `top-up-due_${topUp.topUpId}_${topUp.turn}`,
  options,
})

/** A webhook was stored. */
export const paddleEventReceived = defineJob({
  name: 'paddle-event-received',
  queue: 'paddle-event',
  schema: z.object({ eventId: z.string().min(1).max(128) }),
  // BullMQ refuses ids with a colon, and one such job would hold up all that are moved with it.
  jobId: (event) => `paddle-event-received_${event.eventId.replaceAll(':', '-')}`,
  options,
})
