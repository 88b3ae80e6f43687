/**
 * The listener of whoever runs this: `/metrics` for Prometheus and, behind its own credential, the queues. Never on the port that
 * customers reach, and on loopback unless it is told otherwise: the numbers are not secret, but they are nobody else's.
 */
import fastify, { type FastifyInstance } from 'fastify'

import { registerBullBoard, type BullBoardOptions } from './bull-board.ts'
import { answerBrokenRequest, newRequestId, registerErrors } from './errors.ts'
import { registerMetricsRoute, type MetricsContext } from './metrics-routes.ts'

export type OpsContext = MetricsContext & {
  /** Null: the queues are not shown at all. */
  board: BullBoardOptions | null
}

/** Does nothing until it listens. */
export function createOpsServer({ board, ...metrics }: OpsContext): FastifyInstance {
  const server = fastify({
    bodyLimit: 65_536,
    requestTimeout: 15_000,
    forceCloseConnections: true,
    logger: false,
    genReqId: newRequestId,
    clientErrorHandler: answerBrokenRequest,
  })
  registerErrors(server, metrics.log)
  registerMetricsRoute(server, metrics)
  if (board !== null) registerBullBoard(server, board)
  return server
}
