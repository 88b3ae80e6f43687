import { describe, expect } from 'vitest'

import { micros } from '../../billing/money.ts'
import { defaultChargeTiming, giveUpAfterMs, type TopUpState } from '../../billing/top-up.ts'
import { findAutoRecharge, saveAutoRecharge } from '../../db/auto-recharge.ts'
import { openCardTopUp } from '../../db/card-top-up.ts'
import {
  claimCharge,
  postponeLook,
  recordAnswer,
  recordSearch,
  suspectCharge,
  type ChargeAnswer,
  type ClaimedCharge,
} from '../../db/charge.ts'
import { freezeWallet } from '../../db/freeze.ts'
import type { Db } from '../../db/schema.ts'
import { findTopUp, listDueTopUps, listTopUps, listTopUpSteps, type TopUp } from '../../db/top-up.ts'
import { test } from '../support/fixtures.ts'
import { topUpId as topUpIdSchema } from '../../billing/ids.ts'
import {
  bringSubscription,
  bringTransaction,
  givenAutoRecharge,
  givenPayer,
  givenRecharge,
  givenTopUp,
  settings,
  underLock,
  type GivenPayer,
} from '../support/given-money-in.ts'
import { aCharge, aSubscription, aTransaction, at } from '../support/paddle-news.ts'

const timing = { sendWithinMs: 2_000, chargeTimeoutMs: 3_000, quietPeriodMs: 90_000, retryMs: 4_000 }

async function getTopUp(db: Db, key: Pick<TopUp, 'workspaceId' | 'topUpId'>): Promise<TopUp> {
  const topUp = await findTopUp(db, key)
  if (topUp === null) throw new Error(`${key.topUpId} is not there`)
  return topUp
}

/** A recharge that was claimed, so that Paddle may have been asked. */
async function givenClaimed(db: Db): Promise<{ payer: GivenPayer; charge: ClaimedCharge }> {
  const { payer, topUp } = await givenRecharge(db)
  return { payer, charge: await claim(db, topUp) }
}

async function claim(db: Db, topUp: TopUp): Promise<ClaimedCharge> {
  const charge = await claimCharge(db, topUp, timing)
  if (charge === null) throw new Error(`${topUp.topUpId} was not to be claimed`)
  return charge
}

/** A claimed recharge of which nobody knows what became. */
async function givenUnknown(db: Db): Promise<{ payer: GivenPayer; charge: TopUp }> {
  const { payer, charge } = await givenClaimed(db)
  await recordAnswer(db, charge, { outcome: 'unknown', cause: 'reset' }, timing)
  return { payer, charge: await getTopUp(db, charge) }
}

/** As if all of it had happened so much earlier. */
async function letPass(db: Db, { topUpId }: { topUpId: string }, ms: number): Promise<void> {
  const row = await db
    .selectFrom('top_up')
    .selectAll()
    .where('top_up_id', '=', topUpIdSchema.parse(topUpId))
    .executeTakeFirstOrThrow()
  const earlier = (instant: Date | null) => (instant === null ? null : new Date(instant.getTime() - ms))
  await db
    .updateTable('top_up')
    .set({
      created_at: new Date(row.created_at.getTime() - ms),
      first_sent_at: earlier(row.first_sent_at),
      sent_at: earlier(row.sent_at),
      due_at: earlier(row.due_at),
    })
    .where('top_up_id', '=', row.top_up_id)
    .execute()
}

async function stepsOf(db: Db, topUp: Pick<TopUp, 'workspaceId' | 'topUpId'>): Promise<string[]> {
  const steps = await listTopUpSteps(db, topUp)
  expect(steps.map(({ step }) => step)).toEqual(steps.map((_, index) => index + 1))
  return steps.map(({ state, reason }) => (reason === null ? state : `${state}: ${reason}`))
}

