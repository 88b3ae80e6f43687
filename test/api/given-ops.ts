/** An ops listener of a test's own, asked without a network. */
import { Queue } from 'bullmq'
import type { Redis } from 'ioredis'
import type { FastifyInstance } from 'fastify'
import { onTestFinished } from 'vitest'

import type { BullBoardOptions } from '../../api/bull-board.ts'
import { createOpsServer } from '../../api/ops-server.ts'
import { connect } from '../../db/connect.ts'
import { queueNames } from '../../jobs/queues.ts'
import { createHttpMetrics, type HttpMetrics } from '../../runtime/metrics.ts'
import { captureLog, type CapturedLine } from '../support/captured-log.ts'
import type { Place } from '../support/fixtures.ts'

export const opsUser = 'operator'
export const opsPassword = 'a-long-password-of-ops'

export type GivenOps = {
  server: FastifyInstance
  http: HttpMetrics
  log: readonly CapturedLine[]
  queues: readonly Queue[]
}

/** Shape: connects with the role that may only read, as in production. Without `board` the queues are not shown. */
export async function givenOps(
  { databaseUrl, queuePrefix: prefix }: Pick<Place, 'databaseUrl' | 'queuePrefix'>,
  connection: Redis | null,
  board: Partial<BullBoardOptions> | null = null,
): Promise<GivenOps> {
  const db = connect(databaseUrl, { profile: 'auditor', name: 'ops', poolSize: 2 })
  const { log, lines } = captureLog()
  const http = createHttpMetrics()
  const queues =
    connection === null
      ? []
      : queueNames.map((name) => new Queue(name, { connection, prefix, skipMetasUpdate: true }))
  const server = createOpsServer({
    db,
    log,
    http,
    readQueues: () => queues,
    board:
      board === null ? null : { queues, user: opsUser, password: opsPassword, writable: false, ...board },
  })
  await server.ready()
  onTestFinished(async () => {
    await server.close()
    await Promise.allSettled(queues.map((queue) => queue.close()))
    await db.destroy()
  })
  return { server, http, log: lines, queues }
}
