/** Adding funds on the wallet page: the form, the top-up that it opens, and the page on which that ends. */
import type { FastifyReply, FastifyRequest } from 'fastify'

import { idPatterns, topUpId as topUpIdSchema } from '../billing/ids.ts'
import { micros, type Micros } from '../billing/money.ts'
import { leastTopUpMicros } from '../billing/top-up.ts'
import { explainTopUp } from '../billing/top-up-wording.ts'
import { addFundsPage, previewPart, type AddFundsView, type TaxPreview } from '../dashboard/add-funds-page.ts'
import { isCountry } from '../dashboard/countries.ts'
import type { Typed } from '../dashboard/form.ts'
import { paths, places, topUpPath } from '../dashboard/places.ts'
import { topUpPage, type Checkout, type TopUpLine, type TopUpView } from '../dashboard/top-up-page.ts'
import { readClock } from '../db/clock.ts'
import { findPaddleCustomer } from '../db/paddle-customer.ts'
import { findPaymentWithSteps, listPayments, type Payment } from '../db/payment-history.ts'
import { findUsableCard } from '../db/saved-card.ts'
import { newTopUpId } from '../db/top-up.ts'
import { ownerOf, workspaceOf, type Api } from './api.ts'
import { withReturn } from './checkout-fields.ts'
import { openCheckout } from './checkout.ts'
import {
  goTo,
  mayChange,
  paramsOf,
  queryOf,
  readFrame,
  sendPage,
  type DashboardContext,
} from './dashboard-page.ts'
import { problemsOf, readDollars, readEmail, typedAfter } from './form-fields.ts'
import { configuredPaddle, noCheckout } from './paddle-context.ts'
import { fieldsOf, hereOf } from './session.ts'
import { createWindowCounter } from './sliding-window.ts'
import { noTopUp, openTopUp } from './top-up-routes.ts'
import { getWallet } from './wallet-routes.ts'

const route = { config: { scope: 'session' }, schema: { hide: true } } as const
/** Previews are asked for while somebody types; Paddle allows 240 requests a minute to all of us together. */
const previewsAMinute = { limit: 30, windowMs: 60_000 }

export function registerAddFunds(scope: Api, context: DashboardContext): void {
  const { mostTopUpMicros } = context
  const countPreview = createWindowCounter(previewsAMinute)
  const preview = async (request: FastifyRequest, asked: Asked): Promise<TaxPreview> => {
    const isWanted = mayChange(request) && countPreview(workspaceOf(request), Date.now()).counted
    return isWanted ? await previewTax(context, request, asked) : { is: 'unavailable' }
  }
  const sendForm = async (
    request: FastifyRequest,
    reply: FastifyReply,
    typed: Typed,
    shown: { preview: TaxPreview; status?: number },
  ): Promise<FastifyReply> => {
    const [frame, view] = await Promise.all([
      readFrame(context, request, 'add-funds'),
      readFormView(context, request, typed, shown.preview),
    ])
    return await sendPage(reply, addFundsPage(frame, view), { status: shown.status ?? 200 })
  }

  scope.get(places['add-funds'].path, route, async (request, reply) => {
    const { amount_usd: amount, country } = queryOf(request)
    const values = {
      ...(amount === undefined ? {} : { amount_usd: amount }),
      ...(country === undefined ? {} : { country }),
    }
    return await sendForm(
      request,
      reply,
      { values, problems: {} },
      { preview: await preview(request, { amount, country }) },
    )
  })

  scope.get(paths.preview, route, async (request, reply) => {
    const { amount_usd: amount, country } = queryOf(request)
    return await sendPage(reply, previewPart(await preview(request, { amount, country })))
  })

  scope.post(places['add-funds'].path, route, async (request, reply) => {
    const values = fieldsOf(request)
    const amount = readDollars(values['amount_usd'] ?? '', {
      least: micros(leastTopUpMicros),
      most: mostTopUpMicros,
    })
    const email = readEmail(values['email'] ?? '')
    if ('problem' in amount || 'problem' in email) {
      const problems = problemsOf({ amount_usd: amount, email })
      return await sendForm(
        request,
        reply,
        { values, problems },
        { preview: { is: 'no_amount' }, status: 422 },
      )
    }
    try {
      const topUpId = await open(context, request, {
        amountMicros: amount.value,
        email: email.value,
        atCheckout: values['pay_with'] === 'checkout',
        saveCard: values['save_card'] !== undefined,
        attempt: values['attempt'] ?? '',
      })
      return await goTo(reply, topUpPath(topUpId))
    } catch (error) {
      const { typed, refused } = typedAfter(error, values, refusals)
      return await sendForm(request, reply, typed, { preview: { is: 'no_amount' }, status: refused.status })
    }
  })

  scope.get(`${places['add-funds'].path}/:id`, route, async (request, reply) => {
    const { id = '' } = paramsOf(request)
    const workspaceId = workspaceOf(request)
    const key = { workspaceId, topUpId: id }
    const found = idPatterns.topUp.test(id) ? await findPaymentWithSteps(context.db, key) : null
    if (found === null) throw noTopUp()
    const { payment: topUp, steps } = found
    const [frame, { balanceMicros }] = await Promise.all([
      readFrame(context, request, 'add-funds'),
      getWallet(context.db, workspaceId),
    ])
    const checkout = checkoutOf(context, request, topUp)
    const view: TopUpView = {
      ...topUpLine(topUp),
      creditedMicros: topUp.creditedMicros,
      balanceMicros,
      steps: steps.map((step) => ({ state: step.state, message: explainTopUp(step), at: step.steppedAt })),
      checkout,
      isBack: queryOf(request)['back'] !== undefined,
    }
    const paddleJs = checkout !== null && checkout.overlay !== null
    return await sendPage(reply, topUpPage(frame, view), { paddleJs })
  })
}

