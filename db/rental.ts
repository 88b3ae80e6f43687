/**
 * Rents: renting a number, settling what has come due, ending it. Each is one transaction under the wallet's lock: money, periods,
 * states and their reasons move together, so a period is known to be billed exactly if its money has moved. A rent is paid from
 * what is available and never takes a wallet below that.
 */
import { hash } from 'node:crypto'

import { BillingError } from '../billing/billing-error.ts'
import type { RentalPeriod } from '../billing/anniversary.ts'
import { phoneNumberId as phoneNumberIdSchema, type PhoneNumberId, type WorkspaceId } from '../billing/ids.ts'
import { draftRental } from '../billing/ledger-draft.ts'
import { formatUsd, micros, sumMicros, type Micros } from '../billing/money.ts'
import { rateRental } from '../billing/rating.ts'
import { decideRental, nextPeriod, type RentalDecision, type RentalReason } from '../billing/rental.ts'
import { rentalDue } from '../jobs/rental-jobs.ts'
import { jobOf } from '../jobs/contract.ts'
import { hashOfKey, postLedgerTransactions, type LedgerPost } from './ledger.ts'
import {
  changePhoneNumber,
  findPhoneNumber,
  insertPhoneNumber,
  insertRentalPeriod,
  lockDuePhoneNumbers,
  writeRentalStep,
  type PhoneNumber,
} from './phone-number.ts'
import type { RateBook } from './rate-book.ts'
import { decideWalletRecharge, type Recharged } from './recharge.ts'
import type { Tx } from './schema.ts'
import { stageJob } from './staged-job.ts'
import type { LockedWallet } from './wallet.ts'

/** What a transaction about rents goes by. */
export type RentalContext = { now: Date; prices: RateBook }

export type Settled = {
  /** Periods that were paid, and what they cost together. */
  billed: number
  billedMicros: Micros
  /** Looks that found a month that cannot be paid. */
  owed: number
  released: number
  /** Whether more is due already. */
  more: boolean
}

/** The most that one transaction does for one wallet. */
const mostNumbers = 100
const mostPeriods = 500

/**
 * Settles what is due on a wallet: across its numbers the period that started first is paid first, while money lasts. Then the
 * card is charged if that took the wallet below its threshold.
 */
export async function settleRentals(trx: Tx, wallet: LockedWallet, context: RentalContext): Promise<Settled> {
  const due = await lockDuePhoneNumbers(trx, wallet, context.now, mostNumbers)
  const book = planRents(wallet, due, context)
  const settled = await bookRents(trx, wallet, book, context)
  return { ...settled, more: due.length === mostNumbers || book.more }
}

export type Rented =
  | { outcome: 'rented'; number: PhoneNumber }
  /** It has been rented before and still is; a cancellation that was under way is taken back. */
  | { outcome: 'already_rented'; number: PhoneNumber }
  | { outcome: 'insufficient_balance'; availableMicros: Micros; requiredMicros: Micros; recharged: Recharged }
  | { outcome: 'frozen' }
  | { outcome: 'no_price' }

/**
 * Rents a number if the wallet can pay its first month now; otherwise nothing happens, but that the card may be charged.
 */
export async function rentNumber(
  trx: Tx,
  wallet: LockedWallet,
  { phoneNumber }: { phoneNumber: string },
  context: RentalContext,
): Promise<Rented> {
  const known = await findPhoneNumber(trx, wallet.workspaceId, { phoneNumber })
  if (known !== null) return { outcome: 'already_rented', number: await keepNumber(trx, known, context.now) }
  if (wallet.frozen) return { outcome: 'frozen' }
  const feeMicros = feeOf(wallet.workspaceId, context.now, context.prices)?.amountMicros ?? null
  if (feeMicros === null) return { outcome: 'no_price' }
  const availableMicros = availableOf(wallet)
  if (availableMicros < feeMicros) {
    const recharged = await decideWalletRecharge(trx, wallet, context.now)
    return { outcome: 'insufficient_balance', availableMicros, requiredMicros: feeMicros, recharged }
  }
  return await openRental(trx, wallet, { phoneNumber, rentedAt: context.now }, context)
}

