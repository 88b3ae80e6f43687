// Pages of a wallet: what the filters find, in order and without gaps; and quick, however long the history is.
import * as fc from 'fast-check'
import { sql } from 'kysely'
import { describe, expect } from 'vitest'

import type { WorkspaceId } from '../../billing/ids.ts'
import { ledgerTransactionKinds } from '../../billing/ledger-draft.ts'
import { micros } from '../../billing/money.ts'
import {
  kindsOfType,
  sequenceOfTransactionId,
  typeOfKind,
  usageKinds,
  walletTransactionId,
  walletTransactionTypes,
} from '../../billing/wallet-transaction.ts'
import { connect } from '../../db/connect.ts'
import type { Db } from '../../db/schema.ts'
import { findWalletState, summarizeWallet } from '../../db/wallet-summary.ts'
import {
  countQuery,
  countWalletTransactions,
  listQuery,
  listWalletTransactions,
  walkWalletTransactions,
  type WalletTransactionFilter,
} from '../../db/wallet-transaction.ts'
import { test } from '../support/fixtures.ts'
import { givenHistory, type HistoryRow } from '../support/given-history.ts'
import { givenWorkspace, newWorkspaceId } from '../support/given.ts'

const noon = Date.parse('2026-03-01T12:00:00Z')

const anyRow: fc.Arbitrary<HistoryRow> = fc.record({
  kind: fc.constantFrom(...ledgerTransactionKinds),
  reference: fc.constantFrom('call_1', 'call_2', 'chat_1', 'topup_1', '+14155550100'),
  agentId: fc.constantFrom(null, 'a1', 'a2'),
  campaignId: fc.constantFrom(null, 'c1', 'c2'),
  amountMicros: fc.bigInt(-5_000_000n, 5_000_000n).filter((amount) => amount !== 0n),
  postedAt: fc.integer({ min: 0, max: 50 }).map((hours) => new Date(noon + hours * 3_600_000)),
})

const optional = <Value>(value: fc.Arbitrary<Value>) => fc.option(value, { nil: undefined })

const anyFilter: fc.Arbitrary<WalletTransactionFilter> = fc.record({
  kinds: optional(
    fc.oneof(
      fc.constantFrom(...walletTransactionTypes).map(kindsOfType),
      fc.subarray([...ledgerTransactionKinds]),
    ),
  ),
  reference: optional(fc.constantFrom('call_1', 'chat_1', 'topup_1', '+14155550100', 'nothing')),
  agentId: optional(fc.constantFrom('a1', 'nobody')),
  campaignId: optional(fc.constantFrom('c1', 'nothing')),
  from: optional(fc.integer({ min: -1, max: 51 }).map((hours) => new Date(noon + hours * 3_600_000))),
  until: optional(fc.integer({ min: -1, max: 51 }).map((hours) => new Date(noon + hours * 3_600_000))),
})

test('finds what looking at every row finds, for any filter, in pages, in a walk and as a count', async ({
  db,
}) => {
  const workspaceId = await givenWorkspace(db)
  await givenHistory(db, await givenWorkspace(db), fc.sample(anyRow, { numRuns: 50, seed: 2 }))
  const rows = fc.sample(anyRow, { numRuns: 300, seed: 1 })
  await givenHistory(db, workspaceId, rows)
  const newest = BigInt(rows.length + 1)
  const all = await listWalletTransactions(db, workspaceId, {}, { newest, limit: 1_000 })

  await fc.assert(
    fc.asyncProperty(
      anyFilter,
      fc.integer({ min: 0, max: 320 }),
      fc.integer({ min: 1, max: 100 }),
      fc.integer({ min: 0, max: 310 }),
      async (filter, offset, limit, upTo) => {
        const seen = BigInt(upTo)
        const expected = all.filter(
          (row) =>
            row.sequence <= seen &&
            (filter.kinds === undefined || filter.kinds.includes(row.kind)) &&
            (filter.reference === undefined || filter.reference === row.reference) &&
            (filter.agentId === undefined || filter.agentId === row.agentId) &&
            (filter.campaignId === undefined || filter.campaignId === row.campaignId) &&
            (filter.from === undefined || row.postedAt >= filter.from) &&
            (filter.until === undefined || row.postedAt < filter.until),
        )
        const page = { newest: seen < newest ? seen : newest, offset, limit }

        const found = await listWalletTransactions(db, workspaceId, filter, page)
        const walked = []
        for await (const each of walkWalletTransactions(db, workspaceId, filter, page)) walked.push(...each)
        const count = await countWalletTransactions(db, workspaceId, filter, page.newest)

        expect(found).toEqual(expected.slice(offset, offset + limit))
        expect(walked).toEqual(expected)
        expect(count).toBe(BigInt(expected.length))
      },
    ),
    { numRuns: 120 },
  )
})