describe('a claim', () => {
  test('is committed as submitting before anything is sent, with the time until which it may be sent', async ({
    db,
  }) => {
    const { topUp } = await givenRecharge(db)

    const charge = await claim(db, topUp)

    const row = await getTopUp(db, topUp)
    expect(row).toMatchObject({ state: 'submitting', submissions: 1, searches: 0 })
    expect(row.sentAt).not.toBeNull()
    expect(row.firstSentAt).toEqual(row.sentAt)
    expect(msBetween(row.sentAt, row.dueAt)).toBe(timing.sendWithinMs + timing.chargeTimeoutMs + 5_000)
    expect(charge).toEqual(row)
    expect(await stepsOf(db, topUp)).toEqual(['ready', 'submitting'])
  })

  test('is good for as long in real time on a clock that runs faster', async ({ db }) => {
    const { topUp } = await givenRecharge(db)

    const charge = await claimCharge(db, topUp, { ...timing, clockRate: 86_400 })

    const inAll = timing.sendWithinMs + timing.chargeTimeoutMs + 5_000
    expect(msBetween(charge?.sentAt ?? null, charge?.dueAt ?? null)).toBe(inAll * 86_400)
  })

  test('is given once: whoever comes second gets nothing and changes nothing', async ({ db }) => {
    const { charge } = await givenClaimed(db)

    const second = await claimCharge(db, charge, timing)

    expect(second).toBeNull()
    expect(await getTopUp(db, charge)).toMatchObject({ state: 'submitting', submissions: 1 })
  })

  test('is won by one of eight claimers', async ({ db }) => {
    const { topUp } = await givenRecharge(db)

    const claims = await Promise.all(Array.from({ length: 8 }, () => claimCharge(db, topUp, timing)))

    expect(claims.filter((claimed) => claimed !== null)).toHaveLength(1)
    expect(await getTopUp(db, topUp)).toMatchObject({ submissions: 1 })
  })

  test('is not given before its time, nor for a top-up that is nowhere', async ({ db }) => {
    const { payer, topUp } = await givenRecharge(db)
    await letPass(db, topUp, -60_000)

    const early = await claimCharge(db, topUp, timing)
    const nowhere = await claimCharge(db, { ...payer, topUpId: 'topup_nowhere' }, timing)

    expect([early, nowhere]).toEqual([null, null])
    expect(await getTopUp(db, topUp)).toMatchObject({ state: 'ready' })
  })

  test('of a top-up by API waits while a recharge of the same card is under way, and comes after it', async ({
    db,
  }) => {
    const { payer, charge } = await givenClaimed(db)
    const asked = await givenCardTopUp(db, payer)

    const meanwhile = await claimCharge(db, asked, timing)
    const waiting = await getTopUp(db, asked)
    await recordAnswer(db, charge, { outcome: 'rejected', code: 'not_found' }, timing)
    await letPass(db, asked, 10_000)
    const after = await claimCharge(db, asked, timing)

    expect(meanwhile).toBeNull()
    expect(waiting).toMatchObject({ state: 'ready', submissions: 0, tries: 1 })
    expect(waiting.dueAt?.getTime()).toBeGreaterThan(asked.dueAt?.getTime() ?? Infinity)
    expect(after).toMatchObject({ state: 'submitting' })
  })

  test('is refused for good a day after it was decided, and the wallet is looked at anew', async ({ db }) => {
    const { payer, topUp } = await givenRecharge(db)
    await letPass(db, topUp, giveUpAfterMs + 1_000)

    const claimed = await claimCharge(db, topUp, timing)

    expect(claimed).toBeNull()
    expect(await getTopUp(db, topUp)).toMatchObject({
      state: 'failed',
      reason: 'not_sent_for_a_day',
      dueAt: null,
    })
    const { workspaceId } = payer
    expect(await listTopUps(db, { workspaceId, states: ['ready'], limit: 9 })).toHaveLength(1)
  })
})