/**
 * Takes note that a number was rented elsewhere: it is there now, whether or not it can be paid. What cannot be paid is owed.
 *
 * Shape: `known` when this rental has been told before, even if it has ended since; `taken` when an earlier one still has the number.
 */
export async function noteRentedNumber(
  trx: Tx,
  wallet: LockedWallet,
  rented: { phoneNumber: string; rentedAt: Date },
  context: RentalContext,
): Promise<{ outcome: 'rented' | 'known' | 'taken' }> {
  const phoneNumberId = phoneNumberIdOf(wallet.workspaceId, rented)
  const known = await findPhoneNumber(trx, wallet.workspaceId, { phoneNumberId })
  if (known !== null) return { outcome: 'known' }
  const { outcome } = await openRental(trx, wallet, rented, context)
  return { outcome: outcome === 'rented' ? 'rented' : 'taken' }
}

/** Ends with the month that is paid; at once when that is over already, because the next one is owed. */
export async function cancelNumber(trx: Tx, number: PhoneNumber, now: Date): Promise<PhoneNumber> {
  if (number.state === 'released' || number.cancelAt !== null) return number
  const cancelAt = nextPeriod(number).startsAt
  if (cancelAt <= now) return await releaseNumber(trx, number, 'cancelled_at_once', now)
  const changed = await changePhoneNumber(trx, number, { cancelAt, nextLookAt: cancelAt })
  await writeRentalStep(trx, changed, { reason: 'cancel_asked', detail: { ends_at: cancelAt } }, now)
  return changed
}

/** Ends at once. What was paid is not given back. */
export async function releaseNumber(
  trx: Tx,
  number: PhoneNumber,
  reason: RentalReason,
  now: Date,
): Promise<PhoneNumber> {
  if (number.state === 'released') return number
  const changed = await changePhoneNumber(trx, number, {
    state: 'released',
    releasedAt: now,
    nextLookAt: null,
  })
  await writeRentalStep(trx, changed, { reason }, now)
  return changed
}

/** Money came: what is owed for numbers is tried again at once, and by the sweep if the job is lost. */
export async function wakeOwedRentals(trx: Tx, wallet: LockedWallet, now: Date): Promise<void> {
  const { numUpdatedRows } = await trx
    .updateTable('phone_number')
    .set({ next_look_at: now })
    .where('workspace_id', '=', wallet.workspaceId)
    .where('state', 'in', ['past_due', 'suspended'])
    .executeTakeFirst()
  if (numUpdatedRows === 0n) return
  const turn = `credit_${now.getTime()}`
  await stageJob(trx, wallet.workspaceId, jobOf(rentalDue, { workspaceId: wallet.workspaceId, turn }))
}

/** The same number rented by the same workspace at the same instant is the same rental. */
export function phoneNumberIdOf(
  workspaceId: WorkspaceId,
  { phoneNumber, rentedAt }: { phoneNumber: string; rentedAt: Date },
): PhoneNumberId {
  const name = hash('sha256', `${workspaceId}/${phoneNumber}/${rentedAt.toISOString()}`, 'hex')
  return phoneNumberIdSchema.parse(`num_${name.slice(0, 24)}`)
}

/** What a month that starts then costs a workspace, and by which card; null when no card has a price for it. */
export function feeOf(
  workspaceId: WorkspaceId,
  startsAt: Date,
  prices: RateBook,
): { amountMicros: Micros; rateCardId: string } | null {
  const card = prices.cardFor(workspaceId, startsAt)
  return card === null ? null : { amountMicros: rateRental(card).totalMicros, rateCardId: card.id }
}

/** A rental payment as it is booked. Its hash covers its name and its amount. */
export function rentalPost(rental: Parameters<typeof draftRental>[0]): LedgerPost {
  const draft = draftRental(rental)
  return { draft, payloadHash: hashOfKey(`${draft.idempotencyKey} ${draft.amountMicros}`) }
}

