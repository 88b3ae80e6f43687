/** A stored ledger transaction and its postings in the form that is hashed. */
import type { Selectable } from 'kysely'

import type { ChainedPosting, ChainedRow } from '../billing/hash-chain.ts'
import type { Schema } from './schema.ts'

export function chainedRow(
  row: Selectable<Schema['ledger_transaction']>,
  postings: readonly ChainedPosting[],
): ChainedRow {
  return {
    workspaceId: row.workspace_id,
    walletSequence: row.wallet_sequence,
    kind: row.kind,
    idempotencyKey: row.idempotency_key,
    payloadHash: row.payload_hash,
    reference: row.reference,
    agentId: row.agent_id,
    campaignId: row.campaign_id,
    amountMicros: row.amount_micros,
    balanceAfterMicros: row.balance_after_micros,
    rateCardId: row.rate_card_id,
    reverses: row.reverses,
    occurredAt: row.occurred_at,
    postedAt: row.posted_at,
    postings,
  }
}

export function chainedPosting(posting: Selectable<Schema['posting']>): ChainedPosting {
  return {
    line: posting.line,
    debitAccount: posting.debit_account,
    creditAccount: posting.credit_account,
    amountMicros: posting.amount_micros,
    quantity: posting.quantity,
    prefix: posting.prefix,
  }
}
