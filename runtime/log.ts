/** Logs: one JSON object a line, a constant message and fields. */
import { pino, type DestinationStream, type Logger } from 'pino'

import type { WorkerConfig } from './config.ts'

export type Log = Logger

/**
 * To standard output, unless told elsewhere. Secrets and payloads are never fields; this is for the day on which one is after
 * all, in an error of somebody else's perhaps: what might carry one is redacted by its name, and what looks like one by its look.
 */
export function createLog(
  level: WorkerConfig['logLevel'],
  process: string,
  destination: DestinationStream = standardOutput(),
): Log {
  return pino(
    {
      level,
      base: { process },
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: { level: (label: string) => ({ level: label }) },
      redact: { paths: redactedPaths, censor: redacted },
      hooks: { streamWrite: hideSecrets },
    },
    destination,
  )
}

/** Line by line: what is on its way when a process ends would else come after its last words, or not at all. */
function standardOutput(): DestinationStream {
  return pino.destination({ dest: 1, sync: true })
}

const redacted = '[redacted]'

/** What HTTP clients hang on their errors: the request as it was sent, headers, body and all. */
const redactedPaths = ['config', 'request', 'response', 'options', 'headers', 'client'].flatMap((name) => [
  `err.${name}`,
  `err.fields.${name}`,
])

/** Names under which a secret may stand, in our own objects, in headers and in the environment. */
const secretNames = [
  'password',
  'secrets?',
  'api_?key',
  'webhookSecrets?',
  'connectionString',
  'databaseUrl',
  'redisUrl',
  'authorization',
  '(?:set-)?cookie',
  'rawBody',
  'DATABASE_URL',
  'REDIS_URL',
  'PADDLE_API_KEY',
  'PADDLE_WEBHOOK_SECRET',
]

const text = String.raw`"(?:[^"\\]|\\.)*"`
/** A field of such a name and its text or texts, however deep: pino's own redaction has to be told every depth, and is slow at it. */
const secretFields = new RegExp(String.raw`"(${secretNames.join('|')})":(?:${text}|\[(?:${text},?)*\])`, 'gi')
/** Keys of Paddle's, secrets of its destinations and what follows `Bearer`, in whatever text they stand. */
const tokens = /pdl_(?:live_|sdbx_)?(?:apikey|ntfset)_[\w+/=-]+|(?<=\bBearer )[\w.+/=~-]+/gi
const urlPasswords = /([a-z]:\/\/[^\s:/@"]*:)[^\s/@"]+(?=@)/gi

function hideSecrets(line: string): string {
  return line
    .replace(secretFields, `"$1":"${redacted}"`)
    .replace(tokens, redacted)
    .replace(urlPasswords, `$1${redacted}`)
}
