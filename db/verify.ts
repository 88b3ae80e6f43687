/**
 * Does the ledger still say what was booked? Recomputes every sequence, balance, hash, price and sum from the rows and
 * compares them with what is stored. Are the guards on that keep those rows as they are? Reads one snapshot, so it may run while
 * postings go on.
 */
import { sql, type Selectable } from 'kysely'

import { chainHash, genesisHash } from '../billing/hash-chain.ts'
import type { Account, LedgerTransactionKind } from '../billing/ledger-draft.ts'
import { micros, type Micros } from '../billing/money.ts'
import { chainedPosting, chainedRow } from './chained-row.ts'
import { readRateBook, type RateBook } from './rate-book.ts'
import type { Db, Schema, Tx } from './schema.ts'
import { inOneSnapshot } from './snapshot.ts'
import { usageName } from './usage-event.ts'
import { findGuardsOff } from './verify-guards.ts'
import { findWrongBlocks } from './verify-blocks.ts'
import type { WalletHead } from './verify-heads.ts'
import { findWrongHolds } from './verify-holds.ts'
import { findUnexplainedRentals, findWrongNumbers } from './verify-rentals.ts'
import { findWrongReversals } from './verify-reversals.ts'
import { findUnbackedTopUps } from './verify-top-ups.ts'
import { findUnexplained, type BookedUsage } from './verify-usage.ts'

export type Verification = {
  wallets: number
  transactions: number
  postings: number
  /** The sum of every account over all workspaces; together they are zero. */
  trialBalance: { account: Account; amountMicros: Micros }[]
  /** What does not fit, the first first; empty when everything does. */
  breaks: Break[]
  /** Of every wallet that has a transaction, as it was recomputed. */
  heads: WalletHead[]
}

/** Where the books break, and how. */
export type Break = { workspaceId: string; where: string; what: string }

const pageSize = 5_000
/** So many are named; who has that many reads no more. */
export const mostBreaks = 20

/** Shape: stops after 20 breaks. `onProgress` is told how many transactions were recomputed. */
export async function verifyLedger(
  db: Db,
  { onProgress }: { onProgress?: (transactions: number) => void } = {},
): Promise<Verification> {
  return await inOneSnapshot(db, async (trx) => {
    const breaks: Break[] = []
    const prices = await readRateBook(trx)
    const chains = await verifyChains(trx, prices, breaks, onProgress)
    breaks.push(...(await verifyReferences(trx, prices, chains.postings)))
    const trialBalance = await readTrialBalance(trx)
    const sum = trialBalance.reduce((total, each) => total + each.amountMicros, 0n)
    if (sum !== 0n)
      breaks.push({ workspaceId: '-', where: 'trial balance', what: `sums to ${sum} micro-dollars` })
    return { ...chains, trialBalance, breaks: breaks.slice(0, mostBreaks) }
  })
}

type Row = Selectable<Schema['ledger_transaction']>
type PostingRow = Selectable<Schema['posting']>
type WalletRow = Selectable<Schema['wallet']>

/** A wallet's chain as far as it was walked. */
type Walk = { wallet: WalletRow; balanceMicros: bigint; sequence: bigint; head: Buffer }

