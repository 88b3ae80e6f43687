import * as fc from 'fast-check'
import { describe, expect } from 'vitest'

import type { PaddlePayment, PaddleSubscription } from '../../billing/paddle-facts.ts'
import { micros } from '../../billing/money.ts'
import { listAudit } from '../../db/audit-log.ts'
import { findAutoRecharge, suspendAutoRecharge } from '../../db/auto-recharge.ts'
import { findCardInUse, findUsableCard, findWorkspaceOfSubscription, noteCard } from '../../db/saved-card.ts'
import type { Db } from '../../db/schema.ts'
import { listTopUps } from '../../db/top-up.ts'
import { test } from '../support/fixtures.ts'
import {
  bringSubscription,
  givenAutoRecharge,
  givenCustomer,
  givenPayer,
  givenRecharge,
  underLock,
  type GivenPayer,
} from '../support/given-money-in.ts'
import { aCard, aPayment, aSubscription, at } from '../support/paddle-news.ts'

/** Everything that news say of a wallet's cards; what we name them and when we heard of them is left out. */
async function cardsOf(db: Db, { workspaceId, subscriptionId }: GivenPayer) {
  const rows = await db
    .selectFrom('saved_card')
    .select(['subscription_id', 'state', 'state_at', 'payment_method_id', 'last4', 'card_at'])
    .where('workspace_id', '=', workspaceId)
    .orderBy('subscription_id')
    .execute()
  return rows.map((row) => ({ ...row, subscription_id: row.subscription_id.replace(subscriptionId, 'sub') }))
}

type News = { subscription: PaddleSubscription } | { subscriptionId: string; payment: PaddlePayment }

async function bring(db: Db, payer: GivenPayer, news: News): Promise<void> {
  if ('subscription' in news) await bringSubscription(db, news.subscription)
  else {
    const { workspaceId, customerId } = payer
    const { subscriptionId } = news
    await underLock(db, workspaceId, (trx, wallet) =>
      noteCard(trx, wallet, { subscriptionId, customerId }, news.payment),
    )
  }
}

function paidWith(subscriptionId: string, paymentMethodId: string, last4: string, second: number): News {
  return {
    subscriptionId,
    payment: aPayment({ paymentMethodId, card: aCard({ last4 }), createdAt: at(second) }),
  }
}

/** A day with two subscriptions: the older is saved, late, changed and canceled, the newer replaces it and is removed or not. */
function newsOf(payer: GivenPayer, { removed }: { removed: boolean }): News[] {
  const older = (status: string, second: number) => ({
    subscription: aSubscription(payer, { status, updatedAt: at(second) }),
  })
  const newerPayer = { ...payer, subscriptionId: `${payer.subscriptionId}_newer` }
  const newer = (status: string, second: number) => ({
    subscription: aSubscription(newerPayer, { status, updatedAt: at(second) }),
  })
  return [
    older('trialing', 10),
    older('past_due', 20),
    older('active', 30),
    paidWith(payer.subscriptionId, 'paymtd_1', '0001', 11),
    paidWith(payer.subscriptionId, 'paymtd_2', '0002', 25),
    newer('active', 40),
    paidWith(newerPayer.subscriptionId, 'paymtd_3', '0003', 41),
    older('canceled', 50),
    ...(removed ? [newer('canceled', 60)] : []),
  ]
}

