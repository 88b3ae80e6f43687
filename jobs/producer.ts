/**
 * How another service tells the wallet what happened. Import this and nothing else:
 *
 *   const producer = createProducer(process.env.REDIS_URL)
 *   await producer.callEnded({ callId: 'call_0a1b2c3d', workspaceId: 'ws_acme', startedAt, durationSeconds: 61,
 *     to: '+14155550100', recorded: true })
 *
 * Guarantees: a resolved promise means that Redis has the job; a rejected one says what to do. Sending twice is
 * harmless: a call or message is billed once for ever, whatever Redis forgets.
 */
import { Queue } from 'bullmq'
import { Redis } from 'ioredis'
import type { z } from 'zod'

import { BillingError } from '../billing/billing-error.ts'
import { jobOf, type Job, type JobContract } from './contract.ts'
import { askNothingFirst, defaultQueuePrefix, type QueueName } from './queues.ts'
import { numberReleased, numberRented } from './rental-jobs.ts'
import { callEnded, messageSent, usageBatch } from './usage-jobs.ts'
import { workspaceCreated } from './workspace-jobs.ts'

export type ProducerOptions = {
  /** Must equal the workers' QUEUE_PREFIX. Default: `{wallet}`. */
  prefix?: string
  /** How long Redis may take before a call is given up, in milliseconds. Default: 2000. */
  timeoutMs?: number
}

export type Enqueued = { jobId: string }

export type Producer = {
  callEnded: (call: z.input<typeof callEnded.schema>) => Promise<Enqueued>
  messageSent: (message: z.input<typeof messageSent.schema>) => Promise<Enqueued>
  /** 1 to 500 events of both kinds, each with its `kind`. */
  usageBatch: (events: z.input<typeof usageBatch.schema>['events']) => Promise<Enqueued>
  workspaceCreated: (workspace: z.input<typeof workspaceCreated.schema>) => Promise<Enqueued>
  /** A number was rented: its first month is paid now, and every month on the anniversary of `rentedAt`. */
  numberRented: (number: z.input<typeof numberRented.schema>) => Promise<Enqueued>
  numberReleased: (number: z.input<typeof numberReleased.schema>) => Promise<Enqueued>
  close: () => Promise<void>
}

/**
 * Connects in the background; nothing is awaited until the first event.
 *
 * Throws: BillingError `invalid_payload` (nothing was sent; the message names the fields) or `queue_unavailable`
 * (Redis is away or slow; send again with the same ids).
 */
export function createProducer(redisUrl: string, options: ProducerOptions = {}): Producer {
  const timeoutMs = options.timeoutMs ?? 2_000
  const place = displayRedisUrl(redisUrl)
  let lastError: Error | undefined
  const connection = new Redis(redisUrl, {
    enableOfflineQueue: false,
    maxRetriesPerRequest: 1,
    connectTimeout: timeoutMs,
    commandTimeout: timeoutMs,
    retryStrategy: (times) => Math.min(times * 100, 2_000),
  })
  connection.on('error', (error) => {
    lastError = error
  })
  const queues = new Map<QueueName, Queue>()

  const enqueue = async <Name extends string, Schema extends z.ZodType>(
    contract: JobContract<Name, Schema>,
    payload: z.input<Schema>,
  ): Promise<Enqueued> => {
    const job = jobOf(contract, payload)
    try {
      await withDeadline(untilReady(), timeoutMs)
      await withDeadline(
        queueFor(job).add(job.name, job.data, { ...job.options, jobId: job.jobId }),
        timeoutMs,
      )
    } catch (error) {
      throw new BillingError(
        'queue_unavailable',
        `Redis at ${place} cannot be reached (${messageOf(lastError ?? error)}): ${job.name} was not ` +
          'confirmed. Send it again; sending twice is harmless.',
        { cause: error },
      )
    }
    return { jobId: job.jobId }
  }

  // One listener, however many events wait for the connection.
  let nextReady = Promise.withResolvers<void>()
  connection.on('ready', () => {
    nextReady.resolve()
    nextReady = Promise.withResolvers<void>()
  })
  const untilReady = async (): Promise<void> => {
    if (connection.status !== 'ready') await nextReady.promise
  }

  const queueFor = (job: Job): Queue => {
    let queue = queues.get(job.queue)
    if (queue === undefined) {
      queue = new Queue(job.queue, {
        connection,
        prefix: options.prefix ?? defaultQueuePrefix,
        ...askNothingFirst,
      })
      queue.on('error', (error) => {
        lastError = error
      })
      queues.set(job.queue, queue)
    }
    return queue
  }

  return {
    callEnded: (call) => enqueue(callEnded, call),
    messageSent: (message) => enqueue(messageSent, message),
    usageBatch: (events) => enqueue(usageBatch, { events }),
    workspaceCreated: (workspace) => enqueue(workspaceCreated, workspace),
    numberRented: (number) => enqueue(numberRented, number),
    numberReleased: (number) => enqueue(numberReleased, number),
    close: async () => {
      connection.disconnect()
      await Promise.allSettled([...queues.values()].map((queue) => queue.close()))
    },
  }
}

async function withDeadline<T>(promise: Promise<T>, timeoutMs: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const deadline = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs)
  })
  try {
    return await Promise.race([promise, deadline])
  } finally {
    clearTimeout(timer)
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

/** Host and port, without user or password. */
function displayRedisUrl(redisUrl: string): string {
  return URL.canParse(redisUrl) ? new URL(redisUrl).host : 'the given REDIS_URL'
}
