/**
 * API keys: `sk_call2me_` + 10 characters that name the key + 32 random ones + 6 that check the rest. Only the hash is stored, and
 * the key is shown once. A key belongs to one workspace.
 */
import { hash, randomInt, timingSafeEqual } from 'node:crypto'
import { crc32 } from 'node:zlib'

import { sql } from 'kysely'

import type { WorkspaceId } from '../billing/ids.ts'
import type { ApiKeyScope, Db, Tx } from './schema.ts'

const alphabet = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
const keyShape = /^sk_call2me_([0-9A-Za-z]{10})([0-9A-Za-z]{32})([0-9A-Za-z]{6})$/

export type ApiKey = {
  workspaceId: WorkspaceId
  keyId: string
  scope: ApiKeyScope
  label: string | null
  last4: string
  createdAt: Date
  revokedAt: Date | null
}

/** The most keys of a workspace that are in force at once. */
export const mostKeys = 100

/** Shape: the key itself, which is nowhere else, and what is kept of it. */
export async function createApiKey(
  trx: Tx,
  key: { workspaceId: WorkspaceId; scope: ApiKeyScope; label?: string | null | undefined; createdBy: string },
): Promise<{ keyId: string; secret: string; key: ApiKey }> {
  const keyId = randomText(10)
  const named = `sk_call2me_${keyId}${randomText(32)}`
  const secret = named + checksum(named)
  const created = await trx
    .insertInto('api_key')
    .values({
      workspace_id: key.workspaceId,
      key_id: keyId,
      hash: hash('sha256', secret, 'buffer'),
      scope: key.scope,
      label: key.label ?? null,
      last4: secret.slice(-4),
      created_by: key.createdBy,
    })
    .returning(keyColumns)
    .executeTakeFirstOrThrow()
  return { keyId, secret, key: created }
}

/**
 * The workspace and scope of a key.
 *
 * Shape: null for what is no key of ours, without asking Postgres where its check digits say so; for a revoked key too.
 */
export async function findCallerByKey(
  db: Db,
  secret: string,
): Promise<Pick<ApiKey, 'workspaceId' | 'keyId' | 'scope'> | null> {
  const keyId = keyShape.exec(secret)?.[1]
  if (keyId === undefined || checksum(secret.slice(0, -6)) !== secret.slice(-6)) return null
  const rows = await db
    .selectFrom('api_key')
    .select(['workspace_id', 'scope', 'hash'])
    .where('key_id', '=', keyId)
    .where('revoked_at', 'is', null)
    .execute()
  const given = hash('sha256', secret, 'buffer')
  const row = rows.find((each) => timingSafeEqual(each.hash, given))
  return row === undefined ? null : { workspaceId: row.workspace_id, keyId, scope: row.scope }
}

/** Newest first; the keys themselves are not kept. */
export async function listApiKeys(
  db: Db,
  workspaceId: WorkspaceId,
  { limit, offset }: { limit: number; offset: number },
): Promise<ApiKey[]> {
  return await db
    .selectFrom('api_key')
    .select(keyColumns)
    .where('workspace_id', '=', workspaceId)
    .orderBy('created_at', 'desc')
    .orderBy('key_id')
    .limit(limit)
    .offset(offset)
    .execute()
}

export async function countApiKeys(
  db: Db,
  workspaceId: WorkspaceId,
): Promise<{ total: number; inForce: number }> {
  return await db
    .selectFrom('api_key')
    .select([
      sql<number>`count(*)::integer`.as('total'),
      sql<number>`(count(*) filter (where revoked_at is null))::integer`.as('inForce'),
    ])
    .where('workspace_id', '=', workspaceId)
    .executeTakeFirstOrThrow()
}

export type Revocation =
  | { outcome: 'revoked'; key: ApiKey }
  | { outcome: 'already_revoked'; key: ApiKey }
  | { outcome: 'last_admin' }
  | { outcome: 'unknown' }

/**
 * Takes a key out of force, for good.
 *
 * Shape: `last_admin`, and nothing done, when nobody could manage the workspace's keys after it and that is not `forced`.
 */
export async function revokeApiKey(
  trx: Tx,
  { workspaceId, keyId, forced }: { workspaceId: WorkspaceId; keyId: string; forced: boolean },
): Promise<Revocation> {
  // All who could be the last are locked, in one order: two who revoke each other's at once do not both succeed.
  const admins = await trx
    .selectFrom('api_key')
    .select('key_id')
    .where('workspace_id', '=', workspaceId)
    .where('scope', '=', 'admin')
    .where('revoked_at', 'is', null)
    .orderBy('key_id')
    .forNoKeyUpdate()
    .execute()
  if (!forced && admins.length === 1 && admins[0]?.key_id === keyId) return { outcome: 'last_admin' }
  const revoked = await trx
    .updateTable('api_key')
    .set({ revoked_at: sql<Date>`wallet_now()` })
    .where('workspace_id', '=', workspaceId)
    .where('key_id', '=', keyId)
    .where('revoked_at', 'is', null)
    .returning(keyColumns)
    .executeTakeFirst()
  if (revoked !== undefined) return { outcome: 'revoked', key: revoked }
  const key = await trx
    .selectFrom('api_key')
    .select(keyColumns)
    .where('workspace_id', '=', workspaceId)
    .where('key_id', '=', keyId)
    .executeTakeFirst()
  return key === undefined ? { outcome: 'unknown' } : { outcome: 'already_revoked', key }
}

const keyColumns = [
  'workspace_id as workspaceId',
  'key_id as keyId',
  'scope',
  'label',
  'last4',
  'created_at as createdAt',
  'revoked_at as revokedAt',
] as const

function randomText(length: number): string {
  return Array.from({ length }, () => alphabet[randomInt(alphabet.length)]).join('')
}

/** So that a mistyped key, or one found by a scanner, is known for what it is. */
function checksum(text: string): string {
  return crc32(text).toString(36).padStart(7, '0').slice(-6)
}
