/** Call records from a file: JSON lines, or CSV with the same names in its first line. */
import { createReadStream } from 'node:fs'
import { createInterface } from 'node:readline'

import { parse } from 'csv-parse'

import { describeIssues } from '../../billing/parse-issues.ts'
import { usageArrival, type UsageArrival } from '../../jobs/usage-arrival.ts'
import { callPayload, messagePayload, type CallPayload, type MessagePayload } from '../../jobs/usage-jobs.ts'

export type FileRecord =
  | { line: number; outcome: 'read'; arrival: UsageArrival; event: FileEvent }
  | { line: number; outcome: 'refused'; reason: string }

/** What the producer takes. */
type FileEvent = { kind: 'call'; payload: CallPayload } | { kind: 'message'; payload: MessagePayload }

/** Every record of the file with the line it stands in. What is no usage event is refused with its reason. */
export async function* readRecords(path: string): AsyncGenerator<FileRecord> {
  const raw = path.endsWith('.csv') ? readCsv(path) : readJsonLines(path)
  for await (const { line, value } of raw) {
    const event = readEvent(value)
    if (typeof event === 'string') yield { line, outcome: 'refused', reason: event }
    else yield { line, outcome: 'read', event, arrival: usageArrival(event.kind, event.payload, new Date()) }
  }
}

/** The event, or why it is none. A record without a kind is a call. */
function readEvent(value: unknown): FileEvent | string {
  if (typeof value !== 'object' || value === null) return 'not a JSON object'
  const kind: unknown = Reflect.get(value, 'kind') ?? 'call'
  if (kind === 'call') {
    const parsed = callPayload.safeParse(value)
    return parsed.success ? { kind, payload: parsed.data } : describeIssues(parsed.error)
  }
  if (kind === 'message') {
    const parsed = messagePayload.safeParse(value)
    return parsed.success ? { kind, payload: parsed.data } : describeIssues(parsed.error)
  }
  return 'kind: expected call or message'
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
