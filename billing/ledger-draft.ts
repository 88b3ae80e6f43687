/**
 * Ledger drafts: what a fact means in double entry, before it is booked. Every draft leaves here balanced, and the
 * database checks the same again when it posts it.
 */
import { BillingError } from './billing-error.ts'
import type { WorkspaceId } from './ids.ts'
import { micros, type Micros } from './money.ts'
import type { Meter, RatedUsage } from './rating.ts'
import { occurredAt, usageKey, type UsageEvent } from './usage-event.ts'

/** Where money sits. `wallet` is one account per workspace; the others are the house's. */
export const accounts = [
  'wallet',
  'voice_revenue',
  'telephony_revenue',
  'recording_revenue',
  'message_revenue',
  'number_rental_revenue',
  'paddle_clearing',
  'signup_grants',
  'adjustments',
] as const

export type Account = (typeof accounts)[number]

/** What a ledger transaction may be. */
export const ledgerTransactionKinds = [
  'call',
  'message',
  'number_rental',
  'top_up',
  'grant',
  'refund',
  'chargeback',
  'adjustment',
  'reversal',
] as const

export type LedgerTransactionKind = (typeof ledgerTransactionKinds)[number]

/** A ledger transaction not yet booked. */
export type LedgerTransactionDraft = {
  readonly kind: LedgerTransactionKind
  /** The name of the business fact, unique for ever within the workspace. */
  readonly idempotencyKey: string
  /** The call, chat, number or top-up it belongs to. */
  readonly reference: string
  readonly agentId?: string | undefined
  readonly campaignId?: string | undefined
  /** The signed effect on the wallet: negative is a debit. */
  readonly amountMicros: Micros
  readonly rateCardId: string | null
  /** Of a reversal: the idempotency key of what it undoes. */
  readonly reverses?: string | undefined
  readonly occurredAt: Date
  readonly postings: readonly PostingDraft[]
}

/** One movement. The amount is above zero; its direction is in the accounts. */
export type PostingDraft = {
  readonly debitAccount: Account
  readonly creditAccount: Account
  readonly amountMicros: Micros
  /** Billed seconds or messages, where there are any. */
  readonly quantity: number | null
  /** The telephony prefix that was priced, where there is one. */
  readonly prefix: string | null
}

/** What a person calls an account, and the side on which it grows. A wallet is money that we owe: it grows by credit. */
export function describeAccount(account: Account): {
  readonly title: string
  readonly normalSide: 'debit' | 'credit'
} {
  return accountDetails[account]
}

/**
 * What rated usage takes from the wallet. Lines that came to zero move no money and get no posting.
 *
 * Shape:  debits the wallet and credits each meter's revenue; the reference is the call, or the chat (the message where
 *         there is no chat).
 * Throws: BillingError `unbalanced_draft`.
 */
export function draftUsage(
  event: UsageEvent,
  rated: RatedUsage,
  rateCardId: string | null,
): LedgerTransactionDraft {
  return balanced({
    kind: event.kind,
    idempotencyKey: usageKey(event),
    reference: event.kind === 'call' ? event.id : (event.chatId ?? event.id),
    agentId: event.agentId,
    campaignId: event.campaignId,
    amountMicros: micros(0n - rated.totalMicros),
    rateCardId,
    occurredAt: occurredAt(event),
    postings: rated.lines
      .filter((line) => line.amountMicros > 0n)
      .map((line) => ({
        debitAccount: 'wallet',
        creditAccount: revenueAccounts[line.meter],
        amountMicros: line.amountMicros,
        quantity: line.quantity,
        prefix: line.prefix ?? null,
      })),
  })
}

/**
 * A month of a number, paid in advance. The number and the start of the period are its key, so a period is booked once.
 *
 * Units:  `amountMicros` is the fee.
 * Throws: BillingError `unbalanced_draft` unless the fee is above zero.
 */
export function draftRental(rental: {
  readonly phoneNumberId: string
  readonly phoneNumber: string
  readonly startsAt: Date
  readonly amountMicros: Micros
  readonly rateCardId: string
}): LedgerTransactionDraft {
  const { amountMicros, startsAt } = rental
  return balanced({
    kind: 'number_rental',
    idempotencyKey: rentalKey(rental),
    reference: rental.phoneNumber,
    amountMicros: micros(0n - amountMicros),
    rateCardId: rental.rateCardId,
    occurredAt: startsAt,
    postings: [
      {
        debitAccount: 'wallet',
        creditAccount: revenueAccounts.number_rental,
        amountMicros,
        quantity: 1,
        prefix: null,
      },
    ],
  })
}

/** The idempotency key of a rental period: `rental/<number>/<day on which it starts>`. */
function rentalKey(rental: { readonly phoneNumberId: string; readonly startsAt: Date }): string {
  return `rental/${rental.phoneNumberId}/${rental.startsAt.toISOString().slice(0, 10)}`
}

/**
 * What undoes a booked fact: the same movements the other way round. Its key is made of the other's, so a fact is undone once; it
 * counts for the same time, so that sums over a time come out as if neither had been.
 */
export function draftReversal(reversed: LedgerTransactionDraft): LedgerTransactionDraft {
  return balanced({
    ...reversed,
    kind: 'reversal',
    idempotencyKey: `reversal/${reversed.idempotencyKey}`,
    amountMicros: micros(0n - reversed.amountMicros),
    reverses: reversed.idempotencyKey,
    postings: reversed.postings.map((posting) => ({
      ...posting,
      debitAccount: posting.creditAccount,
      creditAccount: posting.debitAccount,
    })),
  })
}

