/** Refunds, chargebacks and what undoes them: money that goes back, always against one transaction's items. */
import type { AdjustmentAction, AdjustmentStatus } from '@paddle/paddle-node-sdk'

import { ApiRefusal, invalidField, notFound } from './api-refusal.ts'
import type { Adjustment, LineItem, Transaction } from './entities.ts'
import { emit } from './event-feed.ts'
import type { Simulation } from './simulation.ts'
import { rateFromText, taxed } from './tax.ts'
import { getTransaction, updateTransaction } from './transaction-store.ts'

/** Part of one item: `net` minor units before tax. */
export type AdjustedItem = { line: LineItem; net: bigint }

export function addAdjustment(
  simulation: Simulation,
  {
    transaction,
    action,
    status,
    items,
    reason,
  }: {
    transaction: Transaction
    action: AdjustmentAction
    status: AdjustmentStatus
    items: readonly AdjustedItem[]
    reason: string
  },
): Adjustment {
  if (transaction.customer_id === null || !['billed', 'paid', 'completed'].includes(transaction.status))
    throw new ApiRefusal(
      400,
      'adjustment_transaction_invalid_status_for_refund',
      `cannot adjust transaction ${transaction.id}, which is ${transaction.status}`,
      { family: 'adjustments' },
    )
  const adjustment = buildAdjustment(simulation, {
    transaction,
    customerId: transaction.customer_id,
    action,
    status,
    items,
    reason,
  })
  simulation.world.adjustments.set(adjustment.id, adjustment)
  emit(simulation, 'adjustment.created', adjustment)
  if (status === 'approved') applyToTotals(simulation, adjustment.transaction_id)
  const { refundApprovalMs } = simulation.switches
  if (status === 'pending_approval' && refundApprovalMs !== null)
    simulation.clock.schedule(refundApprovalMs, () => {
      if (simulation.world.adjustments.get(adjustment.id)?.status === 'pending_approval')
        decideAdjustment(simulation, adjustment.id, 'approved')
    })
  return adjustment
}

/** Paddle's answer to a refund that was asked for. */
export function decideAdjustment(
  simulation: Simulation,
  id: string,
  status: 'approved' | 'rejected',
): Adjustment {
  const adjustment = getAdjustment(simulation, id)
  if (adjustment.status !== 'pending_approval')
    throw invalidField('adjustment_id', `adjustment ${id} is ${adjustment.status}, not pending approval`)
  return setStatus(simulation, adjustment, status)
}

/** The bank took a chargeback, or its warning, back: an adjustment of its own, and the first one is reversed. */
export function reverseAdjustment(
  simulation: Simulation,
  id: string,
  action: 'chargeback_reverse' | 'chargeback_warning_reverse',
): Adjustment {
  const original = getAdjustment(simulation, id)
  if (`${original.action}_reverse` !== action || original.status !== 'approved')
    throw invalidField('adjustment_id', `a ${original.status} ${original.action} takes no ${action}`)
  const stamp = simulation.clock.stamp()
  const reverse: Adjustment = {
    ...original,
    id: simulation.newId('adj'),
    action,
    status: 'approved',
    created_at: stamp,
    updated_at: stamp,
  }
  simulation.world.adjustments.set(reverse.id, reverse)
  emit(simulation, 'adjustment.created', reverse)
  setStatus(simulation, original, 'reversed')
  return reverse
}

export function getAdjustment({ world }: Simulation, id: string): Adjustment {
  const adjustment = world.adjustments.get(id)
  if (adjustment === undefined) throw notFound(id)
  return adjustment
}

/** What of each item has not been given back yet. */
export function leftOf({ world }: Simulation, transaction: Transaction): AdjustedItem[] {
  const taken = [...world.adjustments.values()].filter(
    (each) =>
      each.transaction_id === transaction.id &&
      takesMoney(each.action) &&
      (each.status === 'approved' || each.status === 'pending_approval'),
  )
  return transaction.details.line_items.map((line) => {
    const gone = taken
      .flatMap(({ items }) => items)
      .filter(({ item_id: itemId }) => itemId === line.id)
      .reduce((sum, { totals }) => sum + BigInt(totals?.subtotal ?? '0'), 0n)
    return { line, net: BigInt(line.totals.subtotal) - gone }
  })
}

