/** Rented numbers on the wire: a number was rented, it was given back, and the bell that says rents are to be settled. */
import { z } from 'zod'

import { workspaceId } from '../billing/ids.ts'
import { defineJob, type JobOptions } from './contract.ts'
import { digest } from './digest.ts'
import { callPayload } from './usage-jobs.ts'

const phoneNumber = callPayload.shape.to.unwrap()
const instant = callPayload.shape.startedAt

/** What only Redis has is kept until Postgres has it. */
const options: JobOptions = {
  attempts: 8,
  backoff: { type: 'exponential', delay: 500, jitter: 0.5 },
  removeOnComplete: true,
  removeOnFail: false,
}

/** What workers read; fields that they do not know yet are passed over. */
export const numberRentedPayload = z.object({ workspaceId, phoneNumber, rentedAt: instant })
export const numberReleasedPayload = z.object({ workspaceId, phoneNumber, releasedAt: instant })

/** The same number rented at the same instant is the same rental, however often it is told. */
export const numberRented = defineJob({
  name: 'number-rented',
  queue: 'rental',
  schema: numberRentedPayload.strict(),
  jobId: (rented) => `number-rented_${nameOf(rented.workspaceId, rented.phoneNumber, rented.rentedAt)}`,
  options,
})

/** The number is gone: nothing that starts from now on is billed. What was paid is not given back. */
export const numberReleased = defineJob({
  name: 'number-released',
  queue: 'rental',
  schema: numberReleasedPayload.strict(),
  jobId: (released) =>
    `number-released_${nameOf(released.workspaceId, released.phoneNumber, released.releasedAt)}`,
  options,
})

/** Rents of a workspace are to be looked at. `turn` names why, so that a repeat is dropped. The rows say what is due. */
export const rentalDue = defineJob({
  name: 'rental-due',
  queue: 'rental',
  schema: z.object({ workspaceId, turn: z.string().max(64) }),
  jobId: (due) => `rental-due_${due.workspaceId}_${due.turn}`,
  options: { ...options, attempts: 3, removeOnFail: true },
})

function nameOf(workspace: string, number: string, at: Date): string {
  return digest(`${workspace}/${number}/${at.toISOString()}`)
}
