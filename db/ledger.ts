/**
 * The double-entry ledger. Posting appends to a wallet's chain: a transaction, its postings and the wallet's new balance
 * in one statement, under the wallet's lock. A fact is booked once, for ever, under its idempotency key.
 */
import { hash } from 'node:crypto'

import { sql } from 'kysely'

import { BillingError } from '../billing/billing-error.ts'
import { chainHash, type ChainedRow } from '../billing/hash-chain.ts'
import type { LedgerTransactionDraft } from '../billing/ledger-draft.ts'
import { micros, type Micros } from '../billing/money.ts'
import {
  bigintArray,
  byteaArray,
  instantArray,
  integerArray,
  smallintArray,
  textArray,
} from './array-parameter.ts'
import type { Tx } from './schema.ts'
import type { LockedWallet } from './wallet.ts'

/** What is to be booked on one wallet, in this order. */
export type WalletPosts = { wallet: LockedWallet; posts: LedgerPost[] }

/** `payloadHash`: SHA-256, hexadecimal, of what the fact said; the same key with another hash is a contradiction. */
export type LedgerPost = { draft: LedgerTransactionDraft; payloadHash: string }

export type Booked = { walletSequence: bigint; balanceAfterMicros: Micros }

export type Posting = { outcome: 'posted'; booked: Booked } | { outcome: 'duplicate' | 'contradicted' }

/**
 * Books one fact, unless it is booked already.
 *
 * Shape: `duplicate` when the same fact is there, `contradicted` when its key is there with other content.
 *        `wallet` is spent by this: lock again before posting again.
 */
export async function postLedgerTransaction(
  trx: Tx,
  wallet: LockedWallet,
  post: LedgerPost,
  postedAt: Date,
): Promise<Posting> {
  const known = await trx
    .selectFrom('ledger_transaction')
    .select('payload_hash')
    .where('workspace_id', '=', wallet.workspaceId)
    .where('idempotency_key', '=', post.draft.idempotencyKey)
    .executeTakeFirst()
  if (known !== undefined) {
    return { outcome: known.payload_hash.toString('hex') === post.payloadHash ? 'duplicate' : 'contradicted' }
  }
  const [booked] = await postLedgerTransactions(trx, [{ wallet, posts: [post] }], postedAt)
  if (booked?.[0] === undefined)
    throw new BillingError('nothing_booked', 'A post came back without its booking')
  return { outcome: 'posted', booked: booked[0] }
}

/**
 * Books many facts that are known to be new: whoever calls this has claimed them under the wallets' locks.
 *
 * Shape:  for each wallet, for each of its posts in order, where in the chain it stands and the balance after it.
 * Throws: BillingError `wallet_moved` when a wallet is not as it was when it was locked; a unique violation when a key
 *         is booked already. Either way the caller's transaction must be rolled back.
 */
export async function postLedgerTransactions(
  trx: Tx,
  wallets: readonly WalletPosts[],
  postedAt: Date,
): Promise<Booked[][]> {
  const chains = wallets.map(({ wallet, posts }) => extendChain(wallet, posts, postedAt))
  if (chains.length > 0) await insertChains(trx, chains)
  return chains.map((chain) =>
    chain.rows.map(({ row }) => ({
      walletSequence: row.walletSequence,
      balanceAfterMicros: row.balanceAfterMicros,
    })),
  )
}

/** The payload hash of a fact that is nothing but its name, such as a grant that can be given only once. */
export function hashOfKey(idempotencyKey: string): string {
  return hash('sha256', idempotencyKey, 'hex')
}

type Chain = {
  wallet: LockedWallet
  rows: { row: ChainedRow; payloadHash: string; hash: Buffer }[]
  balanceMicros: Micros
}

function extendChain(wallet: LockedWallet, posts: readonly LedgerPost[], postedAt: Date): Chain {
  let head = wallet.headHash
  let balanceMicros = wallet.balanceMicros
  let sequence = wallet.sequence
  const rows = posts.map(({ draft, payloadHash }) => {
    sequence += 1n
    balanceMicros = micros(balanceMicros + draft.amountMicros)
    const row: ChainedRow = {
      workspaceId: wallet.workspaceId,
      walletSequence: sequence,
      kind: draft.kind,
      idempotencyKey: draft.idempotencyKey,
      payloadHash: Buffer.from(payloadHash, 'hex'),
      reference: draft.reference,
      agentId: draft.agentId ?? null,
      campaignId: draft.campaignId ?? null,
      amountMicros: draft.amountMicros,
      balanceAfterMicros: balanceMicros,
      rateCardId: draft.rateCardId,
      reverses: draft.reverses ?? null,
      occurredAt: draft.occurredAt,
      postedAt,
      postings: draft.postings.map((posting, index) => ({ line: index + 1, ...posting })),
    }
    head = chainHash(head, row)
    return { row, payloadHash, hash: head }
  })
  return { wallet, rows, balanceMicros }
}

