/**
 * Requests that are done once however often they are sent: who is at it, and what was answered. The row is claimed before the
 * work and answered after it; a claim whose process died is taken over.
 */
import { randomUUID } from 'node:crypto'

import { sql } from 'kysely'

import type { Db } from './schema.ts'

/** Whose request it is: one key of one route in one workspace. */
export type RequestName = {
  /** A workspace's id, or `operator`. */
  workspaceId: string
  route: string
  idempotencyKey: string
}

/** `sealed`: the body can be read only with the key that asked. */
export type StoredAnswer = { status: number; body: string; sealed: boolean; location: string | null }

export type Claim =
  | { outcome: 'claimed'; claim: string }
  | { outcome: 'answered'; answer: StoredAnswer }
  | { outcome: 'in_flight' }
  | { outcome: 'other_body' }

/** How long a request is under way before another try may take it over. No handler takes nearly as long. */
const takeOverAfterSeconds = 60

/** How long an answer is kept. */
const keptDays = 30

/** Shape: `claimed` for exactly one of all who ask at once. */
export async function claimRequest(db: Db, name: RequestName, bodyHash: Buffer): Promise<Claim> {
  const claimed = await db
    .insertInto('idempotent_request')
    .values({ ...keyOf(name), body_hash: bodyHash, claim: randomUUID() })
    .onConflict((conflict) =>
      conflict
        .columns(['workspace_id', 'route', 'idempotency_key'])
        .doUpdateSet((row) => ({
          body_hash: row.ref('excluded.body_hash'),
          claim: row.ref('excluded.claim'),
          claimed_at: sql`clock_timestamp()`,
          status: null,
          body: null,
          sealed: false,
          location: null,
          created_at: sql`clock_timestamp()`,
        }))
        .where(
          sql<boolean>`
            idempotent_request.created_at < clock_timestamp() - ${keptDays} * interval '1 day'
            or (idempotent_request.status is null and idempotent_request.body_hash = excluded.body_hash
              and idempotent_request.claimed_at < clock_timestamp() - ${takeOverAfterSeconds} * interval '1 second')`,
        ),
    )
    .returning('claim')
    .executeTakeFirst()
  if (claimed !== undefined) return { outcome: 'claimed', claim: claimed.claim }
  const row = await db
    .selectFrom('idempotent_request')
    .select(['body_hash', 'status', 'body', 'sealed', 'location'])
    .where((row) => row.and(keyOf(name)))
    .executeTakeFirst()
  // Given up between the two statements: whoever asks again may have it.
  if (row === undefined) return { outcome: 'in_flight' }
  if (!row.body_hash.equals(bodyHash)) return { outcome: 'other_body' }
  const { status, body, sealed, location } = row
  if (status === null || body === null) return { outcome: 'in_flight' }
  return { outcome: 'answered', answer: { status, body, sealed, location } }
}

/** Shape: false when the claim was taken over meanwhile; the answer that is then stored is the other's. */
export async function answerRequest(
  db: Db,
  name: RequestName,
  claim: string,
  answer: StoredAnswer,
): Promise<boolean> {
  const { numUpdatedRows } = await db
    .updateTable('idempotent_request')
    .set(answer)
    .where((row) => row.and({ ...keyOf(name), claim }))
    .where('status', 'is', null)
    .executeTakeFirst()
  return numUpdatedRows > 0n
}

/** Nothing was done: the next try may do it. */
export async function giveUpRequest(db: Db, name: RequestName, claim: string): Promise<void> {
  await db
    .deleteFrom('idempotent_request')
    .where((row) => row.and({ ...keyOf(name), claim }))
    .where('status', 'is', null)
    .execute()
}

/** For a sweep. Shape: how many were forgotten, at most `most` at a time. */
export async function purgeIdempotentRequests(db: Db, { most }: { most: number }): Promise<number> {
  const forgotten = await db
    .deleteFrom('idempotent_request')
    .where((row) =>
      row(
        row.refTuple('workspace_id', 'route', 'idempotency_key'),
        'in',
        row
          .selectFrom('idempotent_request')
          .select(['workspace_id', 'route', 'idempotency_key'])
          .where('created_at', '<', sql<Date>`clock_timestamp() - ${keptDays} * interval '1 day'`)
          .orderBy('created_at')
          .limit(most)
          .forUpdate()
          .skipLocked()
          .$asTuple('workspace_id', 'route', 'idempotency_key'),
      ),
    )
    .returning('route')
    .execute()
  return forgotten.length
}

function keyOf({ workspaceId, route, idempotencyKey }: RequestName) {
  return { workspace_id: workspaceId, route, idempotency_key: idempotencyKey }
}
