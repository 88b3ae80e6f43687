// Keys: made, listed and revoked by a workspace's admins, shown once, stored as what nobody can use.
import { sql } from 'kysely'
import { describe, expect } from 'vitest'
import { z } from 'zod'

import { test, type ApiAnswer, type TestApi } from '../support/api-server.ts'
import { until } from '../support/until.ts'

const createdKey = z.object({ key: z.string(), key_id: z.string(), last4: z.string() })

describe('a new key', () => {
  test('is shown once, works at once, and may do what its scope says', async ({ api }) => {
    const answer = await api.post('/v1/keys', { body: { scope: 'read', label: 'the page' } })

    const { key, key_id } = createdKey.parse(answer.body)
    expect(answer).toMatchObject({
      status: 201,
      headers: { location: `/v1/keys/${key_id}` },
      body: { scope: 'read', label: 'the page', last4: key.slice(-4), revoked_at: null },
    })
    expect(key).toMatch(/^sk_call2me_[0-9A-Za-z]{48}$/)
    expect((await api.get('/v1/wallet', { key })).status).toBe(200)
    expect((await api.get('/v1/keys', { key })).status).toBe(403)
    expect(JSON.stringify((await api.get('/v1/keys')).body)).not.toContain(key)
  })

  test('may write and no more unless something else is asked for', async ({ api }) => {
    expect((await api.post('/v1/keys', { body: {} })).body).toMatchObject({ scope: 'write', label: null })
  })

  test('is nowhere in the database', async ({ api, db }) => {
    const headers = { 'idempotency-key': 'make-me-one' }

    const { key } = createdKey.parse((await api.post('/v1/keys', { headers, body: {} })).body)

    const { rows } = await sql<{ text: string }>`
      select api_key::text as text from api_key union all select idempotent_request::text from idempotent_request
      union all select audit_log::text from audit_log`.execute(db)
    const dump = rows.map(({ text }) => text).join('\n')
    expect(dump).toContain(key.slice(11, 21))
    expect(dump).not.toContain(key)
    expect(dump).not.toContain(key.slice(21, 53))
    expect(dump).not.toContain(Buffer.from(key).toString('hex'))
  })

  test('is made once with an Idempotency-Key, and shown again only to the key that asked', async ({
    api,
  }) => {
    const { key: otherAdmin } = createdKey.parse(
      (await api.post('/v1/keys', { body: { scope: 'admin' } })).body,
    )
    const headers = { 'idempotency-key': 'one-key-please' }

    const first = await api.post('/v1/keys', { headers, body: {} })
    const again = await api.post('/v1/keys', { headers, body: {} })
    const other = await api.post('/v1/keys', { key: otherAdmin, headers, body: {} })

    expect(again.body).toEqual(first.body)
    expect(other).toMatchObject({ status: 409, body: { error: { code: 'idempotency_answer_sealed' } } })
    expect(JSON.stringify(other.body)).not.toContain(createdKey.parse(first.body).key)
  })

  test('is refused when there are a hundred in force', async ({ api, db }) => {
    await sql`
      insert into api_key (workspace_id, key_id, hash, scope, last4, created_by)
      select ${api.workspaceId}, 'k' || n, sha256(n::text::bytea), 'read', 'abcd', 'test'
      from generate_series(4, 100) as n`.execute(db)

    const answer = await api.post('/v1/keys', { body: {} })

    expect(answer).toMatchObject({ status: 409, body: { error: { code: 'too_many_keys' } } })
  })
})

test('a key that is changed by one character, cut short or made up is refused', async ({ api }) => {
  const { admin: key } = api.keys
  const other = (at: number): string => key.slice(0, at) + (key[at] === 'a' ? 'b' : 'a') + key.slice(at + 1)

  const answers = await Promise.all(
    [other(12), other(30), other(58), key.slice(0, -1), `${key}a`, 'sk_call2me_', "' or 1=1 --"].map(
      (wrong) => api.get('/v1/wallet', { key: wrong }),
    ),
  )

  for (const answer of answers) {
    expect(answer).toMatchObject({
      status: 401,
      headers: { 'www-authenticate': 'Bearer' },
      body: { error: { code: 'unauthorized' } },
    })
  }
})

