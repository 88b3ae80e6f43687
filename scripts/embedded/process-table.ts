// What the operating system says about processes: who is alive, since when, and in which directory. A process id alone
// proves nothing, because ids are used again; the moment it started, or the directory it works in, tells them apart.
import { execFile } from 'node:child_process'
import { readdir, readFile, readlink, realpath } from 'node:fs/promises'
import { promisify } from 'node:util'

import { isSystemError } from './system-error.ts'

const run = promisify(execFile)
const hasProc = process.platform === 'linux'

/** False for a zombie too: it holds nothing, and in a container without an init nobody may ever collect it. */
export async function isAlive(pid: number): Promise<boolean> {
  try {
    process.kill(pid, 0)
  } catch (error) {
    return isSystemError(error, 'EPERM')
  }
  return (await readStat(pid))?.state !== 'Z'
}

/** A name for this very process that a later one with the same id does not have; null when it is gone. */
export async function identityOf(pid: number): Promise<string | null> {
  if (!(await isAlive(pid))) return null
  if (!hasProc) return outputOf('ps', ['-o', 'lstart=', '-p', String(pid)])
  const [stat, bootId] = await Promise.all([readStat(pid), readIfThere('/proc/sys/kernel/random/boot_id')])
  return stat === null ? null : `${bootId?.trim() ?? 'boot'}/${stat.startedAtTicks}`
}

/** Living processes with one of these names that work in the directory. Elsewhere than on Linux: of the given ids only. */
export async function listProcessesIn(
  directory: string,
  { names, knownPids }: { names: string[]; knownPids: number[] },
): Promise<number[]> {
  const wanted = await realpath(directory).catch(() => directory)
  const pids = hasProc
    ? (await readdir('/proc')).filter((entry) => /^\d+$/.test(entry)).map(Number)
    : knownPids
  const matches = await Promise.all(
    pids.map(async (pid) => {
      if (pid === process.pid || (await workingDirectoryOf(pid)) !== wanted) return false
      return names.includes(await nameOf(pid)) && isAlive(pid)
    }),
  )
  return pids.filter((_, index) => matches[index])
}

async function workingDirectoryOf(pid: number): Promise<string | null> {
  if (hasProc) return readlink(`/proc/${pid}/cwd`).catch(() => null)
  const listing = await outputOf('lsof', ['-a', '-p', String(pid), '-d', 'cwd', '-Fn'])
  return listing?.match(/^n(.*)$/m)?.[1] ?? null
}

async function nameOf(pid: number): Promise<string> {
  const name = hasProc
    ? await readIfThere(`/proc/${pid}/comm`)
    : await outputOf('ps', ['-o', 'comm=', '-p', String(pid)])
  return (name ?? '').trim().split('/').at(-1) ?? ''
}

/** Fields 3 and 22 of /proc/<pid>/stat, counted after the name, which may itself hold spaces and brackets. */
async function readStat(pid: number): Promise<{ state: string; startedAtTicks: string } | null> {
  const text = hasProc ? await readIfThere(`/proc/${pid}/stat`) : null
  if (text === null) return null
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  return { state: fields[0] ?? '', startedAtTicks: fields[19] ?? '' }
}

function readIfThere(path: string): Promise<string | null> {
  return readFile(path, 'utf8').catch(() => null)
}

async function outputOf(command: string, args: string[]): Promise<string | null> {
  return run(command, args).then(
    ({ stdout }) => stdout.trim() || null,
    () => null,
  )
}
