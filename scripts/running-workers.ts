/** Which workers run already, in whatever process: who needs some starts them only where there are none. */
import type { Stack } from './stack.ts'

/**
 * Workers that take jobs from a queue of this stack right now.
 *
 * Shape: BullMQ is read when this is asked, because most commands never ask, and would start in half as much time again.
 */
export async function countWorkers(stack: Stack, queueName: string): Promise<number> {
  const [{ Queue }, { Redis }] = await Promise.all([import('bullmq'), import('ioredis')])
  const connection = new Redis(stack.redisUrl, { maxRetriesPerRequest: 1 })
  const queue = new Queue(queueName, { connection, prefix: stack.queuePrefix })
  try {
    return await queue.getWorkersCount()
  } finally {
    await queue.close()
    connection.disconnect()
  }
}