async function insertChains(trx: Tx, chains: readonly Chain[]): Promise<void> {
  const rows = chains.flatMap((chain) => chain.rows)
  const row = rows.map((each) => each.row)
  const postings = row.flatMap((each) =>
    each.postings.map((posting) => ({
      workspaceId: each.workspaceId,
      walletSequence: each.walletSequence,
      ...posting,
    })),
  )
  const { rows: result } = await sql<{ moved: bigint }>`/* post-ledger */
    with moved as (
      update wallet set balance_micros = after.balance_micros, sequence = after.sequence, head_hash = after.head_hash
      from unnest(
        ${textArray(chains.map((chain) => chain.wallet.workspaceId))}::text[],
        ${bigintArray(chains.map((chain) => chain.wallet.sequence))}::bigint[],
        ${bigintArray(chains.map((chain) => chain.balanceMicros))}::bigint[],
        ${bigintArray(chains.map((chain) => chain.wallet.sequence + BigInt(chain.rows.length)))}::bigint[],
        ${byteaArray(chains.map((chain) => chain.rows.at(-1)?.hash ?? chain.wallet.headHash))}::bytea[]
      ) as after (workspace_id, sequence_before, balance_micros, sequence, head_hash)
      where wallet.workspace_id = after.workspace_id and wallet.sequence = after.sequence_before
      returning 1
    ), booked as (
      insert into ledger_transaction (
        workspace_id, wallet_sequence, idempotency_key, kind, reference, agent_id, campaign_id, amount_micros,
        balance_after_micros, rate_card_id, reverses, occurred_at, posted_at, payload_hash, hash)
      select
        workspace_id, wallet_sequence, idempotency_key, kind::ledger_transaction_kind, reference, agent_id,
        campaign_id, amount_micros, balance_after_micros, rate_card_id, reverses, occurred_at, posted_at,
        payload_hash, hash
      from unnest(
        ${textArray(row.map((each) => each.workspaceId))}::text[],
        ${bigintArray(row.map((each) => each.walletSequence))}::bigint[],
        ${textArray(row.map((each) => each.idempotencyKey))}::text[],
        ${textArray(row.map((each) => each.kind))}::text[],
        ${textArray(row.map((each) => each.reference))}::text[],
        ${textArray(row.map((each) => each.agentId))}::text[],
        ${textArray(row.map((each) => each.campaignId))}::text[],
        ${bigintArray(row.map((each) => each.amountMicros))}::bigint[],
        ${bigintArray(row.map((each) => each.balanceAfterMicros))}::bigint[],
        ${textArray(row.map((each) => each.rateCardId))}::text[],
        ${textArray(row.map((each) => each.reverses))}::text[],
        ${instantArray(row.map((each) => each.occurredAt))}::timestamptz[],
        ${instantArray(row.map((each) => each.postedAt))}::timestamptz[],
        ${byteaArray(row.map((each) => each.payloadHash))}::bytea[],
        ${byteaArray(rows.map((each) => each.hash))}::bytea[]
      ) as draft (
        workspace_id, wallet_sequence, idempotency_key, kind, reference, agent_id, campaign_id, amount_micros,
        balance_after_micros, rate_card_id, reverses, occurred_at, posted_at, payload_hash, hash)
    ), moved_money as (
      insert into posting (
        workspace_id, wallet_sequence, line, debit_account, credit_account, amount_micros, quantity, prefix)
      select
        workspace_id, wallet_sequence, line, debit_account::account_code, credit_account::account_code,
        amount_micros, quantity, prefix
      from unnest(
        ${textArray(postings.map((posting) => posting.workspaceId))}::text[],
        ${bigintArray(postings.map((posting) => posting.walletSequence))}::bigint[],
        ${smallintArray(postings.map((posting) => posting.line))}::smallint[],
        ${textArray(postings.map((posting) => posting.debitAccount))}::text[],
        ${textArray(postings.map((posting) => posting.creditAccount))}::text[],
        ${bigintArray(postings.map((posting) => posting.amountMicros))}::bigint[],
        ${integerArray(postings.map((posting) => posting.quantity))}::integer[],
        ${textArray(postings.map((posting) => posting.prefix))}::text[]
      ) as draft (
        workspace_id, wallet_sequence, line, debit_account, credit_account, amount_micros, quantity, prefix)
    )
    select count(*) as moved from moved`.execute(trx)
  if (result[0]?.moved !== BigInt(chains.length)) {
    throw new BillingError('wallet_moved', 'A wallet is not as it was when it was locked', {
      wallets: chains.map((chain) => chain.wallet.workspaceId),
    })
  }
}