describe('a recharge that is no longer wanted when it is about to be sent is canceled, because', () => {
  type Objection = [string, string, (db: Db, payer: GivenPayer) => Promise<unknown>]
  const objections: Objection[] = [
    [
      'auto-recharge was switched off',
      'not_enabled',
      (db, payer) => givenAutoRecharge(db, payer, { enabled: false, thresholdMicros: micros(15_000_000n) }),
    ],
    [
      'the wallet was frozen',
      'frozen',
      (db, { workspaceId }) =>
        underLock(db, workspaceId, (trx, wallet) =>
          freezeWallet(trx, wallet, { actor: 'test', reason: 'chargeback', now: new Date() }),
        ),
    ],
    [
      'money came in by another way',
      'above_threshold',
      (db, payer) => bringTransaction(db, aTransaction(payer)),
    ],
    [
      'the card was removed',
      'no_card',
      (db, payer) => bringSubscription(db, aSubscription(payer, { status: 'canceled', updatedAt: at(1) })),
    ],
    [
      'the card cannot be charged just now',
      'card_not_usable',
      (db, payer) => bringSubscription(db, aSubscription(payer, { status: 'paused', updatedAt: at(1) })),
    ],
    [
      'the threshold was lowered',
      'above_threshold',
      (db, payer) => givenAutoRecharge(db, payer, { thresholdMicros: micros(1n) }),
    ],
    [
      'the cap was lowered',
      'monthly_cap',
      (db, payer) =>
        givenAutoRecharge(db, payer, {
          thresholdMicros: micros(15_000_000n),
          monthlyCapMicros: micros(19_999_999n),
        }),
    ],
  ]

  test.for(objections)('%s', async ([, reason, object], { db }) => {
    const { payer, topUp } = await givenRecharge(db)
    await object(db, payer)

    const claimed = await claimCharge(db, topUp, timing)

    expect(claimed).toBeNull()
    expect(await getTopUp(db, topUp)).toMatchObject({
      state: 'canceled',
      reason,
      submissions: 0,
      dueAt: null,
    })
    expect(await stepsOf(db, topUp)).toEqual(['ready', `canceled: ${reason}`])
    expect(await findAutoRecharge(db, payer.workspaceId)).toMatchObject({ lastDecision: reason })
  })

  test('another card was saved: the new one is charged instead', async ({ db }) => {
    const { payer, topUp } = await givenRecharge(db)
    const newer = { ...payer, subscriptionId: `${payer.subscriptionId}_newer` }
    await bringSubscription(db, aSubscription(newer, { updatedAt: at(1) }))

    const claimed = await claimCharge(db, topUp, timing)

    const [instead] = await listTopUps(db, { workspaceId: payer.workspaceId, states: ['ready'], limit: 9 })
    expect(claimed).toBeNull()
    expect(await getTopUp(db, topUp)).toMatchObject({ state: 'canceled', reason: 'another_card' })
    expect(instead).toMatchObject({ subscriptionId: newer.subscriptionId })
  })

  test('another amount was set: the new one is charged instead', async ({ db }) => {
    const { payer, topUp } = await givenRecharge(db)
    await givenAutoRecharge(db, payer, {
      thresholdMicros: micros(15_000_000n),
      topUpMicros: micros(10_000_000n),
    })

    const claimed = await claimCharge(db, topUp, timing)

    const [instead] = await listTopUps(db, { workspaceId: payer.workspaceId, states: ['ready'], limit: 9 })
    expect(claimed).toBeNull()
    expect(await getTopUp(db, topUp)).toMatchObject({ state: 'canceled', reason: 'another_amount' })
    expect(instead).toMatchObject({ amountMicros: 10_000_000n })
  })

  test('and not because of itself: the last one that a day and a month allow is sent', async ({ db }) => {
    const { topUp } = await givenRecharge(db, { dailyLimit: 1, monthlyCapMicros: micros(20_000_000n) })

    expect(await claimCharge(db, topUp, timing)).toMatchObject({ state: 'submitting' })
  })
})