describe('a revoked key', () => {
  test('is refused within a second by every process, and stays in the list', async ({
    api,
    startTestApi,
  }) => {
    const processes = await Promise.all([startTestApi(), startTestApi()])
    const { key, key_id } = createdKey.parse((await api.post('/v1/keys', { body: {} })).body)
    const ask = async (each: TestApi): Promise<number> => (await each.get('/v1/wallet', { key })).status
    expect(await Promise.all([api, ...processes].map(ask))).toEqual([200, 200, 200])

    const revoked = await api.delete(`/v1/keys/${key_id}`)
    const revokedAt = performance.now()
    await until('every process refuses it', async () => {
      const statuses = await Promise.all([api, ...processes].map(ask))
      return statuses.every((status) => status === 401)
    })

    expect(performance.now() - revokedAt).toBeLessThan(1_000)
    expect(revoked).toMatchObject({ status: 200, body: { key_id, revoked_at: expect.any(String) } })
    expect((await api.get('/v1/keys')).body).toMatchObject({ total: 4, keys: [revoked.body, {}, {}, {}] })
  })

  test('may be revoked again, and the time stays', async ({ api }) => {
    const { key_id } = createdKey.parse((await api.post('/v1/keys', { body: {} })).body)

    const first = await api.delete(`/v1/keys/${key_id}`)
    const second = await api.delete(`/v1/keys/${key_id}`)

    expect(second).toMatchObject({ status: 200, body: first.body })
  })
})

describe('the last admin key', () => {
  test('is revoked only when that is really meant', async ({ api }) => {
    const keyId = api.keys.admin.slice(11, 21)

    const careless = await api.delete(`/v1/keys/${keyId}`)
    const meant = await api.delete(`/v1/keys/${keyId}?force=true`)

    expect(careless).toMatchObject({ status: 409, body: { error: { code: 'last_admin_key' } } })
    expect(meant.status).toBe(200)
  })

  test('stays when two admins revoke each other at once', async ({ api }) => {
    const { key: other, key_id: otherId } = createdKey.parse(
      (await api.post('/v1/keys', { body: { scope: 'admin' } })).body,
    )

    const answers = await Promise.all([
      api.delete(`/v1/keys/${otherId}`),
      api.delete(`/v1/keys/${api.keys.admin.slice(11, 21)}`, { key: other }),
    ])

    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200, 409]))
  })
})

test("another workspace's key is as one that does not exist", async ({ api }) => {
  const another = await api.another()

  const foreign = await api.delete(`/v1/keys/${another.keys.read.slice(11, 21)}`)
  const nowhere = await api.delete('/v1/keys/0123456789')

  expect(withoutId(foreign)).toEqual(withoutId(nowhere))
  expect(foreign.status).toBe(404)
  expect((await another.get('/v1/wallet', { key: 'read' })).status).toBe(200)
})

test('the list of keys comes in pages, the newest first', async ({ api }) => {
  for (const label of ['one', 'two']) await api.post('/v1/keys', { body: { label } })

  const page = await api.get('/v1/keys?limit=1&offset=1')

  expect(page.body).toMatchObject({ keys: [{ label: 'one' }], total: 5, limit: 1, offset: 1 })
  for (const query of ['limit=0', 'limit=101', 'limit=x', 'offset=-1', 'page=2']) {
    expect((await api.get(`/v1/keys?${query}`)).status).toBe(400)
  }
})

test('the audit log says who made and revoked which key, and not the key', async ({ api }) => {
  const { key, key_id } = createdKey.parse((await api.post('/v1/keys', { body: { label: 'x' } })).body)
  await api.delete(`/v1/keys/${key_id}`)
  await api.delete(`/v1/keys/${key_id}`)

  const log = await api.get('/v1/audit-log?limit=2')

  const by = { actor: `key ${api.keys.admin.slice(11, 21)}`, detail: { key_id, scope: 'write', label: 'x' } }
  expect(log.body).toMatchObject({
    entries: [
      { action: 'key.revoked', ...by },
      { action: 'key.created', ...by },
    ],
    total: 2,
    limit: 2,
    offset: 0,
  })
  expect(JSON.stringify(log.body)).not.toContain(key)
  expect((await (await api.another()).get('/v1/audit-log')).body).toMatchObject({ entries: [], total: 0 })
})

function withoutId({ status, body }: ApiAnswer): unknown {
  return JSON.parse(JSON.stringify([status, body]).replace(/req_[\w-]+/, ''))
}
