// The pages of a wallet with a million transactions, and of one that is nearly the whole table. Prints what it measures.
import { performance } from 'node:perf_hooks'

import { sql, type RawBuilder } from 'kysely'
import { afterAll, expect } from 'vitest'

import type { WorkspaceId } from '../../billing/ids.ts'
import { kindsOfType, usageKinds } from '../../billing/wallet-transaction.ts'
import { connect } from '../../db/connect.ts'
import type { Db } from '../../db/schema.ts'
import { readUsageStats, readUsed, readWalletActivity } from '../../db/usage-stats.ts'
import { findWalletState, summarizeWallet } from '../../db/wallet-summary.ts'
import {
  countQuery,
  countWalletTransactions,
  listQuery,
  listWalletTransactions,
  walkWalletTransactions,
  type WalletTransactionFilter,
} from '../../db/wallet-transaction.ts'
import { closeFullBlocks } from '../../workers/block-sweep.ts'
import { test } from '../support/fixtures.ts'
import { givenLongHistory } from '../support/given-long-history.ts'
import { givenWorkspace } from '../support/given.ts'

const million = 1_000_000
const dayMs = 86_400_000
const report: string[] = []

afterAll(() => {
  process.stderr.write(`\n${report.join('\n')}\n`)
})

test('pages, filters, the last page, counts and figures of a million transactions take less than 300 ms', async ({
  ownPlace,
  ownDb,
}) => {
  const now = new Date()
  const yearAgo = new Date(now.getTime() - 365 * dayMs)
  const workspaceId = await givenWorkspace(ownDb)
  for (let other = 0; other < 5; other += 1) {
    await givenLongHistory(ownDb, await givenWorkspace(ownDb), {
      rows: 10_000,
      firstPostedAt: yearAgo,
      secondsApart: 3_153,
    })
  }
  report.push(
    await timed('filling', () =>
      givenLongHistory(ownDb, workspaceId, { rows: million, firstPostedAt: yearAgo, secondsApart: 31.536 }),
    ),
  )
  await sql`vacuum (analyze) ledger_transaction, posting, wallet`.execute(ownDb)
  const newest = BigInt(million + 1)
  const worker = connect(ownPlace.databaseUrl, { profile: 'worker', name: 'workers', poolSize: 1 })
  const api = connect(ownPlace.databaseUrl, { profile: 'worker', name: 'api', poolSize: 4 })

  report.push(
    await timed('closing 1,000 blocks', async () => {
      while (await closeFullBlocks(worker));
    }),
  )
  const slowest = await measure(api, workspaceId, now, 'blocks closed, never analyzed')
  await sql`vacuum (analyze)`.execute(ownDb)
  const analyzed = await measure(api, workspaceId, now, 'blocks closed and analyzed')
  for (const [name, filter] of Object.entries(planned(now))) {
    await plan(api, `${name}, first page`, listQuery(workspaceId, filter, { newest, limit: 51 }))
    await plan(api, `${name}, count`, countQuery(workspaceId, filter, newest))
  }
  for (const [name, filter] of Object.entries({ everything: {}, usage: { kinds: usageKinds } })) {
    report.push(await walked(api, workspaceId, newest, name, filter))
  }
  const { rows: sizes } = await sql<{ name: string; size: string }>`
    select relname as name, pg_size_pretty(pg_total_relation_size(oid)) as size from pg_class
    where relkind = 'r' and (relname like 'ledger_%' or relname = 'posting') order by relname`.execute(ownDb)
  report.push(sizes.map(({ name, size }) => `${name}: ${size}`).join(', '))
  await worker.destroy()
  await api.destroy()

  expect(slowest).toBeLessThan(300)
  expect(analyzed).toBeLessThan(300)
}, 1_800_000)

/** All of it, as the CSV reads it, and how much more memory that took than the first page. */
async function walked(
  api: Db,
  workspaceId: WorkspaceId,
  newest: bigint,
  name: string,
  filter: WalletTransactionFilter,
): Promise<string> {
  const startedAt = performance.now()
  let rows = 0
  let first = 0
  let most = 0
  for await (const page of walkWalletTransactions(api, workspaceId, filter, { newest, limit: 1_000 })) {
    rows += page.length
    most = Math.max(most, process.memoryUsage.rss())
    if (first === 0) first = most
  }
  const seconds = ((performance.now() - startedAt) / 1_000).toFixed(1)
  return `walk of ${name}: ${rows} rows in ${seconds} s, ${((most - first) / 1_048_576).toFixed(0)} MB above the first page`
}