describe('a saved card', () => {
  test('can be charged when its subscription is active, and is named by us', async ({ db }) => {
    const payer = await givenCustomer(db)

    const applied = await bringSubscription(db, aSubscription(payer))

    const { workspaceId, customerId, subscriptionId } = payer
    expect(applied).toEqual({ outcome: 'card_saved', workspaceId })
    expect(await findUsableCard(db, workspaceId)).toEqual({
      workspaceId,
      savedCardId: expect.stringMatching(/^pm_[0-9a-f]{24}$/),
      subscriptionId,
      customerId,
      state: 'active',
      card: null,
    })
    expect(await findWorkspaceOfSubscription(db, subscriptionId)).toBe(workspaceId)
  })

  test.for(['paused', 'past_due'])(
    'stays there and cannot be charged while its subscription is %s',
    async (status, { db }) => {
      const payer = await givenPayer(db)

      const applied = await bringSubscription(db, aSubscription(payer, { status, updatedAt: at(1) }))

      expect(applied).toMatchObject({ outcome: 'card_changed' })
      expect(await findUsableCard(db, payer.workspaceId)).toBeNull()
      expect(await findCardInUse(db, payer.workspaceId)).toMatchObject({ state: status })
    },
  )

  test('is removed with its subscription: no recharge is decided any more', async ({ db }) => {
    const { payer } = await givenRecharge(db)
    await db.deleteFrom('top_up').where('workspace_id', '=', payer.workspaceId).execute()

    const applied = await bringSubscription(
      db,
      aSubscription(payer, { status: 'canceled', updatedAt: at(1) }),
    )

    expect(applied).toMatchObject({ outcome: 'card_removed' })
    expect(await findCardInUse(db, payer.workspaceId)).toBeNull()
    expect(await findAutoRecharge(db, payer.workspaceId)).toMatchObject({ lastDecision: 'no_card' })
    expect(await listTopUps(db, { workspaceId: payer.workspaceId, limit: 1 })).toEqual([])
  })

  test('is the newest one of two, whichever is told first, and the older one is news to nobody', async ({
    db,
  }) => {
    const payer = await givenCustomer(db)
    const newer = { ...payer, subscriptionId: `${payer.subscriptionId}_newer` }

    const outcomes = [
      await bringSubscription(db, aSubscription(newer, { updatedAt: at(1) })),
      await bringSubscription(db, aSubscription(payer, { updatedAt: at(2) })),
    ]

    expect(outcomes).toMatchObject([{ outcome: 'card_saved' }, { outcome: 'known' }])
    expect(await findUsableCard(db, payer.workspaceId)).toMatchObject({
      subscriptionId: newer.subscriptionId,
    })
    const audit = await listAudit(db, payer.workspaceId, 100)
    expect(audit.filter((entry) => entry.action === 'card.saved')).toHaveLength(1)
  })

  test('is not replaced by a newer subscription of which only a payment is known', async ({ db }) => {
    const payer = await givenCustomer(db)
    const newer = `${payer.subscriptionId}_newer`

    await bring(db, payer, paidWith(newer, 'paymtd_3', '0003', 5))
    await bringSubscription(db, aSubscription(payer))

    expect(await findUsableCard(db, payer.workspaceId)).toMatchObject({
      subscriptionId: payer.subscriptionId,
    })
  })

  test('of an older subscription does not lift what the declines of the newer one did', async ({ db }) => {
    const payer = await givenCustomer(db)
    const newer = { ...payer, subscriptionId: `${payer.subscriptionId}_newer` }
    await bringSubscription(db, aSubscription(newer, { updatedAt: at(1) }))
    await givenAutoRecharge(db, payer)
    await underLock(db, payer.workspaceId, (trx, wallet) =>
      suspendAutoRecharge(trx, wallet, 'fraud', new Date()),
    )

    await bringSubscription(db, aSubscription(payer, { updatedAt: at(2) }))

    expect(await findAutoRecharge(db, payer.workspaceId)).toMatchObject({ suspendedReason: 'fraud' })
  })

  test('that is another one lifts a suspension, and a low wallet is charged at once', async ({ db }) => {
    const payer = await givenPayer(db)
    await givenAutoRecharge(db, payer)
    await underLock(db, payer.workspaceId, (trx, wallet) =>
      suspendAutoRecharge(trx, wallet, 'fraud', new Date()),
    )
    await db
      .updateTable('auto_recharge')
      .set({ threshold_micros: micros(15_000_000n) })
      .where('workspace_id', '=', payer.workspaceId)
      .execute()
    const newer = { ...payer, subscriptionId: `${payer.subscriptionId}_newer` }

    await bringSubscription(db, aSubscription(newer, { updatedAt: at(1) }))

    const [topUp] = await listTopUps(db, { workspaceId: payer.workspaceId, limit: 9 })
    expect(await findAutoRecharge(db, payer.workspaceId)).toMatchObject({ suspendedAt: null })
    expect(topUp).toMatchObject({ state: 'ready', subscriptionId: newer.subscriptionId })
  })

  test('of another customer is refused: a checkout may name any workspace', async ({ db }) => {
    const payer = await givenPayer(db)
    const stranger = { ...payer, customerId: 'ctm_stranger', subscriptionId: 'sub_stranger' }

    const applied = await bringSubscription(db, aSubscription(stranger))

    expect(applied).toEqual({ outcome: 'review', reason: 'another_customer' })
    expect(await cardsOf(db, payer)).toHaveLength(1)
    expect(await findUsableCard(db, payer.workspaceId)).toMatchObject({
      subscriptionId: payer.subscriptionId,
    })
  })

  test('of a subscription that names no workspace of ours is nobody’s', async ({ db }) => {
    const payer = await givenCustomer(db)

    const outcomes = [
      await bringSubscription(db, aSubscription(payer, { workspaceId: null })),
      await bringSubscription(db, aSubscription(payer, { workspaceId: 'ws_that_is_nowhere' })),
    ]

    expect(outcomes).toEqual([{ outcome: 'ignored' }, { outcome: 'ignored' }])
  })

  test('is found by its subscription once that is known, also when the news no longer name us', async ({
    db,
  }) => {
    const payer = await givenPayer(db)
    const unnamed = { workspaceId: null, status: 'canceled', updatedAt: at(1) }

    const applied = await bringSubscription(db, aSubscription(payer, unnamed))

    expect(applied).toMatchObject({ outcome: 'card_removed', workspaceId: payer.workspaceId })
  })

  test('shows nothing but what is printed on a card, and never its number', async ({ db }) => {
    const payer = await givenPayer(db)
    await bring(db, payer, { subscriptionId: payer.subscriptionId, payment: aPayment() })

    expect(await findUsableCard(db, payer.workspaceId)).toMatchObject({ card: aCard() })
    const withNumber = {
      subscriptionId: payer.subscriptionId,
      payment: aPayment({ createdAt: at(99), card: aCard({ last4: '4242424242424242' }) }),
    }
    await expect(bring(db, payer, withNumber)).rejects.toMatchObject({
      constraint: 'saved_card_never_holds_a_card_number',
    })
  })

  test('that a payment does not show stays as it was seen', async ({ db }) => {
    const payer = await givenPayer(db)
    const { subscriptionId } = payer
    await bring(db, payer, { subscriptionId, payment: aPayment() })

    await bring(db, payer, { subscriptionId, payment: aPayment({ card: null, createdAt: at(90) }) })
    await bring(db, payer, {
      subscriptionId,
      payment: aPayment({ paymentMethodId: null, card: aCard({ last4: '0000' }), createdAt: at(91) }),
    })

    expect(await findUsableCard(db, payer.workspaceId)).toMatchObject({ card: aCard() })
  })
})

