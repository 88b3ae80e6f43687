import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { afterEach, expect, test, vi } from 'vitest'

import {
  type EmbeddedServers,
  findRunningServers,
  startEmbeddedServers,
  stopOrphanedServers,
} from '../../scripts/embedded/embedded-servers.ts'
import { getPostgresBinaries } from '../../scripts/embedded/postgres-binaries.ts'
import { isAlive, listProcessesIn } from '../../scripts/embedded/process-table.ts'
import { getRedisBinary, redisEnvironment } from '../../scripts/embedded/redis-binary.ts'
import { getUserPrefix, nobody } from '../../scripts/embedded/setpriv.ts'
import {
  exitCodeOf,
  query,
  type Starter,
  startInAnotherProcess,
  withRedis,
} from '../support/embedded-servers.ts'
import { copyReadyCluster } from '../support/ready-cluster.ts'

const isRoot = process.getuid?.() === 0
const directories: string[] = []
const running: EmbeddedServers[] = []
const starters: Starter[] = []

afterEach(async () => {
  for (const starter of starters.splice(0)) starter.process.kill('SIGKILL')
  await Promise.all(running.splice(0).map((servers) => servers.stop()))
  for (const directory of directories.splice(0)) {
    await stopOrphanedServers(directory)
    await rm(directory, { recursive: true, force: true })
  }
})

test('starts Postgres 18 and Redis as a wallet needs them, and stops them without a trace', async () => {
  const dataDirectory = await givenEmptyDirectory()

  const servers = await start(dataDirectory, { durability: 'durable' })
  const [settings] = await query<Record<string, string>>(
    servers.databaseUrl,
    `select current_setting('server_version') as version, current_setting('fsync') as fsync,
       current_setting('synchronous_commit') as synchronous_commit, current_setting('full_page_writes') as full_page_writes,
       current_setting('min_wal_size') as min_wal_size, current_setting('listen_addresses') as listen_addresses,
       current_setting('max_connections') as max_connections`,
  )
  const redisSettings = await withRedis(servers.redisUrl, (redis) =>
    redis.config('GET', 'append*', 'maxmemory-policy', 'save', 'bind'),
  )
  const secrets = await Promise.all(
    ['postgres.password', 'redis/redis.conf', 'instance.lock'].map((file) => stat(join(dataDirectory, file))),
  )
  const pids = [servers.postgres.pid, servers.redis.pid]
  await servers.stop()

  expect(settings).toMatchObject({
    version: expect.stringMatching(/^18\./),
    fsync: 'on',
    synchronous_commit: 'on',
    full_page_writes: 'on',
    min_wal_size: '1GB',
    listen_addresses: '127.0.0.1',
    max_connections: '200',
  })
  expect(pairsOf(redisSettings)).toMatchObject({
    appendonly: 'yes',
    appendfsync: 'everysec',
    'maxmemory-policy': 'noeviction',
    save: '',
    bind: '127.0.0.1',
  })
  expect(secrets.map(({ mode }) => mode & 0o777)).toEqual([0o600, 0o600, 0o600])
  expect(await Promise.all(pids.map((pid) => isAlive(pid ?? 0)))).toEqual([false, false])
  expect(await serversIn(dataDirectory)).toEqual([])
  expect(existsSync(join(dataDirectory, 'instance.lock'))).toBe(false)
})

test('keeps what was written when its starter is killed, and ends by itself', async () => {
  const dataDirectory = await givenEmptyDirectory()
  const starter = await startElsewhere(dataDirectory)
  await writeBoth(starter, 'before the kill')

  starter.process.kill('SIGKILL')
  const left = await serversLeftIn(dataDirectory)
  const servers = await start(dataDirectory, { durability: 'durable' })

  expect(left).toEqual([])
  expect(await readBoth(servers)).toEqual(['before the kill', 'before the kill'])
})

test('keeps what was written when everything is killed at once', async () => {
  const dataDirectory = await givenDataDirectory()
  const starter = await startElsewhere(dataDirectory)
  await writeBoth(starter, 'before the power cut')

  for (const pid of [starter.pid, starter.postgresPid, starter.redisPid]) process.kill(pid, 'SIGKILL')
  await exitCodeOf(starter.process)
  const servers = await start(dataDirectory, { durability: 'durable' })

  expect(await readBoth(servers)).toEqual(['before the power cut', 'before the power cut'])
})

