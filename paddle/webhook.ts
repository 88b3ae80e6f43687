/**
 * Webhooks: whether one comes from Paddle, and what it says. The SDK's own verifier is not used: it looks only at the last
 * of several signatures, believes any time ahead, refuses what is six seconds old, and throws on data it does not expect.
 */
import { createHmac, timingSafeEqual } from 'node:crypto'

import { readEvent, type EventReading } from './facts.ts'

export type SignatureVerdict =
  | { readonly outcome: 'genuine' }
  | {
      readonly outcome: 'refused'
      readonly reason:
        | 'missing_signature'
        | 'malformed_signature'
        | 'stale'
        | 'from_the_future'
        | 'wrong_signature'
    }

/**
 * Whether a webhook's body was signed with one of our secrets, about now.
 *
 * Shape:  `rawBody` is the body's bytes as they came; `header` is `Paddle-Signature`, `ts=<unix seconds>;h1=<hex>`, with
 *         several `h1` while a secret is being replaced. Every one is tried with every secret.
 * Units:  `toleranceMs` either way of `now`; the signature's time is in whole seconds.
 * Source: Paddle's "Verify webhook signatures".
 */
export function verifyPaddleSignature({
  rawBody,
  header,
  secrets,
  now,
  toleranceMs,
}: {
  rawBody: Buffer
  header: string | undefined
  secrets: readonly string[]
  now: Date
  toleranceMs: number
}): SignatureVerdict {
  if (header === undefined || header === '') return refused('missing_signature')
  const parts = header.split(';').map((part) => part.trim())
  const [timestamp, ...otherTimestamps] = parts.filter((part) => part.startsWith('ts='))
  const signatures = parts.filter((part) => /^h1=[\da-f]{64}$/i.test(part)).map((part) => part.slice(3))
  if (timestamp === undefined || otherTimestamps.length > 0 || signatures.length === 0) {
    return refused('malformed_signature')
  }
  const seconds = timestamp.slice(3)
  if (!/^\d{1,12}$/.test(seconds)) return refused('malformed_signature')

  const ageMs = now.getTime() - Number(seconds) * 1000
  if (ageMs > toleranceMs) return refused('stale')
  if (ageMs < -toleranceMs) return refused('from_the_future')

  const given = signatures.map((signature) => Buffer.from(signature, 'hex'))
  const isGenuine = secrets
    .filter((secret) => secret !== '')
    .map((secret) => createHmac('sha256', secret).update(`${seconds}:`).update(rawBody).digest())
    .some((expected) => given.some((signature) => timingSafeEqual(signature, expected)))
  return isGenuine ? { outcome: 'genuine' } : refused('wrong_signature')
}

/** What a webhook says. Never throws: text that is no event is a value. */
export function readPaddleEvent(rawText: string): EventReading {
  const json = parseJson(rawText)
  return json === undefined ? { outcome: 'unreadable', detail: 'not JSON' } : readEvent(json)
}

/** Undefined, which no JSON is, when the text is none. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function refused(reason: Extract<SignatureVerdict, { outcome: 'refused' }>['reason']): SignatureVerdict {
  return { outcome: 'refused', reason }
}
