/** What is to be done about rents, before any of it is written: which months are paid from what is available, and how each number ends up. */
import type { RentalPeriod } from '../billing/anniversary.ts'
import type { WorkspaceId } from '../billing/ids.ts'
import { micros, type Micros } from '../billing/money.ts'
import { rateRental } from '../billing/rating.ts'
import { decideRental, nextPeriod, type RentalDecision, type RentalReason } from '../billing/rental.ts'
import type { PhoneNumber } from './phone-number.ts'
import type { RateBook } from './rate-book.ts'
import type { LockedWallet } from './wallet.ts'

/** What a transaction about rents goes by. */
export type RentalContext = { now: Date; prices: RateBook }

export type PaidPeriod = {
  number: PhoneNumber
  index: number
  period: RentalPeriod
  fee: { amountMicros: Micros; rateCardId: string }
}

/** A number that was looked at, as it was and as it will be; what its look ended with, null when it has to go on. */
export type Look = {
  before: PhoneNumber
  after: PhoneNumber
  ending: Ending | null
}

type Ending =
  | Exclude<RentalDecision, { decision: 'bill' | 'owe' | 'release' }>
  | (Extract<RentalDecision, { decision: 'owe' }> & { availableMicros: Micros })
  | { decision: 'release'; reason: RentalReason; detail?: Record<string, unknown> | undefined }

/** The most months that one transaction pays. */
const mostPeriods = 500

/** What is going to be written. */
export type RentBook = { paid: PaidPeriod[]; looked: Look[] }

/** Across the numbers the month that started first is paid first, while money lasts. */
export function planRents(
  wallet: LockedWallet,
  due: readonly PhoneNumber[],
  { now, prices }: RentalContext,
): RentBook {
  const book: RentBook = { paid: [], looked: [] }
  let availableMicros = availableOf(wallet)
  let open = due.map((number) => ({ before: number, number }))
  while (open.length > 0) {
    const turn = firstToStart(open)
    const { before, number } = turn
    const fee = feeOf(number.workspaceId, nextPeriod(number).startsAt, prices)
    const decision = decideRental(number, { now, availableMicros, feeMicros: fee?.amountMicros ?? null })
    if (decision.decision === 'bill' && fee !== null && book.paid.length < mostPeriods) {
      const { period } = decision
      book.paid.push({ number, index: number.periodsBilled, period, fee })
      availableMicros = micros(availableMicros - fee.amountMicros)
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
    const ending =
      decision.decision === 'bill'
        ? null
        : decision.decision === 'owe'
          ? { ...decision, availableMicros }
          : decision
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
export function afterEnding(number: PhoneNumber, ending: Ending | null, now: Date): PhoneNumber {
  if (ending === null) return { ...number, nextLookAt: now }
  if (ending.decision === 'rest') return { ...number, nextLookAt: ending.nextLookAt }
  if (ending.decision === 'release')
    return { ...number, state: 'released', releasedAt: now, nextLookAt: null }
  const { state, pastDueAt, suspendedAt, nextLookAt } = ending
  return { ...number, state, pastDueAt, suspendedAt, nextLookAt }
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

export function availableOf(wallet: LockedWallet): Micros {
  return micros(wallet.balanceMicros - wallet.heldMicros)
}
