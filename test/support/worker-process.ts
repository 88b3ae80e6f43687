/** A worker process as it runs in production: started, killed and stopped from outside, and seen only by what it logs. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

export type WorkerPlace = { databaseUrl: string; redisUrl: string; queuePrefix: string }

/** One line of its log. */
export type LogLine = { level: string; msg: string; queue?: string; [field: string]: unknown }

export type WorkerProcess = {
  pid: number
  /** What it has logged so far. */
  log: readonly LogLine[]
  isRunning: () => boolean
  /** kill -9, and gone when the promise resolves. */
  kill: () => Promise<void>
  /** SIGTERM; the exit code. */
  stop: () => Promise<number | null>
  /** Lets go of its channel, as the death of its parent would. */
  leaveAlone: () => void
}

const main = fileURLToPath(new URL('../../workers/main.ts', import.meta.url))

/**
 * Shape: resolves when the workers take jobs. Crashed workers' jobs come back after about a second, not after 40. The process
 *        ends with ours: it watches its channel to us.
 */
export async function startWorkerProcess(
  place: WorkerPlace,
  environment: Record<string, string> = {},
): Promise<WorkerProcess> {
  const child = spawn(process.execPath, [main], {
    env: {
      ...process.env,
      DATABASE_URL: place.databaseUrl,
      REDIS_URL: place.redisUrl,
      QUEUE_PREFIX: place.queuePrefix,
      LOCK_DURATION_MS: '1000',
      STALLED_INTERVAL_MS: '500',
      ...environment,
    },
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
  })
  const log: LogLine[] = []
  if (child.stdout === null) throw new Error('the workers have no standard output')
  createInterface({ input: child.stdout }).on('line', (text) => {
    const line: LogLine = JSON.parse(text)
    log.push(line)
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
    once(child, 'message').then(([message]: unknown[]) => message),
    once(child, 'exit').then(([code, signal]: unknown[]) => `ended (${String(signal ?? code)})`),
  ])
  if (ready !== 'ready') {
    await end('SIGKILL')
    throw new Error(`the workers did not start: ${String(ready)}\n${JSON.stringify(log.slice(-3))}`)
  }
  return {
    pid: child.pid ?? -1,
    log,
    isRunning,
    kill: async () => {
      await end('SIGKILL')
    },
    stop: () => end('SIGTERM'),
    leaveAlone: () => child.disconnect(),
  }
}
