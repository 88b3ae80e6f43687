/** What a simulator knows, on disk: written whole and renamed into place, so that a killed one leaves no half of it. */
import { readFileSync, renameSync } from 'node:fs'
import { rename, writeFile } from 'node:fs/promises'
import { setTimeout } from 'node:timers/promises'

import { restoreWorld, snapshotOf, type Snapshot, type World } from './world.ts'

export type StateFile = {
  load: () => World | null
  /** Written soon; changes that come meanwhile are written together. */
  save: (world: World) => void
  /** Ends when everything is written. */
  close: () => Promise<void>
}

export function openStateFile(path: string, log: (message: string) => void): StateFile {
  const closing = new AbortController()
  let dirty: World | null = null
  let writing: Promise<void> | null = null

  const pause = async (durationMs: number): Promise<void> => {
    await setTimeout(durationMs, undefined, { signal: closing.signal }).catch(() => undefined)
  }
  const writeUntilClean = async (): Promise<void> => {
    while (dirty !== null) {
      const startedAt = performance.now()
      const text = JSON.stringify(snapshotOf(dirty))
      dirty = null
      try {
        await writeFile(`${path}.next`, text, { mode: 0o600 })
        await rename(`${path}.next`, path)
      } catch (error) {
        log(`the state was not written to ${path}: ${String(error)}`)
      }
      // However much there is to write, most of the time is left for answering.
      await pause(4 * (performance.now() - startedAt))
    }
    writing = null
  }
  return {
    load: () => {
      const text = readIfThere(path)
      if (text === null) return null
      try {
        const snapshot: Snapshot = JSON.parse(text)
        if (snapshot.version !== 1) throw new Error(`version ${String(snapshot.version)} is not known`)
        return restoreWorld(snapshot)
      } catch (error) {
        renameSync(path, `${path}.unreadable`)
        log(`${path} could not be read and is now ${path}.unreadable: ${String(error)}`)
        return null
      }
    },
    save: (world) => {
      dirty = world
      // In a turn of its own, so that what one request changes is written once.
      writing ??= new Promise((resolve) => {
        setImmediate(() => {
          void writeUntilClean().then(resolve)
        })
      })
    },
    close: async () => {
      closing.abort()
      await writing
    },
  }
}

function readIfThere(path: string): string | null {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null
    throw error
  }
}
