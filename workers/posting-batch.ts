/**
 * The posting batch: all usage of a process goes through one lane of Postgres transactions. A promise resolves only after
 * the commit. Guarantees: a bad event is set aside and delays nobody; while Postgres is away events wait here and none is
 * lost or refused; an event whose wallet is in use elsewhere goes with the next transaction.
 */
import { BillingError } from '../billing/billing-error.ts'
import { codeOf, isOutage } from '../db/errors.ts'
import { postUsage, type UsageOutcome } from '../db/post-usage.ts'
import { createRateBookCache } from '../db/rate-book.ts'
import type { Db } from '../db/schema.ts'
import type { UsageArrival } from '../jobs/usage-arrival.ts'
import { again, createLane } from '../runtime/lane.ts'
import type { Log } from '../runtime/log.ts'
import { pause } from '../runtime/repeat.ts'

export type PostedOutcome = Exclude<UsageOutcome, { outcome: 'deferred' }>

export type PostingBatch = {
  /** Rejects only when the process shuts down before the event was decided, or when it could not even be set aside. */
  post: (arrival: UsageArrival) => Promise<PostedOutcome>
  /** Ends the transaction under way and gives up the events that still wait; their jobs must run again. */
  close: () => Promise<void>
}

/** `failed`: it could not even be set aside. */
type Decided = UsageOutcome | { outcome: 'failed'; error: unknown }

/** The code of the error with which waiting events are given up. */
export const shuttingDown = 'shutting_down'

export function createPostingBatch({
  db,
  log,
  most,
  onBatch,
}: {
  db: Db
  log: Log
  most: number
  /** Told after each commit: how many events it carried and how long it took. */
  onBatch?: (batch: { events: number; durationMs: number }) => void
}): PostingBatch {
  const rateBookOf = createRateBookCache()
  const stopping = new AbortController()
  let warned = false

  const transact = async (arrivals: UsageArrival[]): Promise<UsageOutcome[]> => {
    const startedAt = performance.now()
    const outcomes = await db.transaction().execute((trx) => postUsage(trx, arrivals, rateBookOf))
    onBatch?.({ events: arrivals.length, durationMs: performance.now() - startedAt })
    warned = false
    return outcomes
  }

  /** Once for each time that it begins: trouble comes in rows. */
  const warn = (error: unknown, events: number): void => {
    if (!warned) log.warn({ err: error, events }, 'posting waits for the database')
    warned = true
  }

  /** Tries until it is decided: waits out outages, and halves a batch that fails for any other cause. */
  const decide = async (arrivals: UsageArrival[]): Promise<Decided[]> => {
    for (let failures = 0; ; failures += 1) {
      try {
        return await transact(arrivals)
      } catch (error) {
        if (stopping.signal.aborted) throw givenUp(error)
        const cause = blame(error)
        if (cause !== 'content') warn(error, arrivals.length)
        if (cause !== 'outage') return await decideApart(arrivals, error)
        await pause(backoffMs(failures), stopping.signal)
      }
    }
  }

  const decideApart = async (arrivals: UsageArrival[], error: unknown): Promise<Decided[]> => {
    const [only] = arrivals
    if (arrivals.length === 1 && only !== undefined) {
      // A lock that somebody else holds, a deadlock: it goes to the end of the line and holds up nobody.
      return [blame(error) === 'load' ? { outcome: 'deferred' } : await setAside(only, error)]
    }
    const half = Math.ceil(arrivals.length / 2)
    return [...(await decide(arrivals.slice(0, half))), ...(await decide(arrivals.slice(half)))]
  }

  const setAside = async (arrival: UsageArrival, error: unknown): Promise<Decided> => {
    const detail = error instanceof Error ? error.message : String(error)
    log.error({ workspaceId: arrival.workspaceId, key: arrival.key, err: error }, 'usage cannot be posted')
    const refused: UsageArrival = { ...arrival, event: null, refusal: { reason: 'posting_failed', detail } }
    if (arrival.refusal?.reason === 'posting_failed') return { outcome: 'failed', error }
    const [outcome] = await decide([refused])
    return outcome ?? { outcome: 'deferred' }
  }

  const lane = createLane<UsageArrival, Exclude<Decided, { outcome: 'deferred' }>>({
    most,
    run: async (arrivals) => {
      const outcomes = await decide(arrivals)
      const decided = outcomes.map((outcome) => (outcome.outcome === 'deferred' ? again : outcome))
      if (decided.every((outcome) => outcome === again)) await pause(10, stopping.signal)
      return decided
    },
  })

  return {
    post: async (arrival) => {
      const decided = await lane.submit(arrival)
      // Alone: the others of its batch have been decided.
      if (decided.outcome === 'failed') throw decided.error
      return decided
    },
    close: async () => {
      stopping.abort()
      await lane.close(givenUp(null))
    },
  }
}

function givenUp(cause: unknown): BillingError {
  return new BillingError(shuttingDown, 'The process shuts down before the event was posted', { cause })
}

/** Deadlocks, timeouts and exhausted memory may be a matter of size; a lost connection is not. */
function blame(error: unknown): 'outage' | 'load' | 'content' {
  const code = codeOf(error) ?? ''
  if (code.startsWith('40') || code === '57014' || code === '55P03' || code === '53200') return 'load'
  return isOutage(error) ? 'outage' : 'content'
}

/** 50 ms, doubling up to 2 s, with a third of it left to chance. */
function backoffMs(failures: number): number {
  return Math.min(50 * 2 ** Math.min(failures, 6), 2_000) * (0.67 + Math.random() * 0.33)
}
