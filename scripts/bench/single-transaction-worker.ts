/**
 * The worker that everybody writes first: one Postgres transaction for each job, in plain Kysely. It is what the posting
 * batch is compared with, so it is a correct one: the same tables, the same rating, each event booked exactly once.
 */
import type { Job } from 'bullmq'

import { chainHash, type ChainedRow } from '../../billing/hash-chain.ts'
import { draftUsage } from '../../billing/ledger-draft.ts'
import { micros } from '../../billing/money.ts'
import { rateUsage } from '../../billing/rating.ts'
import { decideAcceptance, type SetAsideReason } from '../../billing/usage-event.ts'
import type { RateBook } from '../../db/rate-book.ts'
import type { Db, Tx, UsageEventState } from '../../db/schema.ts'
import { lockWallet, type LockedWallet } from '../../db/wallet.ts'
import type { UsageArrival } from '../../jobs/usage-arrival.ts'
import { arrivalsOf } from '../../workers/usage-worker.ts'

/** Its prices are read once, and it takes its own clock for the time: it is spared every round trip that can be spared. */
export async function handleInOneTransaction(
  job: Job,
  { db, prices }: { db: Db; prices: RateBook },
): Promise<void> {
  for (const arrival of arrivalsOf(job)) {
    await db.transaction().execute((trx) => postOne(trx, arrival, { prices, now: new Date() }))
  }
}

type Verdict =
  | { state: 'posted'; row: Omit<ChainedRow, 'walletSequence' | 'balanceAfterMicros'> }
  | { state: 'free' }
  | { state: 'set_aside'; reason: SetAsideReason; detail?: string }

async function postOne(
  trx: Tx,
  arrival: UsageArrival,
  { prices, now }: { prices: RateBook; now: Date },
): Promise<void> {
  const wallet = arrival.event === null ? null : await lockWallet(trx, arrival.event.workspaceId)
  const verdict = judge(arrival, wallet, { prices, now })
  const claimed = await claim(trx, arrival, { verdict, now })
  if (claimed && verdict.state === 'posted' && wallet !== null) await book(trx, wallet, verdict.row)
}

/** Nothing is claimed when the event is there already: it was booked by whoever wrote it. */
async function claim(
  trx: Tx,
  arrival: UsageArrival,
  { verdict, now }: { verdict: Verdict; now: Date },
): Promise<boolean> {
  const state: UsageEventState = verdict.state
  const written = await trx
    .insertInto('usage_event')
    .values({
      workspace_id: arrival.workspaceId,
      key: arrival.key,
      kind: arrival.kind,
      payload: arrival.payload,
      payload_hash: Buffer.from(arrival.payloadHash, 'hex'),
      state,
      reason: verdict.state === 'set_aside' ? verdict.reason : null,
      detail: verdict.state === 'set_aside' ? (verdict.detail ?? null) : null,
      received_at: arrival.receivedAt,
      decided_at: now,
    })
    .onConflict((conflict) => conflict.doNothing())
    .executeTakeFirst()
  return written.numInsertedOrUpdatedRows === 1n
}

async function book(
  trx: Tx,
  wallet: LockedWallet,
  draft: Omit<ChainedRow, 'walletSequence' | 'balanceAfterMicros'>,
): Promise<void> {
  const row: ChainedRow = {
    ...draft,
    walletSequence: wallet.sequence + 1n,
    balanceAfterMicros: micros(wallet.balanceMicros + draft.amountMicros),
  }
  const head = chainHash(wallet.headHash, row)
  const place = { workspace_id: wallet.workspaceId, wallet_sequence: row.walletSequence }
  // One statement, because the database looks at its end whether the transaction is whole.
  await trx
    .with('moved', (moved) =>
      moved
        .updateTable('wallet')
        .set({ balance_micros: row.balanceAfterMicros, sequence: row.walletSequence, head_hash: head })
        .where('workspace_id', '=', wallet.workspaceId),
    )
    .with('booked', (booked) =>
      booked.insertInto('ledger_transaction').values({
        ...place,
        idempotency_key: row.idempotencyKey,
        kind: row.kind,
        reference: row.reference,
        agent_id: row.agentId,
        campaign_id: row.campaignId,
        amount_micros: row.amountMicros,
        balance_after_micros: row.balanceAfterMicros,
        rate_card_id: row.rateCardId,
        occurred_at: row.occurredAt,
        posted_at: row.postedAt,
        payload_hash: row.payloadHash,
        hash: head,
      }),
    )
    .insertInto('posting')
    .values(
      row.postings.map((posting) => ({
        ...place,
        line: posting.line,
        debit_account: posting.debitAccount,
        credit_account: posting.creditAccount,
        amount_micros: posting.amountMicros,
        quantity: posting.quantity,
        prefix: posting.prefix,
      })),
    )
    .execute()
}

function judge(
  arrival: UsageArrival,
  wallet: LockedWallet | null,
  { prices, now }: { prices: RateBook; now: Date },
): Verdict {
  const { event, refusal } = arrival
  if (refusal !== null) return { state: 'set_aside', ...refusal }
  if (event === null) return { state: 'set_aside', reason: 'malformed_payload' }
  if (wallet === null) return { state: 'set_aside', reason: 'unknown_workspace' }
  const refused = decideAcceptance(event, now)
  if (refused !== null) return { state: 'set_aside', reason: refused }
  const card = prices.cardFor(arrival.workspaceId, event.kind === 'call' ? event.startedAt : event.sentAt)
  if (card === null) return { state: 'set_aside', reason: 'no_rate_card' }
  const rating = rateUsage(card, event)
  if (rating.outcome === 'set_aside') return { state: 'set_aside', reason: rating.reason }
  if (rating.outcome === 'free') return { state: 'free' }
  const draft = draftUsage(event, rating, card.id)
  return {
    state: 'posted',
    row: {
      ...draft,
      workspaceId: arrival.workspaceId,
      payloadHash: Buffer.from(arrival.payloadHash, 'hex'),
      agentId: draft.agentId ?? null,
      campaignId: draft.campaignId ?? null,
      reverses: null,
      postedAt: now,
      postings: draft.postings.map((posting, index) => ({ line: index + 1, ...posting })),
    },
  }
}
