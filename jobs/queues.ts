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
