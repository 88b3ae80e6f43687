// Saved cards by HTTP, under both names: shown without a number, saved without paying, changed, and removed when nothing needs them.
import { describe, expect } from 'vitest'

import { listAudit } from '../../db/audit-log.ts'
import { applyPaddleSubscription } from '../../db/paddle-subscription.ts'
import { findUsableCard } from '../../db/saved-card.ts'
import type { Db } from '../../db/schema.ts'
import { givenAutoRecharge, givenTopUp } from '../support/given-money-in.ts'
import { givenCard, test } from '../support/api-with-paddle.ts'
import type { TestPaddle } from '../support/paddle.ts'

const addresses = ['/v1/payments/methods', '/v1/payments/saved-cards']

describe.each(addresses)('%s', (address) => {
  test('shows the card, and nothing that could charge it', async ({ shop, paddle, db }) => {
    const { savedCardId, subscriptionId } = await givenCard(db, paddle, shop.workspaceId)
    const seen = { brand: 'visa', last4: '4242', expiry_month: 5, expiry_year: 2031, card_at: new Date() }
    await db.updateTable('saved_card').set(seen).where('subscription_id', '=', subscriptionId).execute()

    const answer = await shop.get(address, { key: 'read' })

    expect(answer).toMatchObject({ status: 200 })
    expect(answer.body).toEqual({
      methods: [
        {
          id: savedCardId,
          provider: 'paddle',
          status: 'active',
          card_brand: 'visa',
          card_last_four: '4242',
          card_exp_month: 5,
          card_exp_year: 2031,
          is_default: true,
          created_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT/),
        },
      ],
    })
    expect(JSON.stringify(answer.body)).not.toContain(subscriptionId)
  })

  test('is empty without a card, and of no other workspace', async ({ shop, paddle, db }) => {
    const other = await shop.another()
    await givenCard(db, paddle, other.workspaceId)

    expect((await shop.get(address)).body).toEqual({ methods: [] })
  })

  test.for(['', '/setup'])(
    'opens a checkout%s that saves a card and takes nothing',
    async (ending, { shop, paddle, db }) => {
      const body = { email: 'payer@example.com', success_url: 'https://shop.example/saved' }

      const answer = await shop.post(`${address}${ending}`, { body })

      expect(answer).toMatchObject({ status: 201, body: { provider: 'paddle' } })
      const { sessionId, url } = sessionIn(answer.body)
      expect(url.searchParams.get('return_url')).toBe('https://shop.example/saved')
      expect(await (await fetch(url)).text()).toContain('Save your card')
      await saveCardAt(db, paddle, { sessionId, workspaceId: shop.workspaceId })
      expect(await findUsableCard(db, shop.workspaceId)).not.toBeNull()
      expect((await shop.get('/v1/wallet')).body).toMatchObject({ balance_usd: 10 })
    },
  )

  test('removes the card at Paddle and here, and says who asked', async ({ shop, paddle, db }) => {
    const { savedCardId, subscriptionId } = await givenCard(db, paddle, shop.workspaceId)

    const answer = await shop.delete(`${address}/${savedCardId}`)
    const again = await shop.delete(`${address}/${savedCardId}`)

    expect(answer).toMatchObject({ status: 200, body: { id: savedCardId, deleted: true } })
    expect(again.status).toBe(404)
    expect((await shop.get(address)).body).toEqual({ methods: [] })
    const atPaddle = await paddle.gateway.getSubscription(subscriptionId)
    expect(atPaddle).toMatchObject({ outcome: 'found', subscription: { status: 'canceled' } })
    const actions = await listAudit(db, shop.workspaceId, 9)
    expect(actions.map(({ action }) => action)).toEqual(
      expect.arrayContaining(['card.removal_asked', 'card.removed']),
    )
    expect(actions.find(({ action }) => action === 'card.removal_asked')?.actor).toMatch(/^key /)
    if (atPaddle.outcome !== 'found') return
    const told = await db
      .transaction()
      .execute((trx) => applyPaddleSubscription(trx, atPaddle.subscription, new Date()))
    expect(told.outcome).toBe('known')
  })
})

