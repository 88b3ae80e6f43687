/**
 * Everything this project asks of Paddle. Each function makes its calls through `client.ts` and answers with a value: what
 * Paddle said, or a `PaddleRefusal` that says what the failure proves. None of them logs, retries or remembers anything.
 */
import { chargeCalls } from './charge.ts'
import { checkoutCalls } from './checkout.ts'
import { createPaddleClient, type PaddleClientOptions } from './client.ts'
import { customerCalls } from './customer.ts'
import { lookupCalls } from './lookup.ts'

export type PaddleGatewayOptions = PaddleClientOptions & {
  /** `pro_...`: the product as which credit is sold. Its tax category decides the tax. */
  readonly productId: string
  /** `pri_...`: the yearly price of $0 whose subscription keeps a wallet's card. */
  readonly setupPriceId: string
}

export type PaddleGateway = ReturnType<typeof createPaddleGateway>

/**
 * Shape:  `installPaddleTransport` must have been called in this process.
 * Throws: BillingError `paddle_transport_missing`, or one of `paddleTargetOf` for a key or an environment that cannot be.
 */
export function createPaddleGateway({ productId, setupPriceId, ...options }: PaddleGatewayOptions) {
  const client = createPaddleClient(options)
  return {
    ...chargeCalls(client, productId),
    ...lookupCalls(client),
    ...checkoutCalls(client, { productId, setupPriceId }),
    ...customerCalls(client),
  }
}
