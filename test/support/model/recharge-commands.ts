/** Commands of the model test about auto-recharge and the charges of a card. */
import { expect } from 'vitest'

import { micros } from '../../../billing/money.ts'
import { defaultChargeTiming as timing } from '../../../billing/top-up.ts'
import { saveAutoRecharge } from '../../../db/auto-recharge.ts'
import { openCardTopUp } from '../../../db/card-top-up.ts'
import {
  claimCharge,
  recordAnswer,
  recordSearch,
  suspectCharge,
  type ClaimedCharge,
} from '../../../db/charge.ts'
import { readClock } from '../../../db/clock.ts'
import { decideWalletRecharge } from '../../../db/recharge.ts'
import * as model from './wallet-model.ts'
import type { Answer, ModelTopUp, ModelWallet } from './wallet-model.ts'
import { pay, tellAllOf, tellOf } from './paddle-commands.ts'
import { type Command, type Scene, pass, pick, rowOf } from './scene.ts'

/** What Paddle does with a charge and what it says; `silent`: nothing yet. */
export const chargeEnds = [
  'ok', 'accepted', 'decline', 'hard', 'unknown', 'lateOk', 'not_processed', 'rejected', 'silent', 'silentOk',
] as const // prettier-ignore

type Settings = {
  wallet: number
  enabled: boolean
  threshold: bigint
  topUp: bigint
  dailyLimit: number
  cap: bigint | null
}

export function setPolicy({ enabled, threshold, topUp, dailyLimit, cap }: Settings): Command['run'] {
  return (scene) =>
    save(scene, {
      enabled,
      threshold: threshold * 1_000_000n,
      topUp: topUp * 1_000_000n,
      dailyLimit,
      cap: cap === null ? null : cap * 1_000_000n,
    })
}

/** One micro-dollar below what is available, exactly that, or one above. */
export function threshold({ by }: { wallet: number; by: bigint }): Command['run'] {
  return async (scene) => {
    const at = model.availableIn(scene.w) + by
    if (at < 0n) return 'nothing'
    const before = scene.w.policy ?? { topUp: 20_000_000n, dailyLimit: 3, cap: null }
    return `${by} ${await save(scene, { ...before, enabled: true, threshold: at })}`
  }
}

export async function save(
  { m, w, now, underLock }: Scene,
  policy: NonNullable<ModelWallet['policy']>,
): Promise<string> {
  const saved = await underLock((trx, wallet) =>
    saveAutoRecharge(
      trx,
      wallet,
      {
        enabled: policy.enabled,
        thresholdMicros: micros(policy.threshold),
        topUpMicros: micros(policy.topUp),
        dailyLimit: policy.dailyLimit,
        monthlyCapMicros: policy.cap === null ? null : micros(policy.cap),
      },
      { actor: 'test', now },
    ),
  )
  w.policy = policy
  const decided = model.decide(m, w)
  const { decided: really } = saved.outcome === 'saved' ? saved : { decided: undefined }
  expect(really?.decision === 'wait' ? really.reason : really?.decision).toBe(decided)
  return decided
}

export function sweepRecharge(): Command['run'] {
  return async ({ m, w, underLock }) => {
    const really = await underLock(async (trx, wallet) =>
      decideWalletRecharge(trx, wallet, await readClock(trx)),
    )
    const decided = model.decide(m, w)
    expect(really.decision === 'wait' ? really.reason : really.decision).toBe(decided)
    return decided
  }
}

export function topUpByCard(): Command['run'] {
  return async ({ m, w, now, underLock }) => {
    const isInReview = w.topUps.some((t) => t.state === 'needs_review')
    const { outcome } = await underLock((trx, wallet) =>
      openCardTopUp(trx, wallet, { amountMicros: micros(7_000_000n) }, now),
    )
    expect(outcome).toBe(w.frozen ? 'frozen' : isInReview ? 'needs_review' : 'opened')
    if (outcome === 'opened') model.openTopUp(m, w, 'api', 7_000_000n)
    return outcome
  }
}

type Submission = { wallet: number; end: (typeof chargeEnds)[number]; waits: boolean }

