/** Auto-recharge in one sentence: whether it is on, what it will do, and why it did not. */
import type { Micros } from '../billing/money.ts'
import { explainRecharge, type RechargeReason } from '../billing/recharge.ts'
import { money } from './wording.ts'

export type RechargeState = {
  /** Null when it is off. */
  settings: { thresholdMicros: Micros; topUpMicros: Micros } | null
  card: CardFace | null
  /** Money that is on its way. */
  chargingMicros: Micros | null
  isBelowThreshold: boolean
  /** What would stand in the way of a recharge now, if the balance were below the threshold; null when nothing would. */
  obstacle: RechargeReason | null
}

/** What is printed on a card; what Paddle has not told yet is null. */
export type CardFace = {
  brand: string | null
  last4: string | null
  expiryMonth: number | null
  expiryYear: number | null
}

export function rechargeSentence(state: RechargeState): string {
  const { settings, card, chargingMicros, isBelowThreshold, obstacle } = state
  if (chargingMicros !== null)
    return `${cardName(card, { begins: true })} is being charged ${money(chargingMicros)} now.`
  if (settings === null) return 'Auto-recharge is off: when the money is used up, calls are refused.'
  const { thresholdMicros, topUpMicros } = settings
  const threshold = money(thresholdMicros)
  if (obstacle !== null && isBelowThreshold) {
    return `Less than ${threshold} is available, and the card was not charged. ${explainRecharge(obstacle)}`
  }
  const plan = `When less than ${threshold} is available, ${cardName(card)} is charged ${money(topUpMicros)}.`
  return obstacle === null ? plan : `${plan} That would not happen now: ${explainRecharge(obstacle)}`
}

export function cardName(card: CardFace | null, { begins = false } = {}): string {
  const last4 = card?.last4 ?? null
  if (card === null || last4 === null) return `${begins ? 'The' : 'the'} saved card`
  return `${brandName(card.brand)} ending in ${last4}`
}

export function brandName(brand: string | null): string {
  const known = brands[brand ?? '']
  return (
    known ??
    (brand === null || brand === ''
      ? 'Card'
      : `${brand.slice(0, 1).toUpperCase()}${brand.slice(1).replaceAll('_', ' ')}`)
  )
}

const brands: Partial<Record<string, string>> = {
  visa: 'Visa',
  mastercard: 'Mastercard',
  american_express: 'American Express',
  diners_club: 'Diners Club',
  jcb: 'JCB',
  union_pay: 'UnionPay',
}
