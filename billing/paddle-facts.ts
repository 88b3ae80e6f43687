/**
 * What Paddle says happened, in our words: the facts that its webhooks, its answers and its lists all carry, read once at
 * the edge (`paddle/`) and understood here and in `db/` without knowing its SDK.
 */

/** Money as Paddle counts it: whole minor units of its currency (cents of USD), never rounded by us. */
export type MinorUnits = { readonly amount: bigint; readonly currency: string }

/** A transaction at Paddle: a checkout, or a charge on a wallet's subscription. Never one of our ledger. */
export type PaddleTransaction = {
  /** `txn_...` */
  readonly transactionId: string
  /** `draft`, `ready`, `billed`, `paid`, `completed`, `canceled`, `past_due`, or what Paddle may add. */
  readonly status: string
  /** `api`, `web`, `subscription_charge`, `subscription_recurring`, `subscription_payment_method_change`, ... */
  readonly origin: string
  readonly customerId: string | null
  readonly subscriptionId: string | null
  /** The workspace that the transaction's own custom data names; Paddle copies it from checkout to subscription to charge. */
  readonly workspaceId: string | null
  readonly lines: readonly PaddleLine[]
  /** What the customer pays, tax included. Never what a wallet is credited with. */
  readonly grandTotal: MinorUnits
  /** Newest first. */
  readonly payments: readonly PaddlePayment[]
  readonly createdAt: Date
  readonly updatedAt: Date
}

/** One item of a transaction, with what its price's custom data says. */
export type PaddleLine = {
  readonly productId: string | null
  /** Subtotal less discount, before tax. */
  readonly net: MinorUnits
  /** Our id of the top-up, from the price's custom data; null on anything that is not a top-up. */
  readonly topUpId: string | null
  readonly workspaceId: string | null
  /** `checkout`, `api` or `auto_recharge`, as we wrote it; null when we did not. */
  readonly source: string | null
}

export type PaddlePayment = {
  /** Only `captured` is money. */
  readonly status: string
  readonly errorCode: string | null
  readonly paymentMethodId: string | null
  readonly card: PaddleCard | null
  readonly createdAt: Date
}

export type PaddleCard = {
  /** `visa`, `mastercard`, ... */
  readonly brand: string
  readonly last4: string
  readonly expiryMonth: number
  readonly expiryYear: number
}

/** The subscription that keeps a wallet's card. */
export type PaddleSubscription = {
  /** `sub_...` */
  readonly subscriptionId: string
  /** `active`, `trialing`, `paused`, `past_due`, `canceled`, or what Paddle may add. */
  readonly status: string
  readonly customerId: string
  readonly workspaceId: string | null
  /** The setup transaction; only the `subscription.created` event carries it. */
  readonly transactionId: string | null
  readonly updatedAt: Date
}

/** A refund, a chargeback, its warning, or the reverse of one. */
export type PaddleAdjustment = {
  /** `adj_...` */
  readonly adjustmentId: string
  /** `refund`, `credit`, `chargeback`, `chargeback_warning`, `chargeback_reverse`, `chargeback_warning_reverse`, `credit_reverse`, ... */
  readonly action: string
  /** `pending_approval`, `approved`, `rejected`, `reversed`. */
  readonly status: string
  readonly transactionId: string
  readonly customerId: string
  /** What is given or taken back, before tax; above zero. */
  readonly net: MinorUnits
  readonly createdAt: Date
  readonly updatedAt: Date
}

/** A customer at Paddle. Its custom data is written by us alone. */
export type PaddleCustomer = {
  /** `ctm_...` */
  readonly customerId: string
  readonly email: string
  readonly workspaceId: string | null
}

/** A webhook, or a line of Paddle's list of events. `fact` is null for a kind of event that moves nothing here. */
export type PaddleEvent = {
  /** `evt_...`; a replay has the same. */
  readonly eventId: string
  /** `transaction.completed`, ... */
  readonly eventType: string
  readonly occurredAt: Date
  readonly fact:
    | { readonly kind: 'transaction'; readonly transaction: PaddleTransaction }
    | { readonly kind: 'subscription'; readonly subscription: PaddleSubscription }
    | { readonly kind: 'adjustment'; readonly adjustment: PaddleAdjustment }
    | null
}
