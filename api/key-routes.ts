/** A workspace's keys, and who changed what: for its admin keys. The key itself is in one answer and nowhere else. */
import { z } from 'zod'

import {
  countApiKeys,
  createApiKey,
  listApiKeys,
  mostKeys,
  revokeApiKey,
  type ApiKey,
} from '../db/api-key.ts'
import { countAudit, listAudit, writeAudit } from '../db/audit-log.ts'
import type { ApiKeyScope, Tx } from '../db/schema.ts'
import { isStorable, notStorable, type WorkspaceId } from '../billing/ids.ts'
import { actorOf, workspaceOf, type Api, type RouteContext } from './api.ts'
import { refusal } from './errors.ts'
import { pageQuery, pageShape } from './page.ts'

export const labelText = z.string().trim().min(1).max(200).refine(isStorable, notStorable)

const scope = z.enum(['read', 'write', 'admin']).meta({
  description:
    '`read`: GET only. `write`: also calls, campaigns and usage. `admin`: also money, cards, settings and keys.',
  examples: ['write'],
})

const keyShape = z.object({
  key_id: z.string().meta({ examples: ['3fK9aQzX01'] }),
  scope,
  label: z.string().nullable(),
  last4: z.string().meta({ description: 'What the key ends with.', examples: ['0x4f'] }),
  created_at: z.iso.datetime(),
  revoked_at: z.iso.datetime().nullable().meta({ description: 'Null while it is in force.' }),
})

export const newKeyShape = keyShape.extend({
  key: z.string().meta({
    description: 'The key. It is shown in this answer only: keep it where secrets are kept.',
    examples: ['sk_call2me_...'],
  }),
})

export function registerKeyRoutes(api: Api, { db }: RouteContext): void {
  api.get(
    '/v1/keys',
    {
      config: { scope: 'admin' },
      schema: {
        summary: 'The keys of the workspace',
        tags: ['Keys'],
        querystring: z.strictObject(pageQuery()),
        response: { 200: z.object({ keys: z.array(keyShape), ...pageShape }) },
      },
    },
    async (request) => {
      const workspaceId = workspaceOf(request)
      const { limit, offset } = request.query
      const [keys, { total }] = await Promise.all([
        listApiKeys(db, workspaceId, { limit, offset }),
        countApiKeys(db, workspaceId),
      ])
      return { keys: keys.map(shapeOfKey), total, limit, offset }
    },
  )

  api.post(
    '/v1/keys',
    {
      config: { scope: 'admin', idempotent: 'sealed' },
      schema: {
        summary: 'Make a key',
        tags: ['Keys'],
        body: z.strictObject({ scope: scope.default('write'), label: labelText.optional() }),
        response: { 201: newKeyShape },
      },
    },
    async (request, reply) => {
      const workspaceId = workspaceOf(request)
      const { inForce } = await countApiKeys(db, workspaceId)
      if (inForce >= mostKeys) throw tooManyKeys()
      const wanted = { workspaceId, scope: request.body.scope, label: request.body.label }
      const created = await db
        .transaction()
        .execute((trx) => makeKey(trx, { ...wanted, actor: actorOf(request) }))
      return await reply.code(201).header('location', `/v1/keys/${created.key_id}`).send(created)
    },
  )

  api.delete(
    '/v1/keys/:key_id',
    {
      config: { scope: 'admin' },
      schema: {
        summary: 'Revoke a key',
        description:
          'It is refused everywhere within a second, for good. Revoking it again changes nothing. The last admin key is revoked ' +
          'only with `force=true`: after it nobody can make keys for this workspace but whoever runs this deployment.',
        tags: ['Keys'],
        params: z.object({ key_id: z.string().max(64) }),
        querystring: z.strictObject({ force: z.enum(['true', 'false']).default('false') }),
        response: { 200: keyShape },
      },
    },
    async (request) => {
      const workspaceId = workspaceOf(request)
      const subject = { workspaceId, keyId: request.params.key_id, forced: request.query.force === 'true' }
      const revocation = await db.transaction().execute(async (trx) => {
        const done = await revokeApiKey(trx, subject)
        if (done.outcome === 'revoked') {
          const detail = { key_id: done.key.keyId, scope: done.key.scope, label: done.key.label }
          await writeAudit(trx, { workspaceId, actor: actorOf(request), action: 'key.revoked', detail })
        }
        return done
      })
      if (revocation.outcome === 'unknown') throw noSuchKey()
      if (revocation.outcome === 'last_admin') throw lastAdminKey()
      return shapeOfKey(revocation.key)
    },
  )

  api.get(
    '/v1/audit-log',
    {
      config: { scope: 'admin' },
      schema: {
        summary: 'Who changed what',
        description: 'What changed money, cards, settings and keys, newest first.',
        tags: ['Keys'],
        querystring: z.strictObject(pageQuery()),
        response: {
          200: z.object({
            entries: z.array(
              z.object({
                actor: z.string().meta({
                  description: '`paddle`, `system`, `operator`, or the key that asked.',
                  examples: ['key 3fK9aQzX01'],
                }),
                action: z.string().meta({ examples: ['key.created'] }),
                detail: z.unknown(),
                happened_at: z.iso.datetime(),
              }),
            ),
            ...pageShape,
          }),
        },
      },
    },
    async (request) => {
      const workspaceId = workspaceOf(request)
      const { limit, offset } = request.query
      const [entries, total] = await Promise.all([
        listAudit(db, workspaceId, limit, offset),
        countAudit(db, workspaceId),
      ])
      return {
        entries: entries.map(({ actor, action, detail, happenedAt }) => ({
          actor,
          action,
          detail,
          happened_at: happenedAt.toISOString(),
        })),
        total,
        limit,
        offset,
      }
    },
  )
}

/** Makes a key and writes down who did. Shape: the one answer that the key itself is in. */
export async function makeKey(
  trx: Tx,
  {
    workspaceId,
    actor,
    scope: keyScope,
    label,
  }: { workspaceId: WorkspaceId; actor: string; scope: ApiKeyScope; label?: string | undefined },
): Promise<z.output<typeof newKeyShape>> {
  const { secret, key } = await createApiKey(trx, { workspaceId, scope: keyScope, label, createdBy: actor })
  const detail = { key_id: key.keyId, scope: keyScope, label: key.label }
  await writeAudit(trx, { workspaceId, actor, action: 'key.created', detail })
  return { ...shapeOfKey(key), key: secret }
}

function shapeOfKey(key: ApiKey): z.output<typeof keyShape> {
  return {
    key_id: key.keyId,
    scope: key.scope,
    label: key.label,
    last4: key.last4,
    created_at: key.createdAt.toISOString(),
    revoked_at: key.revokedAt?.toISOString() ?? null,
  }
}

const noSuchKey = () =>
  refusal({
    status: 404,
    code: 'no_such_key',
    message: 'This workspace has no key with this id: GET /v1/keys lists them.',
  })

const lastAdminKey = () =>
  refusal({
    status: 409,
    code: 'last_admin_key',
    message:
      'This is the last admin key of the workspace: make another first, or send ?force=true to leave it without one.',
  })

const tooManyKeys = () =>
  refusal({
    status: 409,
    code: 'too_many_keys',
    message: `A workspace has at most ${mostKeys} keys in force: revoke one that nobody uses.`,
  })
