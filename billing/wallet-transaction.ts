/**
 * Wallet transactions: what a customer sees of the ledger. How they are named, sorted into types and told in words; the ledger
 * itself knows none of this.
 */
import { hash } from 'node:crypto'

import type { WorkspaceId } from './ids.ts'
import { ledgerTransactionKinds as kinds, type LedgerTransactionKind } from './ledger-draft.ts'

/**
 * `topup`: credit that came, bought or given. `usage`: what happened and cost. `refund`: what went back or was put right, by
 * a refund, a dispute or a correction; either way, so its amount may be above or below zero.
 */
export const walletTransactionTypes = ['topup', 'usage', 'refund'] as const

export type WalletTransactionType = (typeof walletTransactionTypes)[number]

/** The kinds of ledger transactions that are usage. */
export const usageKinds = ['call', 'message', 'number_rental'] as const satisfies LedgerTransactionKind[]

export function typeOfKind(kind: LedgerTransactionKind): WalletTransactionType {
  return types[kind]
}

export function kindsOfType(type: WalletTransactionType): LedgerTransactionKind[] {
  return kinds.filter((kind) => types[kind] === type)
}

/** What a transaction belongs to. */
export type WalletTransactionSubject =
  | { readonly of: 'call'; readonly callId: string }
  | { readonly of: 'message'; readonly messageId: string; readonly chatId: string | null }
  /** `periodStart`: the day, UTC, on which the month starts that was paid. */
  | {
      readonly of: 'number'
      readonly number: string
      readonly phoneNumberId: string
      readonly periodStart: string
    }
  | { readonly of: 'top_up'; readonly topUpId: string }
  | { readonly of: 'wallet' }

/** As much of a ledger transaction as says what it is about. */
export type LedgerFact = {
  readonly kind: LedgerTransactionKind
  readonly idempotencyKey: string
  readonly reference: string
}

export function subjectOf(fact: LedgerFact): WalletTransactionSubject {
  return subjects[fact.kind](fact)
}

/** One line for a statement. `amountMicros` is the signed effect: money that went back may come again. */
export function describeWalletTransaction(fact: LedgerFact & { readonly amountMicros: bigint }): string {
  return descriptions[fact.kind](fact, fact.amountMicros < 0n)
}

/**
 * The name of a wallet transaction for the outside: its place in the wallet, and digits that only this wallet has, so that the
 * name of another wallet's transaction is no name here.
 *
 * Shape: `txn_`, the place in base 36 with at least 8 digits, then 8 digits. Names of one wallet sort as its transactions do.
 */
export function walletTransactionId(workspaceId: WorkspaceId, sequence: bigint): string {
  const place = sequence.toString(36).padStart(placeDigits, '0')
  return `txn_${place}${hash('sha256', `${workspaceId}/${place}`, 'hex').slice(0, checkDigits)}`
}

/** The place in the wallet that a name means. Null when it is no name of a transaction of this wallet. */
export function sequenceOfTransactionId(workspaceId: WorkspaceId, id: string): bigint | null {
  const place = idShape.exec(id)?.[1]
  if (place === undefined) return null
  let sequence = 0n
  for (const digit of place) sequence = sequence * 36n + BigInt(Number.parseInt(digit, 36))
  return sequence <= largestSequence && walletTransactionId(workspaceId, sequence) === id ? sequence : null
}

const placeDigits = 8
const checkDigits = 8
const idShape = /^txn_([0-9a-z]{8,13})[0-9a-f]{8}$/
/** What Postgres' bigint holds. */
const largestSequence = 2n ** 63n - 1n

const types: Record<LedgerTransactionKind, WalletTransactionType> = {
  call: 'usage',
  message: 'usage',
  number_rental: 'usage',
  top_up: 'topup',
  grant: 'topup',
  refund: 'refund',
  chargeback: 'refund',
  adjustment: 'refund',
  reversal: 'refund',
}

const ofTopUp = ({ reference }: LedgerFact): WalletTransactionSubject => ({
  of: 'top_up',
  topUpId: reference,
})
const ofWallet = (): WalletTransactionSubject => ({ of: 'wallet' })

/** `rental/<number>/<day>`, which the key of a reversal has behind a word of its own. */
const ofNumber = ({ idempotencyKey, reference }: LedgerFact): WalletTransactionSubject => {
  const [periodStart = '', phoneNumberId = ''] = idempotencyKey.split('/').toReversed()
  return { of: 'number', number: reference, phoneNumberId, periodStart }
}
const describeMonth = ({ reference, idempotencyKey }: LedgerFact): string =>
  `Rental of ${reference}, the month from ${idempotencyKey.split('/').at(-1)}`
const isOfNumber = ({ idempotencyKey }: LedgerFact): boolean => idempotencyKey.startsWith('reversal/rental/')

const subjects: Record<LedgerTransactionKind, (fact: LedgerFact) => WalletTransactionSubject> = {
  call: ({ reference }) => ({ of: 'call', callId: reference }),
  message: ({ idempotencyKey, reference }) => {
    const messageId = idempotencyKey.slice('message/'.length)
    return { of: 'message', messageId, chatId: reference === messageId ? null : reference }
  },
  number_rental: ofNumber,
  top_up: ofTopUp,
  refund: ofTopUp,
  chargeback: ofTopUp,
  grant: ofWallet,
  adjustment: ofWallet,
  reversal: (fact) => (isOfNumber(fact) ? ofNumber(fact) : ofWallet()),
}

const descriptions: Record<LedgerTransactionKind, (fact: LedgerFact, isDebit: boolean) => string> = {
  call: ({ reference }) => `Call ${reference}`,
  message: ({ reference }) => `Chat message in ${reference}`,
  number_rental: describeMonth,
  top_up: ({ reference }) => `Funds added by ${reference}`,
  grant: ({ idempotencyKey }) => (idempotencyKey === 'grant/signup' ? 'Signup credit' : 'Credit given'),
  refund: ({ reference }, isDebit) => `Refund of ${reference}${isDebit ? '' : ' taken back'}`,
  chargeback: ({ reference }, isDebit) => `Dispute of ${reference}${isDebit ? '' : ' won'}`,
  adjustment: ({ reference }) => `Adjustment ${reference}`,
  reversal: (fact) =>
    isOfNumber(fact) ? `${describeMonth(fact)}, given back` : `Reversal of ${fact.reference}`,
}
