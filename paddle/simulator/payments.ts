/** Taking money for a transaction: the one place where any is captured, and where a card's no is written down. */
import type { ITransactionPaymentAttemptResponse } from '@paddle/paddle-node-sdk'
import { randomUUID } from 'node:crypto'

import type { DeclineCode } from './control-commands.ts'
import type { PaymentMethod, Transaction } from './entities.ts'
import type { Simulation } from './simulation.ts'
import { withFee } from './tax.ts'
import { getTransaction, invoiceOf, updateTransaction } from './transaction-store.ts'

/** The card paid: from here on the money is real, whatever anybody is told about it. */
export function capture(simulation: Simulation, transactionId: string, method: PaymentMethod): Transaction {
  const transaction = getTransaction(simulation, transactionId)
  const { grand_total: grandTotal, credit, subtotal, discount } = transaction.details.totals
  const stamp = simulation.clock.stamp()
  useCredit(simulation, transaction, BigInt(credit))
  const paid = updateTransaction(
    simulation,
    transactionId,
    {
      status: 'paid',
      billed_at: transaction.billed_at ?? stamp,
      details: {
        ...transaction.details,
        totals: { ...transaction.details.totals, balance: '0' },
      },
      payments: [paymentOf(method, { amount: grandTotal, at: stamp, error: null }), ...transaction.payments],
      checkout: { url: null },
    },
    'transaction.paid',
  )
  if (grandTotal !== '0') {
    simulation.world.captures.push({
      transactionId,
      topUpId: topUpOf(transaction),
      subscriptionId: transaction.subscription_id ?? null,
      customerId: transaction.customer_id ?? null,
      net: String(BigInt(subtotal) - BigInt(discount)),
      currency: transaction.currency_code,
      capturedAt: stamp,
      paymentMethodId: method.id,
    })
  }
  return paid
}

/** The card said no. What becomes of the transaction is for the caller. */
export function recordDecline(
  simulation: Simulation,
  transactionId: string,
  { method, code }: { method: PaymentMethod; code: DeclineCode },
): Transaction {
  const transaction = getTransaction(simulation, transactionId)
  const stamp = simulation.clock.stamp()
  const payment = paymentOf(method, {
    amount: transaction.details.totals.grand_total,
    at: stamp,
    error: code,
  })
  return updateTransaction(
    simulation,
    transactionId,
    { payments: [payment, ...transaction.payments] },
    'transaction.payment_failed',
  )
}

/** What Paddle adds once it has processed a paid transaction: its fee, an invoice. Usually a moment later. */
export function completeSoon(simulation: Simulation, transactionId: string): void {
  const complete = (): void => {
    const { details, status } = getTransaction(simulation, transactionId)
    if (status !== 'paid') return
    updateTransaction(
      simulation,
      transactionId,
      { status: 'completed', details: withFee(details), ...invoiceOf(simulation) },
      'transaction.completed',
    )
  }
  const { completeAfterMs } = simulation.switches
  if (completeAfterMs > 0) simulation.clock.schedule(completeAfterMs, complete)
  else complete()
}

function paymentOf(
  method: PaymentMethod,
  { amount, at, error }: { amount: string; at: string; error: DeclineCode | null },
): ITransactionPaymentAttemptResponse {
  return {
    payment_attempt_id: randomUUID(),
    stored_payment_method_id: method.storedPaymentMethodId,
    payment_method_id: method.id,
    amount,
    status: error === null ? 'captured' : 'error',
    error_code: error,
    method_details: {
      type: 'card',
      card: method.card,
      paypal: null,
      south_korea_local_card: null,
      underlying_details: null,
    },
    created_at: at,
    captured_at: error === null ? at : null,
  }
}

/** Our product writes one top-up to a transaction; the first that says so names it. */
function topUpOf({ items }: Transaction): string | null {
  const named = items.map(({ price }) => price.custom_data?.['top_up_id'])
  const topUpId: unknown = named.find((each) => typeof each === 'string')
  return typeof topUpId === 'string' ? topUpId : null
}

function useCredit({ world }: Simulation, transaction: Transaction, credit: bigint): void {
  if (credit === 0n) return
  const key = `${transaction.customer_id}/${transaction.currency_code}`
  const balance = BigInt(world.creditBalances.get(key) ?? '0')
  world.creditBalances.set(key, String(balance - credit))
}
