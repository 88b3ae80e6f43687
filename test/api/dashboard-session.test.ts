// Who is let in to the wallet page, for how long, and whose forms are heeded.
import { describe, expect } from 'vitest'

import { revokeApiKey } from '../../db/api-key.ts'
import {
  readSessionClock,
  createSignInLink,
  sessionIdleMs,
  sessionLongestMs,
} from '../../db/dashboard-session.ts'
import type { Db } from '../../db/schema.ts'
import { test, type TestApi } from '../support/api-server.ts'
import { ownOrigin, sessionCookieOf, signIn, visit } from '../support/visitor.ts'

describe('signing in', () => {
  test('with a key gives a cookie that scripts, other hosts and other sites do not get', async ({ api }) => {
    const answer = await visit(api, null).post('/wallet/sign-in', { key: ` ${api.keys.admin} ` })

    expect(answer).toMatchObject({ status: 303, headers: { location: '/wallet' } })
    expect(answer.headers['set-cookie']).toMatch(
      /^__Host-wallet-session=[\w-]{43}; Path=\/; Secure; HttpOnly; SameSite=Lax$/,
    )
  })

  test.for(['', 'sk_call2me_nothing', "' or 1=1 --"])(
    'with %j is refused, beside the field',
    async (key, { api }) => {
      const answer = await visit(api, null).post('/wallet/sign-in', { key })

      expect(answer.status).toBe(422)
      expect(answer.html).toContain('aria-invalid="true"')
      expect(answer.headers['set-cookie']).toBeUndefined()
    },
  )

  test('a page that was asked for comes after it, and no other address can', async ({ api }) => {
    const asked = await visit(api, null).get('/wallet/spend')
    const key = api.keys.read

    const known = await visit(api, null).post('/wallet/sign-in', { key, place: 'spend' })
    const elsewhere = await visit(api, null).post('/wallet/sign-in', { key, place: '//evil.test/' })

    expect(asked.headers['location']).toBe('/wallet/sign-in?over=1&place=spend')
    expect(known.headers['location']).toBe('/wallet/spend')
    expect(elsewhere.headers['location']).toBe('/wallet')
  })

  test('a session that the browser was given before is not the one that it gets', async ({ api }) => {
    const planted = await signIn(api, 'read')
    const made = visit(api, `__Host-wallet-session=${'A'.repeat(43)}`)

    const overPlanted = await planted.post('/wallet/sign-in', { key: api.keys.admin })
    const overMade = await made.post('/wallet/sign-in', { key: api.keys.admin })

    expect(sessionCookieOf(overPlanted)).not.toBe(planted.cookie)
    expect(sessionCookieOf(overMade)).not.toBe(made.cookie)
    expect((await planted.get('/wallet')).status).toBe(303)
    expect((await made.get('/wallet')).status).toBe(303)
  })

  test('too many tries from one address are turned away for a while', async ({ startTestApi }) => {
    const api = await startTestApi()
    const nobody = visit(api, null)

    const statuses: number[] = []
    for (let tries = 0; tries < 21; tries += 1) {
      statuses.push((await nobody.post('/wallet/sign-in', { key: 'sk_call2me_guess' })).status)
    }

    expect(statuses.slice(0, 20)).toEqual(Array.from({ length: 20 }, () => 422))
    const last = await nobody.post('/wallet/sign-in', { key: api.keys.admin })
    expect(last.status).toBe(429)
    expect(Number(last.headers['retry-after'])).toBeGreaterThan(0)
  })
})

describe('a link', () => {
  test('signs in once, with its button and not by being looked at', async ({ api, db }) => {
    const token = await givenLink(db, api)
    const nobody = visit(api, null)

    const looks = [
      await nobody.get(`/wallet/sign-in/link?token=${token}`),
      await nobody.get(`/wallet/sign-in/link?token=${token}`),
    ]
    const first = await nobody.post('/wallet/sign-in/link', { token })
    const second = await nobody.post('/wallet/sign-in/link', { token })

    expect(looks.map(({ status }) => status)).toEqual([200, 200])
    expect(first).toMatchObject({ status: 303, headers: { location: '/wallet' } })
    expect(second.status).toBe(410)
    expect((await visit(api, sessionCookieOf(first)).get('/wallet')).html).toContain(api.workspaceId)
  })

  test('used by many at once lets one of them in', async ({ api, db }) => {
    const token = await givenLink(db, api)

    const answers = await Promise.all(
      Array.from({ length: 8 }, () => visit(api, null).post('/wallet/sign-in/link', { token })),
    )

    expect(answers.filter(({ status }) => status === 303)).toHaveLength(1)
    expect(answers.filter(({ status }) => status === 410)).toHaveLength(7)
  })

  test('is nothing when it is too old, or its key was revoked', async ({ api, db }) => {
    const old = await givenLink(db, api, -1)
    const other = await api.another()
    const ofRevoked = await givenLink(db, other)
    await revoke(db, other, other.keys.admin)

    expect((await visit(api, null).post('/wallet/sign-in/link', { token: old })).status).toBe(410)
    expect((await visit(api, null).get(`/wallet/sign-in/link?token=${ofRevoked}`)).status).toBe(410)
    expect((await visit(api, null).post('/wallet/sign-in/link', { token: ofRevoked })).status).toBe(410)
  })
})

