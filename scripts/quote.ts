/**
 * What usage would cost: JSON lines in, a JSON line out for each, in order. It rates with the very functions that the
 * workers post with, needs no database, and knows no clock: usage of last year is quoted like any other.
 */
import { readFile } from 'node:fs/promises'
import { pipeline } from 'node:stream/promises'
import { parseArgs } from 'node:util'
import { z } from 'zod'
import { BillingError } from '../billing/billing-error.ts'
import { formatUsd, micros } from '../billing/money.ts'
import { describeIssues } from '../billing/parse-issues.ts'
import { parseRateCard, type RateCard } from '../billing/rate-card.ts'
import { defaultRateCardJson } from '../billing/rates-default.ts'
import { rateUsage, type RatedLine } from '../billing/rating.ts'

const usage = `usage: npm run -s quote -- [--rates <file>] < usage.jsonl

Reads usage events as JSON lines on stdin and writes what each would cost as a JSON line on stdout, in order.
Blank lines are skipped. Exits 0 when every line was answered, be the answer a price or a reason to set it aside.

  --rates <file>  a rate card as JSON, in place of the default one
  --help          this text

in     {"kind":"call","id":"call_1","startedAt":"2026-11-01T10:00:00Z","durationSeconds":61,"to":"+14155550100","recorded":true}
       {"kind":"message","id":"msg_1","sentAt":"2026-11-01T10:00:00Z"}
       or a line of campaign and replay: {"callId":"call_1",...} and {"messageId":"msg_1",...} need no kind.
       A call may say "direction" ("outbound" unless told, "inbound", "web") and, inbound, "from".
out    {"id":"call_1","lines":[{"meter":"voice","billedSeconds":61,"amount_usd":"0.101667"},...],"total_usd":"0.203333"}
       {"id":"call_2","setAside":"unknown_destination"}
rates  {"voice":RATE,"recording":RATE,"telephony":{"1":RATE,"44":RATE},"message_usd":"0.01","inbound":RATE,
        "number_month_usd":"5.00"}
RATE   {"connection_fee_usd":"0","intervals":[{"from_second":0,"per_minute_usd":"0.10","increment_seconds":60}]}
`

const phoneNumber = z.string().regex(/^\+[1-9]\d{1,14}$/, 'expected an E.164 number such as "+14155550100"')
const instant = z.iso.datetime({ offset: true, error: 'expected an instant such as "2026-11-01T10:00:00Z"' })
const id = z.string().min(1)

/** Any number is a duration here; which of them are possible is for rating to say. */
const seconds = z.custom<number>((value) => typeof value === 'number', 'expected a number of seconds')

const usageLine = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('call'),
    id,
    startedAt: instant,
    durationSeconds: seconds,
    direction: z.enum(['outbound', 'inbound', 'web']).default('outbound'),
    to: phoneNumber.optional(),
    from: phoneNumber.optional(),
    recorded: z.boolean().default(false),
  }),
  z.object({ kind: z.literal('message'), id, sentAt: instant }),
])

process.exitCode = await main(process.argv.slice(2))

async function main(args: string[]): Promise<number> {
  const options = readOptions(args)
  if (typeof options === 'string') {
    process.stderr.write(`quote: ${options}\nTry: npm run -s quote -- --help\n`)
    return 2
  }
  if (options.help) {
    process.stdout.write(usage)
    return 0
  }

  const card = await readRateCard(options.rates)
  if (typeof card === 'string') {
    process.stderr.write(`quote: ${card}\n`)
    return 1
  }
  return quoteStream(card)
}

function readOptions(args: string[]): { readonly rates?: string; readonly help?: boolean } | string {
  try {
    return parseArgs({ args, options: { rates: { type: 'string' }, help: { type: 'boolean' } } }).values
  } catch (error) {
    return messageOf(error)
  }
}