function planned(now: Date): Record<string, WalletTransactionFilter> {
  const daysAgo = (days: number): Date => new Date(now.getTime() - days * dayMs)
  return {
    'agent and campaign': { agentId: 'agent_7', campaignId: 'campaign_3' },
    'calls of an agent in half a year': {
      kinds: ['call'],
      agentId: 'agent_7',
      from: daysAgo(300.5),
      until: daysAgo(120.5),
    },
  }
}

/** The largest median of the pages, the counts and the figures of 30 days, in milliseconds. */
async function measure(api: Db, workspaceId: WorkspaceId, now: Date, title: string): Promise<number> {
  const wallet = await findWalletState(api, workspaceId)
  if (wallet === null) throw new Error('no wallet')
  const { newest } = wallet
  const daysAgo = (days: number): Date => new Date(now.getTime() - days * dayMs)
  const filters: Record<string, WalletTransactionFilter> = {
    everything: {},
    'kind call': { kinds: ['call'] },
    'kind message': { kinds: ['message'] },
    'type usage': { kinds: usageKinds },
    'type topup': { kinds: kindsOfType('topup') },
    'type refund (none)': { kinds: kindsOfType('refund') },
    'agent (2 %)': { agentId: 'agent_7' },
    'agent (5 in all)': { agentId: 'rare_7' },
    'agent (nobody)': { agentId: 'nobody' },
    campaign: { campaignId: 'campaign_3' },
    'agent and campaign': { agentId: 'agent_7', campaignId: 'campaign_3' },
    'one day half a year ago': { from: daysAgo(180), until: daysAgo(179) },
    'half a year': { from: daysAgo(300.5), until: daysAgo(120.5) },
    'calls of an agent in half a year': {
      kinds: ['call'],
      agentId: 'agent_7',
      from: daysAgo(300.5),
      until: daysAgo(120.5),
    },
    'one call': { kinds: ['call'], reference: 'call_500001' },
    'one chat (1 %)': { kinds: ['message'], reference: 'chat_7' },
  }
  report.push('', `${title}: p50 / p99 in ms`)
  const medians: number[] = []
  const measured = async (name: string, times: number, run: () => Promise<unknown>): Promise<void> => {
    const durations: number[] = []
    for (let time = 0; time < times; time += 1) {
      const startedAt = performance.now()
      await run()
      durations.push(performance.now() - startedAt)
    }
    durations.sort((one, other) => one - other)
    const at = (share: number): number => durations[Math.floor(share * (times - 1))] ?? 0
    if (!name.includes('365')) medians.push(at(0.5))
    report.push(`${name.padEnd(60)} ${at(0.5).toFixed(1).padStart(8)} / ${at(0.99).toFixed(1)}`)
  }
  for (const [name, filter] of Object.entries(filters)) {
    const found = await countWalletTransactions(api, workspaceId, filter, newest)
    const page = (offset: number) => () =>
      listWalletTransactions(api, workspaceId, filter, { newest, offset, limit: 51 })
    await measured(`${name}: first page`, 20, page(0))
    await measured(`${name}: middle page`, 20, page(Math.floor(Number(found) / 2)))
    await measured(`${name}: last page`, 20, page(Math.max(0, Number(found) - 50)))
    await measured(`${name}: count (${found})`, 20, () =>
      countWalletTransactions(api, workspaceId, filter, newest),
    )
  }
  for (const days of [1, 30, 365]) {
    const since = new Date(
      `${daysAgo(days - 1)
        .toISOString()
        .slice(0, 10)}T00:00:00Z`,
    )
    await measured(`usage stats, ${days} days`, 10, () => readUsageStats(api, workspaceId, { since, newest }))
    await measured(`activity, ${days} days`, 10, () =>
      readWalletActivity(api, workspaceId, { since, newest }),
    )
  }
  for (const days of [1 / 24, 1, 7]) {
    await measured(`used in ${days.toFixed(2)} days`, 20, () =>
      readUsed(api, { workspaceId, newest, from: daysAgo(days) }),
    )
  }
  await measured('summary', 20, () => summarizeWallet(api, workspaceId, wallet))
  return Math.max(...medians)
}

async function plan(api: Db, name: string, query: RawBuilder<unknown>): Promise<void> {
  const { rows } = await sql<{
    'QUERY PLAN': string
  }>`explain (analyze, buffers, costs off) ${query}`.execute(api)
  const lines = rows.map((row) => row['QUERY PLAN'])
  report.push(
    '',
    name,
    ...lines.filter((line) => /Scan on \w*ledger|Scan using|^Execution|^Planning Time/.test(line)),
    lines.find((line) => line.includes('Buffers')) ?? '',
  )
}

async function timed(name: string, run: () => Promise<unknown>): Promise<string> {
  const startedAt = performance.now()
  await run()
  return `${name}: ${((performance.now() - startedAt) / 1_000).toFixed(1)} s`
}
