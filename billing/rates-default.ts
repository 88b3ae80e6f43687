/**
 * The prices a wallet has unless someone decides otherwise: per second, no connection fee. A migration seeds them as
 * the first rate card; from then on the database is what counts.
 */
import { parseUsd } from './money.ts'
import type { RateCardJson, RateJson } from './rate-card.ts'
import { telephonyPrefixes } from './telephony-prefixes.ts'

/** The default rate card as JSON, in the form that `parseRateCard` and `quote --rates` read. */
export const defaultRateCardJson: RateCardJson = {
  voice: perSecond('0.10'),
  recording: perSecond('0.02'),
  message_usd: '0.01',
  number_month_usd: '5.00',
  inbound: perSecond('0.08'),
  telephony: Object.fromEntries(
    telephonyPrefixes.map(([prefix, , perMinuteUsd]) => [prefix, perSecond(perMinuteUsd)]),
  ),
}

/** The credit that a new workspace gets once: $10. */
export const signupGrantMicros = parseUsd('10.00')

function perSecond(perMinuteUsd: string): RateJson {
  return {
    connection_fee_usd: '0',
    intervals: [{ from_second: 0, per_minute_usd: perMinuteUsd, increment_seconds: 1 }],
  }
}
