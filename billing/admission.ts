/**
 * Admission: may a call start, what is held for it, and for how long the wallet affords it. Priced by the same rating that will
 * price the call when it has ended, so that what is held is what a minute there really costs.
 */
import { micros, type Micros } from './money.ts'
import type { RateCard } from './rate-card.ts'
import { rateUsage } from './rating.ts'
import { longestCallSeconds, type CallUsage } from './usage-event.ts'

/** As much of a call as its price needs. */
export type PricedCall = Pick<CallUsage, 'direction' | 'to' | 'from' | 'recorded'>

/** A call before anybody has spoken: its price and its place. */
export type CallToAdmit = PricedCall &
  Pick<CallUsage, 'workspaceId' | 'agentId' | 'campaignId'> & { readonly callId: string }

/** The least that is held for any call: a minute of voice and telephony, about. */
export const leastBufferMicros: Micros = micros(200_000n)

/** What one more minute is worth when a call goes on. */
const minuteSeconds = 60

/** Why there is no price, and therefore no admission. */
export type NoPrice = 'unknown_destination' | 'no_inbound_rate' | 'no_rate_card'

/**
 * What must be held for a call that has lasted so long: all of it so far, and a minute more.
 *
 * Units:  seconds in, micro-dollars out; at least the buffer of $0.20.
 * Shape:  a reason where the card has no price for the destination: such a call is refused, and never free.
 */
export function holdFor(
  card: RateCard | null,
  call: PricedCall,
  lastedSeconds: number,
):
  | { readonly outcome: 'priced'; readonly holdMicros: Micros }
  | { readonly outcome: 'refused'; readonly reason: NoPrice } {
  if (card === null) return { outcome: 'refused', reason: 'no_rate_card' }
  const seconds = Math.min(lastedSeconds + minuteSeconds, longestCallSeconds)
  const price = priceOf(card, call, seconds)
  if (typeof price === 'string') return { outcome: 'refused', reason: price }
  return { outcome: 'priced', holdMicros: price < leastBufferMicros ? leastBufferMicros : price }
}

/**
 * How long a call may last on so much money: the last whole second whose price it covers, a day at most.
 *
 * Shape: 0 where there is no price. Prices never fall with time, so halving the day finds it.
 */
export function affordedSeconds(card: RateCard | null, call: PricedCall, affordableMicros: Micros): number {
  if (card === null) return 0
  let affordable = 0
  let tooLong = longestCallSeconds + 1
  while (tooLong - affordable > 1) {
    const middle = Math.floor((affordable + tooLong) / 2)
    const price = priceOf(card, call, middle)
    if (typeof price === 'string') return 0
    if (price <= affordableMicros) affordable = middle
    else tooLong = middle
  }
  return affordable
}

/** The most calls of one campaign that may be live at once. */
const mostLiveCalls = 100

/** How many calls of a campaign may be live at once: those that are, and as many more as a buffer each is there for. */
export function liveCallsAfforded(availableMicros: Micros, liveCalls: number): number {
  let calls = Math.min(liveCalls, mostLiveCalls)
  for (let left = availableMicros; calls < mostLiveCalls && left >= leastBufferMicros; calls += 1) {
    left = micros(left - leastBufferMicros)
  }
  return calls
}

function priceOf(card: RateCard, call: PricedCall, durationSeconds: number): Micros | NoPrice {
  const rating = rateUsage(card, { ...call, kind: 'call', durationSeconds })
  if (rating.outcome === 'rated') return rating.totalMicros
  if (rating.outcome === 'free') return micros(0n)
  return rating.reason === 'no_inbound_rate' ? rating.reason : 'unknown_destination'
}
