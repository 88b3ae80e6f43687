/** Rented numbers on the wallet page: the list, each with its history, and giving one up. */
import { phoneNumberId } from '../billing/ids.ts'
import { explainRental, nextPeriod } from '../billing/rental.ts'
import { walletTransactionId } from '../billing/wallet-transaction.ts'
import { numberPage, numberPath, numbersPage, type NumberLine } from '../dashboard/numbers-page.ts'
import { places } from '../dashboard/places.ts'
import { listPhoneNumbers, type PhoneNumber } from '../db/phone-number.ts'
import type { RateBook } from '../db/rate-book.ts'
import { feeOf } from '../db/rent-plan.ts'
import { workspaceOf, type Api } from './api.ts'
import { goTo, paramsOf, readFrame, sendPage, type DashboardContext } from './dashboard-page.ts'
import { cancelNumberNamed, getNumberHistory, noSuchNumber } from './phone-number-routes.ts'
import { createPrices } from './prices.ts'

const route = { config: { scope: 'session' }, schema: { hide: true } } as const
const mostShown = 100

export function registerNumbersPage(scope: Api, context: DashboardContext): void {
  const { db } = context
  const prices = createPrices(db)

  scope.get(places.numbers.path, route, async (request, reply) => {
    const [frame, found, quotation] = await Promise.all([
      readFrame(context, request, 'numbers'),
      listPhoneNumbers(db, { workspaceId: workspaceOf(request), limit: mostShown }),
      prices.quoteNow(),
    ])
    const numbers = found.numbers.map((number) => numberLine(number, quotation.prices))
    return await sendPage(reply, numbersPage(frame, { numbers, total: found.total }))
  })

  scope.get(`${places.numbers.path}/:id`, route, async (request, reply) => {
    const workspaceId = workspaceOf(request)
    const { number, periods, steps, ...quotation } = await getNumberHistory({ db, prices }, workspaceId, {
      phoneNumberId: paramsOf(request)['id'] ?? '',
      mostPeriods: 24,
      mostSteps: 50,
    })
    const frame = await readFrame(context, request, 'numbers')
    const view = {
      ...numberLine(number, quotation.prices),
      rentedAt: number.anchorAt,
      periods: periods.map(({ startsAt, endsAt, amountMicros, walletSequence: sequence }) => ({
        startsAt,
        endsAt,
        amountMicros,
        transactionId: sequence === null ? null : walletTransactionId(workspaceId, sequence),
      })),
      history: steps.map(({ state, reason, steppedAt: at }) => ({
        state,
        message: explainRental(reason),
        at,
      })),
    }
    return await sendPage(reply, numberPage(frame, view))
  })

  scope.post(`${places.numbers.path}/:id/cancel`, route, async (request, reply) => {
    const named = phoneNumberId.safeParse(paramsOf(request)['id'])
    if (!named.success) throw noSuchNumber()
    const { number } = await cancelNumberNamed({ db, prices }, workspaceOf(request), {
      phoneNumberId: named.data,
      atOnce: false,
    })
    return await goTo(reply, `${numberPath(number.phoneNumberId)}?done=cancelled`)
  })
}

function numberLine(number: PhoneNumber, prices: RateBook): NumberLine {
  const { startsAt } = nextPeriod(number)
  const hasNext = number.state !== 'released' && number.cancelAt === null
  return {
    id: number.phoneNumberId,
    phoneNumber: number.phoneNumber,
    state: number.state,
    feeMicros: hasNext ? (feeOf(number.workspaceId, startsAt, prices)?.amountMicros ?? null) : null,
    nextAt: hasNext ? startsAt : null,
    paidUntil: number.periodsBilled === 0 ? null : number.paidUntil,
    cancelAt: number.cancelAt,
    releasedAt: number.releasedAt,
  }
}
