/** What is wrong with an answer, whatever was asked: nothing may break, and an error tells its reader and nobody else. */
import type { FuzzRequest } from './requests.ts'

export type FuzzAnswer = {
  status: number
  headers: Record<string, unknown>
  body: string
  durationMs: number
}

/** How long any answer may take, on a machine that has other things to do. */
const mostMs = 5_000

/** Said by any server of its innards: a place in a source file, a statement, a driver's or a database's words. */
const innards =
  /node_modules|\.[cm]?[jt]s:\d+|\bat (?:async )?[\w.<>]+ \(|\/(?:tmp|home|root|work|usr|var)\/\w|\b(?:select|insert into|update|delete from)\b.{0,80}\b(?:from|values|set|where)\b|syntax error at|violates|duplicate key|relation "|kysely|postgres|ioredis|fastify|zod\b|ECONN|TypeError|SyntaxError|RangeError|undefined is not|\[object /i

/** Everything that is wrong, a few words each; the same fault has the same words. */
export function faultsOf(request: FuzzRequest, answer: FuzzAnswer): string[] {
  const { status, durationMs } = answer
  return [
    ...(status >= 500 ? [`answers ${status}`] : []),
    ...(durationMs > mostMs ? ['takes too long'] : []),
    ...(request.mustRefuse !== null && (status < 400 || status >= 500)
      ? [`answers ${status} to ${request.mustRefuse}`]
      : []),
    ...(status >= 400 && request.method !== 'HEAD' ? errorFaults(request, answer) : []),
    ...(isDescribed(request, status) ? [] : [`answers ${status}, which the document does not say`]),
  ]
}

function errorFaults({ payload, url }: FuzzRequest, { headers, body }: FuzzAnswer): string[] {
  const leak = innards.exec(withoutWhatWasSent(body, `${String(payload ?? '')} ${url}`))
  return [
    ...(leak === null ? [] : [`shows its innards: ${leak[0]}`]),
    ...(String(headers['content-type']).startsWith('application/json')
      ? []
      : ['is an error that is no JSON']),
    ...(isOneShape(body, headers) ? [] : ['is an error of another shape']),
  ]
}

/** A field's name that somebody made up may be told back to them. */
function withoutWhatWasSent(body: string, sent: string): string {
  return body
    .replaceAll(/"field":"(?:[^"\\]|\\.)*"/g, '')
    .replaceAll(/"[^"]{3,60}"/g, (quoted) => (sent.includes(quoted.slice(1, -1)) ? '' : quoted))
}

function isOneShape(body: string, headers: FuzzAnswer['headers']): boolean {
  const answer = parsed(body)
  if (typeof answer !== 'object' || answer === null || Object.keys(answer).join() !== 'error') return false
  const error: unknown = Reflect.get(answer, 'error')
  if (typeof error !== 'object' || error === null) return false
  const { code, message, field, request_id } = fieldsOf(error)
  return (
    typeof code === 'string' &&
    /^[a-z]+(?:_[a-z]+)*$/.test(code) &&
    typeof message === 'string' &&
    message.length > 10 &&
    (field === undefined || typeof field === 'string') &&
    // What is answered again is answered as it was.
    (request_id === headers['x-request-id'] || headers['idempotency-replayed'] === 'true')
  )
}

function fieldsOf(error: object): Partial<Record<string, unknown>> {
  return Object.fromEntries(Object.entries(error))
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}

/** About how a request was sent; the document says them once for all. */
const ofAnyRequest = new Set([400, 404, 405, 408, 413, 414, 415, 429, 431])

function isDescribed({ name, method, operation }: FuzzRequest, status: number): boolean {
  // Under another method it is another operation, or none.
  if (!name.startsWith(`${method} `) || status >= 500) return true
  return ofAnyRequest.has(status) || operation.responses[String(status)] !== undefined
}
