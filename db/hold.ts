/**
 * Holds: money set aside for live calls. A wallet's `held_micros` is the sum of its open holds, moved with them under the
 * wallet's lock; each hold ends exactly once: settled by the call's usage, released, or expired when nobody heard of the call.
 */
import { sql } from 'kysely'

import type { WorkspaceId } from '../billing/ids.ts'
import type { Micros } from '../billing/money.ts'
import { usageKey } from '../billing/usage-event.ts'
import { textArray } from './array-parameter.ts'
import type { Db, HoldState, Tx } from './schema.ts'
import { lockFreeWallets, type LockedWallet } from './wallet.ts'

/**
 * Ends the open holds of calls, whose wallets the caller has locked. Calls without an open hold are passed over, and so are
 * those that were to expire and have been heard of meanwhile.
 *
 * Shape: how many were ended.
 */
export async function endHolds(
  trx: Tx,
  calls: readonly { workspaceId: string; callId: string }[],
  state: Exclude<HoldState, 'open'>,
): Promise<number> {
  if (calls.length === 0) return 0
  const { rows } = await sql<{ ended: number }>`/* end-holds */
    with ended as (
      update hold set state = ${state}::text, ended_at = wallet_now()
      from unnest(
        ${textArray(calls.map((call) => call.workspaceId))}::text[],
        ${textArray(calls.map((call) => call.callId))}::text[]
      ) as call (workspace_id, call_id)
      where hold.workspace_id = call.workspace_id and hold.call_id = call.call_id and hold.state = 'open'
        and (${state}::text <> 'expired' or hold.expires_at <= wallet_now())
      returning hold.workspace_id, hold.amount_micros
    ), freed as (
      select workspace_id, sum(amount_micros) as amount_micros, count(*) as holds from ended group by workspace_id
    ), moved as (
      update wallet set held_micros = wallet.held_micros - freed.amount_micros
      from freed where wallet.workspace_id = freed.workspace_id
      returning freed.holds
    )
    select coalesce(sum(holds), 0)::int as ended from moved`.execute(trx)
  return rows[0]?.ended ?? 0
}

export type Hold = {
  workspaceId: WorkspaceId
  callId: string
  state: HoldState
  amountMicros: Micros
  direction: 'outbound' | 'inbound' | 'web'
  to: string | null
  from: string | null
  recorded: boolean
  agentId: string | null
  campaignId: string | null
  startedAt: Date
  heardAt: Date
  expiresAt: Date
  /** The call is over; its usage may still be to come. */
  hungUpAt: Date | null
  endedAt: Date | null
}

export async function findHold(
  db: Db,
  { workspaceId, callId }: { workspaceId: WorkspaceId; callId: string },
): Promise<Hold | null> {
  const row = await selectHolds(db)
    .where('workspace_id', '=', workspaceId)
    .where('call_id', '=', callId)
    .executeTakeFirst()
  return row ?? null
}

/**
 * A call's hold and what the call came to, as of one moment: a transaction that bills it meanwhile shows in both or in neither.
 *
 * Shape: `costMicros` is zero for a call that cost nothing, null for one that has not been posted.
 */
export async function findCall(
  db: Db,
  { workspaceId, callId }: { workspaceId: WorkspaceId; callId: string },
): Promise<{ hold: Hold; costMicros: Micros | null } | null> {
  const row = await selectHolds(db)
    .select(
      sql<Micros | null>`(
        select coalesce(-t.amount_micros, 0)
        from usage_event u
        left join ledger_transaction t on t.workspace_id = u.workspace_id and t.idempotency_key = u.key
        where u.workspace_id = hold.workspace_id and u.key = ${usageKey({ kind: 'call', id: callId })}
          and u.state in ('posted', 'free')
      )`.as('costMicros'),
    )
    .where('workspace_id', '=', workspaceId)
    .where('call_id', '=', callId)
    .executeTakeFirst()
  if (row === undefined) return null
  const { costMicros, ...hold } = row
  return { hold, costMicros }
}

