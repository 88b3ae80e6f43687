/** Usage events that could not be posted: listing them, and letting them try again. */
import { sql } from 'kysely'

import type { WorkspaceId } from '../billing/ids.ts'
import type { SetAsideReason } from '../billing/usage-event.ts'
import { jobOf } from '../jobs/contract.ts'
import { usageReceived } from '../jobs/usage-jobs.ts'
import type { UsageKind } from '../jobs/usage-arrival.ts'
import type { Db, Tx } from './schema.ts'
import { stageJob } from './staged-job.ts'

export type SetAsideUsage = {
  workspaceId: string
  key: string
  kind: UsageKind
  reason: SetAsideReason
  detail: string | null
  payload: string
  receivedAt: Date
  decidedAt: Date
}

export type SetAsideFilter = {
  workspaceId?: string | undefined
  reason?: SetAsideReason | undefined
  key?: string | undefined
}

/** Newest first. */
export async function listSetAside(
  db: Db,
  { workspaceId, reason, key, limit }: SetAsideFilter & { limit: number },
): Promise<SetAsideUsage[]> {
  const rows = await db
    .selectFrom('usage_event')
    .select(['workspace_id', 'key', 'kind', 'reason', 'detail', 'received_at', 'decided_at'])
    .select(sql<string>`payload::text`.as('payload'))
    .where('state', '=', 'set_aside')
    .$if(workspaceId !== undefined, (query) => query.where('workspace_id', '=', workspaceId ?? ''))
    .$if(reason !== undefined, (query) => query.where('reason', '=', reason ?? null))
    .$if(key !== undefined, (query) => query.where('key', '=', key ?? ''))
    .orderBy('decided_at', 'desc')
    .orderBy('workspace_id')
    .orderBy('key')
    .limit(limit)
    .execute()
  return rows.map((row) => ({
    workspaceId: row.workspace_id,
    key: row.key,
    kind: row.kind,
    reason: row.reason ?? 'posting_failed',
    detail: row.detail,
    payload: row.payload,
    receivedAt: row.received_at,
    decidedAt: row.decided_at ?? row.received_at,
  }))
}

/** How many there are for each reason, the most frequent first. */
export async function countSetAside(db: Db): Promise<{ reason: SetAsideReason; count: bigint }[]> {
  const rows = await db
    .selectFrom('usage_event')
    .select(['reason', (expression) => expression.fn.countAll<bigint>().as('count')])
    .where('state', '=', 'set_aside')
    .groupBy('reason')
    .orderBy('count', 'desc')
    .execute()
  return rows.map((row) => ({ reason: row.reason ?? 'posting_failed', count: row.count }))
}

/**
 * Lets set-aside events try again, and stages the job that rings for them.
 *
 * Shape: how many. A contradiction of a posted event stays where it is: it could only be refused again.
 */
export async function requeueSetAside(trx: Tx, filter: SetAsideFilter): Promise<number> {
  const requeued = await trx
    .updateTable('usage_event')
    .set({ state: 'received', reason: null, detail: null, decided_at: null })
    .where('state', '=', 'set_aside')
    .where('key', 'not like', '%#%')
    .$if(filter.workspaceId !== undefined, (query) =>
      query.where('workspace_id', '=', filter.workspaceId ?? ''),
    )
    .$if(filter.reason !== undefined, (query) => query.where('reason', '=', filter.reason ?? null))
    .$if(filter.key !== undefined, (query) => query.where('key', '=', filter.key ?? ''))
    .returning('workspace_id')
    .execute()
  const workspaceId = requeued[0]?.workspace_id
  if (workspaceId !== undefined) await stageJob(trx, workspaceId, jobOf(usageReceived, {}))
  return requeued.length
}

/**
 * Lets events try again that were set aside in the same moment in which their workspace was opened: neither transaction
 * saw the other. Returns how many there were.
 */
export async function requeueOvertakenUsage(trx: Tx): Promise<number> {
  const overtaken = await trx
    .selectFrom('usage_event')
    .innerJoin('wallet', (join) => join.on(sql`wallet.workspace_id`, '=', sql`usage_event.workspace_id`))
    .select('wallet.workspace_id')
    .distinct()
    .where('state', '=', 'set_aside')
    .where('reason', '=', 'unknown_workspace')
    .where('key', 'not like', '%#%')
    .limit(100)
    .execute()
  let requeued = 0
  for (const { workspace_id } of overtaken) requeued += await requeueUnknownWorkspace(trx, workspace_id)
  return requeued
}

/** What arrived before its workspace did. */
export async function requeueUnknownWorkspace(trx: Tx, workspaceId: WorkspaceId): Promise<number> {
  return await requeueSetAside(trx, { workspaceId, reason: 'unknown_workspace' })
}
