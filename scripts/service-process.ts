/** A process of ours that a script keeps running: it is started again whenever it ends by itself, and ends with us. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, open } from 'node:fs/promises'
import { join } from 'node:path'

export type ServiceProcess = {
  pid: () => number | undefined
  /** What it said when it was ready: for the API, where it answers. */
  said: unknown
  /** Says something over its channel; false when there is none just now. */
  tell: (message: object) => boolean
  stop: () => Promise<void>
}

/** Shape: resolves when the process says over its channel that it is ready. Its log goes to `<name>.log` in that directory. */
export async function startServiceProcess({
  name,
  main,
  environment,
  logDirectory,
  log,
  preload,
  onEnd = () => undefined,
}: {
  /** As in `the workers ended`. */
  name: string
  main: string
  environment: Record<string, string>
  logDirectory: string
  log: (message: string) => void
  /** A file that the process loads before its main. */
  preload?: string
  /** Told of every end that nobody asked for by `stop`, of one that had been ready: the signal or the exit code. */
  onEnd?: (cause: string | number) => void
}): Promise<ServiceProcess> {
  await mkdir(logDirectory, { recursive: true })
  const logPath = join(logDirectory, `${name}.log`)
  // A file, not a pipe to us: the process writes there even when we are gone.
  const logFile = await open(logPath, 'a')
  let stopping = false
  let child: ChildProcess

  const start = async (): Promise<unknown> => {
    child = spawn(process.execPath, [...(preload === undefined ? [] : ['--import', preload]), main], {
      // A group of its own: Ctrl-C reaches us alone, and we end things in their order.
      detached: true,
      env: { ...process.env, ...environment },
      stdio: ['ignore', logFile.fd, logFile.fd, 'ipc'],
    })
    const ended = once(child, 'exit')
    const [message] = await Promise.race([once(child, 'message'), ended.then(([code]) => [null, code])])
    if (message === null) {
      // A process that was killed says nothing about the next one; one that gave up said why in its log.
      if (child.signalCode !== null && !stopping) return await start()
      throw new Error(`the ${name} ended with code ${child.exitCode} before they were ready; see ${logPath}`)
    }
    ended.then(([code, signal]) => endedAfterReady(signal ?? code)).catch(() => undefined)
    return message
  }
  const endedAfterReady = (cause: string | number): void => {
    if (stopping) return
    onEnd(cause)
    replace(cause)
  }
  const replace = (cause: string | number): void => {
    if (stopping) return
    log(`the ${name} ended (${cause}); starting others`)
    start().catch((error: unknown) => {
      log(error instanceof Error ? error.message : String(error))
      setTimeout(() => replace('failed to start'), 1_000)
    })
  }

  const said = await start()
  return {
    pid: () => child.pid,
    said,
    tell: (message) => child.connected && child.send(message),
    stop: async () => {
      stopping = true
      if (child.exitCode === null && child.signalCode === null) {
        const ended = once(child, 'exit')
        child.kill('SIGTERM')
        await ended
      }
      await logFile.close()
    },
  }
}
