// A redis-server to run: the one named by REDIS_SERVER_BIN, one on PATH, the one fetched earlier, or one fetched now from
// the distribution's packages into the project's cache. Each is asked for its version before it is believed.
import { readdir, symlink } from 'node:fs/promises'
import { delimiter, join, resolve } from 'node:path'

import { fillFolder } from './cached-folder.ts'
import { listPackageSources, type PackageSource, unpackPackage } from './debian-packages.ts'
import { isThere, listOnPath, versionOutput } from './programs.ts'

export type RedisBinary = { path: string; version: string; libraryDirectories: string[] }

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

  for (const path of await listOnPath(environment.PATH ?? '', programNames)) {
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
  const output = await versionOutput(path, redisEnvironment(libraryDirectories))
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

async function proveUnpacked(root: string): Promise<RedisBinary | string> {
  const program = join(root, 'usr', 'bin', 'redis-server')
  return (await isThere(program)) ? prove(program, await listLibraryDirectories(root)) : 'empty'
}

async function fetchInto(cache: string, source: PackageSource): Promise<RedisBinary | string> {
  return await fillFolder(cache, {
    fill: async (root, workDirectory) => {
      await unpackPackage('redis-tools', { workDirectory, root, source })
      // redis-check-rdb is the same program under another name, and comes without the daemon that redis-server installs.
      await symlink('redis-check-rdb', join(root, 'usr', 'bin', 'redis-server'))
    },
    prove: proveUnpacked,
  })
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
