/**
 * The commands of the model test: each does one thing to the model and the same thing to Postgres, by the project's own functions,
 * and then both must say the same of everything that is money or decides about money.
 */
import * as fc from 'fast-check'
import { sql } from 'kysely'
import { expect } from 'vitest'

import { micros } from '../../billing/money.ts'
import type { PaddleAdjustment, PaddleTransaction } from '../../billing/paddle-facts.ts'
import { defaultChargeTiming as timing } from '../../billing/top-up.ts'
import { admitCalls } from '../../db/admission.ts'
import { saveAutoRecharge } from '../../db/auto-recharge.ts'
import { openCardTopUp } from '../../db/card-top-up.ts'
import {
  claimCharge,
  recordAnswer,
  recordSearch,
  suspectCharge,
  type ClaimedCharge,
} from '../../db/charge.ts'
import { readClock } from '../../db/clock.ts'
import { unfreezeWallet } from '../../db/freeze.ts'
import { expireSilentHolds } from '../../db/hold.ts'
import { releaseCall } from '../../db/live-call.ts'
import { applyPaddleAdjustment } from '../../db/paddle-adjustment.ts'
import { applyPaddleTransaction } from '../../db/paddle-transaction.ts'
import { findPhoneNumber } from '../../db/phone-number.ts'
import { postUsage } from '../../db/post-usage.ts'
import { agreeWorkspaceRate } from '../../db/rate-book.ts'
import { decideWalletRecharge } from '../../db/recharge.ts'
import { cancelNumber, releaseNumber, rentNumber, settleRentals } from '../../db/rental.ts'
import type { Db, Tx } from '../../db/schema.ts'
import { findTopUp, type TopUp } from '../../db/top-up.ts'
import { lockWallet, type LockedWallet } from '../../db/wallet.ts'
import { openWorkspace } from '../../db/workspace.ts'
import { usageArrival } from '../../jobs/usage-arrival.ts'
import { stopClock } from './frozen-clock.ts'
import { quarterHour, rateBookOf } from './given-calls.ts'
import { givenPayer, type GivenPayer } from './given-money-in.ts'
import { newId } from './given.ts'
import { aLine, anAdjustment, aPayment, aRefusal, aTransaction, cents, productId } from './paddle-news.ts'
import * as model from './wallet-model.ts'
import type { Answer, Call, Model, ModelTopUp, ModelWallet, Payment } from './wallet-model.ts'

/** One run: two wallets in Postgres that nobody else touches, and what Paddle knows of them. */
export type Real = {
  db: Db
  payers: GivenPayer[]
  /** How often each outcome was seen, over all runs: what was never seen was never tested. */
  seen: Map<string, number>
  /** Charges that were sent and whose answers are still on their way. */
  unanswered: { wallet: number; charge: ClaimedCharge; topUp: ModelTopUp; payment: Payment | null }[]
}

export async function givenRun(db: Db, seen: Real['seen']): Promise<{ model: Model; real: Real }> {
  const start = Date.UTC(2027, 0, 28, 10)
  await stopClock(db, new Date(start))
  const payers = [await givenPayer(db), await givenPayer(db)]
  const m: Model = { now: start, wallets: payers.map(() => model.openModelWallet()) }
  const real: Real = { db, payers, seen, unanswered: [] }
  // One of the two is about to be recharged: what is then done to it is about that, more often than not.
  const recharging = { enabled: true, threshold: 18_000_000n, topUp: 5_000_000n, dailyLimit: 2, cap: null }
  await save(sceneAt(m, real, 0), recharging)
  await pass(m, real, 1)
  return { model: m, real }
}

/** What a command is done to. */
type Scene = {
  m: Model
  w: ModelWallet
  real: Real
  payer: GivenPayer
  wallet: number
  now: Date
  /** In one transaction; thrown away at its end when the process is to die there. */
  transact: <Result>(work: (trx: Tx) => Promise<Result>) => Promise<Result>
  underLock: <Result>(work: (trx: Tx, wallet: LockedWallet) => Promise<Result>) => Promise<Result>
}

type Command = {
  name: string
  /** Does it to both. Shape: the outcome that both gave, for the count. */
  run: (scene: Scene) => Promise<string>
}

type ModelCommand = fc.AsyncCommand<Model, Real>

