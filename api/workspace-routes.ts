/** Opening workspaces, and giving one a key that has lost its last: for whoever runs this deployment. */
import { z } from 'zod'

import { workspaceId as workspaceIdShape, type WorkspaceId } from '../billing/ids.ts'
import { signupGrantMicros } from '../billing/rates-default.ts'
import { writeAudit } from '../db/audit-log.ts'
import { findBalance } from '../db/wallet.ts'
import { openWorkspace } from '../db/workspace.ts'
import { actorOf, type Api, type RouteContext } from './api.ts'
import { refusal } from './errors.ts'
import { digitsFor } from './idempotency.ts'
import { labelText, makeKey, newKeyShape } from './key-routes.ts'
import { usdNumber } from './money.ts'

const openedShape = z.object({
  workspace_id: z.string().meta({ examples: ['ws_1a2b'] }),
  name: z.string().nullable(),
  balance_usd: z.number().meta({ description: 'The signup grant.', examples: [10] }),
  key: newKeyShape.meta({ description: 'Its first key, which may do everything in the workspace.' }),
})

export function registerWorkspaceRoutes(api: Api, { db, log }: RouteContext): void {
  api.post(
    '/v1/workspaces',
    {
      config: { scope: 'operator', idempotent: 'sealed' },
      schema: {
        summary: 'Open a workspace',
        description:
          'Opens the workspace and its wallet, gives the signup grant and makes the first admin key, all or nothing. The key is ' +
          'shown once. Sent again with the same `Idempotency-Key` and the same operator key, the same answer comes again, ' +
          'the key in it; otherwise a workspace that is open already is a 409.',
        tags: ['Workspaces'],
        body: z.strictObject({
          workspace_id: workspaceIdShape.optional().meta({
            description: 'Chosen by you, or made up, out of the `Idempotency-Key` where there is one.',
            examples: ['ws_1a2b'],
          }),
          name: labelText.optional(),
        }),
        response: { 201: openedShape },
      },
    },
    async (request, reply) => {
      const workspaceId =
        request.body.workspace_id ??
        workspaceIdShape.parse(`ws_${digitsFor('operator', request.headers['idempotency-key'])}`)
      const { name } = request.body
      const actor = actorOf(request)
      const key = await db.transaction().execute(async (trx) => {
        const opening = await openWorkspace(trx, { workspaceId, name })
        if (opening.outcome === 'already_open') throw alreadyOpen(workspaceId)
        await writeAudit(trx, {
          workspaceId,
          actor,
          action: 'workspace.opened',
          detail: { name: name ?? null },
        })
        return await makeKey(trx, { workspaceId, actor, scope: 'admin', label: 'first key' })
      })
      log.info({ workspaceId, keyId: key.key_id }, 'workspace opened')
      const balance_usd = usdNumber(signupGrantMicros)
      return await reply
        .code(201)
        .header('location', '/v1/wallet')
        .send({ workspace_id: workspaceId, name: name ?? null, balance_usd, key })
    },
  )

  api.post(
    '/v1/workspaces/:workspace_id/keys',
    {
      config: { scope: 'operator', idempotent: 'sealed' },
      schema: {
        summary: 'Give a workspace a key',
        description:
          'For one that was opened without a key, or has lost its last: makes an admin key, shown once.',
        tags: ['Workspaces'],
        params: z.object({ workspace_id: workspaceIdShape }),
        body: z.strictObject({ label: labelText.optional() }),
        response: { 201: newKeyShape },
      },
    },
    async (request, reply) => {
      const { workspace_id: workspaceId } = request.params
      if ((await findBalance(db, workspaceId)) === null) throw noSuchWorkspace()
      const wanted = {
        workspaceId,
        actor: actorOf(request),
        scope: 'admin',
        label: request.body.label,
      } as const
      const key = await db.transaction().execute((trx) => makeKey(trx, wanted))
      log.info({ workspaceId, keyId: key.key_id }, 'the operator made a key')
      return await reply.code(201).header('location', `/v1/keys/${key.key_id}`).send(key)
    },
  )
}

const alreadyOpen = (workspaceId: WorkspaceId) =>
  refusal({
    status: 409,
    code: 'workspace_exists',
    message: `The workspace ${workspaceId} is open already: use its keys, let POST /v1/workspaces/${workspaceId}/keys make one, or choose another id.`,
    field: 'workspace_id',
  })

const noSuchWorkspace = () =>
  refusal({
    status: 404,
    code: 'no_such_workspace',
    message: 'No workspace with this id is open: POST /v1/workspaces opens it.',
  })