test('the sums of a wallet are those of its rows', async ({ db }) => {
  const rows = fc.sample(anyRow, { numRuns: 300, seed: 3 })
  const workspaceId = await givenWorkspace(db)
  await givenHistory(db, workspaceId, rows)
  const wallet = await findWalletState(db, workspaceId)
  if (wallet === null) throw new Error('no wallet')

  const summary = await summarizeWallet(db, workspaceId, wallet)

  const sumOf = (isMeant: (row: HistoryRow) => boolean): bigint =>
    rows.filter(isMeant).reduce((sum, row) => sum + row.amountMicros, 0n)
  const lastOf = (isMeant: (row: HistoryRow) => boolean): Date | null =>
    rows.findLast(isMeant)?.postedAt ?? null
  expect(summary).toEqual({
    toppedUpMicros: sumOf(({ kind }) => kind === 'top_up'),
    grantedMicros: sumOf(({ kind }) => kind === 'grant') + 10_000_000n,
    refundedMicros: sumOf(({ kind }) => typeOfKind(kind) === 'refund'),
    usedMicros: -sumOf(({ kind }) => typeOfKind(kind) === 'usage'),
    topUps: BigInt(rows.filter(({ kind }) => kind === 'top_up').length),
    usages: BigInt(rows.filter(({ kind }) => typeOfKind(kind) === 'usage').length),
    lastTopUpAt: lastOf(({ kind }) => kind === 'top_up'),
    lastUsageAt: lastOf(({ kind }) => typeOfKind(kind) === 'usage'),
  })
})

describe('on a wallet with a long history', () => {
  const longHistory = 50_000

  test('first pages, look-ups, the last page and counts of few are answered by indexes, never by reading the whole table', async ({
    ownPlace,
    ownDb,
  }) => {
    const workspaceId = await givenWorkspace(ownDb)
    await givenLongHistory(ownDb, workspaceId, longHistory)
    // Where a table is nearly all one wallet's, reading all of it would be as good.
    for (const others of [40_000, 40_000]) {
      await givenLongHistory(ownDb, await givenWorkspace(ownDb), others)
    }
    await sql`vacuum (analyze) ledger_transaction`.execute(ownDb)
    const api = connect(ownPlace.databaseUrl, { profile: 'worker', name: 'api', poolSize: 1 })
    const newest = BigInt(longHistory + 1)
    const everything: WalletTransactionFilter = {}
    const filters: WalletTransactionFilter[] = [
      everything,
      { kinds: usageKinds },
      { kinds: ['call'] },
      { kinds: ['message'] },
      { kinds: kindsOfType('topup') },
      { kinds: kindsOfType('refund') },
      { kinds: ['call'], reference: 'call_31000' },
      { kinds: ['message'], reference: 'chat_7' },
      { agentId: 'agent_7' },
      { campaignId: 'campaign_3' },
      { from: new Date(noon), until: new Date(noon + 3_600_000) },
      { kinds: ['call'], agentId: 'agent_7', from: new Date(noon) },
    ]

    for (const filter of filters) {
      const found = await countWalletTransactions(api, workspaceId, filter, newest)
      const lastPage = Math.max(0, Number(found) - 50)
      for (const offset of [0, lastPage]) {
        const plan = await explain(api, listQuery(workspaceId, filter, { newest, offset, limit: 51 }))
        const isLookedUp = filter === everything || filter.reference !== undefined
        if (!isLookedUp && offset > 0) continue
        expect({ filter, offset, ...plan }).toMatchObject({ sequentialScans: 0 })
        // By call, chat or number and without a filter, an index says which rows are shown, and only they are read whole. Other
        // filters read the wallet's rows in its order: an index that carried what they ask for would slow every posting.
        if (!isLookedUp) continue
        expect({ filter, offset, ...plan, few: plan.rowsReadWhole <= 102 }).toMatchObject({ few: true })
      }
      // Counts of most of a wallet read it whole; of what is few, an index knows.
      const isOfFew = filter.reference !== undefined || filter.kinds?.includes('refund') === true
      if (!isOfFew) continue
      const plan = await explain(api, countQuery(workspaceId, filter, newest))
      expect({ filter, ...plan }).toMatchObject({ sequentialScans: 0 })
    }
    await api.destroy()
  })
})