async function verifyChains(
  trx: Tx,
  prices: RateBook,
  breaks: Break[],
  onProgress?: (transactions: number) => void,
): Promise<Pick<Verification, 'wallets' | 'transactions' | 'postings' | 'heads'>> {
  let transactions = 0
  let postings = 0
  const wallets = new Map<string, Walk>()
  for (const wallet of await trx.selectFrom('wallet').selectAll().execute()) {
    wallets.set(wallet.workspace_id, { wallet, balanceMicros: 0n, sequence: 0n, head: genesisHash })
  }
  let last: Row | undefined
  for (;;) {
    const page = await readTransactions(trx, last)
    const first = page[0]
    const end = page.at(-1)
    if (first === undefined || end === undefined || breaks.length >= mostBreaks) break
    const lines = Map.groupBy(await readPostings(trx, first, end), placeOf)
    const unexplained = new Map([
      ...(await findUnexplained(trx, bookedOf(page, lines, ['call', 'message']), prices)),
      ...(await findUnexplainedRentals(trx, bookedOf(page, lines, ['number_rental']), prices)),
    ])
    for (const row of page) {
      const rowPostings = lines.get(placeOf(row)) ?? []
      const why = unexplained.get(usageName({ workspaceId: row.workspace_id, key: row.idempotency_key }))
      if (why !== undefined) breaks.push(breakAt(row, why))
      postings += rowPostings.length
      const walk = wallets.get(row.workspace_id)
      if (walk === undefined) breaks.push(breakAt(row, 'belongs to no wallet'))
      else walkOn(walk, row, rowPostings, breaks)
    }
    transactions += page.length
    onProgress?.(transactions)
    last = end
  }
  for (const walk of wallets.values()) compareWithWallet(walk, breaks)
  return { wallets: wallets.size, transactions, postings, heads: [...wallets.values()].flatMap(headOf) }
}

function headOf({ wallet, sequence, head }: Walk): WalletHead[] {
  const { workspace_id: workspaceId } = wallet
  return sequence === 0n ? [] : [{ workspaceId, sequence, hash: head.toString('hex') }]
}

function bookedOf(
  page: readonly Row[],
  lines: ReadonlyMap<string, readonly PostingRow[]>,
  kinds: readonly LedgerTransactionKind[],
): BookedUsage[] {
  return page
    .filter((row) => kinds.includes(row.kind))
    .map((row) => ({
      workspaceId: row.workspace_id,
      key: row.idempotency_key,
      payloadHash: row.payload_hash,
      rateCardId: row.rate_card_id,
      postedAt: row.posted_at,
      postings: (lines.get(placeOf(row)) ?? []).map(chainedPosting),
    }))
}

/** Recomputes one transaction from the ones before it. After a break the walk goes on from what is stored. */
function walkOn(walk: Walk, row: Row, postings: readonly PostingRow[], breaks: Break[]): void {
  const found = (what: string): number => breaks.push(breakAt(row, what))
  if (row.wallet_sequence !== walk.sequence + 1n)
    found(`follows number ${walk.sequence}: transactions are missing`)
  const balanceMicros = walk.balanceMicros + row.amount_micros
  if (row.balance_after_micros !== balanceMicros) {
    found(`says the balance after it is ${row.balance_after_micros}; recomputed it is ${balanceMicros}`)
  }
  const effect = postings.reduce((sum, posting) => sum + effectOf(posting), 0n)
  if (effect !== row.amount_micros) found(`says ${row.amount_micros}; its postings move ${effect}`)
  if (postings.some((posting, index) => posting.line !== index + 1)) found('has a posting line missing')
  if (!recomputeHash(walk.head, row, postings).equals(row.hash)) {
    found('has a hash that does not cover what it and its postings say')
  }
  walk.sequence = row.wallet_sequence
  walk.balanceMicros = row.balance_after_micros
  walk.head = row.hash
}

function compareWithWallet({ wallet, balanceMicros, sequence, head }: Walk, breaks: Break[]): void {
  const found = (what: string): void => {
    breaks.push({ workspaceId: wallet.workspace_id, where: 'wallet', what })
  }
  if (wallet.sequence !== sequence) {
    found(`says it has ${wallet.sequence} transactions; the last one there is number ${sequence}`)
  }
  if (wallet.sequence > sequence) {
    breaks.push({
      workspaceId: wallet.workspace_id,
      where: `transaction ${sequence + 1n}`,
      what: 'is gone: the wallet has counted it, and no row has its number',
    })
  }
  if (wallet.balance_micros !== balanceMicros) {
    found(`says its balance is ${wallet.balance_micros}; the ledger says ${balanceMicros}`)
  }
  if (!wallet.head_hash.equals(head)) found('its newest hash is not the one of its last transaction')
}

