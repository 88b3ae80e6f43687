/**
 * One text for one content: two tellings of a usage event are the same telling exactly if these texts are equal,
 * whichever job, batch or request brought them. It is what payload hashes and job ids are made of, so its form is
 * frozen: a field added later must be left out when absent, as `JSON.stringify` does with `undefined`.
 */
import type { UsageEvent } from './usage-event.ts'

/** Shape: JSON, fields in a fixed order, instants as ISO 8601 in UTC with milliseconds, absent fields left out. */
export function canonicalUsage(event: UsageEvent): string {
  if (event.kind === 'message') {
    const { kind, id, workspaceId, sentAt, chatId, agentId, campaignId } = event
    return JSON.stringify({
      kind,
      id,
      workspaceId,
      sentAt: sentAt.toISOString(),
      chatId,
      agentId,
      campaignId,
    })
  }
  const {
    kind,
    id,
    workspaceId,
    startedAt,
    durationSeconds,
    direction,
    to,
    from,
    recorded,
    agentId,
    campaignId,
  } = event
  return JSON.stringify({
    kind,
    id,
    workspaceId,
    startedAt: startedAt.toISOString(),
    durationSeconds,
    direction,
    to,
    from,
    recorded,
    agentId,
    campaignId,
  })
}