const pick = <Item>(items: readonly Item[], index: number): Item | undefined => items[index % items.length]

/** Any list of commands that long at most. The first wallet gets most of them, so that one thing leads to another. */
export function anyCommands(maxCommands: number, replayPath?: string) {
  const wallet = fc.constantFrom(0, 0, 0, 1)
  const id = fc.nat(2)
  const which = fc.nat(5)
  const number = fc.nat(1)
  return fc.commands(
    [
      command('Grant', { wallet }, grant),
      command('Post', { wallet, id, seconds: fc.constantFrom(0, 1, 7, 61, 3_600, 12_000), ago, recorded: fc.boolean() }, post),
      command('Replay', { wallet, which }, replay),
      command('ReplayMutated', { wallet, which }, replayMutated),
      ...often(2, command('Hold', { wallet, id }, hold)),
      command('Capture', { wallet, id, seconds: fc.constantFrom(1, 60, 601) }, capture),
      command('Release', { wallet, id }, releaseTheHold),
      command('ExpireHold', { wallet }, expireHold),
      command('LateCapture', { wallet, id }, lateCapture),
      command('SetPolicy', { wallet, enabled: fc.constantFrom(true, true, true, false), threshold: dollars, topUp: fc.constantFrom(5n, 20n, 2_000n), dailyLimit: fc.integer({ min: 1, max: 3 }), cap: fc.constantFrom(null, null, 25n) }, setPolicy),
      ...often(2, command('Threshold', { wallet, by: fc.constantFrom(-1n, 0n, 1n) }, threshold)),
      ...often(5, command('Charge', { wallet, end: fc.constantFrom(...chargeEnds), waits: fc.boolean() }, charge)),
      ...often(2, command('LateAnswer', { wallet, said: fc.constantFrom<Answer>('accepted', 'unknown') }, lateAnswer)),
      ...often(3, command('Search', { wallet, which, after: fc.constantFrom(0, 900), sees: fc.constantFrom(true, false, false) }, search)),
      command('TopUpByCard', { wallet }, topUpByCard),
      command('Checkout', { wallet, dollars: fc.constantFrom(5n, 50n) }, checkout),
      ...often(2, command('Webhook', { wallet, which, dup: fc.boolean() }, webhook)),
      command('Reconcile', { wallet, reversed: fc.boolean() }, reconcile),
      command('Refund', { wallet, which, part: fc.constantFrom(100n, 50n) }, refund),
      command('Chargeback', { wallet, which }, chargeback),
      command('Reverse', { wallet, which }, reverse),
      command('Unfreeze', { wallet }, unfreeze),
      command('SweepRecharge', { wallet }, sweepRecharge),
      command('Rent', { wallet, number }, rent),
      ...often(3, command('RentalTick', { wallet }, rentalTick)),
      command('CancelNumber', { wallet, number, atOnce: fc.boolean() }, cancel),
      command('ChangeRates', { wallet, meter: fc.constantFrom('voice', 'number'), cents: fc.constantFrom(0n, 13n, 700n), increment: fc.constantFrom(1n, 60n) }, changeRates),
      command('CrashBetween', { wallet, what: fc.constantFrom('post', 'hold', 'settle', 'credit', 'decide') }, crashBetween),
      ...often(2, command('AdvanceClock', { wallet, seconds: fc.constantFrom(1, 60, 899, 900, 3_600, 21_600) }, advance)),
      command('AdvanceClock', { wallet, seconds: fc.constantFrom(1, 3, 7, 31, 40).map((days) => days * 86_400) }, advance),
      command('AdvanceClock', { wallet, seconds: fc.integer({ min: 1, max: 40 * 86_400 }) }, advance),
    ],
    { maxCommands, size: 'max', ...(replayPath === undefined ? {} : { replayPath }) },
  ) // prettier-ignore
}

const often = <Item>(times: number, item: Item): Item[] => Array.from({ length: times }, () => item)

const ago = fc.constantFrom(0, 60, 86_400, 34 * 86_400, 36 * 86_400)
const dollars = fc.constantFrom(0n, 2n, 5n, 9n, 15n, 40n)
/** What Paddle does with a charge and what it says; `silent`: nothing yet. */
const chargeEnds = [
  'ok', 'accepted', 'decline', 'hard', 'unknown', 'lateOk', 'not_processed', 'rejected', 'silent', 'silentOk',
] as const // prettier-ignore

