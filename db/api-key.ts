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

/** Shape: the key itself, which is nowhere else. */
export async function createApiKey(
  trx: Tx,
  key: { workspaceId: WorkspaceId; scope: ApiKeyScope; label?: string | undefined; createdBy: string },
): Promise<{ keyId: string; secret: string }> {
  const keyId = randomText(10)
  const named = `sk_call2me_${keyId}${randomText(32)}`
  const secret = named + checksum(named)
  await trx
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
    .execute()
  return { keyId, secret }
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
export async function listApiKeys(db: Db, workspaceId: WorkspaceId): Promise<ApiKey[]> {
  return await db
    .selectFrom('api_key')
    .select([
      'workspace_id as workspaceId',
      'key_id as keyId',
      'scope',
      'label',
      'last4',
      'created_at as createdAt',
      'revoked_at as revokedAt',
    ])
    .where('workspace_id', '=', workspaceId)
    .orderBy('created_at', 'desc')
    .execute()
}

/** Shape: false when the workspace has no such key that is in force. */
export async function revokeApiKey(
  trx: Tx,
  { workspaceId, keyId }: { workspaceId: WorkspaceId; keyId: string },
): Promise<boolean> {
  const { numUpdatedRows } = await trx
    .updateTable('api_key')
    .set({ revoked_at: sql<Date>`clock_timestamp()` })
    .where('workspace_id', '=', workspaceId)
    .where('key_id', '=', keyId)
    .where('revoked_at', 'is', null)
    .executeTakeFirst()
  return numUpdatedRows > 0n
}

function randomText(length: number): string {
  return Array.from({ length }, () => alphabet[randomInt(alphabet.length)]).join('')
}

/** So that a mistyped key, or one found by a scanner, is known for what it is. */
function checksum(text: string): string {
  return crc32(text).toString(36).padStart(7, '0').slice(-6)
}
