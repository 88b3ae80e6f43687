/**
 * What telephony and chat told us, row by row. `received`: in Postgres, not yet posted. Then once and for all `posted` or
 * `free`, or `set_aside` with the reason until somebody mends it.
 */
import { sql } from 'kysely'

import { usageArrival, type UsageArrival } from '../jobs/usage-arrival.ts'
import type { SetAsideReason } from '../billing/usage-event.ts'
import { byteaArray, instantArray, textArray } from './array-parameter.ts'
import type { Db, Tx, UsageEventState } from './schema.ts'

export type KnownUsage = { payloadHash: string; state: UsageEventState }

/** What an event came to, as it is written down. */
export type UsageDecision = {
  arrival: UsageArrival
  state: Exclude<UsageEventState, 'received'>
  reason: SetAsideReason | null
  detail: string | null
}

/** A name for an event that several rows may be about. */
export function usageName(event: { workspaceId: string; key: string }): string {
  return `${event.workspaceId}\n${event.key}`
}

/** The rows that arrivals are about, by `usageName`. */
export async function findUsage(db: Db, arrivals: readonly UsageArrival[]): Promise<Map<string, KnownUsage>> {
  const { rows } = await sql<KnownRow>`/* find-usage */
    select workspace_id, key, payload_hash, state
    from unnest(
      ${textArray(arrivals.map((arrival) => arrival.workspaceId))}::text[],
      ${textArray(arrivals.map((arrival) => arrival.key))}::text[]
    ) as arrived (workspace_id, key)
    join usage_event using (workspace_id, key)`.execute(db)
  return new Map(
    rows.map((row) => [
      usageName({ workspaceId: row.workspace_id, key: row.key }),
      { payloadHash: row.payload_hash.toString('hex'), state: row.state },
    ]),
  )
}

/**
 * Takes events in: from here on each is posted exactly once, whatever Redis does. Ring with `usage-received` afterwards.
 *
 * Shape: those that are new, by `usageName`. An event that is there already is left as it is; a malformed arrival is taken in
 *        as well and set aside when it is posted.
 */
export async function receiveUsage(db: Db, arrivals: readonly UsageArrival[]): Promise<Set<string>> {
  const { rows } = await sql<{ workspace_id: string; key: string }>`
    insert into usage_event (workspace_id, key, kind, payload, payload_hash, state, received_at)
    select workspace_id, key, kind, payload::json, payload_hash, 'received',
      least(received_at, date_trunc('milliseconds', clock_timestamp()))
    from unnest(
      ${textArray(arrivals.map((arrival) => arrival.workspaceId))}::text[],
      ${textArray(arrivals.map((arrival) => arrival.key))}::text[],
      ${textArray(arrivals.map((arrival) => arrival.kind))}::text[],
      ${textArray(arrivals.map((arrival) => arrival.payload))}::text[],
      ${byteaArray(arrivals.map((arrival) => Buffer.from(arrival.payloadHash, 'hex')))}::bytea[],
      ${instantArray(arrivals.map((arrival) => arrival.receivedAt))}::timestamptz[]
    ) as arrived (workspace_id, key, kind, payload, payload_hash, received_at)
    order by workspace_id, key
    on conflict do nothing
    returning workspace_id, key`.execute(db)
  return new Set(rows.map((row) => usageName({ workspaceId: row.workspace_id, key: row.key })))
}

/** Events that nobody has posted yet, oldest first; `after` is the last one of the page before. */
export async function listReceivedUsage(
  db: Db,
  { after, limit }: { after?: UsageArrival | undefined; limit: number },
): Promise<UsageArrival[]> {
  const rows = await db
    .selectFrom('usage_event')
    .select(['workspace_id', 'key', 'kind', 'payload_hash', 'received_at'])
    .select(sql<string>`payload::text`.as('payload'))
    .where('state', '=', 'received')
    .$if(after !== undefined, (query) =>
      query.where(
        sql<boolean>`(received_at, workspace_id, key) > (${after?.receivedAt}, ${after?.workspaceId}, ${after?.key})`,
      ),
    )
    .orderBy('received_at')
    .orderBy('workspace_id')
    .orderBy('key')
    .limit(limit)
    .execute()
  return rows.map((row) => ({
    ...usageArrival(row.kind, JSON.parse(row.payload), row.received_at),
    workspaceId: row.workspace_id,
    key: row.key,
    payload: row.payload,
    payloadHash: row.payload_hash.toString('hex'),
  }))
}

