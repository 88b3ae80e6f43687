// A real Redis for this checkout: its data in <dataDirectory>/redis, on a free loopback port, behind a random password that
// is in its 0600 configuration and in no argument list. It never evicts: a queue that forgets is worse than one that is full.
import { randomBytes } from 'node:crypto'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'

import type { Durability } from './embedded-postgres.ts'
import { type RedisBinary, redisEnvironment } from './redis-binary.ts'
import { commandName, type ManagedServer, startManagedServer, stopOrphans } from './server-process.ts'
import { findDeathSignalPrefix } from './setpriv.ts'

/** `wipe` deletes the data of a stopped server, as a lost disk would. */
export type ManagedRedis = ManagedServer & { wipe(): Promise<void> }

export async function startEmbeddedRedis({
  dataDirectory,
  durability,
  binary,
  log,
}: {
  dataDirectory: string
  durability: Durability
  binary: RedisBinary
  log: (message: string) => void
}): Promise<ManagedRedis> {
  const { data, logFile, configuration, pidFile } = pathsIn(dataDirectory)
  const password = randomBytes(24).toString('hex')
  const prefix = await findDeathSignalPrefix('TERM')
  await mkdir(data, { recursive: true, mode: 0o700 })

  const server = await startManagedServer({
    name: 'Redis',
    log,
    urlOf: (port) => `redis://:${password}@127.0.0.1:${port}`,
    launch: async (port) => {
      // A file keeps the mode it had, so the old one goes first.
      await rm(configuration, { force: true })
      await writeFile(configuration, configurationOf({ port, password, durability, data, pidFile }), {
        mode: 0o600,
      })
      return {
        command: [...prefix, binary.path, configuration],
        directory: data,
        logFile,
        environment: redisEnvironment(binary.libraryDirectories),
        stopSignals: ['SIGTERM'],
        isReady: () => answersPing(port, password),
      }
    },
  })
  // Not a spread: `pid` is a getter.
  return Object.assign(server, {
    async wipe() {
      if (server.pid !== null)
        throw new Error('Redis is running; stop or kill it before its data are deleted.')
      await rm(data, { recursive: true, force: true })
      await mkdir(data, { recursive: true, mode: 0o700 })
    },
  })
}

/** Stops what a killed run left behind; true when there was something. */
export async function stopOrphanedRedis(dataDirectory: string): Promise<boolean> {
  const { data, pidFile } = pathsIn(dataDirectory)
  const names = [
    'redis-server',
    'valkey-server',
    commandName(process.env['REDIS_SERVER_BIN'] ?? 'redis-server'),
  ]
  return (await stopOrphans({ directory: data, pidFile, names, stopSignals: ['SIGTERM'] })) > 0
}

function pathsIn(dataDirectory: string) {
  const data = join(dataDirectory, 'redis')
  return {
    data,
    configuration: join(data, 'redis.conf'),
    pidFile: join(data, 'redis.pid'),
    logFile: join(dataDirectory, 'redis.log'),
  }
}

function configurationOf(options: {
  port: number
  password: string
  durability: Durability
  data: string
  pidFile: string
}): string {
  return [
    'bind 127.0.0.1',
    `port ${options.port}`,
    `requirepass ${options.password}`,
    `dir ${JSON.stringify(options.data)}`,
    `pidfile ${JSON.stringify(options.pidFile)}`,
    'daemonize no',
    'databases 256',
    'maxmemory-policy noeviction',
    // Every write is in the log within a second; snapshots besides it would only cost memory.
    `appendonly ${options.durability === 'durable' ? 'yes' : 'no'}`,
    'appendfsync everysec',
    'save ""',
    '',
  ].join('\n')
}

/** Ready means more than listening: while it reads its log, Redis answers LOADING. */
function answersPing(port: number, password: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    let answer = ''
    const finish = (ready: boolean) => {
      socket.destroy()
      resolve(ready)
    }
    socket.setTimeout(1000, () => finish(false))
    socket.once('error', () => finish(false))
    socket.once('close', () => finish(false))
    socket.once('connect', () => socket.write(`AUTH ${password}\r\nPING\r\n`))
    socket.on('data', (chunk) => {
      answer += chunk.toString('latin1')
      if (answer.split('\r\n').length > 2) finish(answer === '+OK\r\n+PONG\r\n')
    })
  })
}
