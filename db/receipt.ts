/**
 * Receipts: all that stands behind one wallet transaction. What was told, the prices it was rated with, the postings, and whether
 * all of it follows again when it is computed anew from what is stored.
 */
import { chainHash, genesisHash, type ChainedPosting } from '../billing/hash-chain.ts'
import type { TopUpId, WorkspaceId } from '../billing/ids.ts'
import { micros, type Micros } from '../billing/money.ts'
import type { RateCard } from '../billing/rate-card.ts'
import { rateRental, rateUsage, type RatedUsage } from '../billing/rating.ts'
import { usageKinds } from '../billing/wallet-transaction.ts'
import { usageArrival } from '../jobs/usage-arrival.ts'
import { sql, type Selectable } from 'kysely'
import { chainedRow } from './chained-row.ts'
import { hashOfKey } from './ledger.ts'
import type { RateBook } from './rate-book.ts'
import type { Schema, Tx } from './schema.ts'
import { findTelephonyPlace } from './telephony-place.ts'
import { findTopUp, listTopUpSteps, type TopUp, type TopUpStep } from './top-up.ts'
import { usageName } from './usage-event.ts'
import { findRentalFacts, findUnexplainedRentals } from './verify-rentals.ts'
import { findWrongReversals } from './verify-reversals.ts'
import { findUnexplained } from './verify-usage.ts'
import type { WalletTransaction } from './wallet-transaction.ts'

export type Receipt = {
  transaction: WalletTransaction
  balanceBeforeMicros: Micros
  postings: ChainedPosting[]
  /** For calls, messages and rents. */
  usage: ReceiptUsage | null
  /** For money that came through Paddle, and that went back. */
  topUp: ReceiptTopUp | null
  /** For refunds and disputes. */
  adjustment: ReceiptAdjustment | null
  payloadHash: Buffer
  previousHash: Buffer
  hash: Buffer
  /** What does not follow from what is stored; empty when all does. */
  differences: string[]
}

type ReceiptUsage = {
  /** Verbatim. */
  event: unknown
  receivedAt: Date
  /** With the rates that the workspace had then; null when it is gone. */
  card: RateCard | null
  /** Whether rates of the workspace's own were in it. */
  hasAgreedRates: boolean
  /** Rated again; null when it cannot be. */
  rating: RatedUsage | null
  /** What the telephony prefix is called. */
  place: string | null
}

type ReceiptTopUp = {
  topUpId: TopUpId
  paddleTransactionId: string | null
  topUp: TopUp
  steps: TopUpStep[]
}

type ReceiptAdjustment = Selectable<Schema['paddle_adjustment']>

type Row = Selectable<Schema['ledger_transaction']>

/** Shape: null when the wallet has no such transaction. */
export async function findReceipt(
  trx: Tx,
  { workspaceId, sequence }: { workspaceId: WorkspaceId; sequence: bigint },
  prices: RateBook,
): Promise<Receipt | null> {
  const rows = await trx
    .selectFrom('ledger_transaction')
    .selectAll()
    .where('workspace_id', '=', workspaceId)
    .where('wallet_sequence', 'in', [sequence - 1n, sequence])
    .execute()
  const row = rows.find((each) => each.wallet_sequence === sequence)
  if (row === undefined) return null
  const previous = rows.find((each) => each !== row)
  const postings = await listPostings(trx, row)
  const usage =
    row.kind === 'number_rental'
      ? await findRentOf(trx, row, prices)
      : isUsage(row)
        ? await findUsageOf(trx, row, prices)
        : null
  const adjustment = await findAdjustmentOf(trx, row)
  const topUp = await findTopUpOf(trx, row, adjustment)
  const balanceBeforeMicros = micros(row.balance_after_micros - row.amount_micros)
  const previousHash = previous?.hash ?? genesisHash
  const differences = [
    ...differencesInChain(row, postings, {
      previousHash,
      balanceMicros: previous?.balance_after_micros ?? 0n,
    }),
    ...(isUsage(row) ? await differencesInUsage(trx, row, postings, prices) : []),
    ...(await differencesInReversal(trx, row)),
    ...differencesInPayload(row, { topUp, adjustment }),
  ]
  return {
    transaction: {
      workspaceId,
      sequence,
      kind: row.kind,
      idempotencyKey: row.idempotency_key,
      reference: row.reference,
      agentId: row.agent_id,
      campaignId: row.campaign_id,
      amountMicros: row.amount_micros,
      balanceAfterMicros: row.balance_after_micros,
      occurredAt: row.occurred_at,
      postedAt: row.posted_at,
    },
    balanceBeforeMicros,
    postings,
    usage,
    topUp,
    adjustment,
    payloadHash: row.payload_hash,
    previousHash,
    hash: row.hash,
    differences,
  }
}

