/**
 * A Postgres cluster that was made once and stopped, for tests whose servers begin with nothing in them: a copy of it is there in a
 * tenth of the time that initdb takes. That initdb itself works is told by whoever starts servers without a copy.
 */
import { execFile } from 'node:child_process'
import { rmSync } from 'node:fs'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

import { startEmbeddedServers } from '../../scripts/embedded/embedded-servers.ts'

const run = promisify(execFile)

let made: Promise<string> | undefined

/** Shape: `dataDirectory` is then as a durable start leaves it that was stopped at once. */
export async function copyReadyCluster(dataDirectory: string): Promise<void> {
  made ??= makeCluster()
  const ready = await made
  // As `cp` does it, its files keep their owner, who may be another user than root.
  await run('cp', ['-a', join(ready, 'postgres'), join(ready, 'postgres.password'), dataDirectory])
}

/** Once in a process; its name is what the next run's sweep looks for, should this one be killed. */
async function makeCluster(): Promise<string> {
  const dataDirectory = await mkdtemp(join(tmpdir(), `voice-wallet-test-${process.pid}-`))
  process.once('exit', () => rmSync(dataDirectory, { recursive: true, force: true }))
  const servers = await startEmbeddedServers({
    dataDirectory,
    durability: 'durable',
    redisUrl: 'redis://nobody.example',
    log: () => undefined,
  })
  await servers.stop()
  return dataDirectory
}