/** Spreads an amount before tax over what is left, first item first. Throws: ApiRefusal when that is less. */
export function takeFrom(left: readonly AdjustedItem[], amount: bigint | null): AdjustedItem[] {
  const most = left.reduce((sum, { net }) => sum + net, 0n)
  const wanted = amount ?? most
  if (wanted <= 0n || wanted > most)
    throw new ApiRefusal(
      400,
      'adjustment_amount_above_remaining_allowed',
      `the amount ${wanted} is not within the ${most} that are left`,
      { family: 'adjustments' },
    )
  let rest = wanted
  return left.flatMap(({ line, net }) => {
    const part = net < rest ? net : rest
    rest -= part
    return part > 0n ? [{ line, net: part }] : []
  })
}

function setStatus(simulation: Simulation, adjustment: Adjustment, status: AdjustmentStatus): Adjustment {
  const changed: Adjustment = { ...adjustment, status, updated_at: simulation.clock.stamp() }
  simulation.world.adjustments.set(adjustment.id, changed)
  emit(simulation, 'adjustment.updated', changed)
  applyToTotals(simulation, adjustment.transaction_id)
  return changed
}

function buildAdjustment(
  simulation: Simulation,
  {
    transaction,
    customerId,
    action,
    status,
    items,
    reason,
  }: {
    transaction: Transaction
    customerId: string
    action: AdjustmentAction
    status: AdjustmentStatus
    items: readonly AdjustedItem[]
    reason: string
  },
): Adjustment {
  const stamp = simulation.clock.stamp()
  const parts = items.map(({ line, net }) => ({
    line,
    net,
    ...partOfLine(line, net),
  }))
  const sum = (field: 'subtotal' | 'tax' | 'total'): string =>
    String(parts.reduce((soFar, part) => soFar + part[field], 0n))
  const totals = {
    subtotal: sum('subtotal'),
    tax: sum('tax'),
    total: sum('total'),
    fee: '0',
    earnings: sum('subtotal'),
    retained_fee: '0',
  }
  const isFull = sum('subtotal') === transaction.details.totals.subtotal
  return {
    id: simulation.newId('adj'),
    action,
    type: isFull ? 'full' : 'partial',
    transaction_id: transaction.id,
    subscription_id: transaction.subscription_id,
    customer_id: customerId,
    reason,
    credit_applied_to_balance: false,
    currency_code: transaction.currency_code,
    status,
    items: parts.map(({ line, net, subtotal, tax, total }) => ({
      id: simulation.newId('adjitm'),
      item_id: line.id,
      type: String(net) === line.totals.subtotal ? 'full' : 'partial',
      amount: String(total),
      proration: null,
      totals: { subtotal: String(subtotal), tax: String(tax), total: String(total) },
    })),
    totals: { ...totals, currency_code: transaction.currency_code },
    payout_totals:
      transaction.currency_code === 'USD' ? { ...totals, chargeback_fee: null, currency_code: 'USD' } : null,
    created_at: stamp,
    updated_at: stamp,
  }
}

/** A whole line takes its own tax with it, so that rounding leaves nothing behind. */
function partOfLine(line: LineItem, net: bigint): { subtotal: bigint; tax: bigint; total: bigint } {
  const { subtotal, tax, total } = line.totals
  return String(net) === subtotal
    ? { subtotal: net, tax: BigInt(tax), total: BigInt(total) }
    : taxed(net, rateFromText(line.tax_rate))
}

function takesMoney(action: AdjustmentAction): boolean {
  return action === 'refund' || action === 'chargeback' || action === 'credit'
}

/** What a transaction comes to once everything that was approved is taken off. */
function applyToTotals(simulation: Simulation, transactionId: string): void {
  const transaction = getTransaction(simulation, transactionId)
  const approved = [...simulation.world.adjustments.values()].filter(
    (each) => each.transaction_id === transactionId && takesMoney(each.action) && each.status === 'approved',
  )
  const gone = (field: 'subtotal' | 'tax' | 'total'): bigint =>
    approved.reduce((sum, { totals }) => sum + BigInt(totals[field]), 0n)
  const { totals, adjusted_totals: adjusted } = transaction.details
  updateTransaction(
    simulation,
    transactionId,
    {
      details: {
        ...transaction.details,
        adjusted_totals: {
          ...adjusted,
          subtotal: String(BigInt(totals.subtotal) - gone('subtotal')),
          tax: String(BigInt(totals.tax) - gone('tax')),
          total: String(BigInt(totals.total) - gone('total')),
          grand_total: String(BigInt(totals.grand_total) - gone('total')),
          grand_total_tax: String(BigInt(totals.grand_total_tax) - gone('tax')),
        },
      },
    },
    'transaction.updated',
  )
}
