/** The events of the bench: what they look like, and how they get into the queue, beforehand or at a steady rate. */
import { Queue } from 'bullmq'
import type { Redis } from 'ioredis'

import type { CallToAdmit } from '../../billing/admission.ts'
import { workspaceId as workspaceIdSchema } from '../../billing/ids.ts'
import { jobOf, type Job } from '../../jobs/contract.ts'
import { createProducer } from '../../jobs/producer.ts'
import { callEnded, usageBatch } from '../../jobs/usage-jobs.ts'
import { pause } from '../../runtime/repeat.ts'
import type { Scenario } from './scenario.ts'

/** The events of one run. Call ids begin with `call_<name>_`, so that the ledger can be asked for exactly them. */
export type Traffic = Pick<Scenario, 'wallets' | 'events' | 'eventsPerJob' | 'badOneIn'> & {
  name: string
  walletCount: number
}

type Call = ReturnType<typeof callAt>

const hotWorkspaceId = 'ws_bench_hot'
const jobsPerAdd = 1_000
const eventsPerAdd = 5_000
/** Neighbouring events fall on wallets far apart: a prime, so that every wallet has its turn. */
const stride = 7_919

export function workspaceIds(walletCount: number): string[] {
  return [hotWorkspaceId, ...Array.from({ length: walletCount }, (_, index) => workspaceIdAt(index))]
}

/** How many of the events must be set aside, and how many must be booked. */
export function expectedOf({ events, badOneIn }: Pick<Traffic, 'events' | 'badOneIn'>) {
  const setAside = badOneIn === 0 ? 0 : Math.floor(events / badOneIn)
  return { booked: events - setAside, setAside }
}

/** Puts all events into the queue. */
export async function fillQueue(queue: Queue, traffic: Traffic, signal: AbortSignal): Promise<void> {
  const eventsPerChunk = Math.min(eventsPerAdd, jobsPerAdd * traffic.eventsPerJob)
  for (let from = 0; from < traffic.events; from += eventsPerChunk) {
    signal.throwIfAborted()
    const to = Math.min(from + eventsPerChunk, traffic.events)
    const jobs = jobsOf(traffic, from, to)
    await queue.addBulk(
      jobs.map(({ name, data, jobId, options }) => ({ name, data, opts: { ...options, jobId } })),
    )
  }
}

/**
 * Sends the events one by one through the public producer, at a steady rate that asks nobody whether he can follow. Each
 * call id ends with the moment just before it was sent (`readEnqueuedAt`).
 *
 * Throws: the first event that could not be enqueued, once all were tried.
 */
export async function sendSteadily(
  traffic: Traffic,
  {
    redisUrl,
    prefix,
    perSecond,
    signal,
  }: { redisUrl: string; prefix: string; perSecond: number; signal: AbortSignal },
): Promise<void> {
  const producer = createProducer(redisUrl, { prefix, timeoutMs: 10_000 })
  const failures: unknown[] = []
  const sending: Promise<unknown>[] = []
  try {
    const startedAt = performance.now()
    while (sending.length < traffic.events) {
      signal.throwIfAborted()
      const due = Math.min(traffic.events, Math.floor(((performance.now() - startedAt) * perSecond) / 1_000))
      while (sending.length < due) {
        const call = callAt(traffic, sending.length)
        const stamped = { ...call, callId: `${call.callId}_${monotonicMicros().toString(36)}` }
        sending.push(producer.callEnded(stamped).catch((error: unknown) => failures.push(error)))
      }
      await pause(1)
    }
    await Promise.all(sending)
  } finally {
    await producer.close()
  }
  if (failures.length > 0) throw failures[0]
}

/** Microseconds on the clock that all processes of a machine share. */
export function monotonicMicros(): number {
  return Number(process.hrtime.bigint() / 1_000n)
}

/** When an event of the open loop was sent, from its key. */
export function readEnqueuedAt(key: string): number {
  return Number.parseInt(key.slice(key.lastIndexOf('_') + 1), 36)
}

export async function removeQueue(connection: Redis, prefix: string): Promise<void> {
  const queue = new Queue('usage', { connection, prefix })
  await queue.obliterate({ force: true })
  await queue.close()
}

function jobsOf(traffic: Traffic, from: number, to: number): Job[] {
  const calls = Array.from({ length: to - from }, (_, index) => callAt(traffic, from + index))
  if (traffic.eventsPerJob === 1) return calls.map(jobFor)
  const jobs: Job[] = []
  for (let start = 0; start < calls.length; start += traffic.eventsPerJob) {
    const events = calls
      .slice(start, start + traffic.eventsPerJob)
      .map((call) => ({ kind: 'call' as const, ...call }))
    jobs.push(jobOf(usageBatch, { events }))
  }
  return jobs
}

/** A producer in another language may enqueue what ours refuses: a call without its start. */
function jobFor(call: Call): Job {
  if (call.startedAt !== '') return jobOf(callEnded, call)
  const { startedAt: _, ...data } = call
  return { ...jobOf(callEnded, { ...call, startedAt: new Date() }), data }
}

/** The typical call: outbound to California, from seconds to minutes of talk, one in five recorded. */
function callAt(traffic: Traffic, index: number) {
  const call = {
    callId: `call_${traffic.name}_${index.toString(36)}`,
    workspaceId:
      traffic.wallets === 'hot' ? hotWorkspaceId : workspaceIdAt((index * stride) % traffic.walletCount),
    startedAt: new Date(Date.now() - 600_000).toISOString(),
    durationSeconds: 5 + ((index * 37) % 400),
    to: `+1415555${String(index % 10_000).padStart(4, '0')}`,
    recorded: index % 5 === 0,
  }
  const bad = traffic.badOneIn > 0 && index % traffic.badOneIn === traffic.badOneIn - 1
  return bad ? { ...call, ...defects[Math.floor(index / traffic.badOneIn) % defects.length] } : call
}

/** One of each kind: no such destination, no such workspace, not over yet, and not what the contract asks for. */
const defects = [
  { to: '+99999999999' },
  { workspaceId: 'ws_bench_nobody' },
  { startedAt: '2100-01-01T00:00:00Z' },
  { startedAt: '' },
] as const

/** The same call, before it is made. */
export function callToAdmitAt(traffic: Traffic, index: number): CallToAdmit {
  const { callId, workspaceId, to, recorded } = callAt({ ...traffic, badOneIn: 0 }, index)
  return { callId, workspaceId: workspaceIdSchema.parse(workspaceId), direction: 'outbound', to, recorded }
}

function workspaceIdAt(index: number): string {
  return `ws_bench_${index}`
}
