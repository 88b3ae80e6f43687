// Workspaces are opened by whoever runs the deployment, once each, with a wallet, a grant and a key that is shown once.
import { describe, expect } from 'vitest'
import { z } from 'zod'

import { verifyLedger } from '../../db/verify.ts'
import { newWorkspaceId } from '../support/given.ts'
import { operatorKey, test } from '../support/api-server.ts'

const opened = z.object({ workspace_id: z.string(), key: z.object({ key: z.string(), key_id: z.string() }) })

describe('a new workspace', () => {
  test('has a wallet with the signup grant and an admin key that works at once', async ({ api, db }) => {
    const workspace_id = newWorkspaceId()

    const answer = await api.post('/v1/workspaces', {
      key: 'operator',
      body: { workspace_id, name: 'Müller & Söhne' },
    })

    expect(answer).toMatchObject({
      status: 201,
      headers: { location: '/v1/wallet' },
      body: { workspace_id, name: 'Müller & Söhne', balance_usd: 10, key: { scope: 'admin' } },
    })
    const { key } = opened.parse(answer.body).key
    expect((await api.get('/v1/wallet', { key })).body).toEqual({
      balance_usd: 10,
      currency: 'USD',
      auto_recharge: { enabled: false, threshold_usd: 20, topup_usd: 100 },
    })
    expect((await api.get('/v1/audit-log', { key })).body).toMatchObject({
      entries: [
        { actor: 'operator', action: 'key.created' },
        { actor: 'operator', action: 'workspace.opened', detail: { name: 'Müller & Söhne' } },
      ],
    })
    expect((await verifyLedger(db)).breaks).toEqual([])
  })

  test('is given an id when it brings none', async ({ api }) => {
    const answers = await Promise.all(
      [1, 2].map(() => api.post('/v1/workspaces', { key: 'operator', body: {} })),
    )

    const ids = answers.map(({ body }) => opened.parse(body).workspace_id)
    expect(new Set(ids).size).toBe(2)
    expect(ids[0]).toMatch(/^ws_[a-f0-9]{24}$/)
  })
})

test('a workspace that is asked for twenty times at once is opened once, and no other answer has a key', async ({
  api,
  db,
}) => {
  const workspace_id = newWorkspaceId()

  const answers = await Promise.all(
    Array.from({ length: 20 }, () => api.post('/v1/workspaces', { key: 'operator', body: { workspace_id } })),
  )

  expect(answers.filter(({ status }) => status === 201)).toHaveLength(1)
  expect(answers.filter(({ status }) => status === 409)).toHaveLength(19)
  expect(answers.filter(({ body }) => JSON.stringify(body).includes('sk_call2me_'))).toHaveLength(1)
  const keys = await db
    .selectFrom('api_key')
    .select('key_id')
    .where('workspace_id', '=', workspace_id)
    .execute()
  expect(keys).toHaveLength(1)
})

test('with an Idempotency-Key the answer comes again to the same operator key, and to no other', async ({
  api,
  startTestApi,
}) => {
  const newOperatorKey = 'the-operator-has-a-new-key-now'
  const rotated = await startTestApi({ context: { operatorKey: newOperatorKey } })
  const headers = { 'idempotency-key': newWorkspaceId() }
  const body = { workspace_id: newWorkspaceId() }

  const first = await api.post('/v1/workspaces', { key: 'operator', headers, body })
  const again = await api.post('/v1/workspaces', { key: 'operator', headers, body })
  const other = await rotated.post('/v1/workspaces', { key: newOperatorKey, headers, body })

  expect(first.status).toBe(201)
  expect(again.body).toEqual(first.body)
  expect(other).toMatchObject({ status: 409, body: { error: { code: 'idempotency_answer_sealed' } } })
})

test('without an id, and sent again although the answer was never kept, it is the same workspace, with one grant', async ({
  api,
  db,
}) => {
  const headers = { 'idempotency-key': newWorkspaceId() }
  const open = () => api.post('/v1/workspaces', { key: 'operator', headers, body: {} })

  const first = opened.parse((await open()).body)
  // The process died after its commit, before it could keep the answer.
  await db
    .deleteFrom('idempotent_request')
    .where('idempotency_key', '=', headers['idempotency-key'])
    .execute()
  const again = await open()

  expect(again).toMatchObject({
    status: 409,
    body: { error: { code: 'workspace_exists', message: expect.stringContaining(first.workspace_id) } },
  })
})

test('is for the operator alone, and there is none without an operator key', async ({
  api,
  startTestApi,
}) => {
  const without = await startTestApi({ context: { operatorKey: null } })
  const ask = async (key: string | null, server = api) =>
    (await server.post('/v1/workspaces', { key, body: {} })).status

  const statuses = [
    await ask(null),
    await ask('read'),
    await ask('admin'),
    await ask(`${operatorKey}x`),
    await ask(operatorKey.slice(0, -1)),
    await ask(operatorKey, without),
    await ask('', without),
  ]

  expect(statuses).toEqual([401, 403, 403, 401, 401, 401, 401])
})

test('the operator is no workspace: what is about one is refused', async ({ api }) => {
  expect(await api.get('/v1/wallet', { key: 'operator' })).toMatchObject({
    status: 403,
    body: { error: { code: 'wrong_scope' } },
  })
})

test('a workspace that has lost its last key is given one', async ({ api }) => {
  await api.delete(`/v1/keys/${api.keys.admin.slice(11, 21)}?force=true`)

  const given = await api.post(`/v1/workspaces/${api.workspaceId}/keys`, { key: 'operator', body: {} })

  const { key } = z.object({ key: z.string() }).parse(given.body)
  expect(given).toMatchObject({ status: 201, body: { scope: 'admin' } })
  expect((await api.get('/v1/keys', { key })).status).toBe(200)
  expect(
    (await api.post(`/v1/workspaces/${newWorkspaceId()}/keys`, { key: 'operator', body: {} })).status,
  ).toBe(404)
})

const wrong: [what: string, body: unknown][] = [
  ['an id of another kind', { workspace_id: 'call_1' }],
  ['an id with what no id has', { workspace_id: "ws_'; drop table wallet" }],
  ['an id that is too long', { workspace_id: `ws_${'a'.repeat(65)}` }],
  ['a name of nothing', { name: '  ' }],
  ['a name with NUL', { name: 'a\0b' }],
  ['half a character as its name', '{"name":"\\ud800"}'],
  ['money', { balance_usd: 1_000_000 }],
  ['no object', []],
]

test.for(wrong)('a workspace with %s is refused by the name of the field', async ([, body], { api }) => {
  const answer = await api.post('/v1/workspaces', { key: 'operator', body })

  expect(answer).toMatchObject({ status: 400, body: { error: { code: 'invalid_request' } } })
})