test.each(['SIGINT', 'SIGTERM'] as const)(
  'leaves nothing running after %s to the whole group',
  async (signal) => {
    const dataDirectory = await givenDataDirectory()
    const starter = await startElsewhere(dataDirectory)

    // As a terminal does it: everybody in the foreground group gets the signal, the servers must not be among them.
    process.kill(-starter.pid, signal)
    const code = await exitCodeOf(starter.process)

    expect(code).toBe(0)
    expect(await serversIn(dataDirectory)).toEqual([])
    expect(existsSync(join(dataDirectory, 'postgres', 'postmaster.pid'))).toBe(false)
  },
)

test('refuses a second start in the same directory, names the holder and leaves it unharmed', async () => {
  const dataDirectory = await givenDataDirectory()
  const servers = await start(dataDirectory)

  const second = startEmbeddedServers({ dataDirectory, durability: 'volatile', log: () => undefined })

  await expect(second).rejects.toThrow(`started by process ${process.pid}`)
  expect(await query(servers.databaseUrl, 'select 1 as one')).toEqual([{ one: 1 }])
  expect(await findRunningServers(dataDirectory)).toMatchObject({
    pid: process.pid,
    databaseUrl: servers.databaseUrl,
    redisUrl: servers.redisUrl,
  })
})

test('takes over from a crash, whoever has the noted process ids by now', async () => {
  const dataDirectory = await givenDataDirectory()
  await (await start(dataDirectory)).stop()
  const stranger = process.ppid
  const dead = await pidOfTheDead()

  for (const pid of [stranger, dead]) {
    await writeFile(
      join(dataDirectory, 'instance.lock'),
      JSON.stringify({ pid, identity: 'another boot/1', connections: null }),
    )
    await writeFile(join(dataDirectory, 'postgres', 'postmaster.pid'), `${pid}\n${dataDirectory}/postgres\n`)
    await writeFile(join(dataDirectory, 'redis', 'redis.pid'), `${pid}\n`)
    const servers = await start(dataDirectory)
    await servers.stop()
  }

  expect(await isAlive(stranger)).toBe(true)
})

test('takes over from a lock that was cut off in the middle', async () => {
  const dataDirectory = await givenDataDirectory()
  await writeFile(join(dataDirectory, 'instance.lock'), '{"pid": 1')

  const servers = await start(dataDirectory)

  expect(await findRunningServers(dataDirectory)).toMatchObject({ pid: process.pid })
  expect(servers.postgres.pid).not.toBeNull()
})

test('stops servers that outlived their starter, then starts on their data', async () => {
  const dataDirectory = await givenDataDirectory()
  const first = await start(dataDirectory)
  await writeBoth(first, 'by the first')
  await first.stop()
  const orphans = await startOrphans(dataDirectory)
  const messages: string[] = []

  const servers = await start(dataDirectory, { log: (message) => messages.push(message) })

  expect(await Promise.all(orphans.map(isAlive))).toEqual([false, false])
  expect(messages).toContain('stopped servers that an earlier, killed run had left')
  expect(await query(servers.databaseUrl, 'select note from kept')).toEqual([{ note: 'by the first' }])
})

test('leaves out what is given by URL', async () => {
  const dataDirectory = await givenEmptyDirectory()
  const databaseUrl = 'postgres://somebody@db.example/wallet'

  const servers = await start(dataDirectory, { databaseUrl })

  expect(servers.databaseUrl).toBe(databaseUrl)
  expect(servers.postgres).toMatchObject({ kind: 'external', pid: null })
  expect(await withRedis(servers.redisUrl, (redis) => redis.ping())).toBe('PONG')
  expect(await readdir(dataDirectory)).not.toContain('postgres')
})

test('starts and locks nothing when both are given by URL', async () => {
  const dataDirectory = join(await givenEmptyDirectory(), 'untouched')
  const urls = { databaseUrl: 'postgres://somebody@db.example/wallet', redisUrl: 'redis://queue.example' }

  const servers = await start(dataDirectory, urls)

  expect(servers).toMatchObject(urls)
  expect(existsSync(dataDirectory)).toBe(false)
})