/** The rate card, or what is wrong with the file. */
async function readRateCard(file: string | undefined): Promise<RateCard | string> {
  const dated = { id: file ?? 'default', effectiveFrom: new Date(0) }
  if (file === undefined) return parseRateCard(defaultRateCardJson, dated)
  try {
    return parseRateCard(parseJson(await readFile(file, 'utf8')), dated)
  } catch (error) {
    return error instanceof BillingError
      ? `${file}: ${error.message}`
      : `cannot read ${file}: ${messageOf(error)}`
  }
}

/** Rates stdin to stdout no faster than stdout is read. A reader that has seen enough (`| head`) is no error. */
async function quoteStream(card: RateCard): Promise<number> {
  try {
    await pipeline(
      process.stdin.setEncoding('utf8'),
      (chunks: AsyncIterable<string>) => answers(chunks, card),
      process.stdout,
    )
    return 0
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EPIPE') return 0
    process.stderr.write(`quote: ${messageOf(error)}\n`)
    return 1
  }
}

/**
 * The answers to each chunk of input, as one piece of text. Lines end at a line feed and nowhere else: JSON may carry
 * other line separators inside a string.
 */
async function* answers(chunks: AsyncIterable<string>, card: RateCard): AsyncGenerator<string> {
  let unfinished = ''
  let lineNumber = 0
  const answer = (line: string): string => {
    lineNumber += 1
    const text = lineNumber === 1 ? line.replace(/^\uFEFF/, '') : line
    return text.trim() === '' ? '' : `${JSON.stringify(quoteLine(text, lineNumber, card))}\n`
  }

  for await (const chunk of chunks) {
    const lines = chunk.split('\n')
    lines[0] = unfinished + (lines[0] ?? '')
    unfinished = lines.pop() ?? ''
    const text = lines.map(answer).join('')
    if (text !== '') yield text
  }
  const last = answer(unfinished)
  if (last !== '') yield last
}

type Answer =
  | { readonly id: string; readonly lines: readonly object[]; readonly total_usd: string }
  | { readonly id: string; readonly setAside: string }
  | {
      readonly id?: string
      readonly line?: number
      readonly setAside: 'malformed_payload'
      readonly detail: string
    }

function quoteLine(text: string, line: number, card: RateCard): Answer {
  let json: unknown
  try {
    json = parseJson(text)
  } catch (error) {
    return { line, setAside: 'malformed_payload', detail: messageOf(error) }
  }

  const parsed = usageLine.safeParse(asUsage(json))
  if (!parsed.success) {
    const detail = describeIssues(parsed.error)
    return { ...nameOf(json, line), setAside: 'malformed_payload', detail }
  }

  const { id } = parsed.data
  const rating = rateUsage(card, parsed.data)
  if (rating.outcome === 'set_aside') return { id, setAside: rating.reason }
  if (rating.outcome === 'free') return { id, lines: [], total_usd: formatUsd(micros(0n)) }
  return { id, lines: rating.lines.map(lineJson), total_usd: formatUsd(rating.totalMicros) }
}

/** A record of a call or message, as jobs and replay have it, says by its id what it is. */
function asUsage(json: unknown): unknown {
  if (typeof json !== 'object' || json === null || 'kind' in json) return json
  if ('callId' in json) return { ...json, kind: 'call', id: json.callId }
  if ('messageId' in json) return { ...json, kind: 'message', id: json.messageId }
  return json
}

function lineJson({ meter, quantity, prefix, amountMicros }: RatedLine): object {
  return {
    meter,
    ...(meter === 'message' ? { quantity } : { billedSeconds: quantity }),
    ...(prefix === undefined ? {} : { prefix }),
    amount_usd: formatUsd(amountMicros),
  }
}

/** What to call a line that is no usage event: its id where it has one, else its number. */
function nameOf(json: unknown, line: number): { readonly id: string } | { readonly line: number } {
  const named = z.object({ id }).safeParse(json)
  return named.success ? { id: named.data.id } : { line }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new Error(`this is not JSON: ${messageOf(error)}`, { cause: error })
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
