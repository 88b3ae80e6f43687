/** Commands of the model test about what Paddle tells: payments, refunds and chargebacks, in any order, once and again. */
import { expect } from 'vitest'

import type { PaddleAdjustment, PaddleTransaction } from '../../../billing/paddle-facts.ts'
import { unfreezeWallet } from '../../../db/freeze.ts'
import { applyPaddleAdjustment } from '../../../db/paddle-adjustment.ts'
import { applyPaddleTransaction } from '../../../db/paddle-transaction.ts'
import type { Tx } from '../../../db/schema.ts'
import { newId } from '../given.ts'
import { aLine, anAdjustment, aPayment, aRefusal, aTransaction, cents, productId } from '../paddle-news.ts'
import * as model from './wallet-model.ts'
import type { ModelTopUp, ModelWallet, Payment } from './wallet-model.ts'
import { type Command, type Scene, pick, rowOf } from './scene.ts'

export function pay(w: ModelWallet, topUp: ModelTopUp | null, amount: bigint, captured: boolean): Payment {
  const payment = { id: newId('txn'), topUp, amount, captured, credited: false }
  w.payments.push(payment)
  return payment
}

export async function tellAllOf(scene: Scene, topUp: ModelTopUp): Promise<number> {
  const ours = scene.w.payments.filter((payment) => payment.topUp === topUp)
  for (const payment of ours) await tellOf(scene, payment)
  return ours.length
}

export async function tellOf(scene: Scene, payment: Payment): Promise<string> {
  const news = await newsOf(scene, payment)
  const { outcome } = await scene.transact((trx) => tellPaymentIn(trx, scene, news))
  expect(outcome).toBe(model.tellPayment(scene.m, scene.w, payment))
  return outcome
}

export function tellPaymentIn(trx: Tx, { now }: Scene, news: PaddleTransaction) {
  return applyPaddleTransaction(trx, news, { productId, now, nextLookAt: new Date(now.getTime() + 10_000) })
}

export async function newsOf(
  scene: Scene,
  { id, topUp, amount, captured }: Payment,
): Promise<PaddleTransaction> {
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
export function webhook({ which, dup }: { wallet: number; which: number; dup: boolean }): Command['run'] {
  return async (scene) => {
    const payment = pick(scene.w.payments, which)
    if (payment === undefined) return 'nothing'
    const outcome = await tellOf(scene, payment)
    return dup ? `${outcome}, ${await tellOf(scene, payment)}` : outcome
  }
}

export function reconcile({ reversed }: { wallet: number; reversed: boolean }): Command['run'] {
  return async (scene) => {
    const { payments } = scene.w
    for (const payment of reversed ? payments.toReversed() : payments) await tellOf(scene, payment)
    return payments.length > 0 ? 'done' : 'nothing'
  }
}

/** Somebody pays without being asked by us. */
export function checkout({ dollars }: { wallet: number; dollars: bigint }): Command['run'] {
  return (scene) => tellOf(scene, pay(scene.w, null, dollars * 1_000_000n, true))
}

export function refund({ which, part }: { wallet: number; which: number; part: bigint }): Command['run'] {
  return (scene) => adjust(scene, 'refund', which, part)
}

export function chargeback({ which }: { wallet: number; which: number }): Command['run'] {
  return (scene) => adjust(scene, 'chargeback', which, 100n)
}

export function reverse({ which }: { wallet: number; which: number }): Command['run'] {
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

export function unfreeze(): Command['run'] {
  return async ({ w, underLock }) => {
    await underLock((trx, wallet) => unfreezeWallet(trx, wallet, { actor: 'test', reason: 'looked into' }))
    const wasFrozen = w.frozen
    w.frozen = false
    return wasFrozen ? 'unfrozen' : 'nothing'
  }
}
