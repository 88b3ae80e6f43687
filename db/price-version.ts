/** The moment and the prices that a transaction decides by, in one answer. */
import { sql } from 'kysely'

import { BillingError } from '../billing/billing-error.ts'
import type { Tx } from './schema.ts'

/** Shape: the database's clock, in whole milliseconds, and the version of the price list that the rate book is read by. */
export async function readClockAndVersion(trx: Tx): Promise<{ now: Date; version: bigint }> {
  const { rows } = await sql<{ now: Date; version: bigint }>`/* clock-and-version */
    select wallet_now() as now, version from price_list`.execute(trx)
  const row = rows[0]
  if (row === undefined)
    throw new BillingError('price_list_missing', 'price_list has no row: run the migrations')
  return row
}