describe('the same news in any order and any number', () => {
  test.for([{ removed: false }, { removed: true }])('give the same cards: %j', async (day, { db }) => {
    const expected = await cardsAfter(db, (news) => news, day)
    const count = newsOf(await givenCustomer(db), day).length

    await fc.assert(
      fc.asyncProperty(
        fc.shuffledSubarray(
          Array.from({ length: 2 * count }, (_, index) => index % count),
          { minLength: count, maxLength: 2 * count },
        ),
        async (told) => {
          // Whatever was left out is told at the end.
          const rest = Array.from({ length: count }, (_, index) => index).filter(
            (index) => !told.includes(index),
          )
          const order = [...told, ...rest]

          const cards = await cardsAfter(db, (news) => order.flatMap((index) => news[index] ?? []), day)

          expect(cards).toEqual(expected)
        },
      ),
      { numRuns: 25 },
    )
    expect(expected.map(({ state, last4 }) => [state, last4])).toEqual([
      ['removed', '0002'],
      [day.removed ? 'removed' : 'active', '0003'],
    ])
  })
})

async function cardsAfter(db: Db, order: (news: News[]) => News[], day: { removed: boolean }) {
  const payer = await givenCustomer(db)
  for (const news of order(newsOf(payer, day))) await bring(db, payer, news)
  return await cardsOf(db, payer)
}
