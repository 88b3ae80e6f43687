/**
 * What the simulator keeps: Paddle's entities in the shapes that its SDK reads, with every field present that Paddle always
 * sends. They are never changed in place, so that an event may keep the entity as it was.
 */
import type {
  ErrorCode,
  IAddressResponse,
  IAdjustmentResponse,
  ICustomerResponse,
  INotificationSettingsResponse,
  IPaymentCardResponse,
  IPriceResponse,
  IProductResponse,
  ISubscriptionItemResponse,
  ISubscriptionResponse,
  ITransactionDetailsResponse,
  ITransactionItemResponse,
  ITransactionLineItemResponse,
  ITransactionResponse,
  ITransactionTotalsAdjustedResponse,
  ITransactionTotalsResponse,
  ITotals,
  IUnitTotals,
} from '@paddle/paddle-node-sdk'

export type CustomData = Record<string, unknown>

export type Product = Required<Omit<IProductResponse, 'prices'>>

export type Price = Required<Omit<IPriceResponse, 'product'>>

export type Customer = Required<ICustomerResponse>

export type Address = Required<IAddressResponse>

export type TransactionItem = Required<Omit<ITransactionItemResponse, 'price' | 'price_id'>> & {
  price: Price
}

export type LineItem = Required<
  Omit<ITransactionLineItemResponse, 'product' | 'proration' | 'totals' | 'unit_totals'>
> & {
  /** Nothing here is billed for a part of a period. */
  proration: null
  unit_totals: IUnitTotals
  totals: ITotals
  product: Product
}

export type TransactionDetails = Required<
  Omit<ITransactionDetailsResponse, 'adjusted_totals' | 'line_items' | 'totals'>
> & {
  totals: Required<ITransactionTotalsResponse>
  adjusted_totals: Required<ITransactionTotalsAdjustedResponse>
  line_items: LineItem[]
}

/** Only what a request asks to be included is left out. */
export type Transaction = Required<
  Omit<
    ITransactionResponse,
    | 'address'
    | 'adjustments'
    | 'adjustments_totals'
    | 'available_payment_methods'
    | 'business'
    | 'customer'
    | 'details'
    | 'discount'
    | 'items'
  >
> & { items: TransactionItem[]; details: TransactionDetails }

type SubscriptionItem = Required<ISubscriptionItemResponse> & { price: Price; product: Product }

export type Subscription = Required<
  Omit<ISubscriptionResponse, 'items' | 'next_transaction' | 'recurring_transaction_details'>
> & { items: SubscriptionItem[] }

export type Adjustment = Required<IAdjustmentResponse>

export type NotificationSetting = INotificationSettingsResponse

/** What a card does when it is charged; `times` limits a decline to the next few charges. */
export type CardBehaviour = 'ok' | { decline: ErrorCode; times?: number | undefined }

/** A card that Paddle knows. The customer sees it among the saved ones only after consenting to that. */
export type PaymentMethod = {
  readonly id: string
  readonly customerId: string
  readonly addressId: string
  readonly card: IPaymentCardResponse
  readonly behaviour: CardBehaviour
  readonly consented: boolean
  readonly storedPaymentMethodId: string
  readonly savedAt: string
  readonly updatedAt: string
}

export type SimulatedEvent = {
  readonly eventId: string
  readonly eventType: string
  readonly occurredAt: string
  readonly data: object
}

/** Money that really left a card: what a wallet's books are compared with. */
export type Capture = {
  readonly transactionId: string
  /** What the price's custom data calls `top_up_id`; null on anything that is not a top-up. */
  readonly topUpId: string | null
  readonly subscriptionId: string | null
  readonly customerId: string | null
  /** Minor units, after discount and before tax. */
  readonly net: string
  readonly currency: string
  readonly capturedAt: string
  readonly paymentMethodId: string
}
