// What the pages show, to whom, and what they never let through: for a wallet in which nothing has happened, and for one with a past.
import { describe, expect } from 'vitest'

import { walletTransactionId } from '../../billing/wallet-transaction.ts'
import type { Db } from '../../db/schema.ts'
import type { TestApi } from '../support/api-server.ts'
import { givenCard, test } from '../support/api-with-paddle.ts'
import { aCall, aMessage, callArrival, messageArrival, newId } from '../support/given.ts'
import { givenUsage } from '../support/given-history.ts'
import { signIn, visit, type Page } from '../support/visitor.ts'

const pages = [
  '/wallet',
  '/wallet/add-funds',
  '/wallet/auto-recharge',
  '/wallet/transactions',
  '/wallet/spend',
  '/wallet/numbers',
] as const

const hostile = [
  '<img src=x onerror=alert(1)>',
  '=HYPERLINK("https://evil.test")',
  `"'><script>alert(1)</script>`,
]

describe('a page', () => {
  test.for(pages)(
    '%s is there for an empty workspace, and for one with a past',
    async (path, { shop, db }) => {
      const lived = await shop.another()
      await givenPast(db, lived)

      const empty = await (await signIn(shop, 'read')).get(path)
      const full = await (await signIn(lived, 'admin')).get(path)

      expect([empty.status, full.status]).toEqual([200, 200])
      for (const { html } of [empty, full]) {
        expect(html).toMatch(/^<!doctype html>/)
        expect(html).toContain('<main id="content"')
        expect(html.match(/<h1/g)).toHaveLength(1)
        expect(html).not.toMatch(/undefined|\[object|NaN|\bnull\b/)
      }
    },
  )

  test.for(pages)(
    '%s has no script and no style of its own, and asks nobody else for anything',
    async (path, { shop }) => {
      const { html } = await (await signIn(shop, 'admin')).get(path)

      expect(html).not.toMatch(/<style|\sstyle=|\son[a-z]+=|javascript:/i)
      expect(html).not.toMatch(/<script(?![^>]*\ssrc="\/wallet\/assets\/)/)
      expect(
        [...html.matchAll(/\s(?:src|href|action)="([^"]*)"/g)].filter(([, url]) => !/^[/#]/.test(url ?? '')),
      ).toEqual([])
    },
  )

  test.for([...pages, '/wallet/sign-in'])(
    '%s is sent with headers that forbid everything it does not need',
    async (path, { shop }) => {
      const visitor = path === '/wallet/sign-in' ? visit(shop, null) : await signIn(shop, 'admin')

      const { headers } = await visitor.get(path)

      expect(securityOf(headers)).toEqual(expectedHeaders)
    },
  )

  test('that opens the checkout is the only one to let Paddle in, and only where Paddle.js is configured', async ({
    shop,
    startTestApi,
    paddle,
  }) => {
    const token = { token: 'test_0123456789abcdefghij', environment: 'sandbox' } as const
    const overlaid = await startTestApi({ context: { paddle: paddle.gateway, paddleClient: token } })

    const policies: string[] = []
    for (const api of [shop, overlaid]) {
      const visitor = await signIn(api, 'admin')
      const opened = await visitor.post('/wallet/add-funds', { amount_usd: '50', email: 'payer@example.com' })
      const page = await visitor.get(opened.headers['location'] ?? '')
      policies.push(page.headers['content-security-policy'] ?? '')
      expect(page.html.includes('cdn.paddle.com')).toBe(api === overlaid)
      expect((await visitor.get('/wallet')).headers['content-security-policy']).not.toContain('paddle')
    }

    expect(policies[0]).not.toContain('paddle')
    expect(policies[1]).toContain("script-src 'self' https://cdn.paddle.com;")
    expect(policies[1]).toContain('frame-src https://buy.paddle.com https://sandbox-buy.paddle.com')
  })

  test('brings files that may be kept for ever, because their address names their content', async ({
    shop,
  }) => {
    const { html } = await (await signIn(shop, 'read')).get('/wallet')
    const files = [...html.matchAll(/"(\/wallet\/assets\/[^"]+)"/g)].map(([, path]) => path ?? '')

    expect(files.length).toBeGreaterThanOrEqual(3)
    for (const path of files) {
      const file = await visit(shop, null).get(path)
      expect([path, file.status]).toEqual([path, 200])
      expect(file.headers['cache-control']).toBe('public, max-age=31536000, immutable')
    }
  })
})

test('names that others chose are text on every page, in every address and in the export', async ({
  shop,
  db,
}) => {
  const lived = await shop.another()
  await givenUsage(
    db,
    hostile.map((name) =>
      callArrival(aCall(lived.workspaceId, { agentId: name, campaignId: name, callId: newId('call') })),
    ),
  )
  const visitor = await signIn(lived, 'admin')
  const receipts = hostile.map(
    (_, index) => `/wallet/transactions/${walletTransactionId(lived.workspaceId, BigInt(index + 2))}`,
  )
  const typed = hostile.map(
    (name) =>
      `/wallet/transactions?${new URLSearchParams({ agent_id: name, call_id: name, kind: name, from: name }).toString()}`,
  )

  const shown: string[] = []
  for (const path of [
    ...pages,
    ...receipts,
    ...typed,
    `/wallet/add-funds?${new URLSearchParams({ amount_usd: hostile[2] ?? '' }).toString()}`,
  ]) {
    shown.push((await visitor.get(path)).html)
  }
  const failed = await visitor.post('/wallet/auto-recharge', {
    threshold_usd: hostile[2] ?? '',
    topup_usd: hostile[0] ?? '',
  })
  const csv = await visitor.get('/wallet/transactions.csv')

  for (const html of [...shown, failed.html]) expect(html).not.toMatch(/<img|<script>|"'>/)
  expect(shown.join('')).toContain('&lt;img src=x onerror=alert(1)&gt;')
  expect(csv.status).toBe(200)
  expect(csv.html).toContain(`"'=HYPERLINK(""https://evil.test"")"`)
  expect(csv.html).not.toMatch(/(?:^|,)"?=/m)
})

describe('the wallet', () => {
  test('says what is there, what it costs and how long it lasts', async ({ shop, db }) => {
    const lived = await shop.another()
    await givenPast(db, lived)

    const { html } = await (await signIn(lived, 'read')).get('/wallet')

    expect(textOf(html)).toContain('Balance $9.61')
    expect(textOf(html)).toContain('Last hour $0.39')
    expect(textOf(html)).toMatch(/Lasts About \d+ hours at the pace of the last 24 hours/)
    expect(textOf(html)).toContain('Auto-recharge is off')
  })

  test('says what is wrong, and the one thing to do', async ({ shop, db }) => {
    const poor = await shop.another()
    await givenUsage(db, [
      callArrival(aCall(poor.workspaceId, { durationSeconds: 3_300, startedAt: anHourAgo() })),
    ])

    const { html } = await (await signIn(poor, 'admin')).get('/wallet')

    expect(textOf(html)).toContain('Calls are being refused')
    expect(html).toMatch(/<a class="button" href="\/wallet\/add-funds"/)
  })
})

describe('adding funds', () => {
  test('opens one top-up, and leads to its checkout with the way back', async ({ shop }) => {
    const visitor = await signIn(await shop.another(), 'admin')

    const opened = await visitor.post('/wallet/add-funds', {
      amount_usd: '$1,000',
      email: 'payer@example.com',
      save_card: 'yes',
    })
    const page = await visitor.get(opened.headers['location'] ?? '')

    expect(opened.status).toBe(303)
    expect(opened.headers['location']).toMatch(/^\/wallet\/add-funds\/topup_\w+$/)
    expect(page.html).toMatch(
      /href="http:\/\/127[^"]+return_url=https?%3A%2F%2Fwallet\.test%2Fwallet%2Fadd-funds%2Ftopup_\w+%3Fback%3D1/,
    )
    expect(textOf(page.html)).toContain('Add $1,000.00')
  })

  test.for([
    ['4.99', 'amount_usd'],
    ['', 'amount_usd'],
    ['1e3', 'amount_usd'],
    ['-5', 'amount_usd'],
    ['12.345', 'amount_usd'],
  ] as const)(
    'of %j says so beside the field, and keeps what was typed',
    async ([amount, field], { shop }) => {
      const visitor = await signIn(await shop.another(), 'admin')

      const answer = await visitor.post('/wallet/add-funds', {
        amount_usd: amount,
        email: 'payer@example.com',
      })

      expect(answer.status).toBe(422)
      expect(answer.html).toContain(`id="${field}-problem"`)
      expect(answer.html).toContain(`value="${amount}"`)
      expect(answer.html).toContain('value="payer@example.com"')
    },
  )

  test('asks for an e-mail address where Paddle knows none', async ({ shop }) => {
    const visitor = await signIn(await shop.another(), 'admin')

    const answer = await visitor.post('/wallet/add-funds', { amount_usd: '50' })

    expect(answer.status).toBe(422)
    expect(answer.html).toContain('id="email-problem"')
  })

  test('charges the saved card once, however often the form is sent', async ({ shop, db, paddle }) => {
    const lived = await shop.another()
    await givenCard(db, paddle, lived.workspaceId)
    const visitor = await signIn(lived, 'admin')
    const attempt =
      /name="attempt" value="(topup_\w+)"/.exec((await visitor.get('/wallet/add-funds')).html)?.[1] ?? ''

    const sent = await Promise.all(
      [1, 2, 3].map(() => visitor.post('/wallet/add-funds', { amount_usd: '50', pay_with: 'card', attempt })),
    )

    expect(sent.map(({ headers }) => headers['location'])).toEqual(
      [1, 2, 3].map(() => `/wallet/add-funds/${attempt}`),
    )
    const rows = await db
      .selectFrom('top_up')
      .select('top_up_id')
      .where('workspace_id', '=', lived.workspaceId)
      .where('source', '=', 'api')
      .execute()
    expect(rows).toHaveLength(1)
  })

  test('shows the tax of a country before anything is paid', async ({ shop }) => {
    const visitor = await signIn(await shop.another(), 'admin')

    const preview = await visitor.get('/wallet/add-funds/preview?amount_usd=100&country=DE')

    expect(textOf(preview.html)).toBe('Credit to the wallet $100.00 Tax $19.00 You pay $119.00')
  })
})

describe('auto-recharge', () => {
  const wanted = { threshold_usd: '5', topup_usd: '100', daily_limit: '10', monthly_cap_usd: '' }

  test('is not switched on without consent, nor without a card', async ({ shop, db, paddle }) => {
    const cardless = await signIn(await shop.another(), 'admin')
    const lived = await shop.another()
    await givenCard(db, paddle, lived.workspaceId)
    const visitor = await signIn(lived, 'admin')

    const withoutCard = await cardless.post('/wallet/auto-recharge', { ...wanted, consent: 'yes' })
    const withoutConsent = await visitor.post('/wallet/auto-recharge', wanted)
    const withBoth = await visitor.post('/wallet/auto-recharge', { ...wanted, consent: 'yes' })

    expect(withoutCard.status).toBe(409)
    expect(textOf(withoutCard.html)).toContain('Save a card first')
    expect(withoutConsent.status).toBe(422)
    expect(withoutConsent.html).toContain('id="consent-problem"')
    expect(withBoth.headers['location']).toBe('/wallet/auto-recharge?done=on')
  })

  test('says that it charges now, and does so only when that is agreed to', async ({ shop, db, paddle }) => {
    const lived = await shop.another()
    await givenCard(db, paddle, lived.workspaceId)
    const visitor = await signIn(lived, 'admin')
    const high = { ...wanted, threshold_usd: '20', consent: 'yes' }

    const asked = await visitor.post('/wallet/auto-recharge', high)
    const agreed = await visitor.post('/wallet/auto-recharge', { ...high, charge_now: 'yes' })

    expect(asked.status).toBe(422)
    expect(textOf(asked.html)).toContain('This charges the card $100 now')
    expect(agreed.headers['location']).toBe('/wallet/auto-recharge?done=charging')
    const shown = await visitor.get('/wallet/auto-recharge?done=charging')
    expect(textOf(shown.html)).toContain('is being charged $100.00 now')
  })

  test('keeps what was typed, and says what is wrong with each of it', async ({ shop }) => {
    const visitor = await signIn(await shop.another(), 'admin')

    const { status, html } = await visitor.post('/wallet/auto-recharge', {
      threshold_usd: 'twenty',
      topup_usd: '1',
      daily_limit: '99',
      monthly_cap_usd: 'x',
    })

    expect(status).toBe(422)
    for (const field of ['threshold_usd', 'topup_usd', 'daily_limit', 'monthly_cap_usd', 'consent']) {
      expect([field, html.includes(`id="${field}-problem"`)]).toEqual([
        field,
        field !== 'consent' || html.includes('id="consent"'),
      ])
    }
    expect(html).toContain('value="twenty"')
  })

  test('is switched off with one click, and the card can be removed then', async ({ shop, db, paddle }) => {
    const lived = await shop.another()
    const { savedCardId } = await givenCard(db, paddle, lived.workspaceId)
    const visitor = await signIn(lived, 'admin')
    await visitor.post('/wallet/auto-recharge', { ...wanted, consent: 'yes' })

    const needed = await visitor.post('/wallet/card/remove', { card: savedCardId })
    const off = await visitor.post('/wallet/auto-recharge/off')
    const removed = await visitor.post('/wallet/card/remove', { card: savedCardId })

    expect(needed.status).toBe(409)
    expect(off.headers['location']).toBe('/wallet/auto-recharge?done=off')
    expect(removed.headers['location']).toBe('/wallet/auto-recharge?done=removed')
  })
})

describe('transactions', () => {
  test('are found by call, and have a receipt that adds up in front of the reader', async ({ shop, db }) => {
    const lived = await shop.another()
    const callId = newId('call')
    await givenUsage(db, [
      callArrival(aCall(lived.workspaceId, { callId, durationSeconds: 61 })),
      callArrival(aCall(lived.workspaceId)),
    ])
    const visitor = await signIn(lived, 'read')

    const found = await visitor.get(`/wallet/transactions?call_id=${callId}`)
    const path = /href="(\/wallet\/transactions\/txn_\w+)"/.exec(found.html)?.[1] ?? ''
    const receipt = textOf((await visitor.get(path)).html)

    expect(textOf(found.html)).toContain('1 transaction found')
    expect(receipt).toContain('61 \u00d7 1 s \u00d7 $0.10 / 60 s = $0.101666666666666')
    expect(receipt).toContain('rounded half up: $0.101667')
    expect(receipt).toContain('$0.101667 + $0.081333 = $0.183')
    expect(receipt).toContain('$10.00 \u2212 $0.183 = $9.817')
    expect(receipt).toContain('It fits')
  })

  test('of another workspace, and of none, are not there', async ({ shop }) => {
    const stranger = await shop.another()
    const visitor = await signIn(shop, 'admin')
    const names = [
      walletTransactionId(stranger.workspaceId, 1n),
      walletTransactionId(shop.workspaceId, 999n),
      '..%2f',
    ]

    for (const name of names) {
      expect((await visitor.get(`/wallet/transactions/${name}`)).status).toBe(404)
    }
    expect((await visitor.get('/wallet/add-funds/topup_nothing')).status).toBe(404)
    expect((await visitor.get('/wallet/numbers/num_0123456789abcdef01234567')).status).toBe(404)
  })

  test('by a filter that cannot be read are none, and the field says why', async ({ shop }) => {
    const visitor = await signIn(shop, 'read')

    const answer = await visitor.get('/wallet/transactions?call_id=nothing&from=yesterday')

    expect(answer.status).toBe(422)
    expect(answer.html).toContain('id="call_id-problem"')
    expect(answer.html).toContain('id="from-problem"')
    expect(answer.html).toContain('value="nothing"')
  })

  test('are as many as fit on a page, and the rest is further down', async ({ shop, db }) => {
    const lived = await shop.another()
    await givenUsage(
      db,
      Array.from({ length: 60 }, () => messageArrival(aMessage(lived.workspaceId))),
    )
    const visitor = await signIn(lived, 'read')

    const first = await visitor.get('/wallet/transactions')
    const last = await visitor.get('/wallet/transactions?offset=50')

    expect(textOf(first.html)).toContain('1 to 50')
    expect(textOf(last.html)).toContain('51 to 61')
    expect(textOf(last.html)).toContain('Signup credit')
  })
})

test('spend shows where it went, and in a table what the chart shows', async ({ shop, db }) => {
  const lived = await shop.another()
  await givenPast(db, lived)

  const { html } = await (await signIn(lived, 'read')).get('/wallet/spend?days=7')

  expect(html).toContain('class="chart wide"')
  const text = textOf(html)
  for (const part of ['The numbers by day', 'By meter', 'agent_ada', 'spring-sale', 'United States'])
    expect(text).toContain(part)
})

function anHourAgo(): string {
  return new Date(Date.now() - 3_600_000).toISOString()
}

async function givenPast(db: Db, { workspaceId }: TestApi): Promise<void> {
  const of = { agentId: 'agent_ada', campaignId: 'spring-sale' }
  await givenUsage(db, [
    callArrival(aCall(workspaceId, of)),
    callArrival(aCall(workspaceId, { ...of, recorded: true })),
    messageArrival(aMessage(workspaceId)),
  ])
}

function textOf(html: string): string {
  return html
    .replaceAll(/<[^>]*>/g, ' ')
    .replaceAll(/\s+/g, ' ')
    .replaceAll('&#39;', "'")
    .trim()
}

function securityOf(headers: Page['headers']): Record<string, string | undefined> {
  return Object.fromEntries(Object.keys(expectedHeaders).map((name) => [name, headers[name]]))
}

const expectedHeaders = {
  'cache-control': 'no-store',
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
  'content-type': 'text/html; charset=utf-8',
  'cross-origin-opener-policy': 'same-origin',
  'referrer-policy': 'same-origin',
  'strict-transport-security': 'max-age=31536000; includeSubDomains',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
}
