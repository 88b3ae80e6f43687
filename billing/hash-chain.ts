/**
 * The hash chain of a wallet's ledger: each row's hash covers the one before it and everything the row says, so a row
 * that is changed, removed or put in between is found by computing the chain again. The encoding is frozen: a change
 * to it would make every hash already stored look false.
 */
import { hash } from 'node:crypto'
import type { Account, LedgerTransactionKind } from './ledger-draft.ts'
import type { Micros } from './money.ts'

/** A ledger transaction as it is stored, all of it. Instants are whole milliseconds, which is what is hashed. */
export type ChainedRow = {
  readonly workspaceId: string
  readonly walletSequence: bigint
  readonly kind: LedgerTransactionKind
  readonly idempotencyKey: string
  readonly payloadHash: Buffer
  readonly reference: string
  readonly agentId: string | null
  readonly campaignId: string | null
  readonly amountMicros: Micros
  readonly balanceAfterMicros: Micros
  readonly rateCardId: string | null
  readonly reverses: string | null
  readonly occurredAt: Date
  readonly postedAt: Date
  readonly postings: readonly ChainedPosting[]
}

export type ChainedPosting = {
  readonly line: number
  readonly debitAccount: Account
  readonly creditAccount: Account
  readonly amountMicros: Micros
  readonly quantity: number | null
  readonly prefix: string | null
}

/** What a wallet's first row follows: 32 zero bytes. */
export const genesisHash: Buffer = Buffer.alloc(32)

/**
 * The hash of a row.
 *
 * Shape:  sha256 of UTF-8 text: the previous hash as hex, then the JSON array of the row's fields in the order below;
 *         bigints as decimal strings, instants as ISO 8601 with milliseconds, bytes as hex, postings in line order.
 */
export function chainHash(previous: Buffer, row: ChainedRow): Buffer {
  return hash('sha256', previous.toString('hex') + canonicalText(row), 'buffer')
}

function canonicalText(row: ChainedRow): string {
  return JSON.stringify([
    row.workspaceId,
    String(row.walletSequence),
    row.kind,
    row.idempotencyKey,
    row.payloadHash.toString('hex'),
    row.reference,
    row.agentId,
    row.campaignId,
    String(row.amountMicros),
    String(row.balanceAfterMicros),
    row.rateCardId,
    row.reverses,
    row.occurredAt.toISOString(),
    row.postedAt.toISOString(),
    row.postings
      .toSorted((one, other) => one.line - other.line)
      .map((posting) => [
        posting.line,
        posting.debitAccount,
        posting.creditAccount,
        String(posting.amountMicros),
        posting.quantity,
        posting.prefix,
      ]),
  ])
}
