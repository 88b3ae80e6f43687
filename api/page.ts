/** Pages of a list: `limit`, `offset` and `total`, newest first. */
import { z } from 'zod'

import { wholeNumber } from './query-fields.ts'

/** What a list may be asked for. */
export function pageQuery({ most = 100, fallback = 50 }: { most?: number; fallback?: number } = {}) {
  return {
    limit: wholeNumber({ least: 1, most, otherwise: fallback }),
    offset: wholeNumber({ least: 0, most: 1_000_000, otherwise: 0 }),
  }
}

/** What every list says of itself. */
export const pageShape = {
  total: z.int().meta({ description: 'How many there are in all.', examples: [2] }),
  limit: z.int(),
  offset: z.int(),
}