function command<Args extends { wallet: number }>(
  name: string,
  args: { [Key in keyof Args]: fc.Arbitrary<Args[Key]> },
  run: (args: Args) => Command['run'],
): fc.Arbitrary<ModelCommand> {
  return fc
    .record<Args>(args)
    .map((given) =>
      commandOn(given.wallet, { name: `${name}(${Object.values(given).join(' ')})`, run: run(given) }),
    )
}

function commandOn(index: number, { name, run }: Command): ModelCommand {
  return {
    check: () => true,
    toString: () => name,
    run: async (m, real) => {
      const scene = sceneAt(m, real, index)
      const { w } = scene
      const decided = w.lastDecision
      const outcome = await run(scene)
      count(real, `${name.slice(0, name.indexOf('('))} ${outcome}`)
      if (w.lastDecision !== decided) count(real, `decided ${w.lastDecision}`)
      if (outcome !== 'nothing') await compare(m, real)
      await pass(m, real, 1)
    },
  }
}

async function pass(m: Model, real: Real, seconds: number): Promise<void> {
  m.now += seconds * 1_000
  await stopClock(real.db, new Date(m.now))
}

function count({ seen }: Real, what: string): void {
  seen.set(what, (seen.get(what) ?? 0) + 1)
}

function sceneAt(m: Model, real: Real, wallet: number): Scene {
  const w = m.wallets[wallet]
  const payer = real.payers[wallet]
  if (w === undefined || payer === undefined) throw new Error(`there is no wallet ${wallet}`)
  const transact: Scene['transact'] = (work) => real.db.transaction().execute(work)
  return {
    m,
    w,
    real,
    payer,
    wallet,
    get now() {
      return new Date(m.now)
    },
    transact,
    underLock: (work) =>
      transact(async (trx) => {
        const locked = await lockWallet(trx, payer.workspaceId)
        if (locked === null) throw new Error('the wallet is gone')
        return await work(trx, locked)
      }),
  }
}

// Usage and holds

type Told = { wallet: number; id: number; seconds: number; ago: number; recorded: boolean }

const idOf = (scene: Scene, id: number): string => `call_${scene.payer.workspaceId.slice(3)}_${id}`

function post({ id, seconds, ago, recorded }: Told): Command['run'] {
  return (scene) => {
    const startedAt = scene.m.now - ago * 1_000 - seconds * 1_000
    return tell(scene, { id: idOf(scene, id), startedAt, seconds, recorded })
  }
}

async function tell(scene: Scene, call: Call): Promise<string> {
  const outcome = await scene.transact((trx) => tellIn(trx, scene, call))
  expect(outcome).toBe(model.postCall(scene.m, scene.w, call))
  return outcome
}

async function tellIn(trx: Tx, { payer, now }: Scene, call: Call): Promise<string> {
  const arrival = usageArrival(
    'call',
    {
      callId: call.id,
      workspaceId: payer.workspaceId,
      startedAt: new Date(call.startedAt).toISOString(),
      durationSeconds: call.seconds,
      to: '+14155550100',
      recorded: call.recorded,
    },
    now,
  )
  const [posted] = await postUsage(trx, [arrival], rateBookOf)
  return posted?.outcome ?? 'nothing'
}

function replay({ which }: { wallet: number; which: number }): Command['run'] {
  return async (scene) => {
    const known = pick([...scene.w.usage.values()], which)
    return known === undefined ? 'nothing' : await tell(scene, known.call)
  }
}

function replayMutated({ which }: { wallet: number; which: number }): Command['run'] {
  return async (scene) => {
    const known = pick([...scene.w.usage.values()], which)
    if (known === undefined) return 'nothing'
    return await tell(scene, { ...known.call, seconds: known.call.seconds + 1 })
  }
}

function hold({ id }: { wallet: number; id: number }): Command['run'] {
  return async (scene) => {
    const outcome = await scene.transact((trx) => holdIn(trx, scene, id))
    expect(outcome).toBe(model.admitCall(scene.m, scene.w, idOf(scene, id)))
    return outcome
  }
}

