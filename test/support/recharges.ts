/** What a run of recharges came to, seen from our books and from Paddle's journal. */
import { openChargeStates } from '../../billing/top-up.ts'
import type { Db } from '../../db/schema.ts'
import type { Journal } from '../../paddle/simulator/control.ts'

export async function countOpen(db: Db): Promise<number> {
  const row = await db
    .selectFrom('top_up')
    .select((expression) => expression.fn.countAll<bigint>().as('count'))
    .where('state', 'in', openChargeStates)
    .executeTakeFirstOrThrow()
  return Number(row.count)
}

/** By Paddle transaction, in cents. */
export function capturedBy({ captures }: Journal): Map<string, bigint> {
  return new Map(
    captures
      .filter((capture) => capture.net !== '0')
      .map((capture) => [capture.transactionId, BigInt(capture.net)] as const)
      .toSorted(([one], [other]) => one.localeCompare(other)),
  )
}

export async function creditsBy(db: Db): Promise<Map<string, bigint>> {
  const rows = await db
    .selectFrom('ledger_transaction')
    .select(['idempotency_key', 'amount_micros'])
    .where('kind', '=', 'top_up')
    .execute()
  return new Map(
    rows
      .map(
        (row) =>
          [row.idempotency_key.replace('paddle_transaction/', ''), row.amount_micros / 10_000n] as const,
      )
      .toSorted(([one], [other]) => one.localeCompare(other)),
  )
}
