/**
 * How often something happened in the last minute, without a list of when: the count of this window and a share of the one
 * before it, as much as a window that ends now still covers.
 */

export type WindowLimit = { limit: number; windowMs: number }

/** What is counted: this window and the one before. */
export type WindowCounts = { current: number; previous: number; elapsedMs: number }

/** Shape: `counted` is false, and nothing was added, when the limit was reached. */
export type Counted = WindowCounts & { counted: boolean }

/** Pure. What counts has come `elapsedMs` into its window. */
function hasRoom({ current, previous, elapsedMs }: WindowCounts, { limit, windowMs }: WindowLimit): boolean {
  return current + previous * (1 - elapsedMs / windowMs) <= limit - 1
}

/** How many more there may be now. */
export function remainingOf(
  { current, previous, elapsedMs }: WindowCounts,
  { limit, windowMs }: WindowLimit,
): number {
  return Math.max(0, Math.floor(limit - current - previous * (1 - elapsedMs / windowMs)))
}

/** In how many milliseconds there is room for one, if none comes meanwhile. */
export function roomInMs(counts: WindowCounts, rule: WindowLimit): number {
  if (hasRoom(counts, rule)) return 0
  const { current, previous, elapsedMs } = counts
  const { limit, windowMs } = rule
  const spare = limit - 1
  if (current <= spare) return Math.ceil(windowMs * (1 - (spare - current) / previous) - elapsedMs)
  return Math.ceil(windowMs - elapsedMs + windowMs * (1 - spare / current))
}

type KeptWindow = { window: number; current: number; previous: number }

/** Counts in this process. Forgets what nobody asked for in two windows; `mostNames` bounds what strangers can make it hold. */
export function createWindowCounter(
  rule: WindowLimit,
  { mostNames = 50_000 }: { mostNames?: number } = {},
): (name: string, nowMs: number) => Counted {
  const kept = new Map<string, KeptWindow>()

  return (name, nowMs) => {
    const window = Math.floor(nowMs / rule.windowMs)
    const before = kept.get(name)
    const counts = {
      current: before?.window === window ? before.current : 0,
      previous: previousOf(before, window),
      elapsedMs: nowMs - window * rule.windowMs,
    }
    if (!hasRoom(counts, rule)) return { ...counts, counted: false }
    // Taken out and put in again: the oldest stand first.
    kept.delete(name)
    kept.set(name, { window, current: counts.current + 1, previous: counts.previous })
    for (const [oldest, { window: last }] of kept) {
      if (last >= window - 1 && kept.size <= mostNames) break
      kept.delete(oldest)
    }
    return { ...counts, current: counts.current + 1, counted: true }
  }
}

function previousOf(before: KeptWindow | undefined, window: number): number {
  if (before?.window === window) return before.previous
  return before?.window === window - 1 ? before.current : 0
}