async function holdIn(trx: Tx, scene: Scene, id: number): Promise<string> {
  const call = { workspaceId: scene.payer.workspaceId, callId: idOf(scene, id), recorded: false }
  const asked = [{ ...call, direction: 'outbound' as const, to: '+14155550100' }]
  const [admitted] = await admitCalls(trx, asked, rateBookOf, quarterHour)
  return admitted?.outcome ?? 'nothing'
}

/** The usage of a call that is held for, while it is. */
function capture({ id, seconds }: { wallet: number; id: number; seconds: number }): Command['run'] {
  return async (scene) => {
    const held = scene.w.holds.get(idOf(scene, id))
    if (held?.state !== 'open') return 'nothing'
    const startedAt = scene.m.now - seconds * 1_000
    return await tell(scene, { id: idOf(scene, id), startedAt, seconds, recorded: false })
  }
}

/** The usage of a call that nobody had heard of for so long that its hold is gone. */
function lateCapture({ id }: { wallet: number; id: number }): Command['run'] {
  return async (scene) => {
    const held = scene.w.holds.get(idOf(scene, id))
    if (held === undefined || held.state === 'open') return 'nothing'
    return await tell(scene, {
      id: idOf(scene, id),
      startedAt: scene.m.now - 900_000,
      seconds: 600,
      recorded: true,
    })
  }
}

function releaseTheHold({ id }: { wallet: number; id: number }): Command['run'] {
  return async (scene) => {
    const { outcome } = await scene.underLock((trx, wallet) => releaseCall(trx, wallet, idOf(scene, id)))
    expect(outcome).toBe(model.releaseHold(scene.w, idOf(scene, id)))
    return outcome
  }
}

function expireHold(): Command['run'] {
  return async ({ m, transact }) => {
    const { expired } = await transact((trx) => expireSilentHolds(trx, 500))
    model.expireHolds(m)
    return expired > 0 ? 'expired' : 'nothing'
  }
}

// Recharges

type Settings = {
  wallet: number
  enabled: boolean
  threshold: bigint
  topUp: bigint
  dailyLimit: number
  cap: bigint | null
}

