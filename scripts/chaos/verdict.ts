/**
 * The verdict: what the database and Paddle say at the end, held against the oracle event by event and wallet by wallet. Reads the
 * rows with SQL of its own and compares in BigInt; the project's own `verify` is one of the judges, and not the only one.
 */
import { createReadStream } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

import { sql } from 'kysely'

import { connect } from '../../db/connect.ts'
import { verifyLedger } from '../../db/verify.ts'
import { eventAt, keyOf, type LoadPlan } from './load.ts'
import { expectedOf, type ExpectedTotals, type ExpectedWallet } from './oracle.ts'
import { ownConnectionName, type Stage } from './stage.ts'

export type Check = {
  title: string
  /** How much was looked at, in words. */
  of: string
  /** 0 is what is wanted. */
  violations: bigint
  /** The first of them, and where. */
  examples: string[]
}

export type Expectation = { wallets: ReadonlyMap<string, ExpectedWallet>; totals: ExpectedTotals }

const pageSize = 5_000
const mostExamples = 5

export async function judge(
  stage: Stage,
  plan: LoadPlan,
  expected: Expectation,
  tell: (message: string) => void,
): Promise<Check[]> {
  return [
    ...(await judgeEvents(stage, plan, expected, tell)),
    ...(await judgeWallets(stage, expected)),
    await judgeRentals(stage, expected),
    await judgeTrialBalance(stage),
    await judgeChains(stage, tell),
    ...(await judgeMoneyIn(stage, expected)),
    ...(await judgeRemains(stage)),
    await judgeDeadlocks(stage),
  ]
}

type EventRow = { place: number; state: string | null; amount: bigint | null; transactions: number }

/** Every event of the load, in pages: never more of them in memory than one page. */
async function judgeEvents(
  { db }: Stage,
  plan: LoadPlan,
  { totals }: Expectation,
  tell: (message: string) => void,
): Promise<Check[]> {
  const missing = check('events that are not what they must be', `${count(plan.events)} events`)
  const doubled = check('events with more than one transaction', `${count(totals.posted)} posted`)
  const wrong = check('amounts that differ from the oracle', `${count(totals.posted)} posted`)
  for (let from = 0; from < plan.events; from += pageSize) {
    const events = Array.from({ length: Math.min(pageSize, plan.events - from) }, (_, place) =>
      eventAt(plan, from + place),
    )
    const { rows } = await sql<EventRow>`
      select told.place::int as place,
        (select e.state::text from usage_event e
          where e.workspace_id = told.workspace_id and e.key = told.key) as state,
        (select sum(t.amount_micros)::bigint from ledger_transaction t
          where t.idempotency_key = told.key and t.workspace_id = told.workspace_id) as amount,
        (select count(*)::int from ledger_transaction t
          where t.reference = told.reference and t.kind in ('call', 'message')) as transactions
      from unnest(
        ${events.map((event) => event.workspaceId)}::text[], ${events.map(keyOf)}::text[],
        ${events.map((event) => event.id)}::text[]
      ) with ordinality as told (workspace_id, key, reference, place)`.execute(db)
    for (const row of rows) {
      const event = events[row.place - 1]
      if (event === undefined) continue
      const must = expectedOf(event)
      const name = `${event.workspaceId} ${keyOf(event)}`
      const wanted = must.state === 'posted' ? 1 : 0
      if (row.state !== must.state || row.transactions < wanted)
        found(
          missing,
          `${name} is ${row.state ?? 'unknown'} with ${row.transactions} transactions; expected ${must.state}`,
        )
      if (row.transactions > wanted)
        found(doubled, `${name} has ${row.transactions} transactions; expected ${wanted}`)
      if (must.state === 'posted' && row.amount !== null && row.amount !== -must.micros)
        found(wrong, `${name} was booked with ${row.amount}; expected ${-must.micros} micro-dollars`)
    }
    if (from % 100_000 === 0 && from > 0) tell(`compared ${count(from)} events`)
  }
  const { rows } = await sql<{ booked: bigint }>`
    select count(*) as booked from ledger_transaction where kind in ('call', 'message')`.execute(db)
  const orphans = check(
    'transactions without an event',
    `${count(Number(rows[0]?.booked ?? 0n))} transactions`,
  )
  orphans.violations = absolute((rows[0]?.booked ?? 0n) - BigInt(totals.posted))
  if (orphans.violations > 0n)
    orphans.examples.push(`${rows[0]?.booked} transactions of usage; the oracle has ${totals.posted}`)
  return [missing, doubled, orphans, wrong]
}

