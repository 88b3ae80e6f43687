/**
 * What a process counts about itself, in Prometheus' form, and the small listener on which Prometheus asks for it. Every name
 * begins with `wallet_`, except what Node says of itself; durations are seconds.
 */
import { createServer } from 'node:http'
import { isIPv6, type AddressInfo } from 'node:net'

import { collectDefaultMetrics, Counter, Histogram, Registry } from 'prom-client'

import type { Log } from './log.ts'

/** A call to Paddle, as its gateway tells of it. */
export type PaddleCallSeen = { operation: string; outcome: string; durationMs: number }

/** What became of a job at a worker: `failed` once for each attempt. */
export type JobSeen = { queue: string; name: string; outcome: 'completed' | 'failed' | 'stalled' }

/** Of a process that posts usage. Everything in here is for the caller to call when it happens; nothing is asked of anybody. */
export function createWorkerMetrics() {
  const registry = newRegistry('workers')
  const registers = [registry]
  const batchEvents = new Histogram({
    name: 'wallet_posting_batch_events',
    help: 'Events in one Postgres transaction',
    buckets: [1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 5_000],
    registers,
  })
  const batchSeconds = new Histogram({
    name: 'wallet_posting_batch_seconds',
    help: 'How long one Postgres transaction of usage took',
    buckets: [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10],
    registers,
  })
  const lagSeconds = new Histogram({
    name: 'wallet_posting_lag_seconds',
    help: 'From when an event was received to when it was posted, set aside or found to be known',
    buckets: [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300],
    registers,
  })
  const decided = new Counter({
    name: 'wallet_usage_decided_total',
    help: 'Usage events by what came of them',
    labelNames: ['outcome'],
    registers,
  })
  const jobs = new Counter({
    name: 'wallet_jobs_total',
    help: 'Jobs by what became of them; failed once for each attempt',
    labelNames: ['queue', 'name', 'outcome'],
    registers,
  })
  const paddle = paddleCalls(registry)

  return {
    text: () => registry.metrics(),
    onBatch: ({ events, durationMs }: { events: number; durationMs: number }): void => {
      batchEvents.observe(events)
      batchSeconds.observe(durationMs / 1000)
    },
    onPaddleCall: paddle,
    onJob: ({ queue, name, outcome }: JobSeen): void => jobs.inc({ queue, name, outcome }),
    /** The same way to post, and every event that goes through it is counted and timed. */
    measured:
      <Arrival extends { receivedAt: Date }, Posted extends { outcome: string }>(
        post: (arrival: Arrival) => Promise<Posted>,
      ) =>
      async (arrival: Arrival): Promise<Posted> => {
        const posted = await post(arrival)
        lagSeconds.observe(Math.max(0, Date.now() - arrival.receivedAt.getTime()) / 1000)
        decided.inc({ outcome: posted.outcome })
        return posted
      },
  }
}

/** Shape: of a process that answers HTTP; `registry` takes what else it has to say. */
export function createHttpMetrics() {
  const registry = newRegistry('api')
  const requests = new Histogram({
    name: 'wallet_http_request_seconds',
    help: 'Requests by route and status, and how long they took',
    labelNames: ['method', 'route', 'status'],
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10],
    registers: [registry],
  })
  return {
    registry,
    onPaddleCall: paddleCalls(registry),
    /** `route` is the pattern and never the address: addresses are without end, and people put things there. */
    onAnswer: (answer: { method: string; route: string; status: number; durationMs: number }): void => {
      const { method, route, status, durationMs } = answer
      requests.observe({ method, route, status: String(status) }, durationMs / 1000)
    },
  }
}

export type HttpMetrics = ReturnType<typeof createHttpMetrics>

function newRegistry(process: string): Registry {
  const registry = new Registry()
  registry.setDefaultLabels({ process })
  collectDefaultMetrics({ register: registry })
  return registry
}

function paddleCalls(registry: Registry): (call: PaddleCallSeen) => void {
  const seconds = new Histogram({
    name: 'wallet_paddle_call_seconds',
    help: 'Calls to Paddle by what was asked and what came of it, and how long they took',
    labelNames: ['operation', 'outcome'],
    buckets: [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60],
    registers: [registry],
  })
  return ({ operation, outcome, durationMs }) => seconds.observe({ operation, outcome }, durationMs / 1000)
}

/**
 * Answers `GET /metrics`, and nothing else.
 *
 * Shape:  `url` of where it listens; port 0 is a free one.
 * Throws: Node's error when the port is taken.
 */
export async function serveMetrics({
  host,
  port,
  log,
  text,
}: {
  host: string
  port: number
  log: Log
  text: () => Promise<string>
}): Promise<{ url: string; close: () => Promise<void> }> {
  const server = createServer((request, response) => {
    if (request.method !== 'GET' || request.url !== '/metrics') {
      response.writeHead(404).end()
      return
    }
    text().then(
      (body) => response.writeHead(200, { 'content-type': Registry.PROMETHEUS_CONTENT_TYPE }).end(body),
      (error: unknown) => {
        log.warn({ err: error }, 'metrics could not be gathered')
        response.writeHead(500).end()
      },
    )
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen({ host, port }, () => {
      server.off('error', reject)
      resolve()
    })
  })
  const url = urlOf(server.address())
  log.info({ url }, 'metrics are served')
  return {
    url,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

function urlOf(address: string | AddressInfo | null): string {
  if (address === null || typeof address === 'string') return String(address)
  return `http://${isIPv6(address.address) ? `[${address.address}]` : address.address}:${address.port}`
}