describe('a session ends', () => {
  test('when somebody signs out, for whoever else has its cookie too', async ({ api }) => {
    const visitor = await signIn(api, 'read')

    const out = await visitor.post('/wallet/sign-out')

    expect(out.headers['set-cookie']).toMatch(/^__Host-wallet-session=; .*Max-Age=0$/)
    expect((await visit(api, visitor.cookie).get('/wallet')).status).toBe(303)
  })

  test('with its key, at once', async ({ api, db }) => {
    const other = await api.another()
    const visitor = await signIn(other, 'read')
    expect((await visitor.get('/wallet')).status).toBe(200)

    await revoke(db, other, other.keys.read)

    expect((await visitor.get('/wallet')).status).toBe(303)
    expect((await visitor.get('/wallet/events')).status).toBe(401)
  })

  test.for([
    ['half an hour after it was last used', { seen_at: sessionIdleMs + 1_000 }],
    ['twelve hours after it began, used or not', { created_at: sessionLongestMs + 1_000, ends_at: 1_000 }],
  ] as const)('%s', async ([, ago], { api, db }) => {
    const other = await api.another()
    const visitor = await signIn(other, 'read')

    const now = (await readSessionClock(db)).getTime()
    await db
      .updateTable('dashboard_session')
      .set(Object.fromEntries(Object.entries(ago).map(([column, ms]) => [column, new Date(now - ms)])))
      .where('workspace_id', '=', other.workspaceId)
      .execute()

    expect((await visitor.get('/wallet')).status).toBe(303)
  })

  test('is put off by using it', async ({ api, db }) => {
    const other = await api.another()
    const visitor = await signIn(other, 'read')
    const now = (await readSessionClock(db)).getTime()
    const seenAt = new Date(now - sessionIdleMs + 60_000)
    await db
      .updateTable('dashboard_session')
      .set({ seen_at: seenAt })
      .where('workspace_id', '=', other.workspaceId)
      .execute()

    expect((await visitor.get('/wallet')).status).toBe(200)

    const { seen_at } = await db
      .selectFrom('dashboard_session')
      .select('seen_at')
      .where('workspace_id', '=', other.workspaceId)
      .executeTakeFirstOrThrow()
    expect(seen_at.getTime()).toBeGreaterThanOrEqual(now)
  })
})

test('the database holds no token, so a copy of it signs nobody in', async ({ api, db }) => {
  const visitor = await signIn(api, 'read')
  const token = visitor.cookie?.split('=')[1] ?? ''

  const rows = await db
    .selectFrom('dashboard_session')
    .selectAll()
    .where('workspace_id', '=', api.workspaceId)
    .execute()

  expect(rows.length).toBeGreaterThan(0)
  const stored = rows.flatMap(({ token_hash }) => [
    token_hash.toString('base64url'),
    token_hash.toString('hex'),
  ])
  expect(stored).not.toContain(token)
  for (const each of stored)
    expect((await visit(api, `__Host-wallet-session=${each.slice(0, 43)}`).get('/wallet')).status).toBe(303)
})

describe('two doors:', () => {
  test('no route of the API takes the cookie', async ({ api }) => {
    const { cookie } = await signIn(api, 'admin')

    const answer = await api.get('/v1/wallet', { key: null, headers: { cookie: cookie ?? '' } })

    expect(answer.status).toBe(401)
  })

  test('no page takes a key in a header', async ({ api }) => {
    const answer = await api.get('/wallet', { key: 'admin' })

    expect(answer).toMatchObject({
      status: 303,
      headers: { location: '/wallet/sign-in?over=1&place=wallet' },
    })
  })

  test('a page is of the workspace of its session, whatever key comes along', async ({ api }) => {
    const stranger = await api.another()
    const { cookie } = await signIn(api, 'read')

    const answer = await stranger.get('/wallet', { headers: { cookie: cookie ?? '' } })

    expect(answer.body).toContain(api.workspaceId)
    expect(answer.body).not.toContain(stranger.workspaceId)
  })
})

