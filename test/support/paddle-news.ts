/** What Paddle may tell, as the neutral facts that its webhooks, answers and lists are read into. */
import type {
  MinorUnits,
  PaddleAdjustment,
  PaddleCard,
  PaddleLine,
  PaddlePayment,
  PaddleSubscription,
  PaddleTransaction,
} from '../../billing/paddle-facts.ts'
import { newId } from './given.ts'

/** The product that top-ups are sold as, in these tests. */
export const productId = 'pro_wallet'

/** Who pays for a workspace at Paddle, and by which subscription. */
export type Payer = { workspaceId: string; customerId: string; subscriptionId: string }

export function cents(amount: bigint): MinorUnits {
  return { amount, currency: 'USD' }
}

/** A line of wallet credit: $20 unless said otherwise. */
export function aLine(line: Partial<PaddleLine> = {}): PaddleLine {
  return { productId, net: cents(2_000n), topUpId: null, workspaceId: null, source: null, ...line }
}

/** A moment of the day that the news are about, so many seconds into it. */
export function at(second: number): Date {
  return new Date(noon + second * 1_000)
}

const noon = Math.floor(Date.now() / 1_000) * 1_000 - 7_200_000

/** One payment with one card: captured a moment into the day unless said otherwise. */
export function aPayment(payment: Partial<PaddlePayment> = {}): PaddlePayment {
  return {
    status: 'captured',
    errorCode: null,
    paymentMethodId: 'paymtd_first',
    card: aCard(),
    createdAt: at(60),
    ...payment,
  }
}

export function aCard(card: Partial<PaddleCard> = {}): PaddleCard {
  return { brand: 'visa', last4: '4242', expiryMonth: 12, expiryYear: 2031, ...card }
}

/** A payment that the bank refused with this code. */
export function aRefusal(errorCode: string, payment: Partial<PaddlePayment> = {}): PaddlePayment {
  return aPayment({ status: 'error', errorCode, ...payment })
}

/** A transaction that was paid and completed, with 19 % tax on top of its lines. */
export function aTransaction(
  { workspaceId, customerId }: Pick<Payer, 'workspaceId' | 'customerId'>,
  transaction: Partial<PaddleTransaction> = {},
): PaddleTransaction {
  const lines = transaction.lines ?? [aLine({ workspaceId })]
  const net = lines.reduce((sum, line) => sum + line.net.amount, 0n)
  return {
    transactionId: newId('txn'),
    status: 'completed',
    origin: 'api',
    customerId,
    subscriptionId: null,
    workspaceId,
    lines,
    grandTotal: cents((net * 119n) / 100n),
    payments: [aPayment()],
    createdAt: at(0),
    updatedAt: at(60),
    ...transaction,
  }
}

/** The charge of the saved card that a top-up asked for. */
export function aCharge(
  payer: Payer,
  topUp: { topUpId: string; amountMicros: bigint; source?: string },
  transaction: Partial<PaddleTransaction> = {},
): PaddleTransaction {
  const { topUpId, amountMicros, source = 'auto_recharge' } = topUp
  const { workspaceId, subscriptionId } = payer
  return aTransaction(payer, {
    origin: 'subscription_charge',
    subscriptionId,
    lines: [aLine({ net: cents(amountMicros / 10_000n), topUpId, workspaceId, source })],
    ...transaction,
  })
}

/** An active subscription that keeps the payer's card. */
export function aSubscription(
  { workspaceId, customerId, subscriptionId }: Payer,
  subscription: Partial<PaddleSubscription> = {},
): PaddleSubscription {
  return {
    subscriptionId,
    status: 'active',
    customerId,
    workspaceId,
    transactionId: null,
    updatedAt: at(0),
    ...subscription,
  }
}

/** An approved refund of all of a transaction. */
export function anAdjustment(
  transaction: PaddleTransaction,
  adjustment: Partial<PaddleAdjustment> = {},
): PaddleAdjustment {
  return {
    adjustmentId: newId('adj'),
    action: 'refund',
    status: 'approved',
    transactionId: transaction.transactionId,
    customerId: transaction.customerId ?? 'ctm_nobody',
    net: cents(transaction.lines.reduce((sum, line) => sum + line.net.amount, 0n)),
    createdAt: at(3_600),
    updatedAt: at(3_600),
    ...adjustment,
  }
}
