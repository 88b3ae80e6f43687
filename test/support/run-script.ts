/** Our scripts as npm runs them: a process of their own, its output and its exit code. */
import { spawn, type ChildProcess } from 'node:child_process'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'

import type { Place } from './fixtures.ts'

export type ScriptEnd = { stdout: string; stderr: string; code: number | null }

const run = fileURLToPath(new URL('../../scripts/run.cjs', import.meta.url))

/** Shape: without a place there are no servers, and a script that needs some would start its own. */
export async function runScript(name: string, args: readonly string[], place?: Place): Promise<ScriptEnd> {
  const child = startScript(name, args, place)
  if (child.stdout === null || child.stderr === null) throw new Error(`${name} has no output`)
  const [stdout, stderr, code] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    exitCodeOf(child),
  ])
  return { stdout, stderr, code }
}

export function startScript(name: string, args: readonly string[], place?: Place): ChildProcess {
  return spawn(process.execPath, [run, `scripts/${name}.ts`, ...args], {
    env: environmentOf(place),
    stdio: ['ignore', 'pipe', 'pipe'],
  })
}

export function exitCodeOf(child: ChildProcess): Promise<number | null> {
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code) => {
      resolve(code)
    })
  })
}

/** What this process finds and, of the servers, only the place. */
export function environmentOf(place: Place | undefined): NodeJS.ProcessEnv {
  const plain = { ...process.env, FORCE_COLOR: '0', NO_COLOR: '1' }
  if (place === undefined) return { ...plain, DATABASE_URL: undefined, REDIS_URL: undefined }
  return {
    ...plain,
    DATABASE_URL: place.databaseUrl,
    REDIS_URL: place.redisUrl,
    QUEUE_PREFIX: place.queuePrefix,
    LOCK_DURATION_MS: '1000',
    STALLED_INTERVAL_MS: '500',
  }
}