function recomputeHash(previous: Buffer, row: Row, postings: readonly PostingRow[]): Buffer {
  return chainHash(previous, chainedRow(row, postings.map(chainedPosting)))
}

/** What a posting does to the wallet. */
function effectOf(posting: PostingRow): bigint {
  if (posting.credit_account === 'wallet') return posting.amount_micros
  return posting.debit_account === 'wallet' ? 0n - posting.amount_micros : 0n
}

/** Rows that hang in the air: postings without a transaction, events posted without one, and the other way round. */
async function verifyReferences(trx: Tx, prices: RateBook, walkedPostings: number): Promise<Break[]> {
  const breaks: Break[] = []
  const { count } = await trx
    .selectFrom('posting')
    .select((expression) => expression.fn.countAll<bigint>().as('count'))
    .executeTakeFirstOrThrow()
  if (count !== BigInt(walkedPostings)) {
    breaks.push({
      workspaceId: '-',
      where: 'posting',
      what: `${count} rows, of which ${walkedPostings} belong to a transaction`,
    })
  }
  const { rows } = await sql<{ workspace_id: string; key: string; what: string }>`
    select e.workspace_id, e.key, 'is posted, and the ledger has no transaction of it' as what
    from usage_event e
    left join ledger_transaction t
      on t.workspace_id = e.workspace_id and t.idempotency_key = e.key and t.payload_hash = e.payload_hash
    where e.state = 'posted' and t.workspace_id is null
    limit ${mostBreaks}`.execute(trx)
  breaks.push(...rows.map((row) => ({ workspaceId: row.workspace_id, where: row.key, what: row.what })))
  breaks.push(...(await findUnbackedTopUps(trx, mostBreaks)))
  breaks.push(...(await findWrongHolds(trx, mostBreaks)))
  breaks.push(...(await findWrongBlocks(trx, mostBreaks)))
  breaks.push(...(await findWrongNumbers(trx, prices, mostBreaks)))
  breaks.push(...(await findWrongReversals(trx, mostBreaks)))
  breaks.push(...(await findGuardsOff(trx)))
  return breaks
}

/** What every account holds, all workspaces together. */
async function readTrialBalance(db: Db): Promise<Verification['trialBalance']> {
  const { rows } = await sql<{ account: Account; amount_micros: bigint }>`
    select account, coalesce(sum(account_entry.amount_micros), 0)::bigint as amount_micros
    from account left join account_entry using (account)
    group by account order by account`.execute(db)
  return rows.map((row) => ({ account: row.account, amountMicros: micros(row.amount_micros) }))
}

async function readTransactions(trx: Tx, after: Row | undefined): Promise<Row[]> {
  return await trx
    .selectFrom('ledger_transaction')
    .selectAll()
    .$if(after !== undefined, (query) =>
      query.where(
        sql<boolean>`(workspace_id, wallet_sequence) > (${after?.workspace_id}, ${after?.wallet_sequence})`,
      ),
    )
    .orderBy('workspace_id')
    .orderBy('wallet_sequence')
    .limit(pageSize)
    .execute()
}

async function readPostings(trx: Tx, first: Row, last: Row): Promise<PostingRow[]> {
  return await trx
    .selectFrom('posting')
    .selectAll()
    .where(sql<boolean>`(workspace_id, wallet_sequence) >= (${first.workspace_id}, ${first.wallet_sequence})`)
    .where(sql<boolean>`(workspace_id, wallet_sequence) <= (${last.workspace_id}, ${last.wallet_sequence})`)
    .orderBy('workspace_id')
    .orderBy('wallet_sequence')
    .orderBy('line')
    .execute()
}

function placeOf(row: { workspace_id: string; wallet_sequence: bigint }): string {
  return `${row.workspace_id}\n${row.wallet_sequence}`
}

function breakAt(row: Row, what: string): Break {
  return {
    workspaceId: row.workspace_id,
    where: `transaction ${row.wallet_sequence} (${row.idempotency_key})`,
    what,
  }
}