describe('a top-up by API', () => {
  test('is charged also where nobody set auto-recharge up: somebody asks for it', async ({ db }) => {
    const payer = await givenPayer(db)
    const topUp = await givenCardTopUp(db, payer)

    expect(await claimCharge(db, topUp, timing)).toMatchObject({ state: 'submitting' })
  })

  test('is canceled when its wallet has been frozen: whoever disputes one payment gets no other', async ({
    db,
  }) => {
    const payer = await givenPayer(db)
    const topUp = await givenCardTopUp(db, payer)
    await underLock(db, payer.workspaceId, (trx, wallet) =>
      freezeWallet(trx, wallet, { actor: 'test', reason: 'chargeback', now: new Date() }),
    )

    expect(await claimCharge(db, topUp, timing)).toBeNull()
    expect(await getTopUp(db, topUp)).toMatchObject({ state: 'canceled', reason: 'frozen' })
  })

  test('is canceled when its card is no longer the one in use', async ({ db }) => {
    const payer = await givenPayer(db)
    const topUp = await givenCardTopUp(db, payer)
    await bringSubscription(db, aSubscription(payer, { status: 'canceled', updatedAt: at(1) }))

    expect(await claimCharge(db, topUp, timing)).toBeNull()
    expect(await getTopUp(db, topUp)).toMatchObject({ state: 'canceled', reason: 'card_not_usable' })
  })
})

