/**
 * Which money at Paddle is credit in a wallet. Asserts instead of trusting: what does not look exactly like a top-up that was
 * paid for this wallet credits nothing by itself and is put before a person.
 */
import { micros, type Micros } from './money.ts'
import type { MinorUnits, PaddleTransaction } from './paddle-facts.ts'

export type CreditDecision =
  /** Captured, and ours: the wallet is owed this, once, under the transaction's id. */
  | { readonly decision: 'credit'; readonly amountMicros: Micros; readonly topUpId: string | null }
  /** Not money yet, or no top-up at all: saving a card, a renewal for nothing. */
  | { readonly decision: 'nothing'; readonly reason: 'not_paid' | 'not_a_top_up' }
  | { readonly decision: 'review'; readonly reason: CreditReviewReason }

export const creditReviewReasons = [
  'unknown_customer',
  'another_customer',
  'wrong_currency',
  'wrong_product',
  'wrong_amount',
  'mixed_top_ups',
] as const

/** Why captured money is not credited by itself. */
export type CreditReviewReason = (typeof creditReviewReasons)[number]

/** What is known about the wallet that the transaction is for. */
export type CreditFacts = {
  /** The wallet's customer at Paddle; null when it has none. */
  readonly customerId: string | null
  /** The product that top-ups are sold as. */
  readonly productId: string
  /** What the top-up was to bring; null when we have no record of it, as after a restore. */
  readonly expectedMicros: Micros | null
}

/**
 * Units:  minor units of USD (cents) in, micro-dollars out.
 * Shape:  credits the subtotal less discount of the wallet product's items: never the grand total, tax or earnings.
 */
export function decideCredit(transaction: PaddleTransaction, facts: CreditFacts): CreditDecision {
  if (!isCaptured(transaction)) return { decision: 'nothing', reason: 'not_paid' }
  // A card saved, changed or renewed costs nothing. Whatever else was paid for is not to be lost from sight.
  const lines = transaction.lines.filter((line) => line.net.amount !== 0n)
  if (lines.length === 0) return { decision: 'nothing', reason: 'not_a_top_up' }
  if (facts.customerId === null) return review('unknown_customer')
  if (facts.customerId !== transaction.customerId) return review('another_customer')
  if (lines.some((line) => line.productId !== facts.productId)) return review('wrong_product')
  if (lines.some((line) => line.net.currency !== 'USD')) return review('wrong_currency')
  const topUpIds = new Set(lines.map((line) => line.topUpId))
  if (topUpIds.size > 1) return review('mixed_top_ups')
  const amountMicros = centsToMicros(lines.reduce((sum, line) => sum + line.net.amount, 0n))
  if (amountMicros <= 0n) return review('wrong_amount')
  if (facts.expectedMicros !== null && facts.expectedMicros !== amountMicros) return review('wrong_amount')
  return { decision: 'credit', amountMicros, topUpId: lines[0]?.topUpId ?? null }
}

/** Whether Paddle has the money. */
export function isCaptured(transaction: PaddleTransaction): boolean {
  return transaction.status === 'paid' || transaction.status === 'completed'
}

/** Cents of USD as micro-dollars. */
export function centsToMicros(cents: bigint): Micros {
  return micros(cents * 10_000n)
}

/** An adjustment's or a line's money in micro-dollars; null when it is not in dollars. */
export function usdOfMinorUnits({ amount, currency }: MinorUnits): Micros | null {
  return currency === 'USD' ? centsToMicros(amount) : null
}

/** The workspace that a transaction says it is for: its prices' custom data before its own, which is a copy of a copy. */
export function claimedWorkspace(transaction: PaddleTransaction): string | null {
  return transaction.lines.find((line) => line.workspaceId !== null)?.workspaceId ?? transaction.workspaceId
}

/** One sentence for the person who has to look. */
export function explainCreditReview(reason: CreditReviewReason): string {
  return explanations[reason]
}

const explanations: Record<CreditReviewReason, string> = {
  unknown_customer: 'The transaction names no workspace whose customer at Paddle we know.',
  another_customer:
    'The transaction was paid by another customer than the one of the workspace that it names.',
  wrong_currency: 'The transaction is not in US dollars.',
  wrong_product: 'The transaction sells something else than wallet credit.',
  wrong_amount: 'The transaction is not for the amount that was asked for.',
  mixed_top_ups: 'The transaction carries items of more than one top-up.',
}

function review(reason: CreditReviewReason): CreditDecision {
  return { decision: 'review', reason }
}
