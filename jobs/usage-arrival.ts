/**
 * Usage as it arrived: the words of the sender, the key and hash that they claim, and either the event or why it is none.
 * Nothing is thrown away here: what cannot be read still becomes an arrival, so that it can be set aside with its reason.
 */
import { hash } from 'node:crypto'

import type { z } from 'zod'

import { canonicalUsage } from '../billing/canonical-usage.ts'
import { idPatterns } from '../billing/ids.ts'
import { describeIssues } from '../billing/parse-issues.ts'
import { usageKey, type SetAsideReason, type UsageEvent } from '../billing/usage-event.ts'
import { callPayload, callUsage, messagePayload, messageUsage } from './usage-jobs.ts'

const usageKinds = ['call', 'message', 'unknown'] as const

export type UsageKind = (typeof usageKinds)[number]

export type Refusal = { reason: SetAsideReason; detail: string }

export type UsageArrival = {
  /** As claimed; `unassigned` when the payload names no workspace. */
  workspaceId: string
  /** The idempotency key: `call/<id>`, `message/<id>`, or `malformed/<hash>` for a payload without an id. */
  key: string
  kind: UsageKind
  /** The payload as JSON, verbatim. */
  payload: string
  /** SHA-256, hexadecimal: of the canonical event, or of the payload where there is no event. */
  payloadHash: string
  receivedAt: Date
  event: UsageEvent | null
  /** Why there is no event. */
  refusal: Refusal | null
}

/** Workspace of payloads that name none. */
const unassigned = 'unassigned'

/**
 * What one payload says.
 *
 * Shape: `data` is the payload of `call-ended` (kind call) or `message-sent` (kind message); an element of
 *        `usage-batch` carries its kind itself and is read with `kindOf`.
 */
export function usageArrival(kind: UsageKind, data: unknown, receivedAt: Date): UsageArrival {
  if (kind === 'call') {
    const parsed = callPayload.safeParse(data)
    return parsed.success
      ? arrivalOf(callUsage(parsed.data), data, receivedAt)
      : refusedArrival(kind, data, receivedAt, refusalOf(parsed.error))
  }
  if (kind === 'message') {
    const parsed = messagePayload.safeParse(data)
    return parsed.success
      ? arrivalOf(messageUsage(parsed.data), data, receivedAt)
      : refusedArrival(kind, data, receivedAt, refusalOf(parsed.error))
  }
  return refusedArrival(kind, data, receivedAt, {
    reason: 'malformed_payload',
    detail: 'kind: expected call or message',
  })
}

/** The kind that an element of a batch claims. */
export function kindOf(data: unknown): UsageKind {
  const kind = fieldOf(data, 'kind')
  return kind === 'call' || kind === 'message' ? kind : 'unknown'
}

/** A payload that cannot become an event, kept under the key it claims if it claims one. */
export function refusedArrival(
  kind: UsageKind,
  data: unknown,
  receivedAt: Date,
  refusal: Refusal,
): UsageArrival {
  const payload = JSON.stringify(data) ?? 'null'
  const payloadHash = hash('sha256', payload, 'hex')
  return {
    workspaceId: claimedId(data, 'workspaceId', idPatterns.workspace) ?? unassigned,
    key: claimedKey(kind, data) ?? `malformed/${payloadHash.slice(0, 32)}`,
    kind,
    payload,
    payloadHash,
    receivedAt,
    event: null,
    refusal,
  }
}

function arrivalOf(event: UsageEvent, data: unknown, receivedAt: Date): UsageArrival {
  return {
    workspaceId: event.workspaceId,
    key: usageKey(event),
    kind: event.kind,
    payload: JSON.stringify(data),
    payloadHash: hash('sha256', canonicalUsage(event), 'hex'),
    receivedAt,
    event,
    refusal: null,
  }
}

function refusalOf(error: z.ZodError): Refusal {
  const onlyDuration = error.issues.every((issue) => issue.path[0] === 'durationSeconds')
  return {
    reason: onlyDuration ? 'impossible_duration' : 'malformed_payload',
    detail: describeIssues(error),
  }
}

function claimedKey(kind: UsageKind, data: unknown): string | null {
  if (kind === 'unknown') return null
  const id =
    kind === 'call'
      ? claimedId(data, 'callId', idPatterns.call)
      : claimedId(data, 'messageId', idPatterns.message)
  return id === null ? null : usageKey({ kind, id })
}

function claimedId(data: unknown, field: string, pattern: RegExp): string | null {
  const value = fieldOf(data, field)
  return typeof value === 'string' && pattern.test(value) ? value : null
}

function fieldOf(data: unknown, field: string): unknown {
  return typeof data === 'object' && data !== null ? Reflect.get(data, field) : undefined
}
