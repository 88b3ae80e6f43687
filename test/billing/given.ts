// What these tests start from: rate JSON as files have it, rate cards made of it, and a call to rate.
import { workspaceId } from '../../billing/ids.ts'
import { parseRateCard, type RateCard, type RateCardJson, type RateJson } from '../../billing/rate-card.ts'
import type { CallUsage, MessageUsage } from '../../billing/usage-event.ts'

/** One price for all time, sold in equal increments. */
export function flatRate(perMinuteUsd: string, incrementSeconds = 1, connectionFeeUsd = '0'): RateJson {
  return {
    connection_fee_usd: connectionFeeUsd,
    intervals: [{ from_second: 0, per_minute_usd: perMinuteUsd, increment_seconds: incrementSeconds }],
  }
}

/** The telecom shorthand: "30/6" is 30 seconds at once, then steps of 6. */
export function stepped(perMinuteUsd: string, firstSeconds: number, nextSeconds: number): RateJson {
  return {
    connection_fee_usd: '0',
    intervals: [
      { from_second: 0, per_minute_usd: perMinuteUsd, increment_seconds: firstSeconds },
      { from_second: firstSeconds, per_minute_usd: perMinuteUsd, increment_seconds: nextSeconds },
    ],
  }
}

export function givenCard(changes: Partial<RateCardJson> = {}, dated: Partial<RateCard> = {}): RateCard {
  const json: RateCardJson = {
    voice: flatRate('0.10'),
    recording: flatRate('0.02'),
    telephony: { '1': flatRate('0.08'), '44': flatRate('0.09'), '447': flatRate('0.11') },
    message_usd: '0.01',
    ...changes,
  }
  return parseRateCard(json, { id: 'card', effectiveFrom: new Date('2026-01-01T00:00:00Z'), ...dated })
}

export function givenCall(changes: Partial<CallUsage> = {}): CallUsage {
  return {
    kind: 'call',
    id: 'call_0a1b2c3d',
    workspaceId: workspaceId.parse('ws_1'),
    startedAt: new Date('2026-11-01T10:00:00Z'),
    durationSeconds: 61,
    direction: 'outbound',
    to: '+14155550100',
    recorded: true,
    ...changes,
  }
}

export function givenMessage(changes: Partial<MessageUsage> = {}): MessageUsage {
  return {
    kind: 'message',
    id: 'msg_1',
    workspaceId: workspaceId.parse('ws_1'),
    sentAt: new Date('2026-11-01T10:00:00Z'),
    ...changes,
  }
}
