/**
 * Rented numbers: renting one pays its first month, and from then on every month is paid in advance on the anniversary. Whoever
 * hands out the numbers is somebody else; here is what they cost and until when they are paid.
 */
import { z } from 'zod'

import { nextPeriod, explainRental, phoneNumberStates, rentalReasons } from '../billing/rental.ts'
import { phoneNumberId, type PhoneNumberId, type WorkspaceId } from '../billing/ids.ts'
import { walletTransactionId } from '../billing/wallet-transaction.ts'
import { isUnderWay } from '../db/admission.ts'
import {
  findPhoneNumber,
  listPhoneNumbers,
  listRentalPeriods,
  listRentalSteps,
  type PhoneNumber,
  type RentalPeriod,
  type RentalStep,
} from '../db/phone-number.ts'
import { feeOf } from '../db/rent-plan.ts'
import { cancelNumber, releaseNumber, rentNumber } from '../db/rental.ts'
import { withLockedWallet } from '../db/wallet.ts'
import type { RateBook } from '../db/rate-book.ts'
import type { Db } from '../db/schema.ts'
import { inOneSnapshot } from '../db/snapshot.ts'
import { callPayload } from '../jobs/usage-jobs.ts'
import { workspaceOf, type Api, type RouteContext } from './api.ts'
import { refusal } from './errors.ts'
import { insufficientBalance, walletFrozen } from './insufficient-balance.ts'
import { pageQuery, pageShape } from './page.ts'
import { createPrices, type Prices, type Quotation } from './prices.ts'
import { flag } from './query-fields.ts'
import { noWallet } from './wallet-routes.ts'
import { exactUsd, exactUsdShape } from './wallet-transaction-shape.ts'

const instant = z.iso.datetime()

const numberFields = {
  id: z.string().meta({ examples: ['num_0123456789abcdef01234567'] }),
  phone_number: z.string().meta({ examples: ['+14155550100'] }),
  state: z.enum(phoneNumberStates).meta({
    description:
      '`past_due`: a month is owed and tried again every day. `suspended`: for three days. `released`: for seven more, or cancelled.',
  }),
  month_usd: exactUsdShape('What its next month costs.', 5).nullable(),
  rented_at: instant.meta({ description: 'Every month begins on the anniversary of this, UTC.' }),
  paid_until: instant.nullable().meta({ description: 'The end of the last month that was paid.' }),
  next_anniversary: instant
    .nullable()
    .meta({ description: 'When the next month is paid; null when there will be none.' }),
  cancels_at: instant.nullable(),
  past_due_since: instant.nullable(),
  suspended_at: instant.nullable(),
  released_at: instant.nullable(),
}
const numberShape = z.object(numberFields)
const numberWithHistory = z.object({
  ...numberFields,
  periods: z
    .array(
      z.object({
        starts_at: instant,
        ends_at: instant,
        amount_usd: exactUsdShape('', 5),
        billed_at: instant,
        transaction_id: z
          .string()
          .nullable()
          .meta({ examples: ['txn_0000001a9f86d081'] }),
        reversal_id: z
          .string()
          .nullable()
          .meta({ description: 'The wallet transaction by which the month was given back.' }),
      }),
    )
    .meta({ description: 'The months that were paid, newest first; 120 at most.' }),
  history: z
    .array(
      z.object({
        state: z.enum(phoneNumberStates),
        reason: z.enum(rentalReasons),
        message: z.string(),
        detail: z.unknown(),
        at: instant,
      }),
    )
    .meta({ description: 'Every step that it took, newest first; 400 at most.' }),
})

const params = z.object({ id: phoneNumberId })
const tags = ['Numbers']

export function registerPhoneNumberRoutes(api: Api, context: RouteContext): void {
  registerRent(api, context)
  registerReads(api, context)
  registerCancel(api, context)
}

