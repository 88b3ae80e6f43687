/** Durable servers of a test's own, to be killed and started again. The ones of the run are shared, and must live. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { startEmbeddedServers, type EmbeddedServers } from '../../scripts/embedded/embedded-servers.ts'
import { copyReadyCluster } from './ready-cluster.ts'

/** A URL that is given is used; what has none is started. */
export type OwnServersOptions = { databaseUrl?: string; redisUrl?: string }

export type OwnServers = EmbeddedServers & { remove: () => Promise<void> }

export async function startOwnServers(options: OwnServersOptions): Promise<OwnServers> {
  // The name is what the next run's sweep looks for, should this run be killed.
  const dataDirectory = await mkdtemp(join(tmpdir(), `voice-wallet-test-${process.pid}-`))
  if (options.databaseUrl === undefined) await copyReadyCluster(dataDirectory)
  const servers = await startEmbeddedServers({
    ...options,
    dataDirectory,
    durability: 'durable',
    log: () => undefined,
  })
  return Object.assign(servers, {
    remove: async () => {
      await servers.stop()
      await rm(dataDirectory, { recursive: true, force: true })
    },
  })
}
