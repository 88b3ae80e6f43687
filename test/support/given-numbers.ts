/** Given: rented numbers, and time that passes for them because the caller says so. */
import type { WorkspaceId } from '../../billing/ids.ts'
import {
  findPhoneNumber,
  listRentalPeriods,
  listRentalSteps,
  type PhoneNumber,
} from '../../db/phone-number.ts'
import { createRateBookCache } from '../../db/rate-book.ts'
import type { RentalContext } from '../../db/rent-plan.ts'
import { rentNumber, settleRentals, type Settled } from '../../db/rental.ts'
import type { Db, Tx } from '../../db/schema.ts'
import type { LockedWallet } from '../../db/wallet.ts'
import { underLock } from './given-money-in.ts'

const rateBookOf = createRateBookCache()

export const anyNumber = '+14155550100'

/** Does `work` under the wallet's lock at that instant, with the prices that there are. */
export async function rentalsAt<Result>(
  db: Db,
  workspaceId: WorkspaceId,
  now: Date,
  work: (trx: Tx, wallet: LockedWallet, context: RentalContext) => Promise<Result>,
): Promise<Result> {
  return await underLock(db, workspaceId, async (trx, wallet) => {
    const { version } = await trx.selectFrom('price_list').select('version').executeTakeFirstOrThrow()
    return await work(trx, wallet, { now, prices: await rateBookOf(trx, version) })
  })
}

/** Fails unless the wallet can pay. */
export async function givenNumber(
  db: Db,
  workspaceId: WorkspaceId,
  { phoneNumber = anyNumber, now = new Date() }: { phoneNumber?: string; now?: Date } = {},
): Promise<PhoneNumber> {
  const rented = await rentalsAt(db, workspaceId, now, (trx, wallet, context) =>
    rentNumber(trx, wallet, { phoneNumber }, context),
  )
  if (rented.outcome !== 'rented') throw new Error(`${phoneNumber} was not rented: ${rented.outcome}`)
  return rented.number
}

export async function settleAt(db: Db, workspaceId: WorkspaceId, now: Date): Promise<Settled> {
  return await rentalsAt(db, workspaceId, now, settleRentals)
}

/** As it is now, the starts of its months, the first first, and the reasons of its steps. */
export async function lifeOf(db: Db, number: Pick<PhoneNumber, 'workspaceId' | 'phoneNumberId'>) {
  const { workspaceId, phoneNumberId } = number
  const row = await findPhoneNumber(db, workspaceId, { phoneNumberId })
  if (row === null) throw new Error(`${phoneNumberId} is not there`)
  const periods = await listRentalPeriods(db, row, {})
  const steps = await listRentalSteps(db, row, 1_000)
  return {
    ...row,
    months: periods.map(({ startsAt }) => startsAt.toISOString()).toReversed(),
    reasons: steps.map(({ reason }) => reason).toReversed(),
    steps: steps.toReversed(),
  }
}
