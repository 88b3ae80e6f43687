import { describe, expect } from 'vitest'

import { listPhoneNumbers } from '../../db/phone-number.ts'
import { readRateBook } from '../../db/rate-book.ts'
import { rentNumber, settleRentals } from '../../db/rental.ts'
import { verifyLedger } from '../../db/verify.ts'
import { withLockedWallet } from '../../db/wallet.ts'
import { test } from '../support/fixtures.ts'
import { givenWorkspace } from '../support/given.ts'

describe('a rental', () => {
  test('pays its first month, renews on the anniversary, and its books verify', async ({ ownDb: db }) => {
    const workspaceId = await givenWorkspace(db)
    const prices = await readRateBook(db)
    const now = new Date('2026-01-31T10:00:00Z')

    const rented = await withLockedWallet(db, workspaceId, (trx, wallet) =>
      rentNumber(trx, wallet, { phoneNumber: '+14155550100' }, { now, prices }),
    )
    const at = async (instant: string) =>
      await withLockedWallet(db, workspaceId, (trx, wallet) =>
        settleRentals(trx, wallet, { now: new Date(instant), prices }),
      )

    expect(rented).toMatchObject({ outcome: 'rented', number: { state: 'active', periodsBilled: 1 } })
    expect(await at('2026-02-28T09:59:59Z')).toMatchObject({ billed: 0 })
    expect(await at('2026-02-28T10:00:00Z')).toMatchObject({ billed: 1 })
    expect(await at('2026-03-31T10:00:00Z')).toMatchObject({ billed: 0, owed: 1 })
    const { numbers } = await listPhoneNumbers(db, { workspaceId, limit: 10 })
    expect(numbers).toMatchObject([{ state: 'past_due', periodsBilled: 2 }])
    expect((await verifyLedger(db)).breaks).toEqual([])
  })
})
