/**
 * Sessions of the wallet page. One begins with an API key or with a link that works once, has a token that only the browser
 * knows, and ends by itself: half an hour after it was last used, twelve hours after it began, and with its key.
 */
import { hash, randomBytes } from 'node:crypto'

import { sql } from 'kysely'

import type { WorkspaceId } from '../billing/ids.ts'
import { findCallerByKey } from './api-key.ts'
import { writeAudit } from './audit-log.ts'
import type { ApiKeyScope, Db, Tx } from './schema.ts'

/** Who is signed in: a key, and what it may. */
export type SignedIn = { workspaceId: WorkspaceId; keyId: string; scope: ApiKeyScope }

export const sessionIdleMs = 1_800_000
export const sessionLongestMs = 43_200_000

/**
 * When sessions and links begin and end: real time, in which a person sits before a page, however a demo moves the wallet's clock.
 * Whole milliseconds.
 */
export async function readSessionClock(db: Db): Promise<Date> {
  const { now } = await db
    .selectNoFrom(sql<Date>`date_trunc('milliseconds', clock_timestamp())`.as('now'))
    .executeTakeFirstOrThrow()
  return now
}

/** A session in use is noted this often, and not with every request. */
const notedEveryMs = 60_000

/** Shape: the token of a new session; null where the key is none, or is not in force. */
export async function signInWithKey(db: Db, secret: string, now: Date): Promise<string | null> {
  const caller = await findCallerByKey(db, secret)
  if (caller === null) return null
  return await db.transaction().execute((trx) => openSession(trx, caller, now))
}

/** Shape: the token of a new session; null where there is no such link, or it was used, or is too old. */
export async function signInWithLink(db: Db, token: string, now: Date): Promise<string | null> {
  return await db.transaction().execute(async (trx) => {
    const link = await trx
      .deleteFrom('sign_in_link')
      .where('token_hash', '=', hashOf(token))
      .where('expires_at', '>', now)
      .returning(['workspace_id as workspaceId', 'key_id as keyId'])
      .executeTakeFirst()
    return link === undefined ? null : await openSession(trx, link, now)
  })
}

/** Shape: what a link would sign in to, without using it; null where it would not. */
export async function findSignInLink(db: Db, token: string, now: Date): Promise<SignedIn | null> {
  const row = await db
    .selectFrom('sign_in_link')
    .innerJoin('api_key', (join) =>
      join
        .onRef('api_key.workspace_id', '=', 'sign_in_link.workspace_id')
        .onRef('api_key.key_id', '=', 'sign_in_link.key_id'),
    )
    .select(['api_key.workspace_id as workspaceId', 'api_key.key_id as keyId', 'api_key.scope'])
    .where('sign_in_link.token_hash', '=', hashOf(token))
    .where('sign_in_link.expires_at', '>', now)
    .where('api_key.revoked_at', 'is', null)
    .executeTakeFirst()
  return row ?? null
}

/** Shape: the token of a link that signs in once, as that key, within `forMs`. */
export async function createSignInLink(
  trx: Tx,
  { workspaceId, keyId }: { workspaceId: WorkspaceId; keyId: string },
  { now, forMs }: { now: Date; forMs: number },
): Promise<string> {
  const token = newToken()
  await trx.deleteFrom('sign_in_link').where('expires_at', '<=', now).execute()
  await trx
    .insertInto('sign_in_link')
    .values({
      workspace_id: workspaceId,
      token_hash: hashOf(token),
      key_id: keyId,
      expires_at: new Date(now.getTime() + forMs),
    })
    .execute()
  return token
}

/** Shape: null once it is over, whatever ended it. `isUse`: somebody asked for it, and not a page that keeps itself up to date. */
export async function findSession(
  db: Db,
  token: string,
  { now, isUse }: { now: Date; isUse: boolean },
): Promise<SignedIn | null> {
  const tokenHash = hashOf(token)
  const row = await db
    .selectFrom('dashboard_session as session')
    .innerJoin('api_key', (join) =>
      join
        .onRef('api_key.workspace_id', '=', 'session.workspace_id')
        .onRef('api_key.key_id', '=', 'session.key_id'),
    )
    .select(['session.workspace_id as workspaceId', 'session.key_id as keyId', 'api_key.scope'])
    .select('session.seen_at as seenAt')
    .where('session.token_hash', '=', tokenHash)
    .where('session.ends_at', '>', now)
    .where('session.seen_at', '>', new Date(now.getTime() - sessionIdleMs))
    .where('api_key.revoked_at', 'is', null)
    .executeTakeFirst()
  if (row === undefined) return null
  const { workspaceId, keyId, scope, seenAt } = row
  if (isUse && now.getTime() - seenAt.getTime() >= notedEveryMs) {
    await db
      .updateTable('dashboard_session')
      .set({ seen_at: now })
      .where('workspace_id', '=', workspaceId)
      .where('token_hash', '=', tokenHash)
      .execute()
  }
  return { workspaceId, keyId, scope }
}

/** Does nothing where it is over already. */
export async function endSession(db: Db, token: string): Promise<void> {
  await db.transaction().execute(async (trx) => {
    const ended = await trx
      .deleteFrom('dashboard_session')
      .where('token_hash', '=', hashOf(token))
      .returning(['workspace_id as workspaceId', 'key_id as keyId'])
      .executeTakeFirst()
    if (ended === undefined) return
    const { workspaceId, keyId } = ended
    await writeAudit(trx, { workspaceId, actor: `key ${keyId}`, action: 'session.ended' })
  })
}

/** Forgets on the way those that are over. The key is looked at again: it may have been revoked since. */
async function openSession(
  trx: Tx,
  { workspaceId, keyId }: { workspaceId: WorkspaceId; keyId: string },
  now: Date,
): Promise<string | null> {
  const key = await trx
    .selectFrom('api_key')
    .select('key_id')
    .where('workspace_id', '=', workspaceId)
    .where('key_id', '=', keyId)
    .where('revoked_at', 'is', null)
    .executeTakeFirst()
  if (key === undefined) return null
  const token = newToken()
  await trx
    .deleteFrom('dashboard_session')
    .where((where) =>
      where.or([
        where('ends_at', '<=', now),
        where.and([
          where('workspace_id', '=', workspaceId),
          where('seen_at', '<=', new Date(now.getTime() - sessionIdleMs)),
        ]),
      ]),
    )
    .execute()
  await trx
    .insertInto('dashboard_session')
    .values({
      workspace_id: workspaceId,
      token_hash: hashOf(token),
      key_id: keyId,
      created_at: now,
      seen_at: now,
      ends_at: new Date(now.getTime() + sessionLongestMs),
    })
    .execute()
  await writeAudit(trx, { workspaceId, actor: `key ${keyId}`, action: 'session.opened' })
  return token
}

/** 256 random bits need no slow hash. */
function newToken(): string {
  return randomBytes(32).toString('base64url')
}

function hashOf(token: string): Buffer {
  return hash('sha256', `wallet page ${token}`, 'buffer')
}