/** Everything that may become of a charge: what Paddle does with it, what it says, and whether anybody hears that. */
export function charge({ end, waits }: Submission): Command['run'] {
  return async (scene) => {
    const { m, w, real } = scene
    const place = w.topUps.findIndex((t) => t.state === 'ready')
    const topUp = w.topUps[place]
    if (topUp === undefined) return 'nothing'
    if (waits && topUp.dueAt > m.now) await pass(m, real, (topUp.dueAt - m.now) / 1_000)
    // Sent once before: asked for first.
    if (topUp.sentAt !== null && (await tellAllOf(scene, topUp)) > 0) return 'found'
    const claimed = await claimCharge(real.db, await rowOf(scene, place), timing)
    expect(claimed !== null).toBe(model.claim(m, w, topUp))
    if (claimed === null) return `not claimed, ${topUp.state}`
    const captured = ['ok', 'accepted', 'lateOk', 'silentOk'].includes(end)
    const payment = captured || end === 'decline' ? pay(w, topUp, topUp.amount, captured) : null
    if (end === 'silent' || end === 'silentOk') {
      real.unanswered.push({ wallet: scene.wallet, charge: claimed, topUp, payment })
      return end
    }
    await answer(scene, claimed, topUp, answers[end])
    if (end === 'ok' && payment !== null) await tellOf(scene, payment)
    return end
  }
}

const answers = {
  ok: 'accepted',
  accepted: 'accepted',
  decline: 'declined',
  hard: 'expired_card',
  unknown: 'unknown',
  lateOk: 'unknown',
  not_processed: 'not_processed',
  rejected: 'rejected',
} as const

async function answer(
  { m, w, real }: Scene,
  charge: ClaimedCharge,
  topUp: ModelTopUp,
  said: Answer,
): Promise<void> {
  const told =
    said === 'declined' || said === 'expired_card'
      ? ({ outcome: 'declined', code: said } as const)
      : said === 'not_processed'
        ? ({ outcome: said, code: 'internal_error', retryAfterMs: null } as const)
        : said === 'rejected'
          ? ({ outcome: said, code: 'forbidden' } as const)
          : said === 'unknown'
            ? ({ outcome: said, cause: 'timeout' } as const)
            : ({ outcome: said } as const)
  await recordAnswer(real.db, charge, told, timing)
  model.answer(m, w, topUp, charge.submissions, said)
}

/** An answer that took its time: others may have moved the charge on meanwhile. */
export function lateAnswer({ wallet, said }: { wallet: number; said: Answer }): Command['run'] {
  return async (scene) => {
    const index = scene.real.unanswered.findIndex((each) => each.wallet === wallet)
    const [late] = index === -1 ? [] : scene.real.unanswered.splice(index, 1)
    if (late === undefined) return 'nothing'
    await answer(scene, late.charge, late.topUp, late.payment === null ? said : 'accepted')
    return late.payment === null ? said : 'accepted'
  }
}

type Look = { wallet: number; which: number; after: number; sees: boolean }

/** The charge worker's look at a charge whose end is open. Paddle's list may be late, and not show what is there. */
export function search({ which, after, sees }: Look): Command['run'] {
  return async (scene) => {
    const { m, w, real } = scene
    const open = w.topUps.filter(({ state }) =>
      ['submitting', 'unknown', 'processing', 'needs_review'].includes(state),
    )
    const topUp = pick(open, which)
    if (topUp === undefined) return 'nothing'
    await pass(m, real, after)
    const row = await rowOf(scene, w.topUps.indexOf(topUp))
    if (topUp.state === 'submitting') {
      await suspectCharge(real.db, row, timing)
      model.answer(m, w, topUp, topUp.submissions, 'unknown')
      return 'suspected'
    }
    const before = { ...topUp }
    const found = sees ? await tellAllOf(scene, topUp) : 0
    await recordSearch(real.db, row, { isDoubtful: false }, timing)
    const isWhereItWas = topUp.state === before.state && topUp.submissions === before.submissions
    if (isWhereItWas) model.missSearch(m, topUp)
    return found > 0 ? 'found' : `missing, ${topUp.state}`
  }
}
