/**
 * Rents: renting a number, settling what has come due, ending it. Each is one transaction under the wallet's lock: money, periods,
 * states and their reasons move together, so a period is known to be billed exactly if its money has moved. A rent is paid from
 * what is available and never takes a wallet below that.
 */
import { hash, randomBytes } from 'node:crypto'

import { BillingError } from '../billing/billing-error.ts'
import { phoneNumberId as phoneNumberIdSchema, type PhoneNumberId, type WorkspaceId } from '../billing/ids.ts'
import { draftRental } from '../billing/ledger-draft.ts'
import { formatUsd, sumMicros, type Micros } from '../billing/money.ts'
import { canPay, nextPeriod, type RentalReason } from '../billing/rental.ts'
import { rentalDue } from '../jobs/rental-jobs.ts'
import { jobOf } from '../jobs/contract.ts'
import { postLedgerTransactions } from './ledger.ts'
import {
  changePhoneNumber,
  findPhoneNumber,
  findRentalAt,
  insertPhoneNumber,
  listRentalPeriods,
  lockDuePhoneNumbers,
  writeRentalStep,
  type PhoneNumber,
} from './phone-number.ts'
import { decideWalletRecharge, type Recharged } from './recharge.ts'
import { bookRents, reversalPost } from './rent-book.ts'
import { afterEnding, availableOf, feeOf, planRents, type RentalContext } from './rent-plan.ts'
import type { Tx } from './schema.ts'
import { stageJob } from './staged-job.ts'
import { lockWallet, type LockedWallet } from './wallet.ts'

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

/** The most numbers that one transaction looks at. */
const mostNumbers = 100

/**
 * Settles what is due on a wallet: across its numbers the period that started first is paid first, while money lasts. Then the
 * card is charged if that took the wallet below its threshold.
 */
export async function settleRentals(trx: Tx, wallet: LockedWallet, context: RentalContext): Promise<Settled> {
  const due = await lockDuePhoneNumbers(trx, wallet, context.now, mostNumbers)
  const book = planRents(wallet, due, context)
  const { paid, looked } = await bookRents(trx, wallet, book, context)
  return {
    billed: paid.length,
    billedMicros: sumMicros(paid.map(({ fee }) => fee.amountMicros)),
    owed: looked.filter(({ ending }) => ending?.decision === 'owe').length,
    released: looked.filter(({ ending }) => ending?.decision === 'release').length,
    more: due.length === mostNumbers || looked.some(({ ending }) => ending === null),
  }
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
  if (!canPay({ availableMicros, feeMicros })) {
    const recharged = await decideWalletRecharge(trx, wallet, context.now)
    return { outcome: 'insufficient_balance', availableMicros, requiredMicros: feeMicros, recharged }
  }
  const rented = { phoneNumber, rentedAt: context.now }
  const phoneNumberId = await newPhoneNumberId(trx, wallet.workspaceId, rented)
  return await openRental(trx, wallet, { phoneNumberId, ...rented }, context)
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
  const { phoneNumber, rentedAt } = rented
  const earlier = await findRentalAt(trx, wallet.workspaceId, { phoneNumber, at: rentedAt })
  const { outcome, number } = await openRental(trx, wallet, { phoneNumberId, ...rented }, context)
  if (outcome !== 'rented') return { outcome: 'taken' }
  // News that this rental was over came before it, and ended the one before for want of this one.
  const endedAt = earlier?.givenBackAt ?? null
  const again = endedAt !== null && endedAt > rentedAt ? await lockWallet(trx, wallet.workspaceId) : null
  if (endedAt !== null && again !== null) await giveBackNumber(trx, again, number, endedAt, context)
  return { outcome: 'rented' }
}

/** Ends with the month that is paid; at once when that is over and the next one cannot be paid. */
export async function cancelNumber(
  trx: Tx,
  wallet: LockedWallet,
  number: PhoneNumber,
  context: RentalContext,
): Promise<PhoneNumber> {
  const { now } = context
  if (number.state === 'released' || number.cancelAt !== null) return number
  if (number.state !== 'active') return await endNumber(trx, wallet, number, cancelledAtOnce(now), context)
  const [look] = (await bookRents(trx, wallet, planRents(wallet, [number], context), context)).looked
  const current = look?.after ?? number
  if (current.state !== 'active') {
    return await endNumber(trx, wallet, current, cancelledAtOnce(now), context)
  }
  const cancelAt = nextPeriod(current).startsAt
  const changed = await changePhoneNumber(trx, current, { cancelAt, nextLookAt: cancelAt })
  await writeRentalStep(trx, changed, { reason: 'cancel_asked', detail: { ends_at: cancelAt } }, now)
  return changed
}

