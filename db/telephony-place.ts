/** What a telephony prefix is called, for people. */
import type { Db } from './schema.ts'

/** Shape: null for a prefix that the card does not name, as where it was agreed with one workspace. */
export async function findTelephonyPlace(
  db: Db,
  { rateCardId, prefix }: { rateCardId: string; prefix: string },
): Promise<string | null> {
  const row = await db
    .selectFrom('telephony_rate')
    .select('place')
    .where('rate_card_id', '=', rateCardId)
    .where('prefix', '=', prefix)
    .executeTakeFirst()
  return row === undefined || row.place === '' ? null : row.place
}
