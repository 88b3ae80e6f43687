/** Payments, under the names that clients of the older API know: a checkout to add funds, and what was paid. */
import { z } from 'zod'

import { micros } from '../billing/money.ts'
import { leastTopUpMicros, type TopUpState } from '../billing/top-up.ts'
import { listPayments, type Payment } from '../db/payment-history.ts'
import { actorOf, workspaceOf, type Api } from './api.ts'
import { checkoutShape, payerFields, withReturn } from './checkout-fields.ts'
import { openCheckout } from './checkout.ts'
import { usdAmount, usdNumber } from './money.ts'
import { pageQuery, pageShape } from './page.ts'
import { configuredPaddle, noCheckout, type MoneyInContext } from './paddle-context.ts'

const statuses = ['pending', 'completed', 'failed', 'canceled'] as const

const paymentShape = z.object({
  id: z.string().meta({ description: 'The id of a top-up: GET /v1/wallet/topups/{id} tells all of it.' }),
  provider: z.literal('paddle'),
  amount_usd: z.number(),
  currency: z.literal('USD'),
  status: z.enum(statuses),
  is_auto_charge: z.boolean(),
  created_at: z.iso.datetime(),
  completed_at: z.iso.datetime().optional(),
})

export function registerPaymentRoutes(api: Api, { db, log, paddle, mostTopUpMicros }: MoneyInContext): void {
  api.post(
    '/v1/payments/checkout',
    {
      config: { scope: 'admin', idempotent: true },
      schema: {
        summary: 'Open a checkout to add funds',
        description:
          'The wallet is credited when Paddle says that it was paid, whether or not the customer comes back.',
        tags: ['Payments'],
        body: z.strictObject({
          amount: usdAmount({ least: micros(leastTopUpMicros), most: mostTopUpMicros }),
          currency: z.literal('USD', 'expected USD: wallets are in US dollars').default('USD'),
          save_card: z
            .boolean()
            .default(false)
            .meta({ description: 'Whether the card is kept for later top-ups.' }),
          ...payerFields,
        }),
        response: { 201: checkoutShape },
      },
    },
    async (request, reply) => {
      const gateway = configuredPaddle(paddle)
      const { amount: amountMicros, save_card: saveCard, email } = request.body
      const payer = { workspaceId: workspaceOf(request), email, actor: actorOf(request) }
      const opened = await openCheckout({ db, gateway }, payer, { amountMicros, saveCard })
      if (opened.outcome !== 'created') throw noCheckout(opened, { request, log })
      return await reply
        .code(201)
        .header('location', `/v1/wallet/topups/${opened.topUpId}`)
        .send({
          session_id: opened.topUpId,
          provider: 'paddle',
          checkout_url: withReturn(opened.checkoutUrl, request.body),
        })
    },
  )

  api.get(
    '/v1/payments/history',
    {
      config: { scope: 'read' },
      schema: {
        summary: 'Payments, newest first',
        tags: ['Payments'],
        querystring: z.strictObject({
          ...pageQuery({ fallback: 20 }),
        }),
        response: {
          200: z.object({
            payments: z.array(paymentShape),
            ...pageShape,
          }),
        },
      },
    },
    async (request) => {
      const { limit, offset } = request.query
      const { payments, total } = await listPayments(db, { workspaceId: workspaceOf(request), limit, offset })
      return { payments: payments.map(paymentAnswer), total, limit, offset }
    },
  )
}

function paymentAnswer(payment: Payment): z.input<typeof paymentShape> {
  const status = statusOf[payment.state]
  const hasMoney = payment.creditedMicros > 0n
  return {
    id: payment.topUpId,
    provider: 'paddle',
    amount_usd: usdNumber(hasMoney ? payment.creditedMicros : payment.amountMicros),
    currency: 'USD',
    status,
    is_auto_charge: payment.source === 'auto_recharge',
    created_at: payment.createdAt.toISOString(),
    ...(status === 'completed' ? { completed_at: payment.changedAt.toISOString() } : {}),
  }
}

const statusOf: Record<TopUpState, (typeof statuses)[number]> = {
  ready: 'pending',
  submitting: 'pending',
  unknown: 'pending',
  processing: 'pending',
  awaiting_customer: 'pending',
  needs_review: 'pending',
  succeeded: 'completed',
  declined: 'failed',
  failed: 'failed',
  canceled: 'canceled',
  abandoned: 'canceled',
}
