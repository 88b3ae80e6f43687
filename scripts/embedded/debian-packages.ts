// Programs of a Debian or Ubuntu package without installing it: apt resolves and downloads into a folder of ours, checking
// signatures and hashes as always, and dpkg-deb unpacks. No root, no daemon, nothing on the system is touched.
import { execFile } from 'node:child_process'
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'

import { findDeathSignalPrefix } from './setpriv.ts'
import { isSystemError } from './system-error.ts'

const run = promisify(execFile)

/** Where packages come from; `list` is a sources.list, null stands for the ones this machine is configured with. */
export type PackageSource = { name: string; list: string | null }

/** The machine's own sources first: they know its mirrors and proxies. The distribution's public ones when they fail. */
export async function listPackageSources(): Promise<PackageSource[]> {
  const release = await readFile('/etc/os-release', 'utf8').catch(() => '')
  const field = (name: string) => release.match(new RegExp(`^${name}="?([^"\n]*)"?$`, 'm'))?.[1] ?? ''
  const own: PackageSource = { name: "this machine's package sources", list: null }
  const list = publicSources(field('ID'), field('VERSION_CODENAME'))
  return list === null ? [own] : [own, { name: `the public ${field('ID')} servers`, list }]
}

/** Unpacks the package, and what of its dependencies this machine lacks, into `root`. Throws with apt's own words. */
export async function unpackPackage(
  packageName: string,
  { workDirectory, root, source }: { workDirectory: string; root: string; source: PackageSource },
): Promise<void> {
  const archives = join(workDirectory, 'archives')
  const lists = join(workDirectory, 'lists')
  await Promise.all([lists, archives].map((folder) => rm(folder, { recursive: true, force: true })))
  await Promise.all([lists, archives].map((folder) => mkdir(join(folder, 'partial'), { recursive: true })))
  await mkdir(root, { recursive: true })
  const options = await aptOptions(workDirectory, { archives, lists, source })

  await apt([...options, '--quiet', 'update'])
  // --reinstall, because a package that is installed already has to be listed too.
  const listed = await apt([...options, 'install', '-y', '--reinstall', '--print-uris', packageName])
  const names = [...listed.matchAll(/^'[^']+' ([^_\s]+)_\S+\.deb /gm)].flatMap((match) => match[1] ?? [])
  if (!names.includes(packageName)) throw new Error(`apt offers no package ${packageName}`)

  await apt([...options, '--quiet', 'download', ...names], archives)
  for (const file of await readdir(archives)) {
    if (file.endsWith('.deb')) await run('dpkg-deb', ['-x', join(archives, file), root])
  }
}

async function aptOptions(
  workDirectory: string,
  { archives, lists, source }: { archives: string; lists: string; source: PackageSource },
): Promise<string[]> {
  const settings = [
    `Dir::State::lists=${lists}`,
    `Dir::Cache=${workDirectory}`,
    `Dir::Cache::archives=${archives}`,
    'APT::Sandbox::User=root',
    'Debug::NoLocking=true',
    'APT::Install-Recommends=false',
    'Acquire::Languages=none',
    'Acquire::Retries=1',
    'Acquire::http::Timeout=15',
    'Acquire::https::Timeout=15',
    // Whatever the machine runs after an update or an installation is no business of ours.
    'APT::Update::Post-Invoke=',
    'APT::Update::Post-Invoke-Success=',
    'DPkg::Post-Invoke=',
  ]
  if (source.list !== null) {
    const file = join(workDirectory, 'sources.list')
    await writeFile(file, source.list)
    settings.push(`Dir::Etc::sourcelist=${file}`, 'Dir::Etc::sourceparts=-')
  }
  return settings.flatMap((setting) => ['-o', setting])
}

async function apt(args: string[], workDirectory?: string): Promise<string> {
  // A fetch must not go on when we are killed.
  const [command = '', ...prefixed] = [...(await findDeathSignalPrefix('TERM')), 'apt-get', ...args]
  try {
    const { stdout } = await run(command, prefixed, {
      cwd: workDirectory,
      env: { ...process.env, LC_ALL: 'C', DEBIAN_FRONTEND: 'noninteractive' },
      maxBuffer: 16 * 1024 * 1024,
      timeout: 180_000,
    })
    return stdout
  } catch (error) {
    throw new Error(lastError(error), { cause: error })
  }
}

/** apt's last "E:" line says it best. */
function lastError(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const output = 'stderr' in error && typeof error.stderr === 'string' ? error.stderr : ''
  // Without setpriv the spawn fails; with it, setpriv complains.
  if (isSystemError(error, 'ENOENT') || isSystemError(error, 127)) return 'this machine has no apt-get'
  return (
    output
      .trim()
      .split('\n')
      .findLast((line) => line.startsWith('E: ')) ?? error.message
  )
}

function publicSources(distribution: string, codename: string): string | null {
  if (codename === '') return null
  if (distribution === 'debian') {
    const signed = '[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]'
    return [
      `deb ${signed} http://deb.debian.org/debian ${codename} main`,
      `deb ${signed} http://deb.debian.org/debian-security ${codename}-security main`,
      '',
    ].join('\n')
  }
  if (distribution === 'ubuntu') {
    const signed = '[signed-by=/usr/share/keyrings/ubuntu-archive-keyring.gpg]'
    const host =
      process.arch === 'x64' ? 'http://archive.ubuntu.com/ubuntu' : 'http://ports.ubuntu.com/ubuntu-ports'
    return [codename, `${codename}-updates`, `${codename}-security`]
      .map((suite) => `deb ${signed} ${host} ${suite} main universe\n`)
      .join('')
  }
  return null
}
