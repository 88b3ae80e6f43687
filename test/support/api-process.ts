/** An API process as it runs in production: started, killed and stopped from outside, and seen by its answers and its log. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'

import { test as base } from './fixtures.ts'
import { webhookSecret } from './paddle-sender.ts'
import { exitCodeOf } from './run-script.ts'
import type { LogLine } from './worker-process.ts'

export type ApiProcess = {
  pid: number
  /** `http://127.0.0.1:port` */
  url: string
  /** What it has logged so far. */
  log: readonly LogLine[]
  isRunning: () => boolean
  /** kill -9, and gone when the promise resolves. */
  kill: () => Promise<void>
  /** SIGTERM; the exit code. */
  stop: () => Promise<number | null>
}

const main = fileURLToPath(new URL('../../api/main.ts', import.meta.url))

/** Tests that start API processes. What still runs when the test ends is killed. */
export const test = base.extend<{
  startApi: (options?: {
    place?: { databaseUrl: string }
    environment?: Record<string, string>
  }) => Promise<ApiProcess>
}>({
  startApi: async ({ place }, use) => {
    const started: ApiProcess[] = []
    await use(async ({ place: elsewhere = place, environment } = {}) => {
      const api = await startApiProcess(elsewhere.databaseUrl, environment)
      started.push(api)
      return api
    })
    await Promise.all(started.map((api) => api.kill()))
  },
})

/** Shape: resolves when it answers, on a port of its own. It is told of no Redis. */
export async function startApiProcess(
  databaseUrl: string,
  environment: Record<string, string> = {},
): Promise<ApiProcess> {
  const child = spawn(process.execPath, [main], {
    env: environmentOf(databaseUrl, environment),
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
  })
  const log: LogLine[] = []
  if (child.stdout === null) throw new Error('the API has no standard output')
  createInterface({ input: child.stdout }).on('line', (line) => {
    const parsed: LogLine = JSON.parse(line)
    log.push(parsed)
  })
  const isRunning = (): boolean => child.exitCode === null && child.signalCode === null
  const end = async (signal: NodeJS.Signals): Promise<number | null> => {
    if (isRunning()) {
      // Not `exit`: its last words may still be in the pipe then.
      const ended = once(child, 'close')
      child.kill(signal)
      await ended
    }
    return child.exitCode
  }

  const ready = await Promise.race([
    once(child, 'message').then(([message]: unknown[]) => readyUrl(message)),
    once(child, 'exit').then(() => null),
  ])
  if (ready === null) {
    await end('SIGKILL')
    throw new Error(`the API did not start\n${JSON.stringify(log.slice(-3))}`)
  }
  return {
    pid: child.pid ?? -1,
    url: ready,
    log,
    isRunning,
    kill: async () => {
      await end('SIGKILL')
    },
    stop: () => end('SIGTERM'),
  }
}

/** For a process that is not to start: its exit code, and all that it said. */
export async function startApiUntilItEnds(
  databaseUrl: string,
  environment: Record<string, string>,
): Promise<{ code: number | null; output: string }> {
  const child = spawn(process.execPath, [main], {
    env: environmentOf(databaseUrl, environment),
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const [stdout, stderr, code] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    exitCodeOf(child),
  ])
  return { code, output: stdout + stderr }
}

function environmentOf(databaseUrl: string, environment: Record<string, string>): NodeJS.ProcessEnv {
  const { REDIS_URL: _none, ...inherited } = process.env
  return {
    ...inherited,
    DATABASE_URL: databaseUrl,
    API_PORT: '0',
    OPS_PORT: '0',
    PADDLE_WEBHOOK_SECRET: webhookSecret,
    // A test that waits for a fact asks often.
    API_RATE_LIMIT: '1000000',
    ...environment,
  }
}

function readyUrl(message: unknown): string | null {
  return typeof message === 'object' && message !== null && 'ready' in message ? String(message.ready) : null
}
