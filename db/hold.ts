/**
 * Holds: money set aside for live calls. A wallet's `held_micros` is the sum of its open holds, moved with them under the
 * wallet's lock; each hold ends exactly once: settled by the call's usage, released, or expired when nobody heard of the call.
 */
import { sql } from 'kysely'

import type { WorkspaceId } from '../billing/ids.ts'
import { micros, type Micros } from '../billing/money.ts'
import { textArray } from './array-parameter.ts'
import type { Db, HoldState, Tx } from './schema.ts'
import type { LockedWallet } from './wallet.ts'

/** Ends the open holds of calls, whose wallets the caller has locked. Calls without an open hold are passed over. */
export async function endHolds(
  trx: Tx,
  calls: readonly { workspaceId: string; callId: string }[],
  state: Exclude<HoldState, 'open'>,
): Promise<number> {
  if (calls.length === 0) return 0
  const { rows } = await sql<{ ended: bigint }>`/* end-holds */
    with ended as (
      update hold set state = ${state}, ended_at = clock_timestamp()
      from unnest(
        ${textArray(calls.map((call) => call.workspaceId))}::text[],
        ${textArray(calls.map((call) => call.callId))}::text[]
      ) as call (workspace_id, call_id)
      where hold.workspace_id = call.workspace_id and hold.call_id = call.call_id and hold.state = 'open'
      returning hold.workspace_id, hold.amount_micros
    ), freed as (
      select workspace_id, sum(amount_micros) as amount_micros, count(*) as holds from ended group by workspace_id
    ), moved as (
      update wallet set held_micros = wallet.held_micros - freed.amount_micros
      from freed where wallet.workspace_id = freed.workspace_id
      returning freed.holds
    )
    select coalesce(sum(holds), 0)::bigint as ended from moved`.execute(trx)
  return Number(rows[0]?.ended ?? 0n)
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

/** Says that a live call was heard of, and sets aside as much as is now needed for it. */
export async function changeHold(
  trx: Tx,
  wallet: LockedWallet,
  hold: Hold,
  { amountMicros, now, expiresAt }: { amountMicros: Micros; now: Date; expiresAt: Date },
): Promise<void> {
  await trx
    .updateTable('hold')
    .set({ amount_micros: amountMicros, heard_at: now, expires_at: expiresAt })
    .where('workspace_id', '=', wallet.workspaceId)
    .where('call_id', '=', hold.callId)
    .where('state', '=', 'open')
    .execute()
  await trx
    .updateTable('wallet')
    .set({ held_micros: micros(wallet.heldMicros - hold.amountMicros + amountMicros) })
    .where('workspace_id', '=', wallet.workspaceId)
    .execute()
}

/** Open holds whose calls have gone silent, by wallet. */
export async function listSilentHolds(
  db: Db,
  limit: number,
): Promise<{ workspaceId: WorkspaceId; callId: string }[]> {
  const rows = await db
    .selectFrom('hold')
    .select(['workspace_id as workspaceId', 'call_id as callId'])
    .where('state', '=', 'open')
    .where('expires_at', '<=', sql<Date>`clock_timestamp()`)
    .orderBy('expires_at')
    .limit(limit)
    .execute()
  return rows
}

/** Calls that were admitted, went silent, and of which no usage ever came. */
export async function listUnbilledCalls(
  db: Db,
  { workspaceId, limit }: { workspaceId?: WorkspaceId | undefined; limit: number },
): Promise<Hold[]> {
  return await selectHolds(db)
    .where('state', '=', 'expired')
    .$if(workspaceId !== undefined, (query) => query.where(sql`hold.workspace_id`, '=', workspaceId))
    .where((where) =>
      where.not(
        where.exists(
          where
            .selectFrom('usage_event')
            .select('usage_event.key')
            .whereRef('usage_event.workspace_id', '=', 'hold.workspace_id')
            .where('usage_event.key', '=', sql<string>`'call/' || hold.call_id`)
            .where('usage_event.state', 'in', ['posted', 'free']),
        ),
      ),
    )
    .orderBy('ended_at', 'desc')
    .limit(limit)
    .execute()
}

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
      'ended_at as endedAt',
    ])
}
