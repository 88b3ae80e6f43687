/**
 * What the rows say of how the whole is doing, for whoever watches it. One statement each, by an index or over tables that stay
 * small, and counted up to a cap: whoever asks every few seconds must not be what makes it slow.
 *
 * Shape: ages in seconds: of holds and top-ups by the clock they are dated by, of what waits for a process of ours by the database's
 *        own; money in micro-dollars; counts never above `mostCounted`.
 */
import { sql } from 'kysely'

import type { Db } from './schema.ts'

/** Beyond this nobody needs to know how many: something is wrong anyway. */
const mostCounted = 10_000

export type Queued = { count: number; oldestSeconds: number }

/** Events that nobody has posted yet. */
export async function readUnposted(db: Db): Promise<Queued> {
  const { rows } = await sql<Queued>`
    select count(*)::int as "count", coalesce(extract(epoch from clock_timestamp() - min(received_at)), 0)::float8 as "oldestSeconds"
    from (
      select received_at from usage_event where state = 'received' order by received_at limit ${mostCounted}
    ) as unposted`.execute(db)
  return rows[0] ?? none
}

/** Jobs that the relay has not moved to Redis yet. */
export async function readStagedJobs(db: Db): Promise<Queued> {
  const { rows } = await sql<Queued>`
    select count(*)::int as "count", coalesce(extract(epoch from clock_timestamp() - min(staged_at)), 0)::float8 as "oldestSeconds"
    from (select staged_at from staged_job order by id limit ${mostCounted}) as staged`.execute(db)
  return rows[0] ?? none
}

/** Events that are set aside, the newest of them, by why. */
export async function countSetAside(db: Db): Promise<{ reason: string; count: number }[]> {
  const { rows } = await sql<{ reason: string; count: number }>`
    select reason, count(*)::int as "count"
    from (
      select reason from usage_event where state = 'set_aside' order by decided_at desc limit ${mostCounted}
    ) as newest
    group by reason`.execute(db)
  return rows
}

export type HoldNumbers = {
  open: number
  /** Open, and their call has not been heard of for two minutes. */
  silent: number
  oldestSilenceSeconds: number
  /** Calls that were admitted, fell silent and were never told of: nobody has paid for them. */
  unbilled: number
}

export async function readHolds(db: Db): Promise<HoldNumbers> {
  const { rows } = await sql<HoldNumbers>`
    select open.*, unbilled.*
    from (
      select count(*)::int as "open",
        (count(*) filter (where heard_at < wallet_now() - interval '2 minutes'))::int as "silent",
        coalesce(extract(epoch from wallet_now() - min(heard_at)), 0)::float8 as "oldestSilenceSeconds"
      from (select heard_at from hold where state = 'open' limit ${mostCounted}) as live) as open,
    (
      select count(*)::int as "unbilled"
      from (select from hold where state = 'expired' limit ${mostCounted}) as expired) as unbilled`.execute(
    db,
  )
  return rows[0] ?? { open: 0, silent: 0, oldestSilenceSeconds: 0, unbilled: 0 }
}

export type TopUpNumbers = Queued & { source: string; state: string }

/** Top-ups that are under way, and those that ended within a day. A checkout's age says nothing: nobody has to pay it. */
export async function countTopUps(db: Db): Promise<TopUpNumbers[]> {
  const { rows } = await sql<TopUpNumbers>`
    select source, state, count(*)::int as "count", coalesce(extract(epoch from wallet_now() - min(coalesce(first_sent_at, created_at))), 0)::float8 as "oldestSeconds"
    from top_up where changed_at > (select wallet_now()) - interval '1 day'
      or state in ('ready', 'submitting', 'unknown', 'processing', 'needs_review', 'awaiting_customer')
    group by source, state`.execute(db)
  return rows
}

/** Workspaces with auto-recharge on, by what was decided for them last. */
export async function countAutoRecharges(
  db: Db,
): Promise<{ decision: string; suspended: boolean; count: number }[]> {
  const { rows } = await sql<{ decision: string; suspended: boolean; count: number }>`
    select coalesce(last_decision, 'none') as decision, suspended_at is not null as suspended, count(*)::int as "count"
    from auto_recharge where enabled group by 1, 2`.execute(db)
  return rows
}

/** Paddle's news that is not dealt with. */
export async function countPaddleEvents(db: Db): Promise<(Queued & { state: string })[]> {
  const { rows } = await sql<Queued & { state: string }>`
    select state, count(*)::int as "count", coalesce(extract(epoch from clock_timestamp() - min(received_at)), 0)::float8 as "oldestSeconds"
    from paddle_event where state = 'received' or state = 'waiting' or state = 'needs_review'
    group by state`.execute(db)
  return rows
}

/** Since the beginning. */
export async function countRefusedWebhooks(db: Db): Promise<{ reason: string; count: bigint }[]> {
  return await db.selectFrom('refused_webhook').select(['reason', 'refused as count']).execute()
}

export type WalletNumbers = {
  wallets: number
  belowZero: number
  frozen: number
  balanceMicros: bigint
  heldMicros: bigint
  /** What wallets say is held for calls, less what open holds say. Zero, or something is broken. */
  heldImbalanceMicros: bigint
  /** Ever booked. */
  transactions: bigint
}

/** Reads every wallet once. */
export async function readWallets(db: Db): Promise<WalletNumbers> {
  const { rows } = await sql<WalletNumbers>`
    select count(*)::int as wallets,
      (count(*) filter (where balance_micros < 0))::int as "belowZero",
      count(frozen_at)::int as frozen,
      coalesce(sum(balance_micros), 0)::bigint as "balanceMicros",
      coalesce(sum(held_micros), 0)::bigint as "heldMicros",
      (coalesce(sum(held_micros), 0)
        - (select coalesce(sum(amount_micros), 0) from hold where state = 'open'))::bigint as "heldImbalanceMicros",
      coalesce(sum(sequence), 0)::bigint as transactions
    from wallet`.execute(db)
  const [row] = rows
  if (row === undefined) throw new Error('an aggregate without a row')
  return row
}

export type LedgerNumbers = {
  postings: bigint
  /** What wallets say they have, less what all postings come to. Zero, or something is broken. */
  imbalanceMicros: bigint
}

/** Reads every posting there is, in one snapshot: for every few minutes, not for every few seconds. */
export async function readLedger(db: Db): Promise<LedgerNumbers> {
  const { rows } = await sql<LedgerNumbers>`
    select booked.postings,
      ((select coalesce(sum(balance_micros), 0) from wallet) - booked.amount_micros)::bigint as "imbalanceMicros"
    from (
      select count(*) as postings,
        coalesce(sum(amount_micros) filter (where credit_account = 'wallet'), 0)
          - coalesce(sum(amount_micros) filter (where debit_account = 'wallet'), 0) as amount_micros
      from posting) as booked`.execute(db)
  const [row] = rows
  if (row === undefined) throw new Error('an aggregate without a row')
  return row
}

const none: Queued = { count: 0, oldestSeconds: 0 }