function isUsage({ kind }: Row): boolean {
  return usageKinds.some((usageKind) => usageKind === kind)
}

async function listPostings(trx: Tx, row: Row): Promise<ChainedPosting[]> {
  return await trx
    .selectFrom('posting')
    .select([
      'line',
      'debit_account as debitAccount',
      'credit_account as creditAccount',
      'amount_micros as amountMicros',
      'quantity',
      'prefix',
    ])
    .where('workspace_id', '=', row.workspace_id)
    .where('wallet_sequence', '=', row.wallet_sequence)
    .orderBy('line')
    .execute()
}

async function findUsageOf(trx: Tx, row: Row, prices: RateBook): Promise<ReceiptUsage | null> {
  const stored = await trx
    .selectFrom('usage_event')
    .select(['kind', 'received_at'])
    .select(sql<string>`payload::text`.as('payload'))
    .where('workspace_id', '=', row.workspace_id)
    .where('key', '=', row.idempotency_key)
    .where('state', '=', 'posted')
    .executeTakeFirst()
  if (stored === undefined) return null
  const told: unknown = JSON.parse(stored.payload)
  const { event } = usageArrival(stored.kind, told, stored.received_at)
  const unrated = { event: told, receivedAt: stored.received_at }
  if (event === null || row.rate_card_id === null) {
    return { ...unrated, card: null, hasAgreedRates: false, rating: null, place: null }
  }
  const startedAt = event.kind === 'call' ? event.startedAt : event.sentAt
  const booked = { workspaceId: row.workspace_id, startedAt, postedAt: row.posted_at }
  const card = prices.cardNamed(row.rate_card_id, booked)
  const listed = prices.cardNamed(row.rate_card_id, { ...booked, workspaceId: nobody })
  const rating = card === null ? null : rateUsage(card, event)
  const rated = rating?.outcome === 'rated' ? rating : null
  const prefix = rated?.lines.find((line) => line.prefix !== undefined)?.prefix
  const place =
    prefix === undefined ? null : await findTelephonyPlace(trx, { rateCardId: row.rate_card_id, prefix })
  return { ...unrated, card, hasAgreedRates: card !== listed, rating: rated, place }
}

/** A rent is told by nobody: what stands in for it is the month that was due. */
async function findRentOf(trx: Tx, row: Row, prices: RateBook): Promise<ReceiptUsage | null> {
  const name = { workspaceId: row.workspace_id, key: row.idempotency_key }
  const fact = (await findRentalFacts(trx, [name])).get(usageName(name))
  if (fact === undefined || row.rate_card_id === null) return null
  const booked = { workspaceId: row.workspace_id, startedAt: fact.startsAt, postedAt: row.posted_at }
  const card = prices.cardNamed(row.rate_card_id, booked)
  const listed = prices.cardNamed(row.rate_card_id, { ...booked, workspaceId: nobody })
  const { phoneNumberId, phoneNumber, anchorAt, period, startsAt, endsAt } = fact
  return {
    event: {
      kind: 'number_rental',
      phoneNumberId,
      phoneNumber,
      rentedAt: anchorAt,
      period,
      startsAt,
      endsAt,
    },
    receivedAt: fact.billedAt,
    card,
    hasAgreedRates: card !== listed,
    rating: card === null ? null : rateRental(card),
    place: null,
  }
}

/** Nobody has agreed rates: what is left is the card as it is listed. */
const nobody = ''