/** Ends at once. What was paid is not given back. */
export async function releaseNumber(
  trx: Tx,
  wallet: LockedWallet,
  number: PhoneNumber,
  context: RentalContext,
): Promise<PhoneNumber> {
  return await endNumber(trx, wallet, number, cancelledAtOnce(context.now), context)
}

/**
 * The telephony service has the number back since then. Months that began before it are owed; those that were paid although they
 * began then or later, because the news came late, are given back.
 */
export async function giveBackNumber(
  trx: Tx,
  wallet: LockedWallet,
  number: PhoneNumber,
  releasedAt: Date,
  context: RentalContext,
): Promise<PhoneNumber> {
  const periods = await listRentalPeriods(trx, number, { startingFrom: releasedAt })
  const posts = periods
    .filter(({ amountMicros }) => amountMicros > 0n)
    .toReversed()
    .map((period) => reversalPost(draftRental({ ...number, ...period })))
  const detail = {
    released_at: releasedAt,
    given_back_usd: formatUsd(sumMicros(posts.map(({ draft }) => draft.amountMicros))),
  }
  const ended = await endNumber(
    trx,
    wallet,
    number,
    { reason: 'given_back', detail, endsAt: releasedAt },
    context,
  )
  if (posts.length > 0) {
    // Every month before these is paid already, so that nothing has moved the wallet.
    await postLedgerTransactions(trx, [{ wallet, posts }], context.now)
    await wakeOwedRentals(trx, wallet, context.now)
  }
  return ended
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
function phoneNumberIdOf(
  workspaceId: WorkspaceId,
  { phoneNumber, rentedAt }: { phoneNumber: string; rentedAt: Date },
): PhoneNumberId {
  const name = hash('sha256', `${workspaceId}/${phoneNumber}/${rentedAt.toISOString()}`, 'hex')
  return phoneNumberIdSchema.parse(`num_${name.slice(0, 24)}`)
}

/** One that ended within the millisecond in which it began has the name already; this one is another. */
async function newPhoneNumberId(
  trx: Tx,
  workspaceId: WorkspaceId,
  rented: { phoneNumber: string; rentedAt: Date },
): Promise<PhoneNumberId> {
  const phoneNumberId = phoneNumberIdOf(workspaceId, rented)
  const ended = await findPhoneNumber(trx, workspaceId, { phoneNumberId })
  return ended === null ? phoneNumberId : phoneNumberIdSchema.parse(`num_${randomBytes(12).toString('hex')}`)
}

async function openRental(
  trx: Tx,
  wallet: LockedWallet,
  {
    phoneNumberId,
    phoneNumber,
    rentedAt,
  }: { phoneNumberId: PhoneNumberId; phoneNumber: string; rentedAt: Date },
  context: RentalContext,
): Promise<Extract<Rented, { number: PhoneNumber }>> {
  const { workspaceId } = wallet
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

type End = {
  reason: RentalReason
  detail?: Record<string, unknown> | undefined
  /** Nothing that starts then or later is billed. */
  endsAt: Date
}

function cancelledAtOnce(now: Date): End {
  return { reason: 'cancelled_at_once', endsAt: now }
}

/** Ends a number. A month that has started and that nobody has looked at yet is paid first; what is owed already is let go. */
async function endNumber(
  trx: Tx,
  wallet: LockedWallet,
  number: PhoneNumber,
  { reason, detail, endsAt }: End,
  context: RentalContext,
): Promise<PhoneNumber> {
  if (number.state === 'released') return number
  const cancelAt = number.cancelAt !== null && number.cancelAt < endsAt ? number.cancelAt : endsAt
  const book =
    number.state === 'active'
      ? planRents(wallet, [{ ...number, cancelAt }], context)
      : { paid: [], looked: [{ before: number, after: number, ending: null }] }
  const ending = { decision: 'release', reason, detail } as const
  const looked = book.looked.map((look) => ({
    ...look,
    after: afterEnding({ ...look.after, cancelAt: number.cancelAt }, ending, context.now),
    ending,
  }))
  await bookRents(trx, wallet, { paid: book.paid, looked }, context)
  return looked[0]?.after ?? number
}
