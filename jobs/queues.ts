/** The queues, and where they sit in Redis. */

export const queueNames = [
  'usage',
  'workspace',
  'rental',
  'charge',
  'paddle-event',
  'schedule',
  'ops',
] as const

export type QueueName = (typeof queueNames)[number]

/** Every key begins with this. The braces keep one deployment's queues in one slot of a Redis Cluster. */
export const defaultQueuePrefix = '{wallet}'

/**
 * For queues on a connection that gives commands up. BullMQ asks Redis for its version once, when a queue is made; a queue whose
 * question was not answered, because Redis stood still just then, refuses everything from then on. So nothing is asked.
 */
export const askNothingFirst = { skipVersionCheck: true, skipWaitingForReady: true } as const