describe('an answer', () => {
  const answers: [ChargeAnswer, TopUpState, string | null][] = [
    [{ outcome: 'accepted' }, 'processing', null],
    [{ outcome: 'declined', code: 'declined' }, 'declined', 'declined'],
    [
      { outcome: 'not_processed', code: 'too_many_requests', retryAfterMs: null },
      'ready',
      'too_many_requests',
    ],
    [
      { outcome: 'blocked', code: 'subscription_outstanding_transaction' },
      'ready',
      'subscription_outstanding_transaction',
    ],
    [{ outcome: 'rejected', code: 'subscription_not_active' }, 'failed', 'subscription_not_active'],
    [{ outcome: 'unknown', cause: 'reset' }, 'unknown', 'reset'],
  ]

  test.for(answers)('moves its submission on: %j -> %s', async ([answer, state, reason], { db }) => {
    const { charge } = await givenClaimed(db)

    const recorded = await recordAnswer(db, charge, answer, timing)

    expect(recorded).toBe(true)
    expect(await getTopUp(db, charge)).toMatchObject({ state, reason, submissions: 1 })
  })

  test.for(answers)('to an earlier submission changes nothing, were it %j', async ([answer], { db }) => {
    const { charge: first } = await givenClaimed(db)
    await recordAnswer(db, first, { outcome: 'not_processed', code: 'conflict', retryAfterMs: null }, timing)
    await letPass(db, first, 60_000)
    const second = await claim(db, first)

    const recorded = await recordAnswer(db, first, answer, timing)

    expect(recorded).toBe(false)
    expect(await getTopUp(db, first)).toEqual(await getTopUp(db, second))
    expect(await getTopUp(db, first)).toMatchObject({ state: 'submitting', submissions: 2 })
  })

  test.for(answers)(
    'that comes after the submission was suspected still counts: %j',
    async ([answer, state], { db }) => {
      const { charge } = await givenClaimed(db)
      await suspectCharge(db, charge, timing)

      await recordAnswer(db, charge, answer, timing)

      expect(await getTopUp(db, charge)).toMatchObject({ state })
    },
  )

  test.for(answers)('after the money was credited changes nothing, were it %j', async ([answer], { db }) => {
    const { payer, charge } = await givenClaimed(db)
    await bringTransaction(db, aCharge(payer, charge))
    const credited = await getTopUp(db, charge)

    const recorded = await recordAnswer(db, charge, answer, timing)

    expect(recorded).toBe(false)
    expect(await getTopUp(db, charge)).toEqual(credited)
  })

  test('that Paddle took it counts even when it was to be sent again, or given to a person', async ({
    db,
  }) => {
    const again = await givenUnknown(db)
    await letPass(db, again.charge, timing.quietPeriodMs)
    await recordSearch(db, await getTopUp(db, again.charge), { isDoubtful: false }, timing)
    const doubtful = await givenUnknown(db)
    await letPass(db, doubtful.charge, timing.quietPeriodMs)
    await recordSearch(db, await getTopUp(db, doubtful.charge), { isDoubtful: true }, timing)
    const before = [await getTopUp(db, again.charge), await getTopUp(db, doubtful.charge)]

    for (const { charge } of [again, doubtful])
      await recordAnswer(db, charge, { outcome: 'accepted' }, timing)

    const after = [await getTopUp(db, again.charge), await getTopUp(db, doubtful.charge)]
    expect(before.map(({ state }) => state)).toEqual(['ready', 'needs_review'])
    expect(after.map(({ state }) => state)).toEqual(['processing', 'processing'])
  })

  test('that a recharge was refused suspends auto-recharge with the refusal', async ({ db }) => {
    const { payer, charge } = await givenClaimed(db)

    await recordAnswer(db, charge, { outcome: 'rejected', code: 'subscription_not_active' }, timing)

    expect(await findAutoRecharge(db, payer.workspaceId)).toMatchObject({
      suspendedReason: 'subscription_not_active',
      lastDecision: 'suspended',
    })
  })

  test('that a top-up by API was refused or declined leaves auto-recharge alone', async ({ db }) => {
    const payer = await givenPayer(db)
    await givenAutoRecharge(db, payer)
    const asked: ChargeAnswer[] = [
      { outcome: 'rejected', code: 'forbidden' },
      { outcome: 'declined', code: 'fraud' },
    ]

    for (const answer of asked) {
      const charge = await claim(db, await givenCardTopUp(db, payer))
      await recordAnswer(db, charge, answer, timing)
    }

    expect(await findAutoRecharge(db, payer.workspaceId)).toMatchObject({
      suspendedAt: null,
      declinesInARow: 0,
    })
  })

  test('that a recharge was declined counts once, also when the transaction says so, too', async ({ db }) => {
    const { payer, charge } = await givenClaimed(db)

    await recordAnswer(db, charge, { outcome: 'declined', code: 'declined' }, timing)
    await bringTransaction(db, aCharge(payer, charge, { status: 'canceled', payments: [] }))

    expect(await findAutoRecharge(db, payer.workspaceId)).toMatchObject({
      declinesInARow: 1,
      lastDecision: 'cooling_down',
    })
  })

  test('that nothing was processed is tried again later each time, and as late as Paddle asks', async ({
    db,
  }) => {
    const { charge } = await givenClaimed(db)
    const waits: number[] = []

    for (const retryAfterMs of [null, null, 60_000]) {
      const claimed = charge.submissions === 0 ? charge : await getTopUp(db, charge)
      await recordAnswer(db, claimed, { outcome: 'not_processed', code: 'conflict', retryAfterMs }, timing)
      const waiting = await getTopUp(db, charge)
      waits.push(msBetween(waiting.changedAt, waiting.dueAt))
      await letPass(db, charge, 60_000)
      await claim(db, waiting)
    }

    expect(waits).toEqual([4_000, 8_000, 60_000])
    expect(await getTopUp(db, charge)).toMatchObject({ submissions: 4, tries: 3 })
  })
})