async function openRental(
  trx: Tx,
  wallet: LockedWallet,
  { phoneNumber, rentedAt }: { phoneNumber: string; rentedAt: Date },
  context: RentalContext,
): Promise<Extract<Rented, { number: PhoneNumber }>> {
  const { workspaceId } = wallet
  const phoneNumberId = phoneNumberIdOf(workspaceId, { phoneNumber, rentedAt })
  const isNew = await insertPhoneNumber(
    trx,
    wallet,
    { phoneNumberId, phoneNumber, anchorAt: rentedAt },
    context.now,
  )
  const number = await getRented(trx, workspaceId, phoneNumber)
  if (!isNew) return { outcome: 'already_rented', number }
  await writeRentalStep(trx, number, { reason: 'rented', detail: { rented_at: rentedAt } }, context.now)
  await bookRents(trx, wallet, planRents(wallet, [number], context), context)
  return { outcome: 'rented', number: await getRented(trx, workspaceId, phoneNumber) }
}

async function getRented(trx: Tx, workspaceId: WorkspaceId, phoneNumber: string): Promise<PhoneNumber> {
  const number = await findPhoneNumber(trx, workspaceId, { phoneNumber })
  if (number === null)
    throw new BillingError('number_missing', 'A number is gone right after it was rented', { phoneNumber })
  return number
}

/** A cancellation that has not come to pass yet is taken back. */
async function keepNumber(trx: Tx, number: PhoneNumber, now: Date): Promise<PhoneNumber> {
  if (number.cancelAt === null) return number
  const changed = await changePhoneNumber(trx, number, { cancelAt: null })
  await writeRentalStep(trx, changed, { reason: 'cancel_withdrawn' }, now)
  return changed
}

type PaidPeriod = {
  number: PhoneNumber
  index: number
  period: RentalPeriod
  fee: { amountMicros: Micros; rateCardId: string }
}

/** A number that was looked at, as it was and as it will be; what its look ended with, null when it has to go on. */
type Look = {
  before: PhoneNumber
  after: PhoneNumber
  ending: Exclude<RentalDecision, { decision: 'bill' }> | null
}

/** What is going to be written. */
type RentBook = {
  paid: PaidPeriod[]
  looked: Look[]
  availableMicros: Micros
  more: boolean
}

function planRents(
  wallet: LockedWallet,
  due: readonly PhoneNumber[],
  { now, prices }: RentalContext,
): RentBook {
  const book: RentBook = { paid: [], looked: [], availableMicros: availableOf(wallet), more: false }
  let open = due.map((number) => ({ before: number, number }))
  while (open.length > 0) {
    const turn = firstToStart(open)
    const { before, number } = turn
    const fee = feeOf(number.workspaceId, nextPeriod(number).startsAt, prices)
    const { availableMicros } = book
    const decision = decideRental(number, { now, availableMicros, feeMicros: fee?.amountMicros ?? null })
    if (decision.decision === 'bill' && fee !== null && book.paid.length < mostPeriods) {
      const { period } = decision
      book.paid.push({ number, index: number.periodsBilled, period, fee })
      book.availableMicros = micros(availableMicros - fee.amountMicros)
      turn.number = {
        ...number,
        state: 'active',
        periodsBilled: number.periodsBilled + 1,
        paidUntil: period.endsAt,
        pastDueAt: null,
        suspendedAt: null,
      }
      continue
    }
    open = open.filter((each) => each !== turn)
    const ending = decision.decision === 'bill' ? null : decision
    book.more ||= ending === null
    book.looked.push({ before, after: afterEnding(number, ending, now), ending })
  }
  return book
}

function firstToStart<Turn extends { number: PhoneNumber }>(turns: readonly Turn[]): Turn {
  return turns.reduce((first, each) =>
    nextPeriod(each.number).startsAt < nextPeriod(first.number).startsAt ? each : first,
  )
}