describe('a form is heeded', () => {
  const settings = { threshold_usd: '20', topup_usd: '100', daily_limit: '10', monthly_cap_usd: '' }
  const change = '/wallet/auto-recharge/off'

  test('with the token of its session, from a page of this host', async ({ api }) => {
    const visitor = await signIn(api, 'admin')

    expect((await visitor.post(change)).status).toBe(303)
  })

  test.for([
    ['without a token', { csrf: '' }, {}],
    ['with a token that is made up', { csrf: 'A'.repeat(43) }, {}],
    ['from another site', {}, { 'sec-fetch-site': 'cross-site', origin: 'https://evil.test' }],
    ['from another origin, whatever the browser says besides', {}, { origin: 'https://evil.test' }],
    ['from another port', {}, { origin: `${ownOrigin.origin}:444` }],
    ['from a page that hides where it is', {}, { origin: 'null' }],
    ['from a sister site', {}, { 'sec-fetch-site': 'same-site' }],
  ] as const)('not %s', async ([, fields, headers], { api }) => {
    const visitor = await signIn(api, 'admin')

    const answer = await visitor.post(change, fields, headers)

    expect(answer.status).toBe(403)
  })

  test('not with the token of another session, be it of the same key', async ({ api }) => {
    const visitor = await signIn(api, 'admin')
    const other = await signIn(api, 'admin')
    const foreign = /name="csrf" value="([\w-]+)"/.exec((await other.get('/wallet')).html)?.[1] ?? ''

    expect((await visitor.post(change, { csrf: foreign })).status).toBe(403)
  })

  test('not when it signs somebody in from another site', async ({ api }) => {
    const headers = { origin: 'https://evil.test', 'sec-fetch-site': 'cross-site' }

    const answer = await visit(api, null).post('/wallet/sign-in', { key: api.keys.admin }, headers)

    expect(answer.status).toBe(403)
    expect(answer.headers['set-cookie']).toBeUndefined()
  })

  test('not as JSON', async ({ api }) => {
    const visitor = await signIn(api, 'admin')

    expect((await visitor.post(change, {}, { 'content-type': 'application/json' })).status).toBe(415)
  })

  test.for(['read', 'write'] as const)(
    'not of a session with a %s key, and its pages have no button for it',
    async (scope, { api }) => {
      const visitor = await signIn(api, scope)

      const { html } = await visitor.get('/wallet/auto-recharge')

      expect((await visitor.post('/wallet/auto-recharge', settings)).status).toBe(403)
      expect((await visitor.post('/wallet/add-funds', { amount_usd: '50' })).status).toBe(403)
      const actions = [...html.matchAll(/<form[^>]*action="([^"]+)"/g)].map(([, action]) => action)
      expect(new Set(actions)).toEqual(new Set(['/wallet/theme', '/wallet/sign-out']))
    },
  )
})

test('colours are remembered by the browser, and a form leads to no other site', async ({ api }) => {
  const visitor = await signIn(api, 'read')

  const answer = await visitor.post('/wallet/theme', { theme: 'dark', place: 'https://evil.test' })

  expect(answer.headers['location']).toBe('/wallet')
  expect(answer.headers['set-cookie']).toMatch(/^__Host-wallet-theme=dark; Path=\/; Secure/)
  const dark = await visit(api, `${visitor.cookie}; __Host-wallet-theme=dark`).get('/wallet')
  expect(dark.html).toContain('data-theme="dark"')
})

async function givenLink(db: Db, api: TestApi, forMs = 60_000): Promise<string> {
  const keyId = keyIdOf(api.keys.admin)
  return await db
    .transaction()
    .execute(async (trx) =>
      createSignInLink(
        trx,
        { workspaceId: api.workspaceId, keyId },
        { now: await readSessionClock(trx), forMs },
      ),
    )
}

async function revoke(db: Db, { workspaceId }: TestApi, key: string): Promise<void> {
  await db
    .transaction()
    .execute((trx) => revokeApiKey(trx, { workspaceId, keyId: keyIdOf(key), forced: true }))
}

function keyIdOf(key: string): string {
  return key.slice('sk_call2me_'.length, 'sk_call2me_'.length + 10)
}
