/** The numbers whose fee falls due next. */
import type { WorkspaceId } from '../billing/ids.ts'
import { nextPeriod } from '../billing/rental.ts'
import type { RentalDue } from '../dashboard/wallet-page.ts'
import { listNextRentals } from '../db/phone-number.ts'
import { feeOf } from '../db/rent-plan.ts'
import type { Db } from '../db/schema.ts'
import type { Prices } from './prices.ts'

const mostShown = 3

/** The soonest first. */
export async function listRentalsDue(
  { db, prices }: { db: Db; prices: Prices },
  workspaceId: WorkspaceId,
): Promise<RentalDue[]> {
  const numbers = await listNextRentals(db, workspaceId, mostShown)
  if (numbers.length === 0) return []
  const quotation = await prices.quoteNow()
  return numbers.flatMap((number) => {
    const { startsAt: dueAt } = nextPeriod(number)
    const fee = feeOf(workspaceId, dueAt, quotation.prices)
    return fee === null ? [] : [{ phoneNumber: number.phoneNumber, feeMicros: fee.amountMicros, dueAt }]
  })
}
