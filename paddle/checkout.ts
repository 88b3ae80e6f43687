/** What a customer does in person: paying a top-up, saving a card, replacing it. Paddle's page does it; this prepares it. */
import type { CountryCode } from '@paddle/paddle-node-sdk'
import { z } from 'zod'

import { BillingError } from '../billing/billing-error.ts'
import type { Micros } from '../billing/money.ts'
import { paddleId, type PaddleClient } from './client.ts'
import { wireOf } from './facts.ts'
import type { PaddleRefusal } from './outcome.ts'
import { readPreview, type Previewed } from './preview.ts'
import { topUpItem } from './top-up-item.ts'

/** A transaction for Paddle's checkout; the URL is null when the account has no default payment link. */
export type CheckoutCreated = {
  readonly outcome: 'created'
  readonly transactionId: string
  readonly checkoutUrl: string | null
}

const wireCheckout = z.object({
  id: z.string().min(1),
  checkout: z.object({ url: z.string().nullish() }).nullish(),
})

export function checkoutCalls(
  client: PaddleClient,
  { productId, setupPriceId }: { productId: string; setupPriceId: string },
) {
  /**
   * A checkout for a top-up; with `saveCard` it also starts the subscription that keeps the card.
   *
   * Shape:  the top-up is named on its price alone. The transaction names only the workspace, because Paddle copies what is
   *         noted there to the subscription and from it to every later charge.
   * Throws: BillingError for an id or an amount that no checkout can have.
   */
  async function createCheckout(request: {
    readonly customerId: string
    readonly workspaceId: string
    readonly topUpId: string
    readonly amountMicros: Micros
    readonly saveCard: boolean
  }): Promise<CheckoutCreated | PaddleRefusal> {
    const { workspaceId, topUpId, amountMicros, saveCard } = request
    const customerId = paddleId(request.customerId)
    const topUp = topUpItem(productId, amountMicros, { topUpId, workspaceId, source: 'checkout' })
    const items = saveCard ? [topUp, setupItem(setupPriceId)] : [topUp]
    return checkoutOf(
      await client('create checkout', (paddle) =>
        paddle.transactions.create(transactionBody({ customerId, workspaceId, items })),
      ),
    )
  }

  /** A checkout of $0 that only saves a card. */
  async function createCardSetup(request: {
    readonly customerId: string
    readonly workspaceId: string
  }): Promise<CheckoutCreated | PaddleRefusal> {
    const { workspaceId } = request
    const customerId = paddleId(request.customerId)
    const items = [setupItem(setupPriceId)]
    return checkoutOf(
      await client('create card setup', (paddle) =>
        paddle.transactions.create(transactionBody({ customerId, workspaceId, items })),
      ),
    )
  }

  /** A checkout that replaces the card of a subscription. If the subscription is past due it also collects what is owed. */
  async function getCardUpdate(subscriptionId: string): Promise<CheckoutCreated | PaddleRefusal> {
    const id = paddleId(subscriptionId)
    return checkoutOf(
      await client('get card update', (paddle) => paddle.subscriptions.getPaymentMethodChangeTransaction(id)),
    )
  }

  /** What a checkout would come to, for a customer or a country (ISO 3166, two letters). Throws as `createCheckout` does. */
  async function previewCheckout(request: {
    readonly customerId?: string
    readonly country?: string
    readonly amountMicros: Micros
  }): Promise<Previewed | PaddleRefusal> {
    const body = {
      items: [topUpItem(productId, request.amountMicros, null)],
      currencyCode: 'USD' as const,
      ...(request.customerId === undefined ? {} : { customerId: paddleId(request.customerId) }),
      ...(request.country === undefined ? {} : { address: { countryCode: countryCode(request.country) } }),
    }
    const answer = await client('preview checkout', (paddle) => paddle.transactions.preview(body))
    return answer.outcome === 'answered' ? readPreview(wireOf(answer.answer.details.totals)) : answer
  }

  return { createCheckout, createCardSetup, getCardUpdate, previewCheckout }
}

function setupItem(setupPriceId: string) {
  return { priceId: setupPriceId, quantity: 1 }
}

function transactionBody<Item>({
  customerId,
  workspaceId,
  items,
}: {
  customerId: string
  workspaceId: string
  items: Item[]
}) {
  return {
    items,
    customerId,
    customData: { workspace_id: workspaceId },
    currencyCode: 'USD' as const,
    collectionMode: 'automatic' as const,
  }
}

function checkoutOf(answer: Awaited<ReturnType<PaddleClient>>): CheckoutCreated | PaddleRefusal {
  if (answer.outcome !== 'answered') return answer
  const wire = wireCheckout.safeParse(wireOf(answer.answer))
  return wire.success
    ? { outcome: 'created', transactionId: wire.data.id, checkoutUrl: wire.data.checkout?.url ?? null }
    : { outcome: 'unknown', cause: 'unreadable answer: no transaction' }
}

function countryCode(country: string): CountryCode {
  if (isCountryCode(country)) return country
  throw new BillingError(
    'malformed_country',
    `Expected a country such as "US"; got ${JSON.stringify(country.slice(0, 20))}`,
  )
}

/** Paddle knows which of these there are. */
function isCountryCode(text: string): text is CountryCode {
  return /^[A-Z]{2}$/.test(text)
}
