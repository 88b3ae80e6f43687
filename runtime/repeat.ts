/** Something that a process does again and again, and stops when the process does. */
import type { Log } from './log.ts'

export type Repeating = { stop: () => Promise<void> }

/**
 * Runs at once and then again `everyMs` after each end, never twice at a time. A failure is logged and tried again at the
 * next turn; only the first of a row of failures is a warning, so that an outage does not fill the log.
 *
 * Shape: `run` returns true when there is more to do right away.
 */
export function repeat(
  name: string,
  { everyMs, log, run }: { everyMs: number; log: Log; run: () => Promise<boolean | void> },
): Repeating {
  const stopping = new AbortController()
  let failures = 0

  const turn = async (): Promise<boolean> => {
    try {
      const more = await run()
      if (failures > 0) log.info({ name, failures }, 'repeated work goes on')
      failures = 0
      return more === true
    } catch (error) {
      failures += 1
      if (failures === 1) log.warn({ name, err: error }, 'repeated work failed and will be tried again')
      else log.debug({ name, failures, err: error }, 'repeated work failed again')
      return false
    }
  }
  const loop = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      const more = await turn()
      if (!more) await pause(everyMs, stopping.signal)
    }
  }
  const ended = loop()
  return {
    stop: async () => {
      stopping.abort()
      await ended
    },
  }
}

/** Waits; an aborted signal ends the wait early, without an error. */
export function pause(durationMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted === true) {
      resolve()
      return
    }
    const end = (): void => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', end)
      resolve()
    }
    const timer = setTimeout(end, durationMs)
    signal?.addEventListener('abort', end)
  })
}