function registerRent(api: Api, { db }: RouteContext): void {
  const prices = createPrices(db)
  api.post(
    '/v1/phone-numbers',
    {
      config: { scope: 'write', idempotent: true },
      schema: {
        summary: 'Rent a number',
        description:
          'Pays the first month now; 402 when the wallet cannot, and nothing is rented. A number that is rented already is ' +
          'answered with 200 as it is, and a cancellation that is under way is withdrawn.',
        tags,
        body: z.strictObject({
          phone_number: callPayload.shape.to.unwrap().meta({ examples: ['+14155550100'] }),
        }),
        response: { 200: numberShape, 201: numberShape },
      },
    },
    async (request, reply) => {
      const { phone_number: phoneNumber } = request.body
      const done = await withLockedWallet(db, workspaceOf(request), async (trx, wallet) => {
        const quotation = await prices.quoteIn(trx)
        return { ...quotation, rented: await rentNumber(trx, wallet, { phoneNumber }, quotation) }
      })
      if (done === null) throw noWallet()
      const { rented } = done
      if (rented.outcome === 'frozen') throw walletFrozen('no number may be rented')
      if (rented.outcome === 'no_price') throw noPrice()
      if (rented.outcome === 'insufficient_balance') {
        throw insufficientBalance(
          { ...rented, rechargeUnderWay: isUnderWay(rented.recharged) },
          { message: 'Wallet balance below the first month of the number' },
        )
      }
      return await reply
        .code(rented.outcome === 'rented' ? 201 : 200)
        .header('location', `/v1/phone-numbers/${rented.number.phoneNumberId}`)
        .send(numberJson(rented.number, done.prices))
    },
  )
}

function registerReads(api: Api, { db }: RouteContext): void {
  const prices = createPrices(db)
  api.get(
    '/v1/phone-numbers',
    {
      config: { scope: 'read' },
      schema: {
        summary: 'Rented numbers, newest first',
        tags,
        querystring: z.strictObject({ ...pageQuery(), state: z.enum(phoneNumberStates).optional() }),
        response: { 200: z.object({ phone_numbers: z.array(numberShape), ...pageShape }) },
      },
    },
    async (request) => {
      const { limit, offset, state } = request.query
      const states = state === undefined ? undefined : [state]
      const found = await listPhoneNumbers(db, { workspaceId: workspaceOf(request), states, limit, offset })
      const quotation = await prices.quoteNow()
      return {
        phone_numbers: found.numbers.map((number) => numberJson(number, quotation.prices)),
        total: found.total,
        limit,
        offset,
      }
    },
  )

  api.get(
    '/v1/phone-numbers/:id',
    {
      config: { scope: 'read' },
      schema: {
        summary: 'A number: its next anniversary, the months that were paid, and every step it took',
        tags,
        params,
        response: { 200: numberWithHistory },
      },
    },
    async (request) => {
      const workspaceId = workspaceOf(request)
      const { number, periods, steps, ...quotation } = await getNumberHistory({ db, prices }, workspaceId, {
        phoneNumberId: request.params.id,
        mostPeriods: 120,
        mostSteps: 400,
      })
      return {
        ...numberJson(number, quotation.prices),
        periods: periods.map((period) => ({
          starts_at: period.startsAt.toISOString(),
          ends_at: period.endsAt.toISOString(),
          amount_usd: exactUsd(period.amountMicros),
          billed_at: period.billedAt.toISOString(),
          transaction_id: transactionId(workspaceId, period.walletSequence),
          reversal_id: transactionId(workspaceId, period.reversalSequence),
        })),
        history: steps.map((step) => ({
          state: step.state,
          reason: step.reason,
          message: explainRental(step.reason),
          detail: step.detail,
          at: step.steppedAt.toISOString(),
        })),
      }
    },
  )
}