type WalletRow = {
  workspace_id: string
  balance: bigint
  held: bigint
  sequence: bigint
  entries: bigint
  transactions: bigint
  last: bigint
}

async function judgeWallets({ db }: Stage, { wallets }: Expectation): Promise<Check[]> {
  const { rows } = await sql<WalletRow>`
    select w.workspace_id, w.balance_micros as balance, w.held_micros as held, w.sequence,
      coalesce(e.entries, 0)::bigint as entries, coalesce(t.transactions, 0)::bigint as transactions,
      coalesce(t.last, 0)::bigint as last
    from wallet w
    left join (
      select workspace_id, sum(amount_micros) as entries from account_entry where account = 'wallet' group by workspace_id
    ) as e using (workspace_id)
    left join (
      select workspace_id, count(*) as transactions, max(wallet_sequence) as last from ledger_transaction group by workspace_id
    ) as t using (workspace_id)`.execute(db)
  const of = `${count(wallets.size)} wallets`
  const drift = check('micro-dollars between wallets and oracle', of)
  const entries = check('wallets that are not the sum of their entries', of)
  const gaps = check('gaps in the sequences', of)
  const held = check('micro-dollars still held', of)
  const seen = new Set<string>()
  for (const row of rows) {
    seen.add(row.workspace_id)
    const must = wallets.get(row.workspace_id)
    if (must === undefined) continue
    if (row.balance !== must.balanceMicros) {
      found(
        drift,
        `${row.workspace_id} has ${row.balance}; expected ${must.balanceMicros}`,
        absolute(row.balance - must.balanceMicros),
      )
    }
    if (row.balance !== row.entries)
      found(entries, `${row.workspace_id} says ${row.balance}; its entries come to ${row.entries}`)
    if (
      row.sequence !== row.transactions ||
      row.sequence !== row.last ||
      row.sequence !== must.transactions
    ) {
      found(
        gaps,
        `${row.workspace_id} is at ${row.sequence} with ${row.transactions} transactions up to ${row.last}; expected ${must.transactions}`,
      )
    }
    if (row.held !== 0n) found(held, `${row.workspace_id} holds ${row.held}`, row.held)
  }
  for (const workspaceId of wallets.keys()) {
    if (!seen.has(workspaceId)) found(drift, `${workspaceId} has no wallet`)
  }
  return [drift, entries, gaps, held]
}

async function judgeRentals({ db }: Stage, { wallets, totals }: Expectation): Promise<Check> {
  const { rows } = await sql<{ workspace_id: string; months: bigint }>`
    select workspace_id, count(*) as months from ledger_transaction where kind = 'number_rental' group by workspace_id`.execute(
    db,
  )
  const paid = new Map(rows.map((row) => [row.workspace_id, row.months]))
  const rents = check(
    'wallets that paid for other months than they rented',
    `${count(Number(totals.months))} months`,
  )
  for (const [workspaceId, { months }] of wallets) {
    const got = paid.get(workspaceId) ?? 0n
    if (got !== months) found(rents, `${workspaceId} paid ${got} months; expected ${months}`)
  }
  return rents
}

async function judgeTrialBalance({ db }: Stage): Promise<Check> {
  const { rows } = await sql<{ sum: bigint; entries: bigint }>`
    select coalesce(sum(amount_micros), 0)::bigint as sum, count(*) as entries from account_entry`.execute(db)
  const balance = check('trial balance', `${count(Number(rows[0]?.entries ?? 0n))} entries`)
  balance.violations = absolute(rows[0]?.sum ?? 0n)
  return balance
}

async function judgeChains({ servers }: Stage, tell: (message: string) => void): Promise<Check> {
  const db = connect(servers.databaseUrl, { profile: 'auditor', name: ownConnectionName, poolSize: 1 })
  try {
    const { breaks, transactions } = await verifyLedger(db, {
      onProgress: (done) => tell(`verified ${count(done)} transactions`),
    })
    const chains = check("breaks found by the project's verify", `${count(transactions)} transactions`)
    for (const each of breaks) found(chains, `${each.workspaceId} ${each.where} ${each.what}`)
    return chains
  } finally {
    await db.destroy()
  }
}

