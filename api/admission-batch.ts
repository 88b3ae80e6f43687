/**
 * The admission batch: all admissions of a process go through one lane of Postgres transactions. A promise resolves only after
 * the commit. Guarantees: nobody waits longer than the patience given, whatever Postgres does; a call whose wallet is in use
 * elsewhere goes to the end of the line; one that Postgres cannot take fails alone.
 */
import { sql } from 'kysely'

import type { CallToAdmit } from '../billing/admission.ts'
import { BillingError } from '../billing/billing-error.ts'
import type { WorkspaceId } from '../billing/ids.ts'
import { admitCalls, type Admission } from '../db/admission.ts'
import { codeOf, isOutage } from '../db/errors.ts'
import { createRateBookCache } from '../db/rate-book.ts'
import type { Db, Tx } from '../db/schema.ts'
import { lockWallet } from '../db/wallet.ts'
import { again, createLane } from '../runtime/lane.ts'
import type { Log } from '../runtime/log.ts'
import { pause } from '../runtime/repeat.ts'
import { refusal } from './errors.ts'

export type DecidedAdmission = Exclude<Admission, { outcome: 'deferred' }>

export type AdmissionBatch = {
  /** Throws: a refusal with 503 when it was not decided in time; asking again with the same call id is safe. */
  admit: (call: CallToAdmit) => Promise<DecidedAdmission>
  close: () => Promise<void>
}

/** A call in the line. */
type Asked = {
  call: CallToAdmit
  /** Nobody waits for it any more. */
  givenUp: boolean
  /** How often its wallet was in use elsewhere. */
  deferrals: number
}

type Decided = DecidedAdmission | { outcome: 'given_up' } | { outcome: 'failed'; error: unknown }

export function createAdmissionBatch({
  db,
  log,
  silentAfterMs,
  most = 256,
  patienceMs = 2_000,
}: {
  db: Db
  log: Log
  /** How long a call that nobody mentions keeps its hold. */
  silentAfterMs: number
  most?: number
  /** How long a call waits for its answer at most. */
  patienceMs?: number
}): AdmissionBatch {
  const rateBookOf = createRateBookCache()
  const stopping = new AbortController()
  let warned = false

  const transact = async (
    waiting: readonly Asked[],
    waitFor: WorkspaceId | undefined,
  ): Promise<Admission[]> => {
    const calls = waiting.map((item) => item.call)
    return await db.transaction().execute(async (trx) => {
      if (waitFor !== undefined) await waitForWallet(trx, waitFor)
      const admissions = await admitCalls(trx, calls, rateBookOf, { silentAfterMs })
      // Money would be held for a call of which nobody hears any more.
      if (waiting.some((item) => item.givenUp)) throw nobodyWaits
      return admissions
    })
  }

  /** Tries until it is decided or nobody waits: waits out outages, and halves a batch that fails for any other cause. */
  const decide = async (items: readonly Asked[]): Promise<(Decided | typeof again)[]> => {
    for (let failures = 0; ; failures += 1) {
      const waiting = items.filter((item) => !item.givenUp)
      if (waiting.length === 0 || stopping.signal.aborted) return items.map(() => ({ outcome: 'given_up' }))
      const waitFor = waiting.find((item) => item.deferrals >= mostDeferrals)?.call.workspaceId
      try {
        const admissions = await within(patienceMs, transact(waiting, waitFor))
        warned = false
        const decided = new Map(waiting.map((item, index) => [item, admissions[index]]))
        return items.map((item) =>
          decided.has(item) ? decidedOf(item, decided.get(item)) : { outcome: 'given_up' },
        )
      } catch (error) {
        if (error === nobodyWaits) continue
        if (isBusy(error)) {
          await pause(2, stopping.signal)
          // Somebody keeps that wallet for long: the others go first for a while.
          for (const item of waiting) if (item.call.workspaceId === waitFor) item.deferrals = -mostDeferrals
          continue
        }
        if (!isOutage(error)) return await decideApart(items, error)
        if (!warned) log.warn({ err: error, calls: waiting.length }, 'admission waits for the database')
        warned = true
        await pause(Math.min(25 * 2 ** failures, 250), stopping.signal)
      }
    }
  }

  const decideApart = async (
    items: readonly Asked[],
    error: unknown,
  ): Promise<(Decided | typeof again)[]> => {
    if (items.length === 1) return [{ outcome: 'failed', error }]
    const half = Math.ceil(items.length / 2)
    return [...(await decide(items.slice(0, half))), ...(await decide(items.slice(half)))]
  }

  const lane = createLane<Asked, Decided>({ most, run: decide })

  return {
    admit: async (call) => {
      const asked = { call, givenUp: false, deferrals: 0 }
      const patience = Promise.withResolvers<Decided>()
      const timer = setTimeout(() => {
        asked.givenUp = true
        patience.resolve({ outcome: 'given_up' })
      }, patienceMs)
      try {
        const decided = await Promise.race([lane.submit(asked), patience.promise])
        if (decided.outcome === 'failed') throw decided.error
        if (decided.outcome === 'given_up') throw undecided()
        return decided
      } finally {
        clearTimeout(timer)
      }
    },
    close: async () => {
      stopping.abort()
      await lane.close(undecided())
    },
  }
}

/** After so many looks at a wallet that is in use, it is waited for: others may have it again and again. */
const mostDeferrals = 3

/** In turn with everybody else who wants it, and not for long: others are in this line too. */
async function waitForWallet(trx: Tx, workspaceId: WorkspaceId): Promise<void> {
  await sql`select set_config('lock_timeout', '100', true)`.execute(trx)
  await lockWallet(trx, workspaceId)
}

function decidedOf(item: Asked, admission: Admission | undefined): Decided | typeof again {
  if (admission !== undefined && admission.outcome !== 'deferred') return admission
  item.deferrals += 1
  return again
}

/** A lock that somebody else holds, a deadlock, a slow moment: it may be over at the next try. */
function isBusy(error: unknown): boolean {
  const code = codeOf(error) ?? ''
  return code.startsWith('40') || code === '55P03' || code === '57014'
}

/** Rolls a transaction back whose calls have been given up meanwhile. */
const nobodyWaits = new BillingError('nobody_waits', 'A call was given up while it was decided')

/** A connection may be dead without saying so: what takes too long is left to itself, and comes to nothing. */
async function within<Result>(patienceMs: number, work: Promise<Result>): Promise<Result> {
  const late = Promise.withResolvers<never>()
  const timer = setTimeout(() => {
    late.reject(Object.assign(new Error(`no answer within ${patienceMs} ms`), { code: 'ETIMEDOUT' }))
  }, patienceMs)
  try {
    return await Promise.race([work, late.promise])
  } finally {
    clearTimeout(timer)
  }
}

function undecided() {
  return refusal({
    status: 503,
    code: 'unavailable',
    message:
      'Whether this call may start could not be decided in time: send the same again, with the same call_id, in a moment.',
    headers: { 'retry-after': '1' },
  })
}
