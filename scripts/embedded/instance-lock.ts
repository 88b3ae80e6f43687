// One set of servers per data directory. The lock is a file that names its holder and, once the servers are up, where they
// listen. It is held exactly as long as that very process lives: after a crash, or when the id now belongs to somebody
// else, the next start takes it over.
import { link, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { identityOf } from './process-table.ts'
import { isSystemError } from './system-error.ts'

export type Connections = { databaseUrl: string; redisUrl: string }
export type LockAttempt = { outcome: 'acquired'; lock: InstanceLock } | { outcome: 'held'; pid: number }
export type InstanceLock = {
  publish(connections: Connections): Promise<void>
  release(): Promise<void>
}
type Holder = { pid: number; identity: string; connections: Connections | null }

export async function acquireInstanceLock(dataDirectory: string): Promise<LockAttempt> {
  const path = lockPath(dataDirectory)
  const holder: Holder = {
    pid: process.pid,
    identity: (await identityOf(process.pid)) ?? '',
    connections: null,
  }

  while (!(await createLock(path, holder))) {
    const found = await readFile(path, 'utf8').catch(() => null)
    const current = found === null ? null : parseHolder(found)
    if (current !== null && (await isHeldBy(current))) return { outcome: 'held', pid: current.pid }
    if (found !== null) await removeStaleLock(path, found)
  }

  return {
    outcome: 'acquired',
    lock: {
      publish: (connections) => replaceLock(path, { ...holder, connections }),
      release: () => rm(path, { force: true }),
    },
  }
}

/** Who runs servers in this directory at the moment; null when nobody does. */
export async function findInstance(
  dataDirectory: string,
): Promise<{ pid: number; connections: Connections | null } | null> {
  const found = await readFile(lockPath(dataDirectory), 'utf8').catch(() => null)
  const holder = found === null ? null : parseHolder(found)
  return holder !== null && (await isHeldBy(holder)) ? holder : null
}

function lockPath(dataDirectory: string): string {
  return join(dataDirectory, 'instance.lock')
}

async function isHeldBy(holder: Holder): Promise<boolean> {
  return (await identityOf(holder.pid)) === holder.identity
}

/** A hard link appears whole or not at all, so nobody ever reads half a lock. */
async function createLock(path: string, holder: Holder): Promise<boolean> {
  const draft = `${path}.${process.pid}`
  await writeFile(draft, JSON.stringify(holder), { mode: 0o600 })
  try {
    await link(draft, path)
    return true
  } catch (error) {
    if (isSystemError(error, 'EEXIST')) return false
    throw error
  } finally {
    await rm(draft, { force: true })
  }
}

async function replaceLock(path: string, holder: Holder): Promise<void> {
  const draft = `${path}.${process.pid}`
  await writeFile(draft, JSON.stringify(holder), { mode: 0o600 })
  await rename(draft, path)
}

/** Two starts may judge the same lock stale; the slower one must not remove the faster one's new lock, so it looks again. */
async function removeStaleLock(path: string, judged: string): Promise<void> {
  const aside = `${path}.stale.${process.pid}`
  const moved = await rename(path, aside).then(
    () => true,
    () => false,
  )
  if (!moved) return
  if ((await readFile(aside, 'utf8')) !== judged) await link(aside, path).catch(() => undefined)
  await rm(aside, { force: true })
}

function parseHolder(text: string): Holder | null {
  try {
    const value: unknown = JSON.parse(text)
    return isHolder(value) ? value : null
  } catch {
    return null
  }
}

function isHolder(value: unknown): value is Holder {
  if (typeof value !== 'object' || value === null) return false
  if (!('pid' in value && 'identity' in value && 'connections' in value)) return false
  return (
    Number.isInteger(value.pid) && typeof value.identity === 'string' && typeof value.connections === 'object'
  )
}
