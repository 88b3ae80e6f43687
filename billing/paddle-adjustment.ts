/**
 * What a refund or a dispute at Paddle does to a wallet. Money moves once it is approved; a dispute also freezes the wallet,
 * because whoever disputes one payment should not have the next one charged by itself.
 */
import { usdOfMinorUnits } from './credit.ts'
import { micros, type Micros } from './money.ts'
import type { PaddleAdjustment } from './paddle-facts.ts'

/** One movement that an adjustment asks for; its key is the adjustment's, so it is made once. */
export type AdjustmentMove = {
  readonly kind: 'refund' | 'chargeback'
  readonly idempotencyKey: string
  /** The signed effect on the wallet. */
  readonly amountMicros: Micros
}

export type AdjustmentDecision =
  | { readonly decision: 'apply'; readonly moves: readonly AdjustmentMove[]; readonly dispute: Dispute }
  /** Not approved yet, or turned down. */
  | { readonly decision: 'nothing' }
  | { readonly decision: 'review'; readonly reason: AdjustmentReviewReason }

/** Whether a dispute opens or closes by it. */
export type Dispute = 'opens' | 'closes' | 'none'

export type AdjustmentReviewReason = 'unknown_action' | 'wrong_currency' | 'more_than_was_credited'

/**
 * Units:  cents of USD in, micro-dollars out; the subtotal, which is what the wallet was credited with.
 * Shape:  `takenBackMicros` is what other adjustments of the same transaction took back so far.
 */
export function decideAdjustment(
  adjustment: PaddleAdjustment,
  { creditedMicros, takenBackMicros }: { readonly creditedMicros: Micros; readonly takenBackMicros: Micros },
): AdjustmentDecision {
  const rule = rules.get(adjustment.action)
  if (rule === undefined) return { decision: 'review', reason: 'unknown_action' }
  if (adjustment.status !== 'approved' && adjustment.status !== 'reversed') return { decision: 'nothing' }
  const amountMicros = usdOfMinorUnits(adjustment.net)
  if (amountMicros === null) return { decision: 'review', reason: 'wrong_currency' }
  if (rule.sign < 0n && takenBackMicros + amountMicros > creditedMicros) {
    return { decision: 'review', reason: 'more_than_was_credited' }
  }
  return { decision: 'apply', moves: movesOf(adjustment, rule, amountMicros), dispute: rule.dispute }
}

type Rule = { kind: 'refund' | 'chargeback'; sign: -1n | 0n | 1n; dispute: Dispute }

/** `credit` is not here: it fills the customer's balance at Paddle, which is no wallet of ours. */
const rules: ReadonlyMap<string, Rule> = new Map([
  ['refund', { kind: 'refund', sign: -1n, dispute: 'none' }],
  ['chargeback', { kind: 'chargeback', sign: -1n, dispute: 'opens' }],
  ['chargeback_reverse', { kind: 'chargeback', sign: 1n, dispute: 'closes' }],
  ['chargeback_warning', { kind: 'chargeback', sign: 0n, dispute: 'opens' }],
  ['chargeback_warning_reverse', { kind: 'chargeback', sign: 0n, dispute: 'closes' }],
])

/** What was approved and then reversed happened twice: there and back. So the order of the news does not matter. */
function movesOf(adjustment: PaddleAdjustment, rule: Rule, amountMicros: Micros): AdjustmentMove[] {
  if (rule.sign === 0n || amountMicros === 0n) return []
  const key = `paddle_adjustment/${adjustment.adjustmentId}`
  const there = { kind: rule.kind, idempotencyKey: key, amountMicros: micros(rule.sign * amountMicros) }
  if (adjustment.status !== 'reversed') return [there]
  const back = {
    kind: rule.kind,
    idempotencyKey: `${key}/reversed`,
    amountMicros: micros(-rule.sign * amountMicros),
  }
  return [there, back]
}
