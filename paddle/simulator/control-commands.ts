/**
 * What a test or a demo may tell the simulator: each command's name and the shape of what it is given. Both ends read this,
 * the client that sends a command and the server that obeys it.
 */
import { z } from 'zod'

const milliseconds = z.number()
const count = z.int().min(0)
const customData = z.record(z.string(), z.unknown())
/** Whole minor units (cents of USD) as text: 10000 is $100. */
const minorUnits = z.string().regex(/^\d+$/, 'expected whole minor units, such as "10000"')

const declineCode = z.enum([
  'already_canceled',
  'already_refunded',
  'authentication_failed',
  'blocked_card',
  'canceled',
  'declined',
  'declined_not_retryable',
  'expired_card',
  'fraud',
  'invalid_amount',
  'invalid_payment_details',
  'issuer_unavailable',
  'not_enough_balance',
  'psp_error',
  'redacted_payment_method',
  'system_error',
  'transaction_not_permitted',
  'unknown',
])

function isPattern(text: string): boolean {
  try {
    return new RegExp(text).source !== ''
  } catch {
    return false
  }
}

const cardBehaviour = z.union([
  z.literal('ok'),
  z.strictObject({ decline: declineCode, times: count.optional() }),
])

const fault = z.strictObject({
  /** `charge`, `list_transactions`, `any`, or a pattern that "METHOD /path" must match. */
  on: z.string().refine(isPattern, 'expected charge, list_transactions, any or a pattern'),
  kind: z.enum([
    /** Never answers; the client has to give up. */
    'hang',
    /** The connection breaks. */
    'reset',
    'http_500',
    'html_502',
    'empty_504',
    /** The answer ends in the middle. */
    'truncated_json',
    /** 429 `too_many_requests`. */
    'rate_limited',
    /** 409 `subscription_locked_renewal`. */
    'locked_renewal',
    /** 409. */
    'concurrent_modification',
    /** 409 `subscription_outstanding_transaction`. */
    'outstanding_transaction',
    /** `before`: works only after `delayMs`, even if the client has gone. `after`: works now and answers after `delayMs`. */
    'slow',
    /** Paddle does the work twice, and answers as if once. */
    'processed_twice',
  ]),
  /** Whether the work was done. `before` unless told; `processed_twice` has no say. */
  when: z.enum(['before', 'after']).default('before'),
  /** For so long a list does not show the transactions that this request makes. */
  visibleAfterMs: milliseconds.optional(),
  delayMs: milliseconds.default(0),
  /** With `rate_limited`. */
  retryAfterSeconds: count.nullable().optional(),
  /** For how many requests that match; 1 unless told. */
  times: z.int().min(1).default(1),
})

const webhookPolicy = z.strictObject({
  mode: z.enum(['deliver', 'drop', 'hold']).optional(),
  /** So many extra copies of each, with the same event id and notification id. */
  duplicate: count.optional(),
  delayMs: milliseconds.optional(),
  /**
   * In which order what one request caused is sent, and what is released. Each then waits for the answer
   * to the one before; with `any`, as long as nothing is told, up to eight are under way at a time.
   */
  order: z.enum(['any', 'sent', 'reversed', 'shuffled']).optional(),
  /** Of `shuffled`. */
  seed: z.int().optional(),
  /** A request is answered only after its webhooks were. */
  beforeResponse: z.boolean().optional(),
  badSignature: z.boolean().optional(),
  twoSignatures: z.enum(['off', 'good_first', 'good_last']).optional(),
  /** Signed so long ago. */
  staleSeconds: count.optional(),
  /** Each event is followed by one of a kind that nobody knows. */
  unknownTypes: z.boolean().optional(),
  /** How long the receiver has to answer; 5 s unless told. */
  timeoutMs: milliseconds.optional(),
  /** How long after each attempt that failed the next is made. */
  retryDelaysMs: z.array(milliseconds).optional(),
})

const switches = z.strictObject({
  /** What becomes of the transaction of a charge that was declined and prevented. */
  declinedTransaction: z.enum(['canceled', 'absent']).optional(),
  /** Whether a second charge is refused while one is under way on the same subscription. */
  parallelCharges: z.enum(['both', 'conflict']).optional(),
  /** Whether a subscription's custom data is copied to its later transactions. */
  customDataPropagation: z.boolean().optional(),
  /** How long a charge stands `billed` before the card answers. */
  captureAfterMs: milliseconds.optional(),
  /** How long a transaction stands `paid` before it is `completed`. */
  completeAfterMs: milliseconds.optional(),
  /** After how long Paddle approves a refund by itself; null: never. */
  refundApprovalMs: milliseconds.nullable().optional(),
})

