/**
 * A scratch copy of the checkout, in which a bug may be planted and suites run as they are run here. The checkout itself is only
 * read: packages and what was fetched for it are linked, and everything else is copied.
 */
import { execFile, spawn } from 'node:child_process'
import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'

import type { Suite } from './patches.ts'

export type Scratch = {
  /** Plants a bug. Throws when the patch does not apply. */
  apply: (patch: string) => Promise<void>
  /** Takes it out again. */
  revert: (patch: string) => Promise<void>
  /** Runs suites until `signal`; vitest's report, null when it left none. */
  run: (suites: readonly Suite[], signal: AbortSignal) => Promise<unknown>
  remove: () => Promise<void>
}

/** Before the process id, for whoever sweeps what a killed run left. */
export const scratchPrefix = 'voice-wallet-mutants-'

const execute = promisify(execFile)

export async function createScratch(checkout: string): Promise<Scratch> {
  const root = await mkdtemp(join(tmpdir(), `${scratchPrefix}${process.pid}-`))
  await copyTracked(checkout, root)
  // Linked one by one: vitest writes beside them.
  await mkdir(join(root, 'node_modules'))
  for (const name of await readdir(join(checkout, 'node_modules'))) {
    if (name.startsWith('.') && name !== '.bin') continue
    await symlink(join(checkout, 'node_modules', name), join(root, 'node_modules', name))
  }
  await mkdir(join(checkout, '.cache'), { recursive: true })
  await symlink(join(checkout, '.cache'), join(root, '.cache'))

  const git = async (args: readonly string[]): Promise<void> => {
    // A repository somewhere above would have git leave out what is outside of it.
    const env = { ...process.env, GIT_CEILING_DIRECTORIES: dirname(root) }
    await execute('git', ['apply', ...args], { cwd: root, env })
  }
  return {
    apply: async (patch) => await git([patch]),
    revert: async (patch) => await git(['--reverse', patch]),
    run: async (suites, signal) => await runSuites(root, suites, signal),
    remove: async () => await rm(root, { recursive: true, force: true }),
  }
}

/** What git knows or would be told about: the checkout as it stands, uncommitted changes included. */
async function copyTracked(checkout: string, root: string): Promise<void> {
  const listing = ['ls-files', '-z', '--cached', '--others', '--exclude-standard', '--deduplicate']
  const { stdout } = await execute('git', listing, { cwd: checkout, maxBuffer: 32 * 1024 * 1024 })
  const files = stdout.split('\0').filter((file) => file !== '' && !file.startsWith('docs/pictures/'))
  for (const folder of new Set(files.map((file) => dirname(file)))) {
    await mkdir(join(root, folder), { recursive: true })
  }
  await Promise.all(
    files.map((file) =>
      copyFile(join(checkout, file), join(root, file)).catch((error: NodeJS.ErrnoException) => {
        // Deleted here, and git has not been told.
        if (error.code !== 'ENOENT') throw error
      }),
    ),
  )
}

async function runSuites(root: string, suites: readonly Suite[], signal: AbortSignal): Promise<unknown> {
  const report = join(root, '.report.json')
  await rm(report, { force: true })
  const patterns = suites.map(({ only }) => only)
  const only = patterns.includes(null) ? [] : ['-t', patterns.map((pattern) => `(?:${pattern})`).join('|')]
  const files = [...new Set(suites.map(({ file }) => file))]
  const reporting = ['--reporter=json', `--outputFile.json=${report}`]
  const child = spawn('npm', ['test', '--silent', '--', ...files, ...only, ...reporting], {
    cwd: root,
    stdio: 'ignore',
    // Its own servers, its own limits: whatever this shell says about those is not for the suite.
    env: { ...process.env, DATABASE_URL: undefined, REDIS_URL: undefined },
  })
  const stop = (): void => {
    child.kill('SIGTERM')
  }
  signal.addEventListener('abort', stop)
  try {
    await new Promise((resolve, reject) => {
      child.once('error', reject)
      child.once('close', resolve)
    })
  } finally {
    signal.removeEventListener('abort', stop)
  }
  const text = await readFile(report, 'utf8').catch(() => 'null')
  const written: unknown = JSON.parse(text)
  return written
}
