/** Puts the schedules in Redis, where it has lost them. */
import type { JobSchedulerJson, Queue, RepeatOptions } from 'bullmq'

import { heartbeat, heartbeatEveryMs, ringOptions, type Pace } from '../jobs/schedules.ts'

/** A ring that is this late will not come: the job that was to ring is gone. */
const lateMs = 30_000
const dayMs = 86_400_000

/**
 * What is in place is left alone: putting a daily schedule in place again at the very moment that it rings would move that ring to the
 * next day. One that cannot be put in place stands in no other's way.
 *
 * Throws: what BullMQ says of the first that could not.
 */
export async function placeSchedules(
  queueNamed: (name: string) => Queue,
  scheduled: readonly { schedule: string; pace: Pace }[],
): Promise<void> {
  const placed = await Promise.allSettled([
    place(queueNamed(heartbeat.queue), heartbeat.name, { every: heartbeatEveryMs }),
    ...scheduled.map(({ schedule, pace }) => place(queueNamed('schedule'), schedule, repeatOptions(pace))),
  ])
  for (const each of placed) if (each.status === 'rejected') throw each.reason
}

async function place(queue: Queue, name: string, repeating: RepeatOptions): Promise<void> {
  const placed = await queue.getJobScheduler(name)
  if (placed !== undefined && isSame(placed, repeating)) {
    const ringsInMs = (placed.next ?? 0) - Date.now()
    const isTooFar = ringsInMs > (repeating.every ?? dayMs) + lateMs
    if (ringsInMs > -lateMs && !isTooFar) return
    // Put in place again, it would go on from the ring that it was given by a worker whose clock was ahead.
    if (isTooFar) await queue.removeJobScheduler(name)
  }
  await queue.upsertJobScheduler(name, repeating, { name, data: {}, opts: ringOptions })
}

function isSame(placed: JobSchedulerJson, { every, pattern }: RepeatOptions): boolean {
  return every === undefined ? placed.pattern === pattern : placed.every === every
}

function repeatOptions({ everyMs, dailyAt }: Pace): RepeatOptions {
  if (dailyAt === null) return { every: Math.round(everyMs) }
  const [hour, minute] = dailyAt.split(':').map(Number)
  return { pattern: `${minute} ${hour} * * *`, tz: 'UTC' }
}
