// A real Postgres 18 for this checkout: its data in <dataDirectory>/postgres, on a free loopback port, behind a random
// password. Postgres refuses to be root, so as root it runs as the owner of its data, which is `nobody` at first.
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { chmod, chown, mkdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'

import { Client } from 'pg'

import { getPostgresBinaries } from './postgres-binaries.ts'
import { type ManagedServer, startManagedServer, stopOrphans } from './server-process.ts'
import { findDeathSignalPrefix, getUserPrefix, nobody, type ServerUser } from './setpriv.ts'

/** 'durable' loses nothing once it is committed; 'volatile' is for tests, which throw everything away. */
export type Durability = 'durable' | 'volatile'
type Paths = { data: string; draft: string; password: string; log: string; pidFile: string }

const run = promisify(execFile)
const majorVersion = '18'
const databaseName = 'voice_wallet'

/** min_wal_size keeps log segments for reuse: with the default, p99 of a busy worker is three times as long. */
const settings = {
  durable: {
    fsync: 'on',
    synchronous_commit: 'on',
    full_page_writes: 'on',
    shared_buffers: '256MB',
    min_wal_size: '1GB',
    max_wal_size: '4GB',
  },
  volatile: {
    fsync: 'off',
    synchronous_commit: 'off',
    full_page_writes: 'off',
    shared_buffers: '128MB',
    // Up to four test processes at once, each with pools and processes of its own.
    max_connections: '400',
    wal_level: 'minimal',
    max_wal_senders: '0',
  },
} as const satisfies Record<Durability, Record<string, string>>

export async function startEmbeddedPostgres({
  dataDirectory,
  durability,
  log,
}: {
  dataDirectory: string
  durability: Durability
  log: (message: string) => void
}): Promise<ManagedServer> {
  const paths = pathsIn(dataDirectory)
  const binaries = await getPostgresBinaries()
  const user = await findServerUser(paths)
  const prefix =
    user === null
      ? await findDeathSignalPrefix('INT')
      : await getUserPrefix(user, [binaries.postgres, '--version'])
  // Lets the server's user pass through, not look around; every secret in here has mode 0600.
  if (user !== null) await chmod(dataDirectory, 0o711)

  if (await isMissing(join(paths.data, 'PG_VERSION'))) {
    const notice = setTimeout(() => log('creating the Postgres data directory...'), 1000)
    await createCluster([...prefix, binaries.initdb], { paths, user, durability })
      .catch(explainFailedCreation)
      .finally(() => clearTimeout(notice))
  }
  await checkVersion(paths)
  const password = (await readFile(paths.password, 'utf8')).trim()

  const server = await startManagedServer({
    name: 'Postgres',
    log,
    urlOf: (port) => `postgres://postgres:${password}@127.0.0.1:${port}/${databaseName}`,
    launch: async (port) => ({
      command: [...prefix, binaries.postgres, '-D', paths.data, ...settingArguments(port, durability)],
      directory: paths.data,
      logFile: paths.log,
      environment: { ...process.env, LC_ALL: 'C', TZ: 'UTC' },
      // SIGINT is Postgres's fast shutdown, SIGQUIT its immediate one.
      stopSignals: ['SIGINT', 'SIGQUIT'],
      isReady: (pid) => isReady(paths.pidFile, pid),
    }),
  })
  try {
    await ensureDatabase(server.url)
  } catch (error) {
    await server.stop()
    throw error
  }
  return server
}

/** Stops what a killed run left behind; true when there was something. */
export async function stopOrphanedPostgres(dataDirectory: string): Promise<boolean> {
  const { data, draft, pidFile } = pathsIn(dataDirectory)
  const stopped = await stopOrphans({
    directory: data,
    pidFile,
    names: ['postgres'],
    stopSignals: ['SIGINT', 'SIGQUIT'],
  })
  // An interrupted initdb takes a moment to notice.
  await stopOrphans({
    directory: draft,
    pidFile: join(draft, 'postmaster.pid'),
    names: ['initdb', 'sh', 'postgres'],
    stopSignals: ['SIGINT'],
  })
  // The noted process is not ours (or is gone). Postgres would believe a live one and refuse; but only with none of our
  // own left may the file go, since it is also how Postgres notices survivors of a crash.
  await rm(pidFile, { force: true })
  return stopped > 0
}

function pathsIn(dataDirectory: string): Paths {
  const data = join(dataDirectory, 'postgres')
  return {
    data,
    draft: `${data}.new`,
    password: join(dataDirectory, 'postgres.password'),
    log: join(dataDirectory, 'postgres.log'),
    pidFile: join(data, 'postmaster.pid'),
  }
}

/** Null: as ourselves. Data that belong to somebody other than root are opened as that user. */
async function findServerUser(paths: Paths): Promise<ServerUser | null> {
  if (process.getuid?.() !== 0) return null
  const owner = await stat(paths.data).catch(() => null)
  return owner === null || owner.uid === 0 ? nobody : { uid: owner.uid, gid: owner.gid }
}

/** Built beside its place and renamed into it, so that an interrupted first start leaves no half-made cluster. */
async function createCluster(
  [command = '', ...args]: string[],
  { paths, user, durability }: { paths: Paths; user: ServerUser | null; durability: Durability },
): Promise<void> {
  const { draft } = paths
  await rm(draft, { recursive: true, force: true })
  await rm(paths.data, { recursive: true, force: true })
  await mkdir(draft, { mode: 0o700 })
  await writeFile(paths.password, randomBytes(24).toString('hex'), { mode: 0o600 })
  if (user !== null) {
    await chown(draft, user.uid, user.gid)
    await chown(paths.password, user.uid, user.gid)
  }
  await run(
    command,
    [
      ...args,
      `--pgdata=${draft}`,
      '--username=postgres',
      `--pwfile=${paths.password}`,
      '--auth=scram-sha-256',
      // The built-in provider sorts the same everywhere, whatever locales the machine has.
      '--encoding=UTF8',
      '--locale=C',
      '--locale-provider=builtin',
      '--builtin-locale=C.UTF-8',
      '--no-instructions',
      // A throwaway cluster saves itself the disk and, on every connection, most of the password's work.
      ...(durability === 'volatile' ? ['--no-sync', '--set=scram_iterations=1'] : []),
    ],
    { cwd: draft, env: { ...process.env, LC_ALL: 'C', TZ: 'UTC' } },
  )
  await rename(draft, paths.data)
}

/** A user id without an entry in /etc/passwd, as some containers have, is the usual reason. */
function explainFailedCreation(error: Error & { stderr?: string }): never {
  const reason = error.stderr?.trim() || error.message
  throw new Error(
    `Postgres could not create its data directory: ${reason}\n` +
      'If it is about this user or directory, start as another user; or set DATABASE_URL to a Postgres 18 of your own.',
    { cause: error },
  )
}

async function checkVersion(paths: Paths): Promise<void> {
  const version = (await readFile(join(paths.data, 'PG_VERSION'), 'utf8')).trim()
  if (version === majorVersion) return
  throw new Error(
    `${paths.data} was written by Postgres ${version}, and this is Postgres ${majorVersion}. Move it away to begin anew, ` +
      'or set DATABASE_URL to a server that reads it.',
  )
}

function settingArguments(port: number, durability: Durability): string[] {
  const all = {
    listen_addresses: '127.0.0.1',
    port: String(port),
    unix_socket_directories: '',
    max_connections: '200',
    timezone: 'UTC',
    log_timezone: 'UTC',
    ...settings[durability],
  }
  return Object.entries(all).flatMap(([name, value]) => ['-c', `${name}=${value}`])
}

/** postmaster.pid: its first line is the server's process id, the eighth its state. */
async function isReady(pidFile: string, pid: number): Promise<boolean> {
  const lines = (await readFile(pidFile, 'utf8').catch(() => '')).split('\n')
  return Number(lines[0]) === pid && lines[7]?.trim() === 'ready'
}

async function ensureDatabase(databaseUrl: string): Promise<void> {
  const url = new URL(databaseUrl)
  url.pathname = '/postgres'
  const client = new Client({ connectionString: url.href })
  await client.connect()
  try {
    const found = await client.query('select 1 from pg_database where datname = $1', [databaseName])
    if (found.rowCount === 0) await client.query(`create database ${databaseName} strategy file_copy`)
  } finally {
    await client.end()
  }
}

async function isMissing(path: string): Promise<boolean> {
  return (await stat(path).catch(() => null)) === null
}
