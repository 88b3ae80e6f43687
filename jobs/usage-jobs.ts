/**
 * Usage on the wire: a call ended, a message was sent, or up to 500 of both at once.
 *
 * A payload carries facts, grows by optional fields only, and never changes meaning. Workers ignore fields that they do
 * not know yet (a newer producer may send them); the producer refuses fields that it does not know (a typing error).
 */
import { z } from 'zod'

import { canonicalUsage } from '../billing/canonical-usage.ts'
import { agentId, callId, campaignId, chatId, messageId, workspaceId } from '../billing/ids.ts'
import {
  longestCallSeconds,
  type CallUsage,
  type MessageUsage,
  type UsageEvent,
} from '../billing/usage-event.ts'
import { defineJob, type JobOptions } from './contract.ts'
import { digest } from './digest.ts'

/** A point in time: an ISO 8601 string with its offset (`2026-11-01T10:00:00Z`), or a Date. */
const instant = z.union([z.iso.datetime({ offset: true }).transform((text) => new Date(text)), z.date()])

/** A phone number in E.164: a plus sign and 7 to 15 digits. */
const e164 = z.string().regex(/^\+[1-9]\d{6,14}$/, 'expected a phone number like +14155550100')

/** The most events that one `usage-batch` carries. */
const largestUsageBatch = 500

const callFields = {
  callId,
  workspaceId,
  startedAt: instant,
  durationSeconds: z.number().min(0).max(longestCallSeconds),
  direction: z.enum(['outbound', 'inbound', 'web']).optional(),
  to: e164.optional(),
  from: e164.optional(),
  recorded: z.boolean(),
  agentId: agentId.optional(),
  campaignId: campaignId.optional(),
}

const messageFields = {
  messageId,
  workspaceId,
  sentAt: instant,
  chatId: chatId.optional(),
  agentId: agentId.optional(),
  campaignId: campaignId.optional(),
}

/** What workers read. Seconds are talk time, fractions allowed; `to` and `from` are E.164. */
export const callPayload = z.object(callFields)
export const messagePayload = z.object(messageFields)

const batchedEvent = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('call'), ...callFields }),
  z.strictObject({ kind: z.literal('message'), ...messageFields }),
])

/**
 * A failed job is kept in Redis: until Postgres has the event, Redis may hold its only copy. The sweep moves such jobs
 * to `usage_event` and then removes them, so that a repeat of the same id is not swallowed.
 */
const usageOptions: JobOptions = {
  attempts: 8,
  backoff: { type: 'exponential', delay: 500, jitter: 0.5 },
  removeOnComplete: true,
  removeOnFail: false,
}

/** A call ended. Telephony may enqueue it any number of times; it is billed once. */
export const callEnded = defineJob({
  name: 'call-ended',
  queue: 'usage',
  schema: z.strictObject(callFields),
  jobId: (call) => usageJobId('call-ended', call.callId, callUsage(call)),
  options: usageOptions,
})

/** A chat message was sent. */
export const messageSent = defineJob({
  name: 'message-sent',
  queue: 'usage',
  schema: z.strictObject(messageFields),
  jobId: (message) => usageJobId('message-sent', message.messageId, messageUsage(message)),
  options: usageOptions,
})

/** Up to 500 calls and messages, of any workspaces. Each event stands or falls alone. */
export const usageBatch = defineJob({
  name: 'usage-batch',
  queue: 'usage',
  schema: z.strictObject({ events: z.array(batchedEvent).min(1).max(largestUsageBatch) }),
  jobId: (batch) =>
    `usage-batch_${digest(batch.events.map((event) => canonicalUsage(usageOf(event))).join('\n'))}`,
  options: usageOptions,
})

/** The doorbell: there are events in Postgres which nobody has posted yet. Carries nothing; the rows are the truth. */
export const usageReceived = defineJob({
  name: 'usage-received',
  queue: 'usage',
  schema: z.object({}),
  jobId: () => 'usage-received',
  options: { ...usageOptions, removeOnFail: true },
})

export type CallPayload = z.output<typeof callPayload>
export type MessagePayload = z.output<typeof messagePayload>

/** The wire's words to the domain's. */
export function callUsage({ callId, direction, ...call }: CallPayload): CallUsage {
  return { kind: 'call', id: callId, direction: direction ?? 'outbound', ...call }
}

export function messageUsage({ messageId, ...message }: MessagePayload): MessageUsage {
  return { kind: 'message', id: messageId, ...message }
}

function usageOf(event: z.output<typeof batchedEvent>): UsageEvent {
  return event.kind === 'call' ? callUsage(event) : messageUsage(event)
}

/**
 * The id names the fact and its content. Were it the call alone, Redis would drop a second message about the call even
 * when it says something else, and nobody would ever see the contradiction.
 */
function usageJobId(name: string, id: string, event: UsageEvent): string {
  return `${name}_${id}_${digest(canonicalUsage(event))}`
}