function setPolicy({ enabled, threshold, topUp, dailyLimit, cap }: Settings): Command['run'] {
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
function threshold({ by }: { wallet: number; by: bigint }): Command['run'] {
  return async (scene) => {
    const at = model.availableIn(scene.w) + by
    if (at < 0n) return 'nothing'
    const before = scene.w.policy ?? { topUp: 20_000_000n, dailyLimit: 3, cap: null }
    return `${by} ${await save(scene, { ...before, enabled: true, threshold: at })}`
  }
}

async function save(
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

function sweepRecharge(): Command['run'] {
  return async ({ m, w, underLock }) => {
    const really = await underLock(async (trx, wallet) =>
      decideWalletRecharge(trx, wallet, await readClock(trx)),
    )
    const decided = model.decide(m, w)
    expect(really.decision === 'wait' ? really.reason : really.decision).toBe(decided)
    return decided
  }
}

function topUpByCard(): Command['run'] {
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
function charge({ end, waits }: Submission): Command['run'] {
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
function lateAnswer({ wallet, said }: { wallet: number; said: Answer }): Command['run'] {
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
function search({ which, after, sees }: Look): Command['run'] {
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

// Paddle's news

function pay(w: ModelWallet, topUp: ModelTopUp | null, amount: bigint, captured: boolean): Payment {
  const payment = { id: newId('txn'), topUp, amount, captured, credited: false }
  w.payments.push(payment)
  return payment
}

async function tellAllOf(scene: Scene, topUp: ModelTopUp): Promise<number> {
  const ours = scene.w.payments.filter((payment) => payment.topUp === topUp)
  for (const payment of ours) await tellOf(scene, payment)
  return ours.length
}

async function tellOf(scene: Scene, payment: Payment): Promise<string> {
  const news = await newsOf(scene, payment)
  const { outcome } = await scene.transact((trx) => tellPaymentIn(trx, scene, news))
  expect(outcome).toBe(model.tellPayment(scene.m, scene.w, payment))
  return outcome
}

function tellPaymentIn(trx: Tx, { now }: Scene, news: PaddleTransaction) {
  return applyPaddleTransaction(trx, news, { productId, now, nextLookAt: new Date(now.getTime() + 10_000) })
}

async function newsOf(scene: Scene, { id, topUp, amount, captured }: Payment): Promise<PaddleTransaction> {
  const { payer, w, now } = scene
  const row = topUp === null ? null : await rowOf(scene, w.topUps.indexOf(topUp))
  const line = aLine({
    net: cents(amount / 10_000n),
    workspaceId: payer.workspaceId,
    topUpId: row?.topUpId ?? null,
    source: row?.source ?? null,
  })
  return aTransaction(payer, {
    transactionId: id,
    status: captured ? 'completed' : 'canceled',
    origin: topUp === null ? 'api' : 'subscription_charge',
    subscriptionId: topUp === null ? null : payer.subscriptionId,
    lines: [line],
    payments: [captured ? aPayment() : aRefusal('declined')],
    createdAt: now,
  })
}

/** Any payment, whether or not it was told before. */
function webhook({ which, dup }: { wallet: number; which: number; dup: boolean }): Command['run'] {
  return async (scene) => {
    const payment = pick(scene.w.payments, which)
    if (payment === undefined) return 'nothing'
    const outcome = await tellOf(scene, payment)
    return dup ? `${outcome}, ${await tellOf(scene, payment)}` : outcome
  }
}

function reconcile({ reversed }: { wallet: number; reversed: boolean }): Command['run'] {
  return async (scene) => {
    const { payments } = scene.w
    for (const payment of reversed ? payments.toReversed() : payments) await tellOf(scene, payment)
    return payments.length > 0 ? 'done' : 'nothing'
  }
}

/** Somebody pays without being asked by us. */
function checkout({ dollars }: { wallet: number; dollars: bigint }): Command['run'] {
  return (scene) => tellOf(scene, pay(scene.w, null, dollars * 1_000_000n, true))
}

function refund({ which, part }: { wallet: number; which: number; part: bigint }): Command['run'] {
  return (scene) => adjust(scene, 'refund', which, part)
}

function chargeback({ which }: { wallet: number; which: number }): Command['run'] {
  return (scene) => adjust(scene, 'chargeback', which, 100n)
}

function reverse({ which }: { wallet: number; which: number }): Command['run'] {
  return (scene) => adjust(scene, 'chargeback_reverse', which, 100n)
}

async function adjust(scene: Scene, action: string, which: number, part: bigint): Promise<string> {
  const { m, w, payer, now, transact } = scene
  const payment = pick(
    w.payments.filter((each) => each.captured),
    which,
  )
  if (payment === undefined) return 'nothing'
  const adjustment = { id: newId('adj'), payment, action, amount: (payment.amount * part) / 100n }
  const news: PaddleAdjustment = anAdjustment(aTransaction(payer, { transactionId: payment.id }), {
    adjustmentId: adjustment.id,
    action,
    net: cents(adjustment.amount / 10_000n),
  })
  const bring = () => transact((trx) => applyPaddleAdjustment(trx, news, now))
  const { outcome } = await bring()
  expect(outcome).toBe(model.tellAdjustment(m, w, adjustment))
  if (outcome === 'applied') expect((await bring()).outcome).toBe(model.tellAdjustment(m, w, adjustment))
  return outcome
}

function unfreeze(): Command['run'] {
  return async ({ w, underLock }) => {
    await underLock((trx, wallet) => unfreezeWallet(trx, wallet, { actor: 'test', reason: 'looked into' }))
    const wasFrozen = w.frozen
    w.frozen = false
    return wasFrozen ? 'unfrozen' : 'nothing'
  }
}

// Rents, prices, time

const phones = ['+14155550101', '+14155550102']

function rent({ number }: { wallet: number; number: number }): Command['run'] {
  return async (scene) => {
    const phone = phones[number] ?? ''
    const { outcome } = await scene.underLock(async (trx, wallet) =>
      rentNumber(trx, wallet, { phoneNumber: phone }, await rentalContext(trx, scene)),
    )
    expect(outcome).toBe(model.rent(scene.m, scene.w, phone))
    return outcome
  }
}

function rentalTick(): Command['run'] {
  return async (scene) => {
    const settled = await scene.underLock(async (trx, wallet) =>
      settleRentals(trx, wallet, await rentalContext(trx, scene)),
    )
    model.settleRents(scene.m, scene.w)
    return `billed ${Math.min(settled.billed, 2)} owed ${settled.owed} released ${settled.released}`
  }
}

function cancel({
  number: which,
  atOnce,
}: {
  wallet: number
  number: number
  atOnce: boolean
}): Command['run'] {
  return async (scene) => {
    const { m, w, payer, underLock } = scene
    const phoneNumber = phones[which] ?? ''
    const rented = model.findRented(w, phoneNumber)
    if (rented === undefined) return 'nothing'
    await underLock(async (trx, wallet) => {
      const number = await findPhoneNumber(trx, payer.workspaceId, { phoneNumber })
      if (number === null) throw new Error('the number is not rented')
      await (atOnce ? releaseNumber : cancelNumber)(trx, wallet, number, await rentalContext(trx, scene))
    })
    if (atOnce) model.endRental(m, w, rented)
    else model.cancelRental(m, w, rented)
    return rented.state
  }
}

async function rentalContext(trx: Tx, { now }: Scene) {
  const { version } = await trx.selectFrom('price_list').select('version').executeTakeFirstOrThrow()
  return { now, prices: await rateBookOf(trx, version) }
}

function advance({ seconds }: { wallet: number; seconds: number }): Command['run'] {
  return async ({ m, real }) => {
    await pass(m, real, seconds)
    return 'on'
  }
}

type Price = { wallet: number; meter: string; cents: bigint; increment: bigint }

function changeRates({ meter, cents: price, increment }: Price): Command['run'] {
  return async ({ m, w, payer, transact }) => {
    const usd = `${price / 100n}.${String(price % 100n).padStart(2, '0')}`
    const interval = { from_second: 0, per_minute_usd: usd, increment_seconds: Number(increment) }
    const rate = meter === 'voice' ? { intervals: [interval] } : usd
    const agreed = { workspaceId: payer.workspaceId, prefix: null, effectiveFrom: null, rate }
    await transact((trx) =>
      agreeWorkspaceRate(trx, { ...agreed, meter: meter === 'voice' ? 'voice' : 'number_rental' }),
    )
    w.rates.push({
      meter: meter === 'voice' ? 'voice' : 'number',
      from: m.now,
      price: price * 10_000n,
      increment,
    })
    return meter
  }
}

function grant(): Command['run'] {
  return async ({ payer, transact }) => {
    const { outcome } = await transact((trx) => openWorkspace(trx, payer))
    expect(outcome).toBe('already_open')
    return outcome
  }
}

/** The process dies before its transaction is committed: nothing has happened. */
function crashBetween({ what }: { wallet: number; what: string }): Command['run'] {
  return async (scene) => {
    const payment = scene.w.payments.find((each) => each.captured && !each.credited)
    const news = payment === undefined ? null : await newsOf(scene, payment)
    const call = { id: newId('call'), startedAt: scene.m.now - 60_000, seconds: 60, recorded: false }
    const died = scene.underLock(async (trx, wallet) => {
      if (what === 'post') await tellIn(trx, scene, call)
      else if (what === 'hold') await holdIn(trx, scene, 99)
      else if (what === 'settle') await settleRentals(trx, wallet, await rentalContext(trx, scene))
      else if (what === 'decide') await decideWalletRecharge(trx, wallet, scene.now)
      else if (news !== null) await tellPaymentIn(trx, scene, news)
      throw new Error('the process died')
    })
    await expect(died).rejects.toThrow('the process died')
    return what
  }
}

// What both say

/** What both keep top-ups in: as they were opened, and of one moment what was paid before what is then decided. */
const asOpened = sql`created_at, source = 'auto_recharge'`

/** The top-up that the model has at that place. */
async function rowOf({ real, payer: { workspaceId } }: Scene, place: number): Promise<TopUp> {
  const { rows } = await sql<{ top_up_id: string }>`
    select top_up_id from top_up where workspace_id = ${workspaceId}
    order by ${asOpened} limit 1 offset ${place}::int`.execute(real.db)
  const row = await findTopUp(real.db, { workspaceId, topUpId: rows[0]?.top_up_id ?? '' })
  if (row === null) throw new Error(`there is no top-up number ${place}`)
  return row
}

async function compare(m: Model, real: Real): Promise<void> {
  const { rows } = await sql<{ said: Record<string, unknown> }>`
    select jsonb_build_object(
      'balance', w.balance_micros::text, 'held', w.held_micros::text, 'sequence', w.sequence::text,
      'frozen', w.frozen_at is not null,
      'booked', (select jsonb_object_agg(
          case when t.kind = 'grant' then 'grant'
            when t.kind = 'number_rental' then 'rental/' || n.phone_number || '@' || (extract(epoch from n.anchor_at) * 1000)::bigint
              || '/' || split_part(t.idempotency_key, '/', 3)
            else replace(replace(t.idempotency_key, 'paddle_transaction', 'payment'), 'paddle_adjustment', 'adjustment') end,
          t.amount_micros::text)
        from ledger_transaction t
        left join phone_number n on t.kind = 'number_rental' and n.workspace_id = t.workspace_id
          and n.phone_number_id = split_part(t.idempotency_key, '/', 2)
        where t.workspace_id = w.workspace_id),
      'holds', (select coalesce(jsonb_object_agg(call_id, amount_micros || ' ' || state), '{}') from hold h
        where h.workspace_id = w.workspace_id),
      'usage', (select coalesce(jsonb_object_agg(substr(key, 6), state), '{}') from usage_event u
        where u.workspace_id = w.workspace_id and key not like '%#%'),
      'topUps', (select coalesce(jsonb_agg(concat_ws(' ', source, state, amount_micros, credited_micros, submissions)
          order by ${asOpened}), '[]') from top_up t where t.workspace_id = w.workspace_id),
      'recharge', (select concat_ws(' ', last_decision, declines_in_a_row, suspended_at is not null,
          (extract(epoch from cooling_until) * 1000)::bigint) from auto_recharge a where a.workspace_id = w.workspace_id),
      'numbers', (select coalesce(jsonb_agg(concat_ws(' ', phone_number, state, periods_billed,
          (extract(epoch from next_look_at) * 1000)::bigint) order by anchor_at), '[]')
        from phone_number n where n.workspace_id = w.workspace_id)) as said
    from unnest(${real.payers.map(({ workspaceId }) => workspaceId)}::text[]) with ordinality as asked (workspace_id, place)
    join wallet w using (workspace_id) order by place`.execute(real.db)
  expect(rows.map(({ said }) => said)).toEqual(m.wallets.map(saidBy))
}

function saidBy(w: ModelWallet): Record<string, unknown> {
  return {
    balance: String(w.balance),
    held: String(model.heldBy(w)),
    sequence: String(w.booked.size),
    frozen: w.frozen,
    booked: Object.fromEntries([...w.booked].map(([key, amount]) => [key, String(amount)])),
    holds: Object.fromEntries([...w.holds].map(([id, { amount, state }]) => [id, words(amount, state)])),
    usage: Object.fromEntries([...w.usage].map(([id, { state }]) => [id, state])),
    topUps: w.topUps.map((t) => words(t.source, t.state, t.amount, t.credited, t.submissions)),
    recharge:
      w.policy === null ? null : words(w.lastDecision, w.declines, w.suspended ? 't' : 'f', w.coolingUntil),
    numbers: w.numbers.map((n) => words(n.phone, n.state, n.billed, n.nextLook)),
  }
}

function words(...of: (string | number | bigint | null)[]): string {
  return of.filter((each) => each !== null).join(' ')
}

/** At the end of a run: all that Paddle took is credited once it has been told, and nothing else is. */
export async function settleRun(m: Model, real: Real): Promise<void> {
  for (const [index, w] of m.wallets.entries()) {
    const scene = sceneAt(m, real, index)
    for (const payment of w.payments) await tellOf(scene, payment)
    const captured = w.payments
      .filter((each) => each.captured)
      .reduce((total, { amount }) => total + amount, 0n)
    const { rows } = await sql<{ credited: bigint }>`
      select coalesce(sum(amount_micros), 0)::bigint as credited from ledger_transaction
      where kind = 'top_up' and workspace_id = ${scene.payer.workspaceId}`.execute(real.db)
    expect(rows[0]?.credited).toBe(captured)
  }
  await compare(m, real)
}
