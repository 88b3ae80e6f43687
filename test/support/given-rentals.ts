/** Given: numbers that were rented some months ago, and the settling of what has come due for them. */
import type { WorkspaceId } from '../../billing/ids.ts'
import { findPhoneNumber, type PhoneNumber } from '../../db/phone-number.ts'
import { readClockAndVersion } from '../../db/price-version.ts'
import { rentNumber, settleRentals, type Settled } from '../../db/rental.ts'
import type { Db } from '../../db/schema.ts'
import { rateBookOf } from './given-calls.ts'
import { givenPayer, underLock, type GivenPayer } from './given-money-in.ts'

export type GivenRental = GivenPayer & { phoneNumber: string; phoneNumberId: string }

/** A number that was rented so many months and a day ago, its first month paid: $5 of the $10 are left. */
export async function givenRental(db: Db, { monthsAgo }: { monthsAgo: number }): Promise<GivenRental> {
  const payer = await givenPayer(db)
  const phoneNumber = '+14155550100'
  const rentedAt = new Date()
  rentedAt.setUTCDate(rentedAt.getUTCDate() - 1)
  rentedAt.setUTCMonth(rentedAt.getUTCMonth() - monthsAgo, Math.min(rentedAt.getUTCDate(), 28))
  const rented = await underLock(db, payer.workspaceId, async (trx, wallet) => {
    const { version } = await readClockAndVersion(trx)
    const prices = await rateBookOf(trx, version)
    return await rentNumber(trx, wallet, { phoneNumber }, { now: rentedAt, prices })
  })
  if (rented.outcome !== 'rented') throw new Error(`the number is not rented: ${rented.outcome}`)
  return { ...payer, phoneNumber, phoneNumberId: rented.number.phoneNumberId }
}

/** In one transaction. */
export async function settle(db: Db, workspaceId: WorkspaceId): Promise<Settled> {
  return await underLock(db, workspaceId, async (trx, wallet) => {
    const { now, version } = await readClockAndVersion(trx)
    return await settleRentals(trx, wallet, { now, prices: await rateBookOf(trx, version) })
  })
}

/** Throws: when the workspace does not rent it now. */
export async function getPhoneNumber(
  db: Db,
  workspaceId: WorkspaceId,
  phoneNumber: string,
): Promise<PhoneNumber> {
  const number = await findPhoneNumber(db, workspaceId, { phoneNumber })
  if (number === null) throw new Error(`${workspaceId} does not rent ${phoneNumber}`)
  return number
}