describe('an unknown charge', () => {
  test('is looked for by the schedule, and not sent before the quiet period is over', async ({ db }) => {
    const { charge } = await givenUnknown(db)
    const looks: number[] = []

    for (let search = 0; search < 5; search++) {
      const before = await getTopUp(db, charge)
      looks.push(msBetween(before.sentAt, before.dueAt))
      if (search < 4) await recordSearch(db, before, { isDoubtful: false }, timing)
    }

    expect(looks).toEqual([1_000, 3_000, 12_000, 30_000, 90_000])
    expect(await getTopUp(db, charge)).toMatchObject({ state: 'unknown', searches: 4, submissions: 1 })
    expect(await claimCharge(db, charge, timing)).toBeNull()
  })

  test('is sent again after the quiet period and an empty search, once', async ({ db }) => {
    const { charge } = await givenUnknown(db)
    await letPass(db, charge, timing.quietPeriodMs)

    await recordSearch(db, await getTopUp(db, charge), { isDoubtful: false }, timing)
    const second = await claim(db, charge)
    await recordAnswer(db, second, { outcome: 'unknown', cause: 'reset' }, timing)
    await letPass(db, charge, timing.quietPeriodMs)
    await recordSearch(db, await getTopUp(db, charge), { isDoubtful: false }, timing)

    expect(second).toMatchObject({ submissions: 2, searches: 0 })
    expect(msBetween(second.firstSentAt, second.sentAt)).toBeGreaterThanOrEqual(timing.quietPeriodMs)
    expect(await stepsOf(db, charge)).toEqual([
      'ready',
      'submitting',
      'unknown: reset',
      'ready: not_found_at_paddle',
      'submitting',
      'unknown: reset',
      'needs_review: not_found_at_paddle',
    ])
  })

  test('is sent again all the same when earlier submissions came to nothing for certain', async ({ db }) => {
    const { charge } = await givenClaimed(db)
    for (const code of ['too_many_requests', 'send_deadline_passed']) {
      const nothingSent = { outcome: 'not_processed', code, retryAfterMs: null } as const
      await recordAnswer(db, await getTopUp(db, charge), nothingSent, timing)
      await letPass(db, charge, 60_000)
      await claim(db, charge)
    }
    await recordAnswer(db, await getTopUp(db, charge), { outcome: 'unknown', cause: 'reset' }, timing)
    await letPass(db, charge, timing.quietPeriodMs)

    await recordSearch(db, await getTopUp(db, charge), { isDoubtful: false }, timing)

    expect(await getTopUp(db, charge)).toMatchObject({ state: 'ready', submissions: 3 })
    expect((await stepsOf(db, charge)).at(-1)).toBe('ready: not_found_at_paddle')
  })

  test('is given to a person when Paddle has one of that amount that names no top-up', async ({ db }) => {
    const { payer, charge } = await givenUnknown(db)

    await recordSearch(db, charge, { isDoubtful: true }, timing)
    const early = await getTopUp(db, charge)
    await letPass(db, charge, timing.quietPeriodMs)
    await recordSearch(db, await getTopUp(db, charge), { isDoubtful: true }, timing)

    expect(early).toMatchObject({ state: 'unknown' })
    expect(await getTopUp(db, charge)).toMatchObject({ state: 'needs_review', reason: 'not_found_at_paddle' })
    expect(await decisionOf(db, payer)).toBe('needs_review')
  })

  test('is given to a person also when the doubt comes up just before it is sent again', async ({ db }) => {
    const { charge } = await givenUnknown(db)
    await letPass(db, charge, timing.quietPeriodMs)
    await recordSearch(db, await getTopUp(db, charge), { isDoubtful: false }, timing)
    const ready = await getTopUp(db, charge)

    await recordSearch(db, ready, { isDoubtful: true }, timing)

    expect(ready).toMatchObject({ state: 'ready' })
    expect(await getTopUp(db, charge)).toMatchObject({ state: 'needs_review', submissions: 1 })
  })

  test('keeps its doubt while another charge is under way, and breaks nothing', async ({ db }) => {
    const { payer, charge } = await givenUnknown(db)
    await letPass(db, charge, timing.quietPeriodMs)
    await recordSearch(db, await getTopUp(db, charge), { isDoubtful: false }, timing)
    await givenTopUp(db, payer, { source: 'api', state: 'submitting', submissions: 1, sentAt: new Date() })

    await recordSearch(db, await getTopUp(db, charge), { isDoubtful: true }, timing)
    const recorded = await recordAnswer(db, charge, { outcome: 'accepted' }, timing)

    expect(recorded).toBe(false)
    expect(await getTopUp(db, charge)).toMatchObject({ state: 'ready' })
  })

  test('above $1000 is not sent again by itself', async ({ db }) => {
    const payer = await givenPayer(db)
    const sentAt = new Date(Date.now() - timing.quietPeriodMs)
    const topUpId = await givenTopUp(db, payer, {
      state: 'unknown',
      amountMicros: 1_000_010_000n,
      createdAt: sentAt,
      submissions: 1,
      sentAt,
    })
    const topUp = await getTopUp(db, { ...payer, topUpId })

    await recordSearch(db, topUp, { isDoubtful: false }, timing)

    expect(await getTopUp(db, topUp)).toMatchObject({ state: 'needs_review' })
  })

  test('that was found meanwhile is not touched by a search that did not find it', async ({ db }) => {
    const { payer, charge } = await givenUnknown(db)
    await letPass(db, charge, timing.quietPeriodMs)
    const searched = await getTopUp(db, charge)
    await bringTransaction(db, aCharge(payer, charge, { status: 'billed', payments: [] }))
    const found = await getTopUp(db, charge)

    await recordSearch(db, searched, { isDoubtful: false }, timing)

    expect(found).toMatchObject({ state: 'processing' })
    expect(await getTopUp(db, charge)).toEqual(found)
  })
})