/**
 * The credit that a workspace starts with. Its key is the same every time, so it is given once.
 *
 * Throws: BillingError `unbalanced_draft` unless the amount is above zero.
 */
export function draftSignupGrant(grant: {
  readonly workspaceId: WorkspaceId
  readonly amountMicros: Micros
  readonly occurredAt: Date
}): LedgerTransactionDraft {
  const { workspaceId, amountMicros, occurredAt } = grant
  return balanced({
    kind: 'grant',
    idempotencyKey: 'grant/signup',
    reference: workspaceId,
    amountMicros,
    rateCardId: null,
    occurredAt,
    postings: [
      { debitAccount: 'signup_grants', creditAccount: 'wallet', amountMicros, quantity: null, prefix: null },
    ],
  })
}

/**
 * Credit that was bought: the wallet grows by what Paddle holds for us. Its key is Paddle's transaction, because each of them
 * is money of its own, even where two of them should have been one.
 *
 * Throws: BillingError `unbalanced_draft` unless the amount is above zero.
 */
export function draftTopUp(topUp: {
  readonly topUpId: string
  readonly paddleTransactionId: string
  readonly amountMicros: Micros
  readonly occurredAt: Date
}): LedgerTransactionDraft {
  const { amountMicros } = topUp
  return balanced({
    kind: 'top_up',
    idempotencyKey: topUpKey(topUp.paddleTransactionId),
    reference: topUp.topUpId,
    amountMicros,
    rateCardId: null,
    occurredAt: topUp.occurredAt,
    postings: [
      {
        debitAccount: 'paddle_clearing',
        creditAccount: 'wallet',
        amountMicros,
        quantity: null,
        prefix: null,
      },
    ],
  })
}

/** The idempotency key under which a Paddle transaction is credited. */
export function topUpKey(paddleTransactionId: string): string {
  return `paddle_transaction/${paddleTransactionId}`
}

/**
 * Money that went back through Paddle, or that came back after all. The wallet may fall below zero by it.
 *
 * Units:  `amountMicros` is the signed effect on the wallet: a refund and a chargeback are below zero, a reversed one above.
 * Throws: BillingError `unbalanced_draft` when the amount is zero.
 */
export function draftPaddleAdjustment(adjustment: {
  readonly kind: 'refund' | 'chargeback'
  readonly idempotencyKey: string
  readonly reference: string
  readonly amountMicros: Micros
  readonly occurredAt: Date
}): LedgerTransactionDraft {
  const { amountMicros } = adjustment
  const isDebit = amountMicros < 0n
  return balanced({
    ...adjustment,
    rateCardId: null,
    postings: [
      {
        debitAccount: isDebit ? 'wallet' : 'paddle_clearing',
        creditAccount: isDebit ? 'paddle_clearing' : 'wallet',
        amountMicros: isDebit ? micros(0n - amountMicros) : amountMicros,
        quantity: null,
        prefix: null,
      },
    ],
  })
}

/**
 * Holds a draft to its word: there are postings, each moves something and has the wallet on exactly one side, and what
 * they do to the wallet is what the draft says.
 *
 * Throws: BillingError `unbalanced_draft`.
 */
export function assertBalanced(
  draft: Pick<LedgerTransactionDraft, 'idempotencyKey' | 'amountMicros' | 'postings'>,
): void {
  let effect = 0n
  for (const posting of draft.postings) {
    if (posting.amountMicros <= 0n) throw unbalanced(draft, 'a posting moves an amount above zero')
    if ((posting.debitAccount === 'wallet') === (posting.creditAccount === 'wallet')) {
      throw unbalanced(draft, 'a posting has the wallet on exactly one side')
    }
    if (posting.creditAccount === 'wallet') effect += posting.amountMicros
    else effect -= posting.amountMicros
  }
  if (draft.postings.length === 0) throw unbalanced(draft, 'a ledger transaction has a posting')
  if (effect !== draft.amountMicros) {
    throw unbalanced(
      draft,
      `the postings move ${effect} micro-dollars and the draft says ${draft.amountMicros}`,
    )
  }
}

const accountDetails: Record<Account, ReturnType<typeof describeAccount>> = {
  wallet: { title: 'Customer wallet', normalSide: 'credit' },
  voice_revenue: { title: 'Voice revenue', normalSide: 'credit' },
  telephony_revenue: { title: 'Telephony revenue', normalSide: 'credit' },
  recording_revenue: { title: 'Recording revenue', normalSide: 'credit' },
  message_revenue: { title: 'Message revenue', normalSide: 'credit' },
  number_rental_revenue: { title: 'Number rental revenue', normalSide: 'credit' },
  paddle_clearing: { title: 'Money at Paddle', normalSide: 'debit' },
  signup_grants: { title: 'Signup grants given', normalSide: 'debit' },
  adjustments: { title: 'Adjustments', normalSide: 'debit' },
}

const revenueAccounts: Record<Meter, Account> = {
  voice: 'voice_revenue',
  telephony: 'telephony_revenue',
  recording: 'recording_revenue',
  message: 'message_revenue',
  number_rental: 'number_rental_revenue',
}

function balanced(draft: LedgerTransactionDraft): LedgerTransactionDraft {
  assertBalanced(draft)
  return draft
}

function unbalanced(draft: { readonly idempotencyKey: string }, why: string): BillingError {
  const { idempotencyKey } = draft
  return new BillingError('unbalanced_draft', `${idempotencyKey}: ${why}`, { idempotencyKey })
}
