/** The prices in force, kept in memory until there is a new one. */
import type { WorkspaceId } from '../billing/ids.ts'
import type { RateCard } from '../billing/rate-card.ts'
import { readClockAndVersion } from '../db/price-version.ts'
import { createRateBookCache, type RateBook } from '../db/rate-book.ts'
import type { Db, Tx } from '../db/schema.ts'
import { refusal } from './errors.ts'

export type Prices = {
  /** The book, seen from a transaction. */
  bookFor: (trx: Tx) => Promise<RateBook>
  /** The card that prices what begins now: with a workspace's own rates, or as it is listed. Throws the refusal where none is. */
  cardNow: (workspaceId: WorkspaceId | null) => Promise<RateCard>
}

export function createPrices(db: Db): Prices {
  const rateBookOf = createRateBookCache()
  return {
    bookFor: async (trx) => await rateBookOf(trx, (await readClockAndVersion(trx)).version),
    cardNow: async (workspaceId) => {
      const { book, now } = await db
        .transaction()
        .setAccessMode('read only')
        .execute(async (trx) => {
          const { now, version } = await readClockAndVersion(trx)
          return { now, book: await rateBookOf(trx, version) }
        })
      const card = book.cardFor(workspaceId ?? nobody, now)
      if (card === null) throw noPrices()
      return card
    },
  }
}

/** Nobody has agreed rates. */
const nobody = ''

function noPrices() {
  return refusal({
    status: 422,
    code: 'no_rate_card',
    message: 'No rate card is in force for this workspace: ask whoever runs this to publish one.',
  })
}
