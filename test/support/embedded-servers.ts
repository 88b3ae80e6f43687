// Embedded servers started by a process of their own, so that a test can interrupt or kill the starter and look at what is
// left, and small looks into both servers.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { pathToFileURL } from 'node:url'

import { Redis } from 'ioredis'
import { Client, type QueryResultRow } from 'pg'

export type Starter = {
  process: ChildProcess
  pid: number
  postgresPid: number
  redisPid: number
  databaseUrl: string
  redisUrl: string
}

const embeddedServers = pathToFileURL(
  resolve(import.meta.dirname, '../../scripts/embedded/embedded-servers.ts'),
)

/** What every process that starts servers does: it stops them on SIGINT and SIGTERM. Nothing helps against SIGKILL. */
const starterProgram = `
  const { startEmbeddedServers } = await import(process.env.EMBEDDED_SERVERS)
  const servers = await startEmbeddedServers({
    dataDirectory: process.env.DATA_DIRECTORY,
    durability: 'durable',
    log: (message) => process.stderr.write(message + '\\n'),
  })
  const stop = async () => {
    await servers.stop()
    process.exit(0)
  }
  process.on('SIGINT', stop)
  process.on('SIGTERM', stop)
  setInterval(() => undefined, 60_000)
  process.stdout.write(JSON.stringify({
    pid: process.pid,
    postgresPid: servers.postgres.pid,
    redisPid: servers.redis.pid,
    databaseUrl: servers.databaseUrl,
    redisUrl: servers.redisUrl,
  }) + '\\n')
`

export async function startInAnotherProcess(dataDirectory: string): Promise<Starter> {
  const child = spawn(process.execPath, ['--input-type=module', '--eval', starterProgram], {
    detached: true,
    env: { ...process.env, EMBEDDED_SERVERS: embeddedServers.href, DATA_DIRECTORY: dataDirectory },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  for await (const line of createInterface({ input: child.stdout })) {
    const report: Omit<Starter, 'process'> = JSON.parse(line)
    return { ...report, process: child }
  }
  throw new Error(`the starter ended early, with code ${child.exitCode}`)
}

export async function exitCodeOf(child: ChildProcess): Promise<number | null> {
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
  return child.exitCode
}

export async function query<Row extends QueryResultRow>(databaseUrl: string, text: string): Promise<Row[]> {
  const client = new Client({ connectionString: databaseUrl })
  await client.connect()
  try {
    return (await client.query<Row>(text)).rows
  } finally {
    await client.end()
  }
}

export async function withRedis<Result>(
  url: string,
  use: (redis: Redis) => Promise<Result>,
): Promise<Result> {
  const redis = new Redis(url)
  try {
    return await use(redis)
  } finally {
    redis.disconnect()
  }
}
