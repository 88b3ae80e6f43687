/** What must exist in a Paddle account before a gateway can work with it. A setup script makes it once. */
import { createPaddleClient, type PaddleClientOptions } from './client.ts'
import type { PaddleRefusal } from './outcome.ts'

/**
 * Creates the product as which credit is sold, and the yearly price of $0 whose subscription keeps a card.
 *
 * Shape:  every call creates both anew. The product has the tax category `standard`, which every account may use; whether
 *         another one is right is a question for whoever answers for the tax.
 * Throws: as `createPaddleGateway`.
 */
export async function createPaddleCatalog({
  name,
  ...options
}: PaddleClientOptions & {
  /** What customers see on their receipts, such as "Acme Voice credit". */
  readonly name: string
}): Promise<
  { readonly outcome: 'created'; readonly productId: string; readonly setupPriceId: string } | PaddleRefusal
> {
  const client = createPaddleClient(options)
  const product = await client('create product', (paddle) =>
    paddle.products.create({ name, taxCategory: 'standard', description: 'Prepaid credit' }),
  )
  if (product.outcome !== 'answered') return product
  const price = await client('create setup price', (paddle) =>
    paddle.prices.create({
      productId: product.answer.id,
      name: 'Saved card',
      description: 'Keeps a card for top-ups; costs nothing',
      // Exactly nothing: Paddle refuses what is more than that and less than its least charge.
      unitPrice: { amount: '0', currencyCode: 'USD' },
      // A subscription cannot be charged for half an hour before each renewal, so renewals are rare.
      billingCycle: { interval: 'year', frequency: 1 },
      taxMode: 'external',
      quantity: { minimum: 1, maximum: 1 },
    }),
  )
  if (price.outcome !== 'answered') return price
  return { outcome: 'created', productId: product.answer.id, setupPriceId: price.answer.id }
}