describe('the name of a transaction', () => {
  test('means its place in its own wallet, and nothing in another', () => {
    fc.assert(
      fc.property(fc.bigInt(1n, 2n ** 63n - 1n), (sequence) => {
        const workspaceId = newWorkspaceId()

        const id = walletTransactionId(workspaceId, sequence)

        expect(id).toMatch(/^txn_[0-9a-z]{16,21}$/)
        expect(sequenceOfTransactionId(workspaceId, id)).toBe(sequence)
        expect(sequenceOfTransactionId(newWorkspaceId(), id)).toBeNull()
        expect(sequenceOfTransactionId(workspaceId, `${id}0`)).toBeNull()
      }),
    )
  })

  test('sorts as the transactions of a wallet do', () => {
    const workspaceId = newWorkspaceId()
    const names = [1n, 2n, 9n, 35n, 36n, 37n, 1_295n, 1_296n, 999_999n, 1_000_000n, 2_000_000_000_000n].map(
      (sequence) => walletTransactionId(workspaceId, sequence),
    )

    expect(names.toSorted()).toEqual(names)
  })

  test('is never anything else', () => {
    const workspaceId = newWorkspaceId()

    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.string().map((text) => `txn_${text}`),
        ),
        (text) => {
          expect(sequenceOfTransactionId(workspaceId, text)).toBeNull()
        },
      ),
    )
    expect(sequenceOfTransactionId(workspaceId, `txn_${'z'.repeat(13)}00000000`)).toBeNull()
  })
})

/** Nine calls in ten, some messages, a top-up now and then; 50 agents, 10 campaigns; a second apart. */
async function givenLongHistory(db: Db, workspaceId: WorkspaceId, rows: number): Promise<void> {
  await db.transaction().execute(async (trx) => {
    await trx
      .updateTable('wallet')
      .set({ sequence: BigInt(rows + 1), balance_micros: micros(0n) })
      .where('workspace_id', '=', workspaceId)
      .execute()
    await sql`
      with row as (
        select number + 1 as sequence, number,
          (case when number % 1000 = 0 then 'top_up' when number % 10 = 0 then 'message' else 'call' end)
            ::ledger_transaction_kind as kind
        from generate_series(1, ${rows}::integer) as number
      ), booked as (
        insert into ledger_transaction (workspace_id, wallet_sequence, idempotency_key, kind, reference, agent_id,
          campaign_id, amount_micros, balance_after_micros, occurred_at, posted_at, payload_hash, hash)
        select ${workspaceId}, sequence, kind || '/' || number, kind,
          case kind when 'call' then 'call_' || number when 'message' then 'chat_' || number / 10 % 97
            else 'topup_' || number end,
          'agent_' || number % 50, 'campaign_' || number % 10,
          case kind when 'top_up' then 20000000 else -180000 end, 0,
          ${new Date(noon)}::timestamptz + make_interval(secs => number - 20000),
          ${new Date(noon)}::timestamptz + make_interval(secs => number - 20000),
          sha256(number::text::bytea), sha256(number::text::bytea)
        from row
      )
      insert into posting (workspace_id, wallet_sequence, line, debit_account, credit_account, amount_micros)
      select ${workspaceId}, sequence, 1,
        case kind when 'top_up' then 'paddle_clearing' else 'wallet' end::account_code,
        case kind when 'top_up' then 'wallet' else 'voice_revenue' end::account_code,
        case kind when 'top_up' then 20000000 else 180000 end
      from row`.execute(trx)
  })
}

type PlanNode = {
  'Node Type': string
  'Actual Rows': number
  'Actual Loops': number
  'Heap Fetches'?: number
  'Rows Removed by Filter'?: number
  Plans?: PlanNode[]
}

type Plan = { sequentialScans: number; heapFetches: number; rowsReadWhole: number; scans: string[] }

async function explain(
  db: Db,
  query: ReturnType<typeof countQuery> | ReturnType<typeof listQuery>,
): Promise<Plan> {
  const { rows } = await sql<{ 'QUERY PLAN': { Plan: PlanNode }[] }>`
    explain (analyze, costs off, timing off, format json) ${query}`.execute(db)
  const nodes = rows.flatMap((row) => row['QUERY PLAN'].flatMap(({ Plan }) => nodesOf(Plan)))
  const sum = (value: (node: PlanNode) => number): number =>
    nodes.reduce((total, node) => total + value(node), 0)
  const readsWhole = (node: PlanNode): boolean =>
    ['Seq Scan', 'Parallel Seq Scan', 'Index Scan', 'Bitmap Heap Scan'].includes(node['Node Type'])
  return {
    sequentialScans: nodes.filter((node) => node['Node Type'].includes('Seq Scan')).length,
    heapFetches: sum((node) => node['Heap Fetches'] ?? 0),
    rowsReadWhole: sum((node) =>
      readsWhole(node)
        ? (node['Actual Rows'] + (node['Rows Removed by Filter'] ?? 0)) * node['Actual Loops']
        : 0,
    ),
    scans: nodes.map((node) => node['Node Type']),
  }
}

function nodesOf(plan: PlanNode): PlanNode[] {
  return [plan, ...(plan.Plans ?? []).flatMap(nodesOf)]
}