function registerCancel(api: Api, { db }: RouteContext): void {
  const prices = createPrices(db)
  api.delete(
    '/v1/phone-numbers/:id',
    {
      config: { scope: 'write' },
      schema: {
        summary: 'Cancel a number',
        description:
          'It ends with the month that is paid, or with `now=true` at once; what was paid is not given back, and a month that has ' +
          'begun is paid first. One whose month is owed ends at once, and owes nothing more. Asking again changes nothing; renting it again before it has ended withdraws the cancellation.',
        tags,
        params,
        querystring: z.strictObject({ now: flag.prefault('false') }),
        response: { 200: numberShape },
      },
    },
    async (request) => {
      const { number, ...quotation } = await cancelNumberNamed({ db, prices }, workspaceOf(request), {
        phoneNumberId: request.params.id,
        atOnce: request.query.now,
      })
      return numberJson(number, quotation.prices)
    },
  )
}

/** Shape: the number, its newest months and steps, and the prices, as of one moment. Throws: the refusal `not_found`. */
export async function getNumberHistory(
  { db, prices }: { db: Db; prices: Prices },
  workspaceId: WorkspaceId,
  {
    phoneNumberId,
    mostPeriods,
    mostSteps,
  }: { phoneNumberId: string; mostPeriods: number; mostSteps: number },
): Promise<Quotation & { number: PhoneNumber; periods: RentalPeriod[]; steps: RentalStep[] }> {
  return await inOneSnapshot(db, async (trx) => {
    const number = await findPhoneNumber(trx, workspaceId, { phoneNumberId })
    if (number === null) throw noSuchNumber()
    return {
      number,
      periods: await listRentalPeriods(trx, number, { limit: mostPeriods }),
      steps: await listRentalSteps(trx, number, mostSteps),
      ...(await prices.quoteIn(trx)),
    }
  })
}

/** Shape: the number as it is then, and the prices it was decided with. Throws: the refusal `not_found`. */
export async function cancelNumberNamed(
  { db, prices }: { db: Db; prices: Prices },
  workspaceId: WorkspaceId,
  { phoneNumberId, atOnce }: { phoneNumberId: PhoneNumberId; atOnce: boolean },
): Promise<Quotation & { number: PhoneNumber }> {
  const cancelled = await withLockedWallet(db, workspaceId, async (trx, wallet) => {
    const quotation = await prices.quoteIn(trx)
    const number = await findPhoneNumber(trx, workspaceId, { phoneNumberId })
    if (number === null) throw noSuchNumber()
    const cancel = atOnce ? releaseNumber : cancelNumber
    return { ...quotation, number: await cancel(trx, wallet, number, quotation) }
  })
  if (cancelled === null) throw noWallet()
  return cancelled
}

function numberJson(number: PhoneNumber, prices: RateBook): z.output<typeof numberShape> {
  const { startsAt } = nextPeriod(number)
  const hasNext = number.state !== 'released' && number.cancelAt === null
  const fee = hasNext ? feeOf(number.workspaceId, startsAt, prices) : null
  return {
    id: number.phoneNumberId,
    phone_number: number.phoneNumber,
    state: number.state,
    month_usd: fee === null ? null : exactUsd(fee.amountMicros),
    rented_at: number.anchorAt.toISOString(),
    paid_until: number.periodsBilled === 0 ? null : number.paidUntil.toISOString(),
    next_anniversary: hasNext ? startsAt.toISOString() : null,
    cancels_at: text(number.cancelAt),
    past_due_since: text(number.pastDueAt),
    suspended_at: text(number.suspendedAt),
    released_at: text(number.releasedAt),
  }
}

function transactionId(workspaceId: WorkspaceId, sequence: bigint | null): string | null {
  return sequence === null ? null : walletTransactionId(workspaceId, sequence)
}

function text(instant: Date | null): string | null {
  return instant === null ? null : instant.toISOString()
}

export function noSuchNumber() {
  return refusal({
    status: 404,
    code: 'not_found',
    message: 'There is no such number in this workspace: list them to find its id.',
  })
}

function noPrice() {
  return refusal({
    status: 422,
    code: 'no_price',
    message: 'No price is in force for numbers: whoever runs this service has to publish one.',
  })
}