const limits = z.strictObject({
  requestsPerMinute: count.nullable().optional(),
  chargesPerHour: count.nullable().optional(),
  chargesPerDay: count.nullable().optional(),
})

const customerFacts = {
  email: z.string().optional(),
  country: z.string().length(2).optional(),
  postalCode: z.string().optional(),
  region: z.string().optional(),
}

const nothing = z.strictObject({})
const onTransaction = { transactionId: z.string() }
const onSubscription = { subscriptionId: z.string() }
const onAdjustment = z.strictObject({ adjustmentId: z.string() })

export const commands = {
  setWebhookUrl: z.strictObject({ url: z.string().nullable() }),
  advance: z.strictObject({ durationMs: milliseconds }),
  setClockOffset: z.strictObject({ offsetMs: milliseconds }),
  now: nothing,
  reset: nothing,

  saveCard: z.strictObject({
    workspaceId: z.string(),
    ...customerFacts,
    /** A card number; 4242424242424242 unless told. */
    card: z.string().optional(),
    /** An existing customer. */
    customerId: z.string().optional(),
    /** Whether the customer also ticks "save card", which is what makes it show among the saved ones. */
    consent: z.boolean().optional(),
  }),
  payCheckout: z.strictObject({
    ...onTransaction,
    ...customerFacts,
    card: z.string().optional(),
    saveCard: z.boolean().optional(),
    /** What happens whatever the card would say. */
    outcome: z.union([z.enum(['pay', 'abandon']), declineCode]).optional(),
  }),
  setCard: z.strictObject({ paymentMethodId: z.string(), behaviour: cardBehaviour }),
  fault,
  clearFaults: nothing,

  webhooks: webhookPolicy,
  releaseWebhooks: nothing,
  replay: z.strictObject({ eventId: z.string() }),
  deliverTo: z.strictObject({ url: z.string() }),
  pendingWebhooks: nothing,

  refund: z.strictObject({
    ...onTransaction,
    /** Before tax; all that is left unless told. */
    amount: minorUnits.optional(),
    status: z.enum(['pending_approval', 'approved']).optional(),
  }),
  approveAdjustment: onAdjustment,
  rejectAdjustment: onAdjustment,
  chargeback: z.strictObject({ ...onTransaction, amount: minorUnits.optional() }),
  chargebackWarning: z.strictObject({ ...onTransaction, amount: minorUnits.optional() }),
  reverseChargeback: onAdjustment,
  reverseChargebackWarning: onAdjustment,

  removeCard: z.strictObject(onSubscription),
  changeCard: z.strictObject({ ...onSubscription, card: z.string() }),
  pauseSubscription: z.strictObject(onSubscription),
  resumeSubscription: z.strictObject(onSubscription),
  renewSubscription: z.strictObject(onSubscription),
  pastDue: z.strictObject(onSubscription),

  tamper: z.strictObject({
    ...onTransaction,
    currency: z.string().length(3).optional(),
    unitAmount: minorUnits.optional(),
    productId: z.string().optional(),
    customerId: z.string().optional(),
    dropCustomData: z.boolean().optional(),
  }),
  createTransaction: z.strictObject({
    /** Made anew when it is not given. */
    customerId: z.string().optional(),
    subscriptionId: z.string().optional(),
    amount: minorUnits,
    currency: z.string().length(3).optional(),
    productId: z.string().optional(),
    origin: z.enum(['api', 'web', 'subscription_charge', 'subscription_recurring']).optional(),
    customData: customData.nullable().optional(),
    priceCustomData: customData.nullable().optional(),
    /** Whether it is paid at once; true unless told. */
    paid: z.boolean().optional(),
  }),
  giveCredit: z.strictObject({
    customerId: z.string(),
    amount: minorUnits,
    currency: z.string().length(3).optional(),
  }),

  switches,
  limits,
  journal: nothing,
  events: nothing,
} as const

export type CommandName = keyof typeof commands
export type CommandInput<Name extends CommandName> = z.input<(typeof commands)[Name]>
export type CommandOutput<Name extends CommandName> = z.output<(typeof commands)[Name]>

export type DeclineCode = z.infer<typeof declineCode>
export type Fault = z.output<typeof fault>
export type WebhookPolicy = z.infer<typeof webhookPolicy>
export type Switches = Required<{
  [Key in keyof z.infer<typeof switches>]: NonUndefined<z.infer<typeof switches>[Key]>
}>
export type Limits = Required<{
  [Key in keyof z.infer<typeof limits>]: NonUndefined<z.infer<typeof limits>[Key]>
}>

type NonUndefined<Value> = Exclude<Value, undefined>
