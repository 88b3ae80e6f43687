/**
 * What a refund or a dispute at Paddle does to a wallet. Money moves once it is approved; a dispute also freezes the wallet,
 * because whoever disputes one payment should not have the next one charged by itself.
 */
import { usdOfMinorUnits } from './credit.ts'
import { micros, type Micros } from './money.ts'
import type { PaddleAdjustment } from './paddle-facts.ts'

/** One movement that an adjustment asks for; its key is the adjustment's, so it is made once. */
type AdjustmentMove = {
  readonly kind: 'refund' | 'chargeback'
  readonly idempotencyKey: string
  /** The signed effect on the wallet. */
  readonly amountMicros: Micros
}

export type AdjustmentDecision =
  /** `move` is null when no money moves, as with the warning of a dispute. */
  | { readonly decision: 'apply'; readonly move: AdjustmentMove | null }
  /** Not approved yet, or turned down. */
  | { readonly decision: 'nothing' }
  | { readonly decision: 'review'; readonly reason: AdjustmentReviewReason }

export type AdjustmentReviewReason =
  | 'unknown_action'
  | 'wrong_currency'
  | 'more_than_was_credited'
  | 'contradicted'

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
  return { decision: 'apply', move: moveOf(adjustment, rule, amountMicros) }
}

/** Whether it says that somebody disputes a payment, or is about to. */
export function opensDispute({ action }: Pick<PaddleAdjustment, 'action'>): boolean {
  return action === 'chargeback' || action === 'chargeback_warning'
}

/**
 * Whether it gives back what no chargeback has taken yet: news of the two may come in any order, and a chargeback that credited
 * nobody must not be won back.
 */
export function winsBackTooEarly(
  { move }: Extract<AdjustmentDecision, { decision: 'apply' }>,
  others: readonly AppliedPaddleAdjustment[],
): boolean {
  const disputed = takenBack(others.filter((each) => each.action.startsWith('chargeback')))
  return move !== null && move.amountMicros > 0n && disputed < move.amountMicros
}

/** What is kept of an adjustment that was applied. */
export type AppliedPaddleAdjustment = {
  readonly paddleTransactionId: string
  readonly action: string
  readonly amountMicros: Micros
}

/** What refunds and chargebacks took, less what came back. */
export function takenBack(applied: readonly AppliedPaddleAdjustment[]): Micros {
  return micros(
    applied.reduce(
      (sum, { action, amountMicros }) => sum - (rules.get(action)?.sign ?? 0n) * amountMicros,
      0n,
    ),
  )
}

/**
 * Whether a payment is disputed, or is announced to be. A dispute that was won takes its announcement with it. Depends on which
 * adjustments there are and not on their order.
 */
export function isDisputed(applied: readonly AppliedPaddleAdjustment[]): boolean {
  const byTransaction = Map.groupBy(applied, (each) => each.paddleTransactionId)
  return [...byTransaction.values()].some((of) => {
    const count = (action: string): number => of.filter((each) => each.action === action).length
    const chargebacks = count('chargeback')
    return chargebacks > 0
      ? chargebacks > count('chargeback_reverse')
      : count('chargeback_warning') > count('chargeback_warning_reverse')
  })
}

type Rule = { kind: 'refund' | 'chargeback'; sign: -1n | 0n | 1n }

/** `credit` is not here: it fills the customer's balance at Paddle, which is no wallet of ours. */
const rules: ReadonlyMap<string, Rule> = new Map([
  ['refund', { kind: 'refund', sign: -1n }],
  ['chargeback', { kind: 'chargeback', sign: -1n }],
  ['chargeback_reverse', { kind: 'chargeback', sign: 1n }],
  ['chargeback_warning', { kind: 'chargeback', sign: 0n }],
  ['chargeback_warning_reverse', { kind: 'chargeback', sign: 0n }],
])

/**
 * What is reversed was approved before. Paddle tells of the way back by an adjustment of its own, the `_reverse`, and marks the
 * first one `reversed` besides: the money comes back by the former alone, or it would come back twice.
 */
function moveOf(adjustment: PaddleAdjustment, rule: Rule, amountMicros: Micros): AdjustmentMove | null {
  if (rule.sign === 0n || amountMicros === 0n) return null
  const idempotencyKey = `paddle_adjustment/${adjustment.adjustmentId}`
  return { kind: rule.kind, idempotencyKey, amountMicros: micros(rule.sign * amountMicros) }
}