describe('a card is kept', () => {
  test('while auto-recharge needs it, or a charge of it is under way', async ({ shop, paddle, db }) => {
    const other = await shop.another()
    const mine = await givenCard(db, paddle, shop.workspaceId)
    const theirs = await givenCard(db, paddle, other.workspaceId)
    await givenAutoRecharge(db, shop)
    const payer = { workspaceId: other.workspaceId, customerId: '', subscriptionId: theirs.subscriptionId }
    await givenTopUp(db, payer, { source: 'api', state: 'processing' })

    const needed = await shop.delete(`/v1/payments/methods/${mine.savedCardId}`)
    const charged = await other.delete(`/v1/payments/methods/${theirs.savedCardId}`)

    expect(needed).toMatchObject({ status: 409, body: { error: { code: 'card_in_use' } } })
    expect(charged).toMatchObject({ status: 409, body: { error: { code: 'charge_under_way' } } })
    expect(await findUsableCard(db, shop.workspaceId)).not.toBeNull()
    expect(await findUsableCard(db, other.workspaceId)).not.toBeNull()
  })

  test('when Paddle does not answer, and can then be removed once more', async ({ shop, paddle, db }) => {
    const { savedCardId } = await givenCard(db, paddle, shop.workspaceId)
    await paddle.control.fault({ on: 'POST /subscriptions/.*/cancel', kind: 'http_500', when: 'after' })

    const unknown = await shop.delete(`/v1/payments/methods/${savedCardId}`)
    const listed = await shop.get('/v1/payments/methods')
    const again = await shop.delete(`/v1/payments/methods/${savedCardId}`)

    expect(unknown).toMatchObject({ status: 502, body: { error: { code: 'paddle_did_not_answer' } } })
    expect(listed.body).toMatchObject({ methods: [{ id: savedCardId }] })
    expect(again.status).toBe(200)
    expect((await shop.get('/v1/payments/methods')).body).toEqual({ methods: [] })
  })

  test('from other workspaces and from keys that may not', async ({ shop, paddle, db }) => {
    const other = await shop.another()
    const { savedCardId } = await givenCard(db, paddle, other.workspaceId)
    const asks = [
      (key: 'admin' | 'write' | 'read') => shop.delete(`/v1/payments/methods/${savedCardId}`, { key }),
      (key: 'admin' | 'write' | 'read') => shop.post(`/v1/payments/methods/${savedCardId}/default`, { key }),
      (key: 'admin' | 'write' | 'read') => shop.get(`/v1/payments/methods/${savedCardId}/update`, { key }),
    ]

    for (const ask of asks) {
      expect((await ask('admin')).status).toBe(404)
      expect((await ask('write')).status).toBe(403)
      expect((await ask('read')).status).toBe(403)
    }
    expect(await findUsableCard(db, other.workspaceId)).not.toBeNull()
  })
})

test('the card can be changed at Paddle, and is the one in use', async ({ shop, paddle, db }) => {
  const { savedCardId } = await givenCard(db, paddle, shop.workspaceId)

  const update = await shop.get(
    `/v1/payments/methods/${savedCardId}/update?success_url=https://shop.example/`,
  )
  const chosen = await shop.post(`/v1/payments/methods/${savedCardId}/default`)

  expect(update.status).toBe(200)
  const { url } = sessionIn(update.body)
  expect(url.searchParams.get('return_url')).toBe('https://shop.example/')
  expect((await fetch(url)).status).toBe(200)
  expect(chosen).toMatchObject({ status: 200, body: { id: savedCardId, is_default: true } })
})

test('a card that another one replaced cannot be used again', async ({ shop, paddle, db }) => {
  const before = await givenCard(db, paddle, shop.workspaceId)
  const { sessionId } = sessionIn((await shop.post('/v1/payments/methods')).body)
  await saveCardAt(db, paddle, { sessionId, workspaceId: shop.workspaceId })
  const after = await findUsableCard(db, shop.workspaceId)

  const answer = await shop.post(`/v1/payments/methods/${before.savedCardId}/default`)

  expect(after?.savedCardId).not.toBe(before.savedCardId)
  expect(answer).toMatchObject({ status: 409, body: { error: { code: 'card_not_in_use' } } })
  expect((await shop.get('/v1/payments/methods')).body).toMatchObject({
    methods: [{ id: after?.savedCardId }],
  })
})

test.for(['/v1/payments/methods/pm_1%00', '/v1/payments/methods/sub_1', '/v1/payments/methods/pm_%27or'])(
  'an id that is none is refused: %s',
  async (path, { shop }) => {
    expect((await shop.delete(path)).status).toBe(400)
  },
)

test('without a Paddle, cards are shown and nothing else is done', async ({ api }) => {
  const body = { email: 'payer@example.com' }

  expect((await api.get('/v1/payments/methods')).status).toBe(200)
  expect((await api.post('/v1/payments/methods', { body })).status).toBe(503)
  expect((await api.delete('/v1/payments/methods/pm_1')).status).toBe(503)
})

/** The customer saves the card, and the webhook of it is given: the newest subscription comes first. */
async function saveCardAt(
  db: Db,
  { control, gateway }: TestPaddle,
  { sessionId, workspaceId }: { sessionId: string; workspaceId: string },
): Promise<void> {
  await control.payCheckout(sessionId, { saveCard: true })
  const listed = await gateway.listSubscriptions()
  const subscriptions = listed.outcome === 'listed' ? listed.subscriptions : []
  const subscription = subscriptions.find((each) => each.workspaceId === workspaceId)
  if (subscription === undefined) throw new Error('no subscription was made')
  await db.transaction().execute((trx) => applyPaddleSubscription(trx, subscription, new Date()))
}

function sessionIn(body: unknown): { sessionId: string; url: URL } {
  if (typeof body === 'object' && body !== null && 'session_id' in body && 'checkout_url' in body) {
    return { sessionId: String(body.session_id), url: new URL(String(body.checkout_url)) }
  }
  throw new Error(`there is no session in ${JSON.stringify(body)}`)
}
