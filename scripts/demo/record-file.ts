/** Call records from a file: JSON lines, or CSV with the same names in its first line. */
import { createReadStream } from 'node:fs'
import { createInterface } from 'node:readline'

import { parse } from 'csv-parse'

import { kindOf, usageArrival, type UsageArrival } from '../../jobs/usage-arrival.ts'

export type FileRecord =
  | { line: number; outcome: 'read'; arrival: UsageArrival; payload: Record<string, unknown> }
  | { line: number; outcome: 'refused'; reason: string }

/** Every record of the file with the line it stands in. What is no usage event is refused with its reason. */
export async function* readRecords(path: string): AsyncGenerator<FileRecord> {
  const raw = path.endsWith('.csv') ? readCsv(path) : readJsonLines(path)
  for await (const { line, value } of raw) {
    if (typeof value !== 'object' || value === null) {
      yield { line, outcome: 'refused', reason: 'not a JSON object' }
      continue
    }
    const { kind: _kind, ...payload } = value as Record<string, unknown>
    const kind = 'kind' in value ? kindOf(value) : 'call'
    const arrival = usageArrival(kind, payload, new Date())
    yield arrival.refusal === null
      ? { line, outcome: 'read', arrival, payload }
      : { line, outcome: 'refused', reason: arrival.refusal.detail }
  }
}

type RawRecord = { line: number; value: unknown }

async function* readJsonLines(path: string): AsyncGenerator<RawRecord> {
  let line = 0
  for await (const text of createInterface({ input: createReadStream(path), crlfDelay: Infinity })) {
    line += 1
    if (text.trim() !== '') yield { line, value: jsonOf(text) }
  }
}

async function* readCsv(path: string): AsyncGenerator<RawRecord> {
  const rows = createReadStream(path).pipe(
    parse({ columns: true, info: true, bom: true, trim: true, skip_empty_lines: true }),
  )
  for await (const { record, info } of rows as AsyncIterable<CsvRow>) {
    yield { line: info.lines, value: valueOf(record) }
  }
}

type CsvRow = { record: Record<string, string>; info: { lines: number } }

/** CSV knows only text: empty cells are absent, and two columns have another type. */
function valueOf(row: Record<string, string>): Record<string, unknown> {
  const filled = Object.entries(row).filter(([, text]) => text !== '')
  return Object.fromEntries(
    filled.map(([column, text]) => {
      if (column === 'durationSeconds') return [column, numberOf(text)]
      if (column === 'recorded') return [column, text === 'true' || (text === 'false' ? false : text)]
      return [column, text]
    }),
  )
}

/** Plain decimals only; anything else stays text, which the schema refuses by name. */
function numberOf(text: string): number | string {
  return /^-?\d+(\.\d+)?$/.test(text) ? Number.parseFloat(text) : text
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}
