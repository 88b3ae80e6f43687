/** Pages of a list: `limit`, `offset` and `total`, newest first. */
import { z } from 'zod'

/** What a list may be asked for. */
export function pageQuery({ most = 100, fallback = 50 }: { most?: number; fallback?: number } = {}) {
  return {
    limit: z.coerce
      .number()
      .pipe(z.int().min(1).max(most))
      .default(fallback)
      .meta({ description: 'How many at most.' }),
    offset: z.coerce
      .number()
      .pipe(z.int().min(0).max(1_000_000))
      .default(0)
      .meta({ description: 'How many newer ones to leave out.' }),
  }
}

/** What every list says of itself. */
export const pageShape = {
  total: z.int().meta({ description: 'How many there are in all.', examples: [2] }),
  limit: z.int(),
  offset: z.int(),
}