test('comes back at the same address after kill -9, Redis even after its data are gone', async () => {
  const dataDirectory = await givenDataDirectory()
  const servers = await start(dataDirectory, { durability: 'durable' })
  await writeBoth(servers, 'before')

  await Promise.all([servers.postgres.kill(), servers.redis.kill()])
  const whileDown = [servers.postgres.pid, servers.redis.pid]
  await servers.redis.wipe()
  await Promise.all([servers.postgres.start(), servers.redis.start()])

  expect(whileDown).toEqual([null, null])
  expect(await readBoth(servers)).toEqual(['before', null])
})

/** Of somebody who has started before. */
async function givenDataDirectory(): Promise<string> {
  const directory = await givenEmptyDirectory()
  await copyReadyCluster(directory)
  return directory
}

async function givenEmptyDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'voice-wallet-embedded-'))
  directories.push(directory)
  return directory
}

async function start(
  dataDirectory: string,
  options: Partial<Parameters<typeof startEmbeddedServers>[0]> = {},
): Promise<EmbeddedServers> {
  const servers = await startEmbeddedServers({
    dataDirectory,
    durability: 'volatile',
    log: () => undefined,
    ...options,
  })
  running.push(servers)
  return servers
}

async function startElsewhere(dataDirectory: string): Promise<Starter> {
  const starter = await startInAnotherProcess(dataDirectory)
  starters.push(starter)
  return starter
}

/** Servers as they are where the kernel has no parent-death signal and the starter was killed. */
async function startOrphans(dataDirectory: string): Promise<number[]> {
  const { postgres } = await getPostgresBinaries()
  const redis = await getRedisBinary({
    environment: process.env,
    cacheDirectory: '.cache',
    log: () => undefined,
  })
  const prefix = isRoot ? await getUserPrefix(nobody, [postgres, '--version']) : []
  const dropRoot = prefix.filter((word) => !word.startsWith('--pdeathsig'))
  const data = join(dataDirectory, 'postgres')
  // It needs somewhere to listen: with nowhere at all it ends at once.
  const options = ['-D', data, '-c', 'listen_addresses=', '-c', `unix_socket_directories=${data}`]
  const pids = [
    spawnOrphan([...dropRoot, postgres, ...options], data, process.env),
    spawnOrphan(
      [redis.path, join(dataDirectory, 'redis', 'redis.conf')],
      join(dataDirectory, 'redis'),
      redisEnvironment(redis.libraryDirectories),
    ),
  ]
  await expect.poll(() => serversIn(dataDirectory), { timeout: 60_000 }).toEqual(expect.arrayContaining(pids))
  return pids
}

function spawnOrphan([command = '', ...args]: string[], cwd: string, env: NodeJS.ProcessEnv): number {
  const child = spawn(command, args, { cwd, env, detached: true, stdio: 'ignore' })
  child.unref()
  return child.pid ?? -1
}

/** An id that was somebody's a moment ago. */
async function pidOfTheDead(): Promise<number> {
  const child = spawn(process.execPath, ['--version'], { stdio: 'ignore' })
  await exitCodeOf(child)
  return child.pid ?? -1
}

/** Where the kernel ends them with their starter, they get a moment to go; elsewhere the next start finds them. */
async function serversLeftIn(dataDirectory: string): Promise<number[]> {
  if (process.platform !== 'linux') return []
  return vi.waitUntil(async () => ((await serversIn(dataDirectory)).length === 0 ? [] : null), {
    timeout: 60_000,
  })
}

async function serversIn(dataDirectory: string): Promise<number[]> {
  const names = ['postgres', 'redis-server', 'valkey-server']
  const found = await Promise.all(
    ['postgres', 'redis'].map((part) => listProcessesIn(join(dataDirectory, part), { names, knownPids: [] })),
  )
  return found.flat()
}

async function writeBoth({ databaseUrl, redisUrl }: { databaseUrl: string; redisUrl: string }, note: string) {
  await query(databaseUrl, `create table kept as select '${note}' as note`)
  await withRedis(redisUrl, (redis) => redis.set('kept', note))
}

async function readBoth({ databaseUrl, redisUrl }: { databaseUrl: string; redisUrl: string }) {
  const [row] = await query<{ note: string }>(databaseUrl, 'select note from kept')
  return [row?.note, await withRedis(redisUrl, (redis) => redis.get('kept'))]
}

function pairsOf(reply: unknown): Record<string, unknown> {
  const flat = Array.isArray(reply) ? reply : []
  return Object.fromEntries(
    flat.flatMap((name, index) => (index % 2 === 0 ? [[String(name), flat[index + 1]]] : [])),
  )
}
