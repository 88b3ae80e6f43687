/**
 * `GET /metrics` on the ops listener: what this process counted, and what the rows and the queues say, read when Prometheus
 * asks and believed for some seconds. A part that cannot be read keeps its last numbers and is said to be down.
 */
import type { FastifyInstance } from 'fastify'
import { Gauge, Registry } from 'prom-client'

import type { Db } from '../db/schema.ts'
import { cached, within } from '../runtime/cached.ts'
import type { Log } from '../runtime/log.ts'
import type { HttpMetrics } from '../runtime/metrics.ts'
import { metricSources, type CountedQueue } from './metric-sources.ts'

export type MetricsContext = {
  db: Db
  log: Log
  http: HttpMetrics
  /** None when this process was given no Redis. */
  readQueues: () => readonly CountedQueue[]
}

/** How long one scrape waits for a part. */
const timeoutMs = 4_000

/** Answers nobody but `GET /metrics`. */
export function registerMetricsRoute(server: FastifyInstance, context: MetricsContext): void {
  const gather = gatherer(context)
  server.get('/metrics', { config: { scope: 'public' } }, async (_request, reply) => {
    await gather()
    return await reply.type(Registry.PROMETHEUS_CONTENT_TYPE).send(await context.http.registry.metrics())
  })
}

function gatherer({ db, log, http: { registry }, readQueues }: MetricsContext): () => Promise<void> {
  const registers = [registry]
  const up = new Gauge({
    name: 'wallet_metric_source_up',
    help: 'Whether a part of these metrics could be read',
    labelNames: ['source'],
    registers,
  })
  const sources = metricSources({ db, readQueues }, registers).map(({ name, believedMs, read }) => ({
    name,
    read: cached(believedMs, read),
  }))
  const failing = new Set<string>()
  return async () => {
    await Promise.all(
      sources.map(async ({ name, read }) => {
        try {
          await within(timeoutMs, read())
          up.set({ source: name }, 1)
          failing.delete(name)
        } catch (error) {
          up.set({ source: name }, 0)
          // Prometheus asks again and again, and the log need not say it each time.
          if (!failing.has(name)) log.warn({ source: name, err: error }, 'metrics of a source cannot be read')
          failing.add(name)
        }
      }),
    )
  }
}
