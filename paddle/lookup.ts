/** Asking Paddle for one thing by its id, or for everything of a kind. */
import type {
  PaddleAdjustment,
  PaddleCustomer,
  PaddleSubscription,
  PaddleTransaction,
} from '../billing/paddle-facts.ts'
import { transactionsPerPage } from './charge.ts'
import { factOf, paddleId, type PaddleClient } from './client.ts'
import {
  movesWallet,
  readAdjustment,
  readCustomer,
  readEvent,
  readSubscription,
  readTransaction,
  wireOf,
  type EventReading,
  type Reading,
  type Unreadable,
} from './facts.ts'
import { listAll, understood } from './listing.ts'
import type { PaddleRefusal } from './outcome.ts'

type NotFound = { readonly outcome: 'not_found' }
/** What could not be read is listed beside what could, so that one entity that Paddle has changed does not hide the rest. */
type Listed<Facts> = { readonly outcome: 'listed'; readonly unreadable: readonly Unreadable[] } & Facts

/** The most that Paddle lists on a page of anything but transactions. */
const othersPerPage = 200

export function lookupCalls(client: PaddleClient) {
  async function getTransaction(
    transactionId: string,
  ): Promise<
    { readonly outcome: 'found'; readonly transaction: PaddleTransaction } | NotFound | PaddleRefusal
  > {
    const id = paddleId(transactionId)
    const answer = await client('get transaction', (paddle) => paddle.transactions.get(id))
    const found = foundOf(answer, readTransaction)
    return found.outcome === 'answered' ? { outcome: 'found', transaction: found.answer } : found
  }

  async function getSubscription(
    subscriptionId: string,
  ): Promise<
    { readonly outcome: 'found'; readonly subscription: PaddleSubscription } | NotFound | PaddleRefusal
  > {
    const id = paddleId(subscriptionId)
    const answer = await client('get subscription', (paddle) => paddle.subscriptions.get(id))
    const found = foundOf(answer, readSubscription)
    return found.outcome === 'answered' ? { outcome: 'found', subscription: found.answer } : found
  }

  async function getCustomer(
    customerId: string,
  ): Promise<{ readonly outcome: 'found'; readonly customer: PaddleCustomer } | NotFound | PaddleRefusal> {
    const id = paddleId(customerId)
    const answer = await client('get customer', (paddle) => paddle.customers.get(id))
    const found = foundOf(answer, readCustomer)
    return found.outcome === 'answered' ? { outcome: 'found', customer: found.answer } : found
  }

  /** Every transaction that changed at or after `updatedSince`, the longest unchanged first. */
  async function listTransactions(request: {
    readonly updatedSince: Date
  }): Promise<Listed<{ readonly transactions: readonly PaddleTransaction[] }> | PaddleRefusal> {
    const listed = await listAll(
      client,
      'list transactions',
      (paddle) =>
        paddle.transactions.list({
          'updatedAt[GTE]': request.updatedSince.toISOString(),
          // What changes while the pages are read moves to the end and is met there, not missed.
          orderBy: 'updated_at[ASC]',
          perPage: transactionsPerPage,
        }),
      { patient: true },
    )
    if (listed.outcome !== 'listed') return listed
    const { facts, unreadable } = understood(listed.items, readTransaction)
    return { outcome: 'listed', transactions: facts, unreadable }
  }

  /**
   * Every adjustment that changed at or after `updatedSince` and moves a wallet, newest first. Paddle cannot filter them by
   * time, and an old one may be approved or reversed today, so that all are read; there are few.
   */
  async function listAdjustments(request: {
    readonly updatedSince: Date
  }): Promise<Listed<{ readonly adjustments: readonly PaddleAdjustment[] }> | PaddleRefusal> {
    const listed = await listAll(
      client,
      'list adjustments',
      (paddle) => paddle.adjustments.list({ orderBy: 'id[DESC]', perPage: othersPerPage }),
      { patient: true },
    )
    if (listed.outcome !== 'listed') return listed
    const { facts, unreadable } = understood(listed.items, readAdjustment)
    const adjustments = facts.filter(
      (adjustment) => adjustment.updatedAt >= request.updatedSince && movesWallet(adjustment),
    )
    return { outcome: 'listed', adjustments, unreadable }
  }

  /** Every subscription, or a customer's, newest first. */
  async function listSubscriptions(
    request: { readonly customerId?: string } = {},
  ): Promise<Listed<{ readonly subscriptions: readonly PaddleSubscription[] }> | PaddleRefusal> {
    const customerId = request.customerId === undefined ? {} : { customerId: [paddleId(request.customerId)] }
    const listed = await listAll(
      client,
      'list subscriptions',
      (paddle) => paddle.subscriptions.list({ ...customerId, orderBy: 'id[DESC]', perPage: othersPerPage }),
      { patient: true },
    )
    if (listed.outcome !== 'listed') return listed
    const { facts, unreadable } = understood(listed.items, readSubscription)
    return { outcome: 'listed', subscriptions: facts, unreadable }
  }

  /**
   * Every event at or after `since`, oldest first, each read by itself as a webhook is. Paddle keeps them for 90 days,
   * whether or not they were delivered.
   */
  async function listEvents(request: {
    readonly since: Date
  }): Promise<{ readonly outcome: 'listed'; readonly events: readonly EventReading[] } | PaddleRefusal> {
    const isBefore = (reading: EventReading | undefined): boolean =>
      reading?.outcome === 'read' && reading.event.occurredAt < request.since
    // Event ids sort as the events were made, and Paddle can list them in no other order: pages are read back to `since`.
    const listed = await listAll(
      client,
      'list events',
      (paddle) => paddle.events.list({ orderBy: 'id[DESC]', perPage: othersPerPage }),
      { patient: true, isEnough: (page) => isBefore(page.length === 0 ? undefined : readEvent(page.at(-1))) },
    )
    if (listed.outcome !== 'listed') return listed
    const events = listed.items.map(readEvent).filter((reading) => !isBefore(reading))
    return { outcome: 'listed', events: events.toReversed() }
  }

  return {
    getTransaction,
    getSubscription,
    getCustomer,
    listTransactions,
    listAdjustments,
    listSubscriptions,
    listEvents,
  }
}

function foundOf<Fact>(
  answer: Awaited<ReturnType<PaddleClient>>,
  read: (wire: unknown) => Reading<Fact>,
): ReturnType<typeof factOf<Fact>> | NotFound {
  if (answer.outcome === 'answered') return factOf(read(wireOf(answer.answer)))
  return answer.outcome === 'rejected' && answer.code === 'not_found' ? { outcome: 'not_found' } : answer
}
