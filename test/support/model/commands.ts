/**
 * The commands of the model test: each does one thing to the model and the same thing to Postgres, by the project's own functions,
 * and then both must say the same of everything that is money or decides about money.
 */
import * as fc from 'fast-check'

import type { Db } from '../../../db/schema.ts'
import { stopClock } from '../frozen-clock.ts'
import { givenPayer } from '../given-money-in.ts'
import * as model from './wallet-model.ts'
import type { Answer, Model } from './wallet-model.ts'
import { compare } from './compare.ts'
import { advance, cancel, changeRates, crashBetween, grant, rent, rentalTick } from './month-commands.ts'
import { chargeback, checkout, reconcile, refund, reverse, unfreeze, webhook } from './paddle-commands.ts'
import {
  charge,
  chargeEnds,
  lateAnswer,
  save,
  search,
  setPolicy,
  sweepRecharge,
  threshold,
  topUpByCard,
} from './recharge-commands.ts'
import { type Command, type Real, pass, sceneAt } from './scene.ts'
import {
  capture,
  expireHold,
  hold,
  lateCapture,
  post,
  releaseTheHold,
  replay,
  replayMutated,
} from './usage-commands.ts'

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

type ModelCommand = fc.AsyncCommand<Model, Real>

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

function count({ seen }: Real, what: string): void {
  seen.set(what, (seen.get(what) ?? 0) + 1)
}
