/**
 * A database for one run of the bench, on whatever server there is: a ledger cannot be emptied, so nobody's own database
 * is ever written to. Says after each measured run whether the ledger holds exactly what came in.
 */
import { sql } from 'kysely'
import { Client } from 'pg'

import { genesisHash } from '../../billing/hash-chain.ts'
import { draftSignupGrant } from '../../billing/ledger-draft.ts'
import { micros } from '../../billing/money.ts'
import { readClock } from '../../db/clock.ts'
import { connect } from '../../db/connect.ts'
import { hashOfKey, postLedgerTransactions } from '../../db/ledger.ts'
import { migrateToLatest } from '../../db/migrate.ts'
import type { Db } from '../../db/schema.ts'
import { lockFreeWallets } from '../../db/wallet.ts'

export type BenchDatabase = { url: string; db: Db; drop: () => Promise<void> }

/** Throws: whatever Postgres says when the user of `serverUrl` may not create databases. */
export async function createBenchDatabase(serverUrl: string, workspaceIds: string[]): Promise<BenchDatabase> {
  const name = `voice_wallet_bench_${process.pid}`
  await administer(serverUrl, `create database ${name}`)
  const url = new URL(serverUrl)
  url.pathname = `/${name}`
  const drop = (): Promise<void> => administer(serverUrl, `drop database if exists ${name} with (force)`)
  try {
    await migrateToLatest(url.href)
    const db = connect(url.href, { profile: 'operator', name: 'bench', poolSize: 2 })
    await openWallets(db, workspaceIds)
    return {
      url: url.href,
      db,
      drop: async () => {
        await db.destroy()
        await drop()
      },
    }
  } catch (error) {
    await drop()
    throw error
  }
}

/**
 * Throws: when the events whose call ids begin with `call_<name>_` are not exactly as many in the ledger as were to be
 *         booked, or are not as many set aside as were bad.
 */
export async function assertBooked(
  db: Db,
  { name, booked, setAside }: { name: string; booked: number; setAside: number },
): Promise<void> {
  // An end of the range that no call id reaches: the underscore's neighbour.
  const from = `call/call_${name}_`
  const to = `call/call_${name}\``
  const { rows } = await sql<Record<'transactions' | 'posted' | 'set_aside', bigint>>`
    select
      (select count(*) from ledger_transaction
        where idempotency_key collate "C" >= ${from} and idempotency_key collate "C" < ${to}) as transactions,
      count(*) filter (where state = 'posted') as posted,
      count(*) filter (where state = 'set_aside') as set_aside
    from usage_event
    where key collate "C" >= ${from} and key collate "C" < ${to}`.execute(db)
  const [found] = rows
  const expected = { transactions: BigInt(booked), posted: BigInt(booked), set_aside: BigInt(setAside) }
  if (
    found?.transactions === expected.transactions &&
    found.posted === expected.posted &&
    found.set_aside === expected.set_aside
  )
    return
  throw new Error(
    `${name}: expected ${booked} ledger transactions and ${setAside} events set aside, and found ` +
      `${found?.transactions} for ${found?.posted} posted events, and ${found?.set_aside} set aside`,
  )
}

/** Throws: when the calls whose ids begin with `call_<name>_` do not hold something, each of them. */
export async function assertHeld(db: Db, { name, calls }: { name: string; calls: number }): Promise<void> {
  const { rows } = await sql<{ open: bigint }>`
    select count(*) as open from hold where state = 'open' and starts_with(call_id, ${`call_${name}_`})`.execute(
    db,
  )
  if (rows[0]?.open !== BigInt(calls)) {
    throw new Error(`${name}: expected ${calls} live calls, and found ${rows[0]?.open}`)
  }
}

/** Gives every wallet as much as any bench can hold. */
export async function fundWallets(db: Db, workspaceIds: readonly string[]): Promise<void> {
  const amountMicros = micros(1_000_000_000_000n)
  for (let from = 0; from < workspaceIds.length; from += walletsPerGrant) {
    await db.transaction().execute(async (trx) => {
      const now = await readClock(trx)
      const { locked } = await lockFreeWallets(trx, workspaceIds.slice(from, from + walletsPerGrant))
      const posts = [...locked.values()].map((wallet) => {
        const { workspaceId } = wallet
        const draft = draftSignupGrant({ workspaceId, amountMicros, occurredAt: now })
        return { wallet, posts: [{ draft, payloadHash: hashOfKey(draft.idempotencyKey) }] }
      })
      await postLedgerTransactions(trx, posts, now)
    })
  }
}

const walletsPerGrant = 1_000

/** Throws: when a wallet's balance or sequence is not what its ledger transactions and their postings come to. */
export async function assertBalanced(db: Db): Promise<void> {
  const { rows } = await sql<{ workspace_id: string }>`
    with booked as (
      select workspace_id, count(*) as transactions, sum(amount_micros) as amount_micros
      from ledger_transaction group by workspace_id
    ), moved as (
      select workspace_id, sum(amount_micros) as amount_micros
      from account_entry where account = 'wallet' group by workspace_id
    ), held as (
      select workspace_id, sum(amount_micros) as amount_micros from hold where state = 'open' group by workspace_id
    )
    select workspace_id from wallet
    left join booked using (workspace_id)
    left join moved using (workspace_id)
    left join held using (workspace_id)
    where sequence <> coalesce(transactions, 0)
      or balance_micros <> coalesce(booked.amount_micros, 0)
      or balance_micros <> coalesce(moved.amount_micros, 0)
      or held_micros <> coalesce(held.amount_micros, 0)
    limit 1`.execute(db)
  if (rows[0] !== undefined)
    throw new Error(`the wallet of ${rows[0].workspace_id} is not what its ledger says`)
}

/** Empty wallets, all at once: the bench is about what comes after. */
async function openWallets(db: Db, workspaceIds: string[]): Promise<void> {
  await sql`insert into workspace (workspace_id) select unnest(${workspaceIds}::text[])`.execute(db)
  await sql`
    insert into wallet (workspace_id, head_hash) select unnest(${workspaceIds}::text[]), ${genesisHash}`.execute(
    db,
  )
  await sql`vacuum analyze workspace, wallet`.execute(db)
}

async function administer(serverUrl: string, statement: string): Promise<void> {
  const client = new Client({ connectionString: serverUrl })
  await client.connect()
  try {
    await client.query(statement)
  } finally {
    await client.end()
  }
}
