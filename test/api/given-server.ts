/** A server of a test's own, in this process, listening on a port of its own. */
import { onTestFinished } from 'vitest'

import { createServer, type ServerLimits } from '../../api/server.ts'
import { connect } from '../../db/connect.ts'
import { captureLog, type CapturedLine } from '../support/captured-log.ts'
import { webhookSecret } from '../support/paddle-sender.ts'

export type GivenServer = {
  url: string
  log: readonly CapturedLine[]
  /** Ends it, and with it everything that it had still to write down. */
  close: () => Promise<void>
}

/** Shape: connects to Postgres as the API does, with a role that may do no more than that. */
export async function givenServer(
  databaseUrl: string,
  { secrets = [webhookSecret], limits }: { secrets?: readonly string[]; limits?: Partial<ServerLimits> } = {},
): Promise<GivenServer> {
  const db = connect(databaseUrl, { profile: 'worker', name: 'api', poolSize: 8 })
  const { log, lines } = captureLog()
  const server = createServer({
    db,
    log,
    webhooks: { secrets, toleranceMs: 60_000 },
    ...(limits === undefined
      ? {}
      : { limits: { headersMs: 10_000, requestMs: 15_000, closeMs: 10_000, bodyBytes: 262_144, ...limits } }),
  })
  let closed: Promise<void> | null = null
  const close = (): Promise<void> => (closed ??= server.close().then(() => db.destroy()))
  onTestFinished(close)
  return { url: await server.listen({ host: '127.0.0.1', port: 0 }), log: lines, close }
}