async function findAdjustmentOf(trx: Tx, row: Row): Promise<ReceiptAdjustment | null> {
  if (row.kind !== 'refund' && row.kind !== 'chargeback') return null
  const adjustment = await trx
    .selectFrom('paddle_adjustment')
    .selectAll()
    .where('workspace_id', '=', row.workspace_id)
    .where('adjustment_id', '=', row.idempotency_key.slice('paddle_adjustment/'.length))
    .executeTakeFirst()
  return adjustment ?? null
}

async function findTopUpOf(
  trx: Tx,
  row: Row,
  adjustment: ReceiptAdjustment | null,
): Promise<ReceiptTopUp | null> {
  if (row.kind !== 'top_up' && adjustment === null) return null
  const named = { workspaceId: row.workspace_id, topUpId: row.reference }
  const topUp = await findTopUp(trx, named)
  if (topUp === null) return null
  const paddleTransactionId =
    adjustment?.paddle_transaction_id ?? row.idempotency_key.slice('paddle_transaction/'.length)
  return { topUpId: topUp.topUpId, paddleTransactionId, topUp, steps: await listTopUpSteps(trx, named) }
}

function differencesInChain(
  row: Row,
  postings: readonly ChainedPosting[],
  before: { previousHash: Buffer; balanceMicros: bigint },
): string[] {
  const differences: string[] = []
  const moved = postings.reduce(
    (sum, { creditAccount, amountMicros }) =>
      creditAccount === 'wallet' ? sum + amountMicros : sum - amountMicros,
    0n,
  )
  if (moved !== row.amount_micros) differences.push('The postings do not move the amount.')
  if (before.balanceMicros + row.amount_micros !== row.balance_after_micros) {
    differences.push('The balance does not follow from the one before.')
  }
  const hash = chainHash(before.previousHash, chainedRow(row, postings))
  if (!hash.equals(row.hash)) differences.push('The hash does not cover what the transaction says.')
  return differences
}

async function differencesInUsage(
  trx: Tx,
  row: Row,
  postings: readonly ChainedPosting[],
  prices: RateBook,
): Promise<string[]> {
  const booked = {
    workspaceId: row.workspace_id,
    key: row.idempotency_key,
    payloadHash: row.payload_hash,
    rateCardId: row.rate_card_id,
    postedAt: row.posted_at,
    postings,
  }
  const find = row.kind === 'number_rental' ? findUnexplainedRentals : findUnexplained
  const why = (await find(trx, [booked], prices)).get(usageName(booked))
  return why === undefined ? [] : [`The transaction ${why}.`]
}

async function differencesInReversal(trx: Tx, row: Row): Promise<string[]> {
  if (row.kind !== 'reversal') return []
  const named = { workspaceId: row.workspace_id, sequence: row.wallet_sequence }
  return (await findWrongReversals(trx, 1, named)).map(({ what }) => `The transaction ${what}.`)
}

/** Facts that are not usage are hashed by their name, and where they move an amount, by that too. */
function differencesInPayload(
  row: Row,
  { topUp, adjustment }: Pick<Receipt, 'topUp' | 'adjustment'>,
): string[] {
  const named = `${row.idempotency_key} ${row.amount_micros}`
  const isHashOf = (fact: string): boolean => hashOfKey(fact) === row.payload_hash.toString('hex')
  if (row.kind === 'grant') {
    return isHashOf(row.idempotency_key) ? [] : ['The payload hash is not the one of this grant.']
  }
  if (row.kind === 'top_up') {
    const isKept = topUp !== null && topUp.topUp.creditedMicros >= row.amount_micros
    if (!isKept) return ['The top-up does not say that it was credited.']
    return isHashOf(named) ? [] : ['The payload hash is not the one of this payment.']
  }
  if (row.kind === 'refund' || row.kind === 'chargeback') {
    const amount = row.amount_micros < 0n ? 0n - row.amount_micros : row.amount_micros
    if (adjustment?.amount_micros !== amount) return ['The adjustment at Paddle is of another amount.']
    return isHashOf(named) ? [] : ['The payload hash is not the one of this adjustment.']
  }
  if (row.kind === 'reversal') {
    return isHashOf(named) ? [] : ['The payload hash is not the one of this reversal.']
  }
  return []
}
