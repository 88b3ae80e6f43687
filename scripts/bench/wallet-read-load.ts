/** `GET /v1/wallet` over HTTP: an API as it runs in production, and its client, in one process. */
import { Agent, request } from 'node:http'
import { text } from 'node:stream/consumers'

import { createServer } from '../../api/server.ts'
import type { WorkspaceId } from '../../billing/ids.ts'
import { createApiKey } from '../../db/api-key.ts'
import { connect } from '../../db/connect.ts'
import type { Log } from '../../runtime/log.ts'

/** Shape: `read` rejects unless the answer is 200. */
export async function startWalletReads(
  databaseUrl: string,
  { workspaceId, log }: { workspaceId: WorkspaceId; log: Log },
): Promise<{ read: () => Promise<void>; close: () => Promise<void> }> {
  const db = connect(databaseUrl, { profile: 'worker', name: 'bench api', poolSize: 8 })
  const { secret } = await db
    .transaction()
    .execute((trx) => createApiKey(trx, { workspaceId, scope: 'read', createdBy: 'bench' }))
  const server = createServer({
    db,
    log,
    webhooks: { secrets: [], toleranceMs: 60_000 },
    rateLimit: { perMinute: 1_000_000_000 },
  })
  const url = await server.listen({ host: '127.0.0.1', port: 0 })
  const agent = new Agent({ keepAlive: true })
  const read = async (): Promise<void> => {
    const { promise, resolve, reject } = Promise.withResolvers<number>()
    const asking = request(
      `${url}/v1/wallet`,
      { agent, headers: { authorization: `Bearer ${secret}` } },
      (answer) => {
        text(answer).then(() => resolve(answer.statusCode ?? 0), reject)
      },
    )
    asking.on('error', reject)
    asking.end()
    const status = await promise
    if (status !== 200) throw new Error(`GET /v1/wallet answered ${status}`)
  }
  return {
    read,
    close: async () => {
      agent.destroy()
      await server.close()
      await db.destroy()
    },
  }
}
