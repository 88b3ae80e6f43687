/** Commands of the model test about what time brings: rents, other prices, a process that dies. */
import { expect } from 'vitest'

import { findPhoneNumber } from '../../../db/phone-number.ts'
import { agreeWorkspaceRate } from '../../../db/rate-book.ts'
import { decideWalletRecharge } from '../../../db/recharge.ts'
import { cancelNumber, releaseNumber, rentNumber, settleRentals } from '../../../db/rental.ts'
import type { Tx } from '../../../db/schema.ts'
import { openWorkspace } from '../../../db/workspace.ts'
import { rateBookOf } from '../given-calls.ts'
import { newId } from '../given.ts'
import * as model from './wallet-model.ts'
import { newsOf, tellPaymentIn } from './paddle-commands.ts'
import { type Command, type Scene, pass } from './scene.ts'
import { holdIn, tellIn } from './usage-commands.ts'

const phones = ['+14155550101', '+14155550102']

export function rent({ number }: { wallet: number; number: number }): Command['run'] {
  return async (scene) => {
    const phone = phones[number] ?? ''
    const { outcome } = await scene.underLock(async (trx, wallet) =>
      rentNumber(trx, wallet, { phoneNumber: phone }, await rentalContext(trx, scene)),
    )
    expect(outcome).toBe(model.rent(scene.m, scene.w, phone))
    return outcome
  }
}

export function rentalTick(): Command['run'] {
  return async (scene) => {
    const settled = await scene.underLock(async (trx, wallet) =>
      settleRentals(trx, wallet, await rentalContext(trx, scene)),
    )
    model.settleRents(scene.m, scene.w)
    return `billed ${Math.min(settled.billed, 2)} owed ${settled.owed} released ${settled.released}`
  }
}

export function cancel({
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

export function advance({ seconds }: { wallet: number; seconds: number }): Command['run'] {
  return async ({ m, real }) => {
    await pass(m, real, seconds)
    return 'on'
  }
}

type Price = { wallet: number; meter: string; cents: bigint; increment: bigint }

export function changeRates({ meter, cents: price, increment }: Price): Command['run'] {
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

export function grant(): Command['run'] {
  return async ({ payer, transact }) => {
    const { outcome } = await transact((trx) => openWorkspace(trx, payer))
    expect(outcome).toBe('already_open')
    return outcome
  }
}

/** The process dies before its transaction is committed: nothing has happened. */
export function crashBetween({ what }: { wallet: number; what: string }): Command['run'] {
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