/** Says that a live call was heard of, and sets aside as much as is now needed for it. `hold` was read under the lock. */
export async function changeHold(
  trx: Tx,
  wallet: LockedWallet,
  hold: Hold,
  { amountMicros, now, expiresAt }: { amountMicros: Micros; now: Date; expiresAt: Date },
): Promise<void> {
  await sql`
    with changed as (
      update hold set amount_micros = ${amountMicros}, heard_at = ${now}, expires_at = ${expiresAt}
      where workspace_id = ${wallet.workspaceId} and call_id = ${hold.callId} and state = 'open'
        and amount_micros = ${hold.amountMicros}
      returning workspace_id
    )
    update wallet set held_micros = held_micros + ${amountMicros - hold.amountMicros}
    from changed where wallet.workspace_id = changed.workspace_id`.execute(trx)
}

/** Open holds whose calls have gone silent, by wallet. */
async function listSilentHolds(
  db: Db,
  limit: number,
): Promise<{ workspaceId: WorkspaceId; callId: string }[]> {
  const rows = await db
    .selectFrom('hold')
    .select(['workspace_id as workspaceId', 'call_id as callId'])
    .where('state', '=', 'open')
    .where('expires_at', '<=', sql<Date>`wallet_now()`)
    .orderBy('expires_at')
    .limit(limit)
    .execute()
  return rows
}

/**
 * Ends holds whose calls have gone silent, in one transaction; wallets in use elsewhere are left for the next time.
 *
 * Shape: the calls whose holds were ended, and whether there may be more.
 */
export async function expireSilentHolds(trx: Tx, limit: number): Promise<{ expired: number; more: boolean }> {
  const silent = await listSilentHolds(trx, limit)
  if (silent.length === 0) return { expired: 0, more: false }
  const workspaceIds = [...new Set(silent.map((call) => call.workspaceId))].toSorted()
  const { locked } = await lockFreeWallets(trx, workspaceIds)
  const expired = await endHolds(
    trx,
    silent.filter((call) => locked.has(call.workspaceId)),
    'expired',
  )
  return { expired, more: silent.length === limit && expired > 0 }
}

/** Calls that were admitted, went silent, and of which no usage ever came: newest first, and how many there are in all. */
export async function listUnbilledCalls(
  db: Db,
  {
    workspaceId,
    limit,
    offset = 0,
  }: { workspaceId?: WorkspaceId | undefined; limit: number; offset?: number },
): Promise<{ calls: Hold[]; total: number }> {
  const calls = await selectHolds(db)
    .where(isUnbilled)
    .$if(workspaceId !== undefined, (query) => query.where(sql`hold.workspace_id`, '=', workspaceId))
    .orderBy('ended_at', 'desc')
    .orderBy('call_id')
    .limit(limit)
    .offset(offset)
    .execute()
  const { total } = await db
    .selectFrom('hold')
    .select(sql<number>`count(*)::int`.as('total'))
    .where(isUnbilled)
    .$if(workspaceId !== undefined, (query) => query.where(sql`hold.workspace_id`, '=', workspaceId))
    .executeTakeFirstOrThrow()
  return { calls, total }
}

/** What was set aside has not been billed either: somebody has to mend it. */
const isUnbilled = sql<boolean>`hold.state = 'expired' and not exists (
  select from usage_event where usage_event.workspace_id = hold.workspace_id
    and usage_event.key = 'call/' || hold.call_id and usage_event.state in ('received', 'posted', 'free'))`

function selectHolds(db: Db) {
  return db
    .selectFrom('hold')
    .select([
      'workspace_id as workspaceId',
      'call_id as callId',
      'state',
      'amount_micros as amountMicros',
      'direction',
      'to_number as to',
      'from_number as from',
      'recorded',
      'agent_id as agentId',
      'campaign_id as campaignId',
      'started_at as startedAt',
      'heard_at as heardAt',
      'expires_at as expiresAt',
      'hung_up_at as hungUpAt',
      'ended_at as endedAt',
    ])
}

/** How many calls money is held for. */
export async function countOpenHolds(db: Db, workspaceId: WorkspaceId): Promise<number> {
  const { count } = await db
    .selectFrom('hold')
    .select(sql<number>`count(*)::integer`.as('count'))
    .where('workspace_id', '=', workspaceId)
    .where('state', '=', 'open')
    .executeTakeFirstOrThrow()
  return count
}
