/**
 * What a chaos run must come to, to the micro-dollar, worked out from its load in plain BigInt. Nothing of the project is imported
 * here, and its prices are written down a second time by hand: an error of the project's cannot hide on both sides.
 */
import {
  contradictedOf,
  eventAt,
  isUnpriced,
  paymentAt,
  rentalAt,
  roleOf,
  workspaceAt,
  type LoadEvent,
  type LoadPlan,
} from './load.ts'

export type Expected =
  | { state: 'posted'; micros: bigint }
  | { state: 'free'; micros: 0n }
  | { state: 'set_aside'; micros: 0n }

export type ExpectedWallet = {
  balanceMicros: bigint
  /** Ledger transactions, which are also the wallet's last sequence. */
  transactions: bigint
  /** What Paddle must have captured for it, and nothing else. */
  creditedMicros: bigint
  /** Automatic recharges that must have succeeded. */
  recharges: bigint
  /** Months of numbers that must have been paid. */
  months: bigint
}

export type ExpectedTotals = {
  posted: number
  free: number
  setAside: number
  contradictions: number
  usageMicros: bigint
  creditedMicros: bigint
  recharges: bigint
  months: bigint
}

const dollar = 1_000_000n
const grantMicros = 10n * dollar

/** Micro-dollars a minute. */
const voice = 100_000n
const recording = 20_000n
/** A caller who withholds the number. */
const inbound = 80_000n
/** Micro-dollars each. */
const message = 10_000n
/** Micro-dollars a month. */
const phoneNumber = 5n * dollar
/** Micro-dollars a minute, for the prefixes that the load dials. */
const telephony: ReadonlyMap<string, bigint> = new Map([
  ['1', 80_000n],
  ['44', 90_000n],
  ['447', 110_000n],
  ['49', 90_000n],
  ['4915', 110_000n],
  ['33', 90_000n],
  ['336', 110_000n],
  ['20', 200_000n],
  ['2010', 220_000n],
  ['61', 90_000n],
  ['614', 120_000n],
])

/** Shape: what one event must come to, told however often. */
export function expectedOf(event: LoadEvent): Expected {
  if (event.kind === 'message') return { state: 'posted', micros: message }
  if (event.tenths === 0) return { state: 'free', micros: 0n }
  if (isUnpriced(event)) return { state: 'set_aside', micros: 0n }
  // Every second that was begun is owed.
  const seconds = (BigInt(event.tenths) + 9n) / 10n
  let micros = line(voice, seconds)
  if (event.direction === 'outbound') micros += line(priceOfCalling(event.to), seconds)
  if (event.direction === 'inbound') {
    micros += line(event.from === undefined ? inbound : priceOfCalling(event.from), seconds)
  }
  if (event.recorded) micros += line(recording, seconds)
  return { state: 'posted', micros }
}

/** Walks the whole load. Shape: by workspace, in the order of the wallets. */
export function expectedOfAll(plan: LoadPlan): {
  wallets: Map<string, ExpectedWallet>
  totals: ExpectedTotals
} {
  const spent = new Map<string, { micros: bigint; transactions: bigint }>()
  const totals = {
    posted: 0,
    free: 0,
    setAside: 0,
    contradictions: 0,
    usageMicros: 0n,
    creditedMicros: 0n,
    recharges: 0n,
    months: 0n,
  }
  for (let index = 0; index < plan.events; index += 1) {
    const event = eventAt(plan, index)
    const { state, micros } = expectedOf(event)
    if (state === 'free') totals.free += 1
    if (state === 'set_aside') totals.setAside += 1
    if (state !== 'posted') continue
    totals.posted += 1
    totals.usageMicros += micros
    const before = spent.get(event.workspaceId) ?? { micros: 0n, transactions: 0n }
    spent.set(event.workspaceId, {
      micros: before.micros + micros,
      transactions: before.transactions + 1n,
    })
  }
  for (let batch = 0; batch < plan.batches; batch += 1) {
    if (contradictedOf(plan, batch) !== null) totals.contradictions += 1
  }
  const paid = paidByWallet(plan)
  const wallets = new Map<string, ExpectedWallet>()
  for (let wallet = 0; wallet < plan.wallets; wallet += 1) {
    const workspaceId = workspaceAt(wallet)
    const { micros, transactions } = spent.get(workspaceId) ?? { micros: 0n, transactions: 0n }
    const payments = paid.get(workspaceId) ?? { micros: 0n, count: 0n }
    const recharges = roleOf(wallet) === 'recharging' ? rechargesFor(plan, micros) : 0n
    const months = roleOf(wallet) === 'renting' ? monthsOf(plan, wallet) : 0n
    const creditedMicros = payments.micros + recharges * BigInt(plan.rechargeUsd) * dollar
    wallets.set(workspaceId, {
      balanceMicros: grantMicros + creditedMicros - micros - months * phoneNumber,
      transactions: 1n + transactions + payments.count + recharges + months,
      creditedMicros,
      recharges,
      months,
    })
    totals.months += months
    totals.creditedMicros += creditedMicros
    totals.recharges += recharges
  }
  return { wallets, totals }
}

/**
 * How often a wallet that only spends must have been recharged, in whatever order and however late its usage came: a recharge is
 * begun below the threshold and never at it, so the last one was needed, and after the last one the balance is not below it.
 */
function rechargesFor({ thresholdUsd, rechargeUsd }: LoadPlan, spentMicros: bigint): bigint {
  const missing = BigInt(thresholdUsd) * dollar + spentMicros - grantMicros
  const each = BigInt(rechargeUsd) * dollar
  return missing <= 0n ? 0n : (missing + each - 1n) / each
}

/** One for every anniversary that has come, the day of the rental included. */
function monthsOf(plan: LoadPlan, wallet: number): bigint {
  const { told, rentedNow } = rentalAt(plan, wallet)
  return BigInt(told.months) + (rentedNow === null ? 0n : 1n)
}

function paidByWallet(plan: LoadPlan): Map<string, { micros: bigint; count: bigint }> {
  const paid = new Map<string, { micros: bigint; count: bigint }>()
  for (let number = 0; number < plan.payments; number += 1) {
    const { workspaceId, dollars } = paymentAt(plan, number)
    const before = paid.get(workspaceId) ?? { micros: 0n, count: 0n }
    paid.set(workspaceId, {
      micros: before.micros + BigInt(dollars) * dollar,
      count: before.count + 1n,
    })
  }
  return paid
}

/** A rate a minute over whole seconds, rounded once, half up, to the micro-dollar. */
function line(microsPerMinute: bigint, seconds: bigint): bigint {
  return (2n * microsPerMinute * seconds + 60n) / 120n
}

/** The longest prefix that matches. */
function priceOfCalling(number: string | undefined): bigint {
  const digits = (number ?? '').slice(1)
  for (let length = digits.length; length > 0; length -= 1) {
    const price = telephony.get(digits.slice(0, length))
    if (price !== undefined) return price
  }
  throw new Error(`the oracle knows no price for ${String(number)}`)
}