/** Writes events that are not there yet. Returns how many were written: fewer means that somebody else was quicker. */
export async function insertUsage(trx: Tx, decisions: readonly UsageDecision[]): Promise<number> {
  if (decisions.length === 0) return 0
  const arrivals = decisions.map((decision) => decision.arrival)
  const result = await sql`/* insert-usage */
    insert into usage_event (
      workspace_id, key, kind, payload, payload_hash, received_at, state, reason, detail, decided_at)
    select
      workspace_id, key, kind, payload::json, payload_hash, received_at, state::usage_event_state, reason, detail,
      clock_timestamp()
    from unnest(
      ${textArray(arrivals.map((arrival) => arrival.workspaceId))}::text[],
      ${textArray(arrivals.map((arrival) => arrival.key))}::text[],
      ${textArray(arrivals.map((arrival) => arrival.kind))}::text[],
      ${textArray(arrivals.map((arrival) => arrival.payload))}::text[],
      ${byteaArray(arrivals.map((arrival) => Buffer.from(arrival.payloadHash, 'hex')))}::bytea[],
      ${instantArray(arrivals.map((arrival) => arrival.receivedAt))}::timestamptz[],
      ${textArray(decisions.map((decision) => decision.state))}::text[],
      ${textArray(decisions.map((decision) => decision.reason))}::text[],
      ${textArray(decisions.map((decision) => decision.detail))}::text[]
    ) as decided (workspace_id, key, kind, payload, payload_hash, received_at, state, reason, detail)
    order by workspace_id, key
    on conflict do nothing`.execute(trx)
  return Number(result.numAffectedRows ?? 0n)
}

/** Writes what came of events that are there and undecided. Returns how many were. */
export async function decideUsage(trx: Tx, decisions: readonly UsageDecision[]): Promise<number> {
  if (decisions.length === 0) return 0
  const result = await sql`/* decide-usage */
    update usage_event
    set state = decided.state, reason = decided.reason, detail = decided.detail, decided_at = clock_timestamp()
    from unnest(
      ${decisions.map((decision) => decision.arrival.workspaceId)}::text[],
      ${decisions.map((decision) => decision.arrival.key)}::text[],
      ${decisions.map((decision) => decision.state)}::usage_event_state[],
      ${decisions.map((decision) => decision.reason)}::text[],
      ${decisions.map((decision) => decision.detail)}::text[]
    ) as decided (workspace_id, key, state, reason, detail)
    where usage_event.workspace_id = decided.workspace_id and usage_event.key = decided.key
      and usage_event.state in ('received', 'set_aside')`.execute(trx)
  return Number(result.numAffectedRows ?? 0n)
}

/** A set-aside telling makes room for another one of the same fact: it is kept, under a key of its own. */
export async function moveAside(
  trx: Tx,
  { workspaceId, key }: { workspaceId: string; key: string },
): Promise<void> {
  await trx
    .updateTable('usage_event')
    .set({
      key: sql<string>`key || '#' || left(encode(payload_hash, 'hex'), 12) || '@' ||
        floor(extract(epoch from decided_at) * 1000)::bigint`,
    })
    .where('workspace_id', '=', workspaceId)
    .where('key', '=', key)
    .where('state', '=', 'set_aside')
    .execute()
}

/** The key under which a contradiction of a posted event is kept. */
export function contradictionKey(arrival: UsageArrival): string {
  return `${arrival.key}#${arrival.payloadHash.slice(0, 12)}`
}

type KnownRow = {
  workspace_id: string
  key: string
  payload_hash: Buffer
  state: UsageEventState
}
