// Pages of a wallet: what the filters find, in order and without gaps; and quick, however long the history is.
import * as fc from 'fast-check'
import { sql } from 'kysely'
import { describe, expect } from 'vitest'

import {
  kindsOfType,
  sequenceOfTransactionId,
  typeOfKind,
  usageKinds,
  walletTransactionId,
} from '../../billing/wallet-transaction.ts'
import { connect } from '../../db/connect.ts'
import { blockSize } from '../../db/ledger-block.ts'
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
import { anyFilter, anyRow, noon } from '../support/any-history.ts'
import { givenHistory, type HistoryRow } from '../support/given-history.ts'
import { givenClosedBlocks, givenLongHistory } from '../support/given-long-history.ts'
import { givenWorkspace, newWorkspaceId } from '../support/given.ts'

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
  const longHistory = 15_000
  /** Those of a page, of a block that is not full, and of one at either end of a time; each may be looked at twice. */
  const fewRows = 2 * (51 + 3 * blockSize)
  const quick = { sequentialScans: 0, few: true }

  test('any page and any count reads a few rows by index, whatever is asked', async ({ ownPlace, ownDb }) => {
    const workspaceId = await givenWorkspace(ownDb)
    const history = { firstPostedAt: new Date(noon - 8_000_000), secondsApart: 1 }
    await givenLongHistory(ownDb, workspaceId, { ...history, rows: longHistory })
    // Where a table is nearly all one wallet's, reading all of it would be as good.
    for (const rows of [8_000, 8_000]) {
      await givenLongHistory(ownDb, await givenWorkspace(ownDb), { ...history, rows })
    }
    await givenClosedBlocks(ownDb)
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
      { kinds: ['call'], reference: 'call_9001' },
      { kinds: ['message'], reference: 'chat_7' },
      { agentId: 'agent_7' },
      { campaignId: 'campaign_3' },
      { from: new Date(noon), until: new Date(noon + 3_600_000) },
      { kinds: ['call'], agentId: 'agent_7', from: new Date(noon) },
    ]

    for (const filter of filters) {
      const found = await countWalletTransactions(api, workspaceId, filter, newest)
      for (const offset of [0, Math.floor(Number(found) / 2), Math.max(0, Number(found) - 50)]) {
        const page = await explain(api, listQuery(workspaceId, filter, { newest, offset, limit: 51 }))
        expect({ filter, offset, ...page, few: page.rowsReadWhole <= fewRows }).toMatchObject(quick)
      }
      const count = await explain(api, countQuery(workspaceId, filter, newest))
      expect({ filter, ...count, few: count.rowsReadWhole <= fewRows }).toMatchObject(quick)
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

type PlanNode = {
  'Relation Name'?: string
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
    node['Relation Name'] === 'ledger_transaction' &&
    ['Seq Scan', 'Parallel Seq Scan', 'Index Scan', 'Bitmap Heap Scan'].includes(node['Node Type'])
  return {
    sequentialScans: nodes.filter(
      (node) => node['Relation Name'] === 'ledger_transaction' && node['Node Type'].includes('Seq Scan'),
    ).length,
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