test('what was found out about an earlier submission says nothing about the later one', async ({ db }) => {
  const { charge: first } = await givenUnknown(db)
  await letPass(db, first, timing.quietPeriodMs)
  await recordSearch(db, await getTopUp(db, first), { isDoubtful: false }, timing)
  const second = await claim(db, first)
  await recordAnswer(db, second, { outcome: 'unknown', cause: 'reset' }, timing)
  const before = await getTopUp(db, first)

  await recordSearch(db, first, { isDoubtful: true }, timing)
  await postponeLook(db, first, { ...timing, retryMs: 60_000 })

  expect(first).toMatchObject({ state: 'unknown', submissions: 1 })
  expect(before).toMatchObject({ state: 'unknown', submissions: 2 })
  expect(await getTopUp(db, first)).toEqual(before)
})

describe('a charge that was found submitting', () => {
  test('is never sent by its finder: it is unknown from then on', async ({ db }) => {
    const { charge } = await givenClaimed(db)

    const suspected = await suspectCharge(db, charge, timing)

    expect(suspected).toBe(true)
    expect(await claimCharge(db, charge, timing)).toBeNull()
    expect(await getTopUp(db, charge)).toMatchObject({ state: 'unknown', submissions: 1 })
  })

  test('is not suspected any more once its answer is there', async ({ db }) => {
    const { charge } = await givenClaimed(db)
    await recordAnswer(db, charge, { outcome: 'accepted' }, timing)

    expect(await suspectCharge(db, charge, timing)).toBe(false)
    expect(await getTopUp(db, charge)).toMatchObject({ state: 'processing' })
  })
})

describe('a charge that Paddle took and nobody paid', () => {
  test('is given to a person after a day, and stays there while Paddle keeps saying the same', async ({
    db,
  }) => {
    const { payer, charge } = await givenClaimed(db)
    const billed = aCharge(payer, charge, { status: 'billed', payments: [] })
    await bringTransaction(db, billed)
    await letPass(db, charge, giveUpAfterMs + 1_000)

    await recordSearch(db, await getTopUp(db, charge), { isDoubtful: false }, timing)
    for (let hour = 0; hour < 3; hour++) {
      await bringTransaction(db, billed)
      await recordSearch(db, await getTopUp(db, charge), { isDoubtful: false }, timing)
    }

    expect(await stepsOf(db, charge)).toEqual([
      'ready',
      'submitting',
      'processing',
      'needs_review: not_paid_for_a_day',
    ])
    const waiting = await getTopUp(db, charge)
    expect(msBetween(new Date(), waiting.dueAt)).toBeGreaterThan(3_500_000)
  })

  test('is no longer asked for after three days, except by who reconciles', async ({ db }) => {
    const { payer, charge } = await givenClaimed(db)
    await bringTransaction(db, aCharge(payer, charge, { status: 'past_due', payments: [] }))
    await letPass(db, charge, 3 * giveUpAfterMs + 1_000)

    await recordSearch(db, await getTopUp(db, charge), { isDoubtful: false }, timing)

    expect(await getTopUp(db, charge)).toMatchObject({ state: 'needs_review', dueAt: null })
  })
})

