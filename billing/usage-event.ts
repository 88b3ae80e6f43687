/**
 * Usage events: things that happened and may cost, and the reasons why one may have to be set aside. Everything about
 * an event that needs no price is decided here; prices are in `rating.ts`.
 */
import type { AgentId, CampaignId, ChatId, WorkspaceId } from './ids.ts'

export type UsageEvent = CallUsage | MessageUsage

/** A call ended. `to` is the number called, `from` the caller's; both E.164, and `from` is absent when withheld. */
export type CallUsage = {
  readonly kind: 'call'
  readonly id: string
  readonly workspaceId: WorkspaceId
  readonly startedAt: Date
  /** Talk time; fractions allowed. */
  readonly durationSeconds: number
  readonly direction: 'outbound' | 'inbound' | 'web'
  readonly to?: string | undefined
  readonly from?: string | undefined
  readonly recorded: boolean
  readonly agentId?: AgentId | undefined
  readonly campaignId?: CampaignId | undefined
}

/** A chat message was sent. */
export type MessageUsage = {
  readonly kind: 'message'
  readonly id: string
  readonly workspaceId: WorkspaceId
  readonly sentAt: Date
  readonly chatId?: ChatId | undefined
  readonly agentId?: AgentId | undefined
  readonly campaignId?: CampaignId | undefined
}

/** Why a usage event could not be posted. It is kept with the reason; nothing is dropped. */
export const setAsideReasons = [
  'malformed_payload',
  'unknown_workspace',
  'unknown_destination',
  'no_inbound_rate',
  'impossible_duration',
  'from_the_future',
  'too_old',
  'conflicting_duplicate',
  'no_rate_card',
  'posting_failed',
  'crashed_worker',
] as const

export type SetAsideReason = (typeof setAsideReasons)[number]

/** The longest call we believe in: a day. */
export const longestCallSeconds = 86_400
const clockSkewMs = 5 * 60_000
const oldestMs = 35 * 86_400_000

/** The idempotency key of the business fact: the same call or message has the same key however often it is told. */
export function usageKey(event: Pick<UsageEvent, 'kind' | 'id'>): string {
  return `${event.kind}/${event.id}`
}

/** When the event became billable: a call when it ended (to the nearest millisecond), a message when it was sent. */
export function occurredAt(event: CallTime | MessageTime): Date {
  if (event.kind === 'message') return event.sentAt
  return new Date(event.startedAt.getTime() + Math.round(event.durationSeconds * 1000))
}

/**
 * Whether an event may be priced at all, or why not. Null means yes.
 *
 * Shape:  a duration outside 0 s..24 h is impossible; more than 5 minutes ahead of `now` is from the future; more
 *         than 35 days behind it is too old; a date that is no date is malformed.
 */
export function decideAcceptance(event: CallTime | MessageTime, now: Date): SetAsideReason | null {
  if (event.kind === 'call' && !isPossibleDuration(event.durationSeconds)) return 'impossible_duration'
  const billableMs = occurredAt(event).getTime()
  if (Number.isNaN(billableMs)) return 'malformed_payload'
  // A call ends at or after its start, so the later of the two instants is the one that matters.
  if (billableMs > now.getTime() + clockSkewMs) return 'from_the_future'
  if (billableMs < now.getTime() - oldestMs) return 'too_old'
  return null
}

/** Whether a call can have lasted this long: a finite number of seconds between nothing and a day. */
export function isPossibleDuration(durationSeconds: number): boolean {
  return durationSeconds >= 0 && durationSeconds <= longestCallSeconds
}

/** One sentence for the person who has to do something about it. */
export function explainSetAside(reason: SetAsideReason): string {
  return explanations[reason]
}

const explanations: Record<SetAsideReason, string> = {
  malformed_payload:
    'The payload does not have the shape of its job contract: fix the producer and send the event again under the same id.',
  unknown_workspace:
    'No wallet exists for this workspace: create the workspace, or correct its id, then requeue the event.',
  unknown_destination:
    'No prefix of the rate card matches the number: add the prefix to a new rate card dated before the call, then requeue.',
  no_inbound_rate:
    'The caller withheld the number and the rate card has no inbound rate: add one to a new rate card, then requeue.',
  impossible_duration:
    'The call would have lasted less than nothing or more than a day: ask telephony for the true duration and send it as a correction.',
  from_the_future:
    'The event, or the end of the call, is more than five minutes ahead of us: check the clock and the duration of the service that sent it, then requeue once the time has come.',
  too_old:
    'The event is more than 35 days old, when books may be closed: it stays here as a record, and requeueing it changes nothing.',
  conflicting_duplicate:
    'The same id was already told with other content and the first telling stands: find out which is true and book an adjustment if it was not the first.',
  no_rate_card:
    'No rate card was in force when the usage began: add a rate card that reaches back to that day, then requeue.',
  posting_failed:
    'The database refused the posting every time it was tried: read the recorded error, repair its cause, then requeue.',
  crashed_worker:
    'The worker died several times while it held this event: look at its log for the cause, then requeue the event alone.',
}

type CallTime = Pick<CallUsage, 'kind' | 'startedAt' | 'durationSeconds'>
type MessageTime = Pick<MessageUsage, 'kind' | 'sentAt'>