/** Beside which field of the form a refusal belongs, and in whose words. */
const refusals = {
  email_needed: { field: 'email', text: 'Enter an e-mail address: Paddle sends its receipts there.' },
  email_refused: { field: 'email', text: 'Paddle takes no customer with this address: enter another one.' },
  wallet_frozen: {
    field: 'form',
    text: 'The wallet is frozen after a disputed payment, and takes no money until that is settled.',
  },
  charge_in_review: {
    field: 'form',
    text: "Nobody knows yet how an earlier charge of the card ended, so it is not charged again. Pay at Paddle's checkout instead.",
  },
  idempotency_key_reused: { field: 'form', text: 'This was sent before with another amount. Try again.' },
} as const

export function topUpLine(topUp: Payment): TopUpLine {
  const { topUpId, source, state, amountMicros, createdAt } = topUp
  return { topUpId, source, state, amountMicros, message: explainTopUp(topUp), createdAt }
}

/** The checkout of Paddle where a customer goes on, with the way back. */
export function checkoutWith(
  { paddleClient }: Pick<DashboardContext, 'paddleClient'>,
  { url, transactionId, back }: { url: string; transactionId: string | null; back: string },
): Checkout {
  return {
    url: withReturn(url, { success_url: back, cancel_url: back }),
    overlay: paddleClient === null || transactionId === null ? null : { ...paddleClient, transactionId },
  }
}

const recentShown = 10

async function readFormView(
  { db, paddle, mostTopUpMicros }: DashboardContext,
  request: FastifyRequest,
  typed: Typed,
  preview: TaxPreview,
): Promise<AddFundsView> {
  const workspaceId = workspaceOf(request)
  const [{ balanceMicros }, card, customer, recent, now] = await Promise.all([
    getWallet(db, workspaceId),
    findUsableCard(db, workspaceId),
    findPaddleCustomer(db, workspaceId),
    listPayments(db, { workspaceId, limit: recentShown, offset: 0 }),
    readClock(db),
  ])
  return {
    balanceMicros,
    mostMicros: mostTopUpMicros,
    card: card === null ? null : (card.card ?? unseenCard),
    needsEmail: customer === null,
    attempt: newTopUpId(now),
    typed,
    preview,
    recent: recent.payments.map(topUpLine),
    isConfigured: paddle !== null,
  }
}

/** A card of which no payment has shown the face yet. */
const unseenCard = { brand: null, last4: null, expiryMonth: null, expiryYear: null }

/** Throws: the refusals of a top-up and of a checkout. Shape: the id of the top-up. */
async function open(
  context: DashboardContext,
  request: FastifyRequest,
  wish: {
    amountMicros: Micros
    email: string | undefined
    atCheckout: boolean
    saveCard: boolean
    attempt: string
  },
): Promise<string> {
  const { amountMicros, email, saveCard } = wish
  if (wish.atCheckout) {
    const gateway = configuredPaddle(context.paddle)
    const payer = { ...ownerOf(request), email }
    const opened = await openCheckout({ db: context.db, gateway }, payer, { amountMicros, saveCard })
    if (opened.outcome !== 'created') throw noCheckout(opened, { request, log: context.log })
    return opened.topUpId
  }
  const named = topUpIdSchema.safeParse(wish.attempt)
  const opened = await openTopUp(context, request, {
    amount_usd: amountMicros,
    save_card: saveCard,
    email,
    ...(named.success ? { topUpId: named.data } : {}),
  })
  return opened.topUpId
}

type Asked = { amount: string | undefined; country: string | undefined }

async function previewTax(
  { db, paddle, mostTopUpMicros }: DashboardContext,
  request: FastifyRequest,
  { amount, country }: Asked,
): Promise<TaxPreview> {
  const read = readDollars(amount ?? '', { least: micros(leastTopUpMicros), most: mostTopUpMicros })
  if ('problem' in read || paddle === null) return { is: 'no_amount' }
  const customer = await findPaddleCustomer(db, workspaceOf(request))
  const where =
    country !== undefined && isCountry(country)
      ? { country }
      : customer === null
        ? null
        : { customerId: customer.customerId }
  if (where === null) return { is: 'nowhere' }
  const answer = await paddle.previewCheckout({ ...where, amountMicros: read.value })
  if (answer.outcome !== 'previewed') return { is: 'unavailable' }
  const { netMicros, taxMicros, totalMicros } = answer
  return { is: 'known', netMicros, taxMicros, totalMicros }
}

function checkoutOf(context: DashboardContext, request: FastifyRequest, topUp: Payment): Checkout | null {
  const { state, checkoutUrl: url, paddleTransactionId: transactionId, topUpId } = topUp
  if (state !== 'awaiting_customer' || url === null || !mayChange(request)) return null
  return checkoutWith(context, { url, transactionId, back: `${hereOf(request)}${topUpPath(topUpId)}?back=1` })
}
