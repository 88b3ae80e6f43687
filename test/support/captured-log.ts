/** A log whose lines a test can read. */
import { Writable } from 'node:stream'

import { pino } from 'pino'

import type { Log } from '../../runtime/log.ts'

export type CapturedLine = {
  level: 'debug' | 'info' | 'warn' | 'error' | 'fatal'
  msg: string
  [field: string]: unknown
}

export function captureLog(): { log: Log; lines: readonly CapturedLine[] } {
  const lines: CapturedLine[] = []
  const stream = new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      const line: CapturedLine = JSON.parse(chunk.toString())
      lines.push(line)
      done()
    },
  })
  const log = pino({ level: 'debug', base: null, formatters: { level: (level) => ({ level }) } }, stream)
  return { log, lines }
}
