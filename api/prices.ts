/** The prices in force, kept in memory until there is a new one. */
import type { WorkspaceId } from '../billing/ids.ts'
import type { RateCard } from '../billing/rate-card.ts'
import { readClockAndVersion } from '../db/price-version.ts'
import { createRateBookCache, type RateBook } from '../db/rate-book.ts'
import type { Db, Tx } from '../db/schema.ts'
import { refusal } from './errors.ts'

/** The moment at which something is decided, and the prices it is decided with. */
export type Quotation = { now: Date; prices: RateBook }

export type Prices = {
  /** The moment and the book, seen from a transaction. */
  quoteIn: (trx: Tx) => Promise<Quotation>
  /** The same, seen from nowhere else. */
  quoteNow: () => Promise<Quotation>
  /** The card that prices what begins now: with a workspace's own rates, or as it is listed. Throws the refusal where none is. */
  cardNow: (workspaceId: WorkspaceId | null) => Promise<RateCard>
}

export function createPrices(db: Db): Prices {
  const rateBookOf = createRateBookCache()
  const quoteIn = async (trx: Tx): Promise<Quotation> => {
    const { now, version } = await readClockAndVersion(trx)
    return { now, prices: await rateBookOf(trx, version) }
  }
  const quoteNow = async (): Promise<Quotation> =>
    await db.transaction().setAccessMode('read only').execute(quoteIn)
  return {
    quoteIn,
    quoteNow,
    cardNow: async (workspaceId) => {
      const { prices, now } = await quoteNow()
      const card = prices.cardFor(workspaceId ?? nobody, now)
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
