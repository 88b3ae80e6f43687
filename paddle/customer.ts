/** A workspace's customer at Paddle: who it is, what it has saved, and letting it manage or end that. */
import { z } from 'zod'

import type { PaddleCard, PaddleCustomer } from '../billing/paddle-facts.ts'
import { factOf, paddleId, type PaddleClient } from './client.ts'
import { instant, readCustomer, wireCard, wireOf } from './facts.ts'
import { listAll, understood } from './listing.ts'
import type { PaddleRefusal } from './outcome.ts'

/** A payment method that the customer agreed to have shown at checkout. A card that a subscription keeps may not be here. */
export type SavedPaymentMethod = {
  /** `paymtd_...` */
  readonly paymentMethodId: string
  /** `card`, `paypal`, ... */
  readonly type: string
  readonly card: PaddleCard | null
  readonly savedAt: Date
}

const wirePaymentMethod = z
  .object({ id: z.string().min(1), type: z.string().min(1), card: wireCard, saved_at: instant })
  .transform(({ id, type, card, saved_at }): SavedPaymentMethod => ({
    paymentMethodId: id,
    type,
    card,
    savedAt: saved_at,
  }))

const wireToken = z.object({ customer_auth_token: z.string().min(1), expires_at: instant })
const wirePortal = z.object({ urls: z.object({ general: z.object({ overview: z.url() }) }) })

export function customerCalls(client: PaddleClient) {
  /**
   * The customer with this e-mail address, created if Paddle has none.
   *
   * Shape:  Paddle has one customer per address: where a person has several workspaces, `customer.workspaceId` is the one
   *         that was first. An archived customer is not reopened: `rejected`, `customer_already_exists`.
   */
  async function openCustomer(request: {
    readonly workspaceId: string
    readonly email: string
    readonly name?: string
  }): Promise<{ readonly outcome: 'opened'; readonly customer: PaddleCustomer } | PaddleRefusal> {
    const { workspaceId, email, name } = request
    const created = await client('create customer', (paddle) =>
      paddle.customers.create({
        email,
        customData: { workspace_id: workspaceId },
        ...(name === undefined ? {} : { name }),
      }),
    )
    if (created.outcome === 'rejected' && created.code === 'customer_already_exists') {
      return await findCustomer(email, created)
    }
    if (created.outcome !== 'answered') return created
    const customer = factOf(readCustomer(wireOf(created.answer)))
    return customer.outcome === 'answered' ? { outcome: 'opened', customer: customer.answer } : customer
  }

  async function findCustomer(
    email: string,
    otherwise: PaddleRefusal,
  ): Promise<{ readonly outcome: 'opened'; readonly customer: PaddleCustomer } | PaddleRefusal> {
    const listed = await listAll(client, 'list customers', (paddle) =>
      paddle.customers.list({ email: [email], perPage: 50 }),
    )
    if (listed.outcome !== 'listed') return listed
    const { facts } = understood(listed.items, readCustomer)
    const customer = facts.find((each) => each.email.toLowerCase() === email.toLowerCase())
    return customer === undefined ? otherwise : { outcome: 'opened', customer }
  }

  /** For display and for checkouts only: a wallet's card may be charged while this is empty. Unreadable ones are left out. */
  async function listPaymentMethods(customerId: string): Promise<
    | {
        readonly outcome: 'listed'
        readonly paymentMethods: readonly SavedPaymentMethod[]
      }
    | PaddleRefusal
  > {
    const id = paddleId(customerId)
    const listed = await listAll(client, 'list payment methods', (paddle) =>
      paddle.paymentMethods.list(id, { perPage: 200 }),
    )
    if (listed.outcome !== 'listed') return listed
    const paymentMethods = listed.items.flatMap((item) => {
      const method = wirePaymentMethod.safeParse(item)
      return method.success ? [method.data] : []
    })
    return { outcome: 'listed', paymentMethods }
  }

  /** A token with which Paddle's checkout shows the customer's saved payment methods. A secret; good for about 30 minutes. */
  async function createCustomerToken(
    customerId: string,
  ): Promise<
    { readonly outcome: 'created'; readonly token: string; readonly expiresAt: Date } | PaddleRefusal
  > {
    const id = paddleId(customerId)
    const answer = await client('create customer token', (paddle) => paddle.customers.generateAuthToken(id))
    if (answer.outcome !== 'answered') return answer
    const wire = wireToken.safeParse(wireOf(answer.answer))
    return wire.success
      ? { outcome: 'created', token: wire.data.customer_auth_token, expiresAt: wire.data.expires_at }
      : { outcome: 'unknown', cause: 'unreadable answer: no token' }
  }

  /** A link that signs the customer in to Paddle's own pages: receipts, cards, subscriptions. A secret; not to be kept. */
  async function createPortalSession(request: {
    readonly customerId: string
    readonly subscriptionIds?: readonly string[]
  }): Promise<{ readonly outcome: 'created'; readonly url: string } | PaddleRefusal> {
    const id = paddleId(request.customerId)
    const subscriptionIds = (request.subscriptionIds ?? []).map(paddleId)
    const answer = await client('create portal session', (paddle) =>
      paddle.customerPortalSessions.create(id, subscriptionIds),
    )
    if (answer.outcome !== 'answered') return answer
    const wire = wirePortal.safeParse(wireOf(answer.answer))
    return wire.success
      ? { outcome: 'created', url: wire.data.urls.general.overview }
      : { outcome: 'unknown', cause: 'unreadable answer: no portal URL' }
  }

  /** Ends a subscription at once, and with it what its card may be charged for. One that has ended stays ended. */
  async function cancelSubscription(
    subscriptionId: string,
  ): Promise<{ readonly outcome: 'canceled' } | PaddleRefusal> {
    const id = paddleId(subscriptionId)
    const answer = await client('cancel subscription', (paddle) =>
      paddle.subscriptions.cancel(id, { effectiveFrom: 'immediately' }),
    )
    const isCanceled =
      answer.outcome === 'answered' ||
      (answer.outcome === 'rejected' && answer.code === 'subscription_is_canceled_action_invalid')
    return isCanceled ? { outcome: 'canceled' } : answer
  }

  return { openCustomer, listPaymentMethods, createCustomerToken, createPortalSession, cancelSubscription }
}