/** Paddle's own journal of what left the cards against our credits, transaction by transaction. */
async function judgeMoneyIn({ db, control }: Stage, { wallets, totals }: Expectation): Promise<Check[]> {
  const { captures } = await control.journal()
  const { rows } = await sql<{ workspace_id: string; key: string; amount: bigint; reference: string }>`
    select workspace_id, idempotency_key as key, amount_micros as amount, reference
    from ledger_transaction where kind = 'top_up'`.execute(db)
  const credits = new Map(rows.map((row) => [row.key.slice(row.key.lastIndexOf('/') + 1), row.amount]))
  const taken = captures.filter(({ net }) => net !== '0')
  const difference = check('micro-dollars between captured and credited', `${count(taken.length)} captures`)
  const perTopUp = new Map<string, number>()
  for (const { transactionId, net, topUpId } of taken) {
    const captured = BigInt(net) * 10_000n
    const credited = credits.get(transactionId) ?? 0n
    credits.delete(transactionId)
    if (captured !== credited)
      found(
        difference,
        `${transactionId}: captured ${captured}, credited ${credited}`,
        absolute(captured - credited),
      )
    if (topUpId !== null) perTopUp.set(topUpId, (perTopUp.get(topUpId) ?? 0) + 1)
  }
  for (const [transactionId, amount] of credits)
    found(difference, `${transactionId}: credited ${amount}, never captured`, absolute(amount))
  const twice = check('top-ups that were captured twice', `${count(perTopUp.size)} top-ups`)
  for (const [topUpId, times] of perTopUp)
    if (times > 1) found(twice, `${topUpId} was captured ${times} times`)

  const byWallet = new Map<string, bigint>()
  for (const row of rows) byWallet.set(row.workspace_id, (byWallet.get(row.workspace_id) ?? 0n) + row.amount)
  const due = check(
    'wallets that were paid other than expected',
    `${count(Number(totals.recharges))} recharges`,
  )
  for (const [workspaceId, { creditedMicros }] of wallets) {
    const credited = byWallet.get(workspaceId) ?? 0n
    if (credited !== creditedMicros)
      found(due, `${workspaceId} was credited ${credited}; expected ${creditedMicros}`)
  }
  return [difference, twice, due]
}

/** What waits for ever. */
async function judgeRemains({ db }: Stage): Promise<Check[]> {
  const of = 'at the end'
  const remains = [
    [
      'holds open without a call',
      sql`select workspace_id || ' ' || call_id as what from hold where state = 'open'`,
    ],
    ['rows in the outbox', sql`select workspace_id || ' ' || name || ' ' || job_id as what from staged_job`],
    [
      'charges whose end nobody knows',
      sql`select workspace_id || ' ' || top_up_id || ' ' || state || ' ' || coalesce(reason, '') as what
        from top_up where state in ('ready', 'submitting', 'unknown', 'processing', 'needs_review')`,
    ],
    [
      'usage received and not posted',
      sql`select workspace_id || ' ' || key as what from usage_event where state = 'received'`,
    ],
    [
      'usage set aside for another reason than the load gives',
      sql`select workspace_id || ' ' || key || ' ' || reason as what from usage_event
        where state = 'set_aside' and reason not in ('unknown_destination', 'conflicting_duplicate')`,
    ],
    [
      'webhooks stored and not applied',
      sql`select event_id || ' ' || event_type || ' ' || state || ' ' || coalesce(outcome, '') as what
        from paddle_event where state not in ('applied', 'ignored')`,
    ],
  ] as const
  const checks: Check[] = []
  for (const [title, query] of remains) {
    const { rows } = await sql<{ what: string }>`${query}`.execute(db)
    const left = check(title, of)
    for (const { what } of rows) found(left, what)
    checks.push(left)
  }
  return checks
}

/** Postgres counts them too, and forgets the count when it is killed; its log is kept. */
async function judgeDeadlocks({ directory }: Stage): Promise<Check> {
  const deadlocks = check('deadlocks', 'the log of Postgres')
  const lines = createInterface({ input: createReadStream(join(directory, 'postgres.log')) })
  for await (const line of lines) if (line.includes('deadlock detected')) found(deadlocks, line)
  return deadlocks
}

export function check(title: string, of: string): Check {
  return { title, of, violations: 0n, examples: [] }
}

export function found(into: Check, example: string, violations = 1n): void {
  into.violations += violations
  if (into.examples.length < mostExamples) into.examples.push(example)
}

export function count(number: number): string {
  return number.toLocaleString('en-US')
}

function absolute(value: bigint): bigint {
  return value < 0n ? -value : value
}
