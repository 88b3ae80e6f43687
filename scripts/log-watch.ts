/** Watches a log of ours for errors, so that whoever looks at another screen hears of them. */
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { buffer } from 'node:stream/consumers'

import { pause } from '../runtime/repeat.ts'

const everyMs = 500

/**
 * Tells of every kind of error once: what is logged again and again is one thing to look at.
 *
 * Shape: looks at what is written from now on, and once more when it is stopped.
 */
export async function watchLog(
  path: string,
  onError: (message: string) => void,
): Promise<{ stop: () => Promise<void> }> {
  const stopping = new AbortController()
  const told = new Set<string>()
  let read = await sizeOf(path)
  const look = async (): Promise<void> => {
    const size = await sizeOf(path)
    if (size <= read) return
    const news = await buffer(createReadStream(path, { start: read, end: size - 1 }))
    // The last line may not be whole yet.
    const whole = news.subarray(0, news.lastIndexOf('\n') + 1)
    read += whole.length
    for (const line of whole.toString('utf8').split('\n')) {
      const message = errorIn(line)
      if (message === null || told.has(message)) continue
      told.add(message)
      onError(message)
    }
  }
  const watching = (async () => {
    while (!stopping.signal.aborted) {
      await look().catch(() => undefined)
      await pause(everyMs, stopping.signal)
    }
    await look().catch(() => undefined)
  })()
  return {
    stop: async () => {
      stopping.abort()
      await watching
    },
  }
}

async function sizeOf(path: string): Promise<number> {
  return await stat(path).then(
    ({ size }) => size,
    () => 0,
  )
}

/** The message of a line that is an error; null of any other. */
function errorIn(line: string): string | null {
  if (!/"level":"(?:error|fatal)"/.test(line)) return null
  try {
    const parsed: unknown = JSON.parse(line)
    const message: unknown = typeof parsed === 'object' && parsed !== null ? Reflect.get(parsed, 'msg') : null
    return typeof message === 'string' ? message : line.slice(0, 80)
  } catch {
    return null
  }
}
