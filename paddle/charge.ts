/** Charging the card that a wallet's subscription keeps, and finding out at Paddle what was charged. */
import type { Micros } from '../billing/money.ts'
import type { PaddleTransaction } from '../billing/paddle-facts.ts'
import { paddleId, type PaddleClient } from './client.ts'
import { readTransaction, wireOf } from './facts.ts'
import { listAll, understood } from './listing.ts'
import type { PaddleRefusal } from './outcome.ts'
import { readPreview, type Previewed } from './preview.ts'
import { topUpItem, type TopUpNote } from './top-up-item.ts'

export type ChargeRequest = {
  readonly subscriptionId: string
  readonly topUpId: string
  readonly workspaceId: string
  readonly source: 'auto_recharge' | 'api'
  readonly amountMicros: Micros
  /** The `performance.now()` from which on the charge must not be sent any more, however long it then takes. */
  readonly sendBefore: number
}

/** The most that Paddle lists of transactions on a page. */
export const transactionsPerPage = 30

export function chargeCalls(client: PaddleClient, productId: string) {
  /**
   * Charges the card, now, and waits for what its bank says. Paddle has no idempotency keys: to send a charge twice is to
   * charge twice.
   *
   * Shape:  `accepted` is Paddle's word that it was paid; the transaction is in none of its answers, see `listCharges`.
   *         A decline applies nothing, and Paddle does not try again by itself.
   * Throws: BillingError for an id or an amount that no charge can have; nothing was sent then.
   * Source: Paddle's "Create a one-time charge for a subscription".
   */
  async function charge(request: ChargeRequest): Promise<{ readonly outcome: 'accepted' } | PaddleRefusal> {
    const subscriptionId = paddleId(request.subscriptionId)
    const body = chargeBody(productId, request.amountMicros, request)
    const answer = await client(
      'charge',
      (paddle) => paddle.subscriptions.createOneTimeCharge(subscriptionId, body),
      { sendBefore: request.sendBefore },
    )
    return answer.outcome === 'answered' ? { outcome: 'accepted' } : answer
  }

  /** What a charge would come to. Throws as `charge` does. */
  async function previewCharge(request: {
    readonly subscriptionId: string
    readonly amountMicros: Micros
  }): Promise<Previewed | PaddleRefusal> {
    const subscriptionId = paddleId(request.subscriptionId)
    const body = chargeBody(productId, request.amountMicros, null)
    const answer = await client('preview charge', (paddle) =>
      paddle.subscriptions.previewOneTimeCharge(subscriptionId, body),
    )
    if (answer.outcome !== 'answered') return answer
    return readPreview(wireOf(answer.answer.immediateTransaction?.details.totals))
  }

  /**
   * The charges on a subscription that were created at or after `since`, whatever became of them, newest first.
   *
   * Shape:  `unknown` when even one of them cannot be read: what is not in this list must be known not to be there.
   */
  async function listCharges(request: {
    readonly subscriptionId: string
    readonly since: Date
  }): Promise<
    { readonly outcome: 'listed'; readonly transactions: readonly PaddleTransaction[] } | PaddleRefusal
  > {
    const subscriptionId = paddleId(request.subscriptionId)
    const listed = await listAll(client, 'list charges', (paddle) =>
      paddle.transactions.list({
        subscriptionId: [subscriptionId],
        origin: ['subscription_charge'],
        'createdAt[GTE]': request.since.toISOString(),
        orderBy: 'created_at[DESC]',
        perPage: transactionsPerPage,
      }),
    )
    if (listed.outcome !== 'listed') return listed
    const { facts, unreadable } = understood(listed.items, readTransaction)
    const [first] = unreadable
    return first === undefined
      ? { outcome: 'listed', transactions: facts }
      : { outcome: 'unknown', cause: `unreadable charge ${first.id ?? ''}: ${first.detail}` }
  }

  return { charge, previewCharge, listCharges }
}

function chargeBody(productId: string, amountMicros: Micros, note: TopUpNote | null) {
  return {
    effectiveFrom: 'immediately' as const,
    // Anything else would let Paddle try again days later, when nobody expects it.
    onPaymentFailure: 'prevent_change' as const,
    items: [topUpItem(productId, amountMicros, note)],
  }
}
