/**
 * The rental queue: numbers that were rented or given back elsewhere, and the bell that rents of a workspace are to be settled. A
 * job is done when its transaction is committed; running it again changes nothing.
 */
import type { Job } from 'bullmq'
import type { z } from 'zod'

import { BillingError } from '../billing/billing-error.ts'
import { describeIssues } from '../billing/parse-issues.ts'
import { findRentalAt } from '../db/phone-number.ts'
import { readClockAndVersion } from '../db/price-version.ts'
import { createRateBookCache } from '../db/rate-book.ts'
import { giveBackNumber, noteRentedNumber } from '../db/rental.ts'
import type { Db } from '../db/schema.ts'
import { lockWallet } from '../db/wallet.ts'
import {
  numberReleased,
  numberReleasedPayload,
  numberRented,
  numberRentedPayload,
  rentalDue,
} from '../jobs/rental-jobs.ts'
import { refusedArrival, type Refusal } from '../jobs/usage-arrival.ts'
import type { PostingBatch } from './posting-batch.ts'
import { settleWorkspaceRentals } from './rental-sweep.ts'
import { startWorker, type StartedWorker, type WorkerContext } from './start-worker.ts'
import { throughOutages } from './through-outages.ts'

type RentalWorker = { db: Db; batch: PostingBatch; stopping: AbortSignal }

export function startRentalWorker(context: WorkerContext, rental: RentalWorker): StartedWorker {
  const rateBookOf = createRateBookCache()
  return startWorker(context, 'rental', {
    concurrency: 8,
    handle: async (job) => {
      const done = await throughOutages(rental.stopping, () => handleRentalJob(job, rental.db, rateBookOf))
      if (done.outcome !== 'refused') return done
      const data = { job: job.name, data: job.data as unknown }
      await rental.batch.post(refusedArrival('unknown', data, new Date(job.timestamp), done.refusal))
      return { outcome: 'set_aside', reason: done.refusal.reason }
    },
  })
}

type Handled =
  | { outcome: 'refused'; refusal: Refusal }
  | { outcome: 'rented' | 'known' | 'released' | 'not_rented' }
  | { outcome: 'settled'; billed: number }

type RateBookOf = ReturnType<typeof createRateBookCache>

async function handleRentalJob(job: Job, db: Db, rateBookOf: RateBookOf): Promise<Handled> {
  if (job.name === numberRented.name)
    return await read(numberRentedPayload, job, (rented) => note(db, rented, rateBookOf))
  if (job.name === numberReleased.name) {
    return await read(numberReleasedPayload, job, (released) => release(db, released, rateBookOf))
  }
  if (job.name === rentalDue.name) {
    return await read(rentalDue.schema, job, async ({ workspaceId }) => {
      const { billed } = await settleWorkspaceRentals(db, workspaceId, rateBookOf)
      return { outcome: 'settled', billed }
    })
  }
  return malformed(`no worker knows the job ${job.name}`)
}

async function read<Schema extends z.ZodType>(
  schema: Schema,
  job: Job,
  handle: (payload: z.output<Schema>) => Promise<Handled>,
): Promise<Handled> {
  const parsed = schema.safeParse(job.data)
  return parsed.success ? await handle(parsed.data) : malformed(describeIssues(parsed.error))
}

function malformed(detail: string): Handled {
  return { outcome: 'refused', refusal: { reason: 'malformed_payload', detail } }
}

const clockSkewMs = 5 * 60_000
const oldestMs = 35 * 86_400_000

async function note(
  db: Db,
  { workspaceId, ...rented }: z.output<typeof numberRentedPayload>,
  rateBookOf: RateBookOf,
): Promise<Handled> {
  return await db.transaction().execute(async (trx): Promise<Handled> => {
    const wallet = await lockWallet(trx, workspaceId)
    const { now, version } = await readClockAndVersion(trx)
    const aheadMs = rented.rentedAt.getTime() - now.getTime()
    const detail = `rentedAt: ${rented.rentedAt.toISOString()}`
    if (aheadMs > clockSkewMs) return { outcome: 'refused', refusal: { reason: 'from_the_future', detail } }
    if (aheadMs < -oldestMs) return { outcome: 'refused', refusal: { reason: 'too_old', detail } }
    if (wallet === null) throw tooEarly('unknown_workspace', workspaceId)
    const prices = await rateBookOf(trx, version)
    const { outcome } = await noteRentedNumber(trx, wallet, rented, { now, prices })
    if (outcome === 'taken') throw tooEarly('number_taken', workspaceId)
    return { outcome }
  })
}

async function release(
  db: Db,
  { workspaceId, phoneNumber, releasedAt }: z.output<typeof numberReleasedPayload>,
  rateBookOf: RateBookOf,
): Promise<Handled> {
  return await db.transaction().execute(async (trx): Promise<Handled> => {
    const wallet = await lockWallet(trx, workspaceId)
    const { now, version } = await readClockAndVersion(trx)
    const aheadMs = releasedAt.getTime() - now.getTime()
    const detail = `releasedAt: ${releasedAt.toISOString()}`
    if (aheadMs > clockSkewMs) return { outcome: 'refused', refusal: { reason: 'from_the_future', detail } }
    const rental = await findRentalAt(trx, workspaceId, { phoneNumber, at: releasedAt })
    // A number that was given back before had been rented again, and that is what came to an end.
    if (rental === null || (rental.givenBackAt !== null && rental.givenBackAt < releasedAt)) {
      // News that it was rented would be refused by now.
      if (aheadMs < -oldestMs) return { outcome: 'not_rented' }
      throw tooEarly(wallet === null ? 'unknown_workspace' : 'number_not_rented', workspaceId)
    }
    if (wallet === null || rental.number.state === 'released') return { outcome: 'known' }
    await giveBackNumber(trx, wallet, rental.number, releasedAt, {
      now,
      prices: await rateBookOf(trx, version),
    })
    return { outcome: 'released' }
  })
}

/** News may overtake other news: the job is tried again, and kept until what it follows is here. */
function tooEarly(code: keyof typeof overtaken, workspaceId: string): BillingError {
  return new BillingError(code, overtaken[code], { workspaceId })
}

const overtaken = {
  unknown_workspace: 'A number was rented or given back in a workspace that has no wallet yet',
  number_taken: 'A number was rented that an earlier rental still has',
  number_not_rented: 'A number was given back that nobody has rented yet',
}