/** `ending` null: there was more to pay than one transaction takes, and the next one goes on at once. */
function afterEnding(number: PhoneNumber, ending: Look['ending'], now: Date): PhoneNumber {
  if (ending === null) return { ...number, nextLookAt: now }
  if (ending.decision === 'rest') return { ...number, nextLookAt: ending.nextLookAt }
  if (ending.decision === 'release')
    return { ...number, state: 'released', releasedAt: now, nextLookAt: null }
  const { state, pastDueAt, suspendedAt, nextLookAt } = ending
  return { ...number, state, pastDueAt, suspendedAt, nextLookAt }
}

async function bookRents(
  trx: Tx,
  wallet: LockedWallet,
  book: RentBook,
  context: RentalContext,
): Promise<Omit<Settled, 'more'>> {
  const { paid, looked } = book
  const sequences = await postRents(trx, wallet, paid, context.now)
  for (const each of paid) {
    await insertRentalPeriod(trx, each.number, {
      period: each.index,
      ...each.period,
      ...each.fee,
      walletSequence: sequences.get(each) ?? null,
      billedAt: context.now,
    })
  }
  const owed = looked.filter(({ ending }) => ending?.decision === 'owe').length
  const recharged = paid.length + owed === 0 ? null : await decideWalletRecharge(trx, wallet, context.now)
  for (const look of looked) {
    await changePhoneNumber(trx, look.before, look.after)
    await writePayments(trx, look, paid, context.now)
    await writeEnding(trx, look, { ...book, recharged }, context)
  }
  return {
    billed: paid.length,
    billedMicros: sumMicros(paid.map(({ fee }) => fee.amountMicros)),
    owed,
    released: looked.filter(({ ending }) => ending?.decision === 'release').length,
  }
}

/** The first month's payment is part of its renting, and has no step of its own. */
async function writePayments(
  trx: Tx,
  { before }: Look,
  paid: readonly PaidPeriod[],
  now: Date,
): Promise<void> {
  const ours = paid.filter(({ number }) => number.phoneNumberId === before.phoneNumberId)
  for (const [place, { index, period, fee }] of ours.entries()) {
    const wasOwed = place === 0 && before.state !== 'active'
    if (index === 0 && !wasOwed) continue
    const detail = {
      period_start: period.startsAt,
      period_end: period.endsAt,
      fee_usd: formatUsd(fee.amountMicros),
    }
    const reason = wasOwed ? 'reinstated' : 'renewed'
    await writeRentalStep(trx, { ...before, state: 'active' }, { reason, detail }, now)
  }
}

async function writeEnding(
  trx: Tx,
  { after, ending }: Look,
  { availableMicros, recharged }: Pick<RentBook, 'availableMicros'> & { recharged: Recharged | null },
  { now, prices }: RentalContext,
): Promise<void> {
  if (ending === null || ending.decision === 'rest') return
  const { startsAt } = nextPeriod(after)
  const fee = feeOf(after.workspaceId, startsAt, prices)
  const detail = {
    period_start: startsAt,
    available_usd: formatUsd(availableMicros),
    required_usd: fee === null ? null : formatUsd(fee.amountMicros),
    recharge: recharged?.decision === 'wait' ? recharged.reason : (recharged?.decision ?? null),
  }
  await writeRentalStep(trx, after, { reason: ending.reason, detail }, now)
}

/** Where in the wallet's chain each payment stands; those that cost nothing are not in it. */
async function postRents(
  trx: Tx,
  wallet: LockedWallet,
  paid: readonly PaidPeriod[],
  now: Date,
): Promise<Map<PaidPeriod, bigint>> {
  const costing = paid.filter(({ fee }) => fee.amountMicros > 0n)
  const posts = costing.map(({ number, period, fee }) =>
    rentalPost({ ...fee, ...number, startsAt: period.startsAt }),
  )
  const [booked = []] = posts.length === 0 ? [] : await postLedgerTransactions(trx, [{ wallet, posts }], now)
  return new Map(
    costing.flatMap((each, index) => {
      const sequence = booked[index]?.walletSequence
      return sequence === undefined ? [] : [[each, sequence] as const]
    }),
  )
}

function availableOf(wallet: LockedWallet): Micros {
  return micros(wallet.balanceMicros - wallet.heldMicros)
}
