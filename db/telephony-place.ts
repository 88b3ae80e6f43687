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

/** What prefixes are called on the newest card that names them. */
export async function listTelephonyPlaces(
  db: Db,
  prefixes: readonly string[],
): Promise<ReadonlyMap<string, string>> {
  if (prefixes.length === 0) return new Map()
  const rows = await db
    .selectFrom('telephony_rate')
    .innerJoin('rate_card', 'rate_card.rate_card_id', 'telephony_rate.rate_card_id')
    .select(['telephony_rate.prefix', 'telephony_rate.place'])
    .where('telephony_rate.prefix', 'in', prefixes)
    .where('telephony_rate.place', '<>', '')
    .orderBy('rate_card.effective_from')
    .execute()
  return new Map(rows.map(({ prefix, place }) => [prefix, place]))
}