describe('a look that could not be taken', () => {
  test('is put off and nothing else, and only while the top-up is where it was', async ({ db }) => {
    const { payer, charge } = await givenUnknown(db)

    await postponeLook(db, charge, { ...timing, retryMs: 60_000 })
    const later = await getTopUp(db, charge)
    await bringTransaction(db, aCharge(payer, charge))
    await postponeLook(db, later, { ...timing, retryMs: 60_000 })

    expect(later).toMatchObject({ state: 'unknown', tries: charge.tries + 1, searches: charge.searches })
    expect(msBetween(new Date(), later.dueAt)).toBeGreaterThan(55_000)
    expect(await getTopUp(db, charge)).toMatchObject({ state: 'succeeded', dueAt: null })
  })
})

test('what is due is listed with what waits longest first, and what has ended is not', async ({ ownDb }) => {
  const [first, second, ended, later] = [
    await givenRecharge(ownDb),
    await givenRecharge(ownDb),
    await givenRecharge(ownDb),
    await givenRecharge(ownDb),
  ]
  await letPass(ownDb, first.topUp, 60_000)
  await letPass(ownDb, later.topUp, -60_000)
  await recordAnswer(
    ownDb,
    await claim(ownDb, ended.topUp),
    { outcome: 'rejected', code: 'forbidden' },
    defaultChargeTiming,
  )

  const due = await listDueTopUps(ownDb, new Date(), 10)

  expect(due.map(({ topUpId }) => topUpId)).toEqual([first.topUp.topUpId, second.topUp.topUpId])
})

async function givenCardTopUp(db: Db, { workspaceId }: GivenPayer): Promise<TopUp> {
  const opened = await underLock(db, workspaceId, (trx, wallet) =>
    openCardTopUp(trx, wallet, { amountMicros: micros(50_000_000n) }, new Date(Date.now() - 1_000)),
  )
  if (opened.outcome !== 'opened') throw new Error('there is no card to charge')
  return opened.topUp
}

/** What is decided for the wallet when its settings are saved once more. */
async function decisionOf(db: Db, { workspaceId }: GivenPayer): Promise<string> {
  const saved = await underLock(db, workspaceId, (trx, wallet) =>
    saveAutoRecharge(
      trx,
      wallet,
      { ...settings, thresholdMicros: micros(15_000_000n) },
      { actor: 'test', now: new Date() },
    ),
  )
  if (saved.outcome !== 'saved') return saved.outcome
  return saved.decided.decision === 'wait' ? saved.decided.reason : saved.decided.decision
}

function msBetween(one: Date | null, other: Date | null): number {
  return one === null || other === null ? Number.NaN : other.getTime() - one.getTime()
}

test('a checkout is asked for until it is a day old, and then abandoned', async ({ db }) => {
  const payer = await givenPayer(db)
  const checkout = { source: 'checkout', state: 'awaiting_customer' } as const
  const topUpId = await givenTopUp(db, payer, checkout)
  const { workspaceId } = payer

  await recordSearch(db, await getTopUp(db, { workspaceId, topUpId }), { isDoubtful: false }, timing)
  const young = await getTopUp(db, { workspaceId, topUpId })
  await letPass(db, { topUpId }, giveUpAfterMs + 1_000)
  await recordSearch(db, await getTopUp(db, { workspaceId, topUpId }), { isDoubtful: false }, timing)

  expect(young.state).toBe('awaiting_customer')
  expect(young.dueAt?.getTime()).toBeGreaterThan(Date.now())
  expect(await getTopUp(db, { workspaceId, topUpId })).toMatchObject({ state: 'abandoned', dueAt: null })
})
