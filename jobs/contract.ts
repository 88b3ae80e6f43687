/** What a job is: its name, its queue, the shape of its payload, its identity and how it is retried. */
import type { z } from 'zod'

import { BillingError } from '../billing/billing-error.ts'
import { describeIssues } from '../billing/parse-issues.ts'
import type { QueueName } from './queues.ts'

export type JobOptions = {
  /** Tries in all, the first included. Outages of Postgres do not use them up: the worker waits those out. */
  attempts: number
  backoff: { type: 'exponential' | 'fixed'; delay: number; jitter: number }
  removeOnComplete: boolean
  /** What happens to the Redis copy when the last attempt failed; the reason is kept in Postgres either way. */
  removeOnFail: boolean
}

export type JobContract<Name extends string, Schema extends z.ZodType> = {
  name: Name
  queue: QueueName
  schema: Schema
  /** Deterministic: the same fact gets the same id, so that Redis drops a repeat while the first still waits. */
  jobId: (payload: z.output<Schema>) => string
  options: JobOptions
}

/** A job ready for BullMQ: what the producer adds and what the outbox stores. */
export type Job = { queue: QueueName; name: string; jobId: string; data: unknown; options: JobOptions }

/** More than any single event has fields. */
const mostNamed = 20

export function defineJob<const Name extends string, Schema extends z.ZodType>(
  contract: JobContract<Name, Schema>,
): JobContract<Name, Schema> {
  return contract
}

/**
 * A payload, checked and given its identity.
 *
 * Throws: BillingError `invalid_payload`, with every field and what is wrong with it (of a batch, the first twenty).
 */
export function jobOf<Name extends string, Schema extends z.ZodType>(
  contract: JobContract<Name, Schema>,
  payload: z.input<Schema>,
): Job {
  const parsed = contract.schema.safeParse(payload)
  if (!parsed.success) {
    throw new BillingError(
      'invalid_payload',
      `${contract.name} was not enqueued: ${describeIssues(parsed.error, { most: mostNamed })}`,
    )
  }
  return {
    queue: contract.queue,
    name: contract.name,
    jobId: contract.jobId(parsed.data),
    data: payload,
    options: contract.options,
  }
}
