/**
 * What became of a call to Paddle, when it did not simply succeed. The kinds differ in what they prove: only `declined` and
 * `rejected` end a charge, only `not_processed` allows another try at once, and whatever is not recognised is `unknown`.
 */
export type PaddleRefusal =
  /** The card said no. Nothing was applied; a new attempt may be made later, as the decline rules allow. */
  | { readonly outcome: 'declined'; readonly code: string }
  /** Proved never to have been processed: the same attempt may be sent again, after a while. */
  | { readonly outcome: 'not_processed'; readonly code: string; readonly retryAfterMs: number | null }
  /** Nothing was processed, and nothing will be until something else at Paddle is settled. */
  | { readonly outcome: 'blocked'; readonly code: string }
  /** Paddle will never do this as it was asked. */
  | { readonly outcome: 'rejected'; readonly code: string }
  /** It may have happened or not. Ask Paddle what it has before asking it to do anything again. */
  | { readonly outcome: 'unknown'; readonly cause: string }
