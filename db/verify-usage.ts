/**
 * Does every usage transaction still follow from what was told? Reads the verbatim payload again, rates it with the card
 * that the transaction names, and compares: the hash of the content, and every posting, account by account.
 */
import { sql } from 'kysely'

import { draftUsage, type PostingDraft } from '../billing/ledger-draft.ts'
import { rateUsage } from '../billing/rating.ts'
import { usageArrival, type UsageKind } from '../jobs/usage-arrival.ts'
import { textArray } from './array-parameter.ts'
import type { RateBook } from './rate-book.ts'
import type { Tx } from './schema.ts'
import { usageName } from './usage-event.ts'

/** As much of a booked transaction as its explanation needs. */
export type BookedUsage = {
  workspaceId: string
  key: string
  payloadHash: Buffer
  rateCardId: string | null
  postedAt: Date
  postings: readonly PostingDraft[]
}

/** What does not follow, by `usageName`; the names of transactions that are explained are not in it. */
export async function findUnexplained(
  trx: Tx,
  booked: readonly BookedUsage[],
  prices: RateBook,
): Promise<Map<string, string>> {
  const payloads = await readPayloads(trx, booked)
  const unexplained = new Map<string, string>()
  for (const transaction of booked) {
    const why = explain(transaction, payloads.get(usageName(transaction)), prices)
    if (why !== null) unexplained.set(usageName(transaction), why)
  }
  return unexplained
}

type StoredPayload = { kind: UsageKind; payload: string; receivedAt: Date }

/** Null when the transaction follows from its payload. */
function explain(booked: BookedUsage, stored: StoredPayload | undefined, prices: RateBook): string | null {
  if (stored === undefined) return 'is booked, and no posted usage event says so'
  const { event, payloadHash } = usageArrival(stored.kind, JSON.parse(stored.payload), stored.receivedAt)
  if (event === null || payloadHash !== booked.payloadHash.toString('hex')) {
    return 'was booked for a payload other than the one that is kept'
  }
  const startedAt = event.kind === 'call' ? event.startedAt : event.sentAt
  const card =
    booked.rateCardId === null ? null : prices.cardNamed(booked.rateCardId, { ...booked, startedAt })
  if (card === null) return `names the rate card ${booked.rateCardId}, which is not there`
  const rating = rateUsage(card, event)
  if (rating.outcome !== 'rated') return `would be ${rating.outcome} by the rate card ${card.id}`
  const { postings } = draftUsage(event, rating, card.id)
  return linesOf(postings) === linesOf(booked.postings)
    ? null
    : `has the postings ${linesOf(booked.postings)}; rated again they are ${linesOf(postings)}`
}

/** Postings as a text in which they can be compared, and read. */
export function linesOf(postings: readonly PostingDraft[]): string {
  return postings
    .map(({ debitAccount, creditAccount, amountMicros, quantity, prefix }) => {
      return `${debitAccount} > ${creditAccount} ${amountMicros} (${quantity}${prefix === null ? '' : `, ${prefix}`})`
    })
    .join(', ')
}

async function readPayloads(trx: Tx, booked: readonly BookedUsage[]): Promise<Map<string, StoredPayload>> {
  const { rows } = await sql<StoredPayload & { workspaceId: string; key: string }>`
    select workspace_id as "workspaceId", key, kind, payload::text as payload, received_at as "receivedAt"
    from unnest(
      ${textArray(booked.map((transaction) => transaction.workspaceId))}::text[],
      ${textArray(booked.map((transaction) => transaction.key))}::text[]
    ) as booked (workspace_id, key)
    join usage_event using (workspace_id, key)
    where state = 'posted'`.execute(trx)
  return new Map(rows.map((row) => [usageName(row), row]))
}
