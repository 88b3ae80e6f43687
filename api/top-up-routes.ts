/**
 * Top-ups of the wallet. One is asked for here and written down; the charge worker charges the saved card, and what Paddle captured
 * is credited by whoever hears of it first. Where no saved card can pay, a checkout is opened instead.
 */
import type { FastifyRequest } from 'fastify'
import { z } from 'zod'

import { idPatterns, topUpId as topUpIdSchema, type TopUpId, type WorkspaceId } from '../billing/ids.ts'
import { micros, type Micros } from '../billing/money.ts'
import { explainTopUp } from '../billing/top-up-wording.ts'
import { leastTopUpMicros, topUpSources, topUpStates, type TopUpState } from '../billing/top-up.ts'
import { openCardTopUp } from '../db/card-top-up.ts'
import { readClock } from '../db/clock.ts'
import {
  findCard,
  findPayment,
  findPaymentWithSteps,
  listPayments,
  type Payment,
} from '../db/payment-history.ts'
import type { TopUpStep } from '../db/top-up.ts'
import { withLockedWallet } from '../db/wallet.ts'
import { pause } from '../runtime/repeat.ts'
import { actorOf, workspaceOf, type Api } from './api.ts'
import { noCard } from './card.ts'
import { paymentMethodId } from './card-routes.ts'
import { payerFields, withReturn } from './checkout-fields.ts'
import { openCheckout } from './checkout.ts'
import { refusal } from './errors.ts'
import { stableNameOf } from './idempotency.ts'
import { usdAmount, usdNumber } from './money.ts'
import { pageQuery, pageShape } from './page.ts'
import { configuredPaddle, frozenWallet, noCheckout, type MoneyInContext } from './paddle-context.ts'
import { noWallet } from './wallet-routes.ts'

const statuses = ['pending', 'requires_action', 'succeeded', 'declined', 'failed', 'canceled'] as const
type Status = (typeof statuses)[number]

const topUpFields = {
  id: z.string().meta({ examples: ['topup_0mg3yq2p15f0c1d2e3a4b5c6d'] }),
  status: z.enum(statuses).meta({
    description:
      '`pending`: the card is being charged. `requires_action`: send the customer to `checkout_url`. The others are ends; money ' +
      'that comes late is credited all the same, and the status is then `succeeded`.',
  }),
  state: z.enum(topUpStates).meta({ description: 'Where exactly it is, for support.' }),
  source: z.enum(topUpSources),
  amount_usd: z
    .number()
    .meta({ description: 'What was asked for; Paddle adds tax for the customer.', examples: [50] }),
  credited_usd: z.number().meta({ description: 'What the wallet has of it.', examples: [50] }),
  payment_method_id: z.string().nullable(),
  checkout_url: z.string().nullable(),
  paddle_transaction_id: z.string().nullable(),
  reason: z.string().nullable().meta({ description: 'A stable code, such as that of a decline.' }),
  message: z.string().meta({ description: 'The state and its reason in plain words.' }),
  created_at: z.iso.datetime(),
  updated_at: z.iso.datetime(),
}
const topUpShape = z.object(topUpFields)
const topUpWithSteps = z.object({
  ...topUpFields,
  steps: z
    .array(
      z.object({
        state: z.enum(topUpStates),
        reason: z.string().nullable(),
        message: z.string(),
        at: z.iso.datetime(),
      }),
    )
    .meta({ description: 'Every step that it took, the first first.' }),
})

const longestWaitSeconds = 20
const waitField = z.coerce
  .number('expected seconds')
  .min(0)
  .max(longestWaitSeconds)
  .default(0)
  .meta({ description: 'For how many seconds to wait for its end before answering.' })

export function registerTopUpRoutes(api: Api, context: MoneyInContext): void {
  const { db } = context
  const waiting = startWaiting(api, db)

  api.post(
    '/v1/wallet/topup',
    {
      config: { scope: 'admin', idempotent: true },
      schema: {
        summary: 'Top up the wallet',
        description:
          'Charges the saved card, or opens a checkout where none is saved (`requires_action`). Send an Idempotency-Key: the same ' +
          'request sent twice then charges once.',
        tags: ['Top-ups'],
        querystring: z.strictObject({ wait: waitField }),
        body: z.strictObject({
          amount_usd: usdAmount({ least: micros(leastTopUpMicros), most: context.mostTopUpMicros }),
          payment_method_id: paymentMethodId.optional(),
          save_card: z.boolean().default(false).meta({
            description: 'Where a checkout is needed: whether its card is kept for later top-ups.',
          }),
          ...payerFields,
        }),
        response: { 202: topUpShape },
      },
    },
    async (request, reply) => {
      const { topUpId, checkoutUrl } = await openTopUp(context, request, request.body)
      const workspaceId = workspaceOf(request)
      const topUp = await waiting.find({ workspaceId, topUpId }, request.query.wait)
      if (topUp === null) throw noTopUp()
      const answer = topUpAnswer(topUp)
      return await reply
        .code(202)
        .header('location', `/v1/wallet/topups/${topUpId}`)
        .send(checkoutUrl === null ? answer : { ...answer, checkout_url: checkoutUrl })
    },
  )

  api.get(
    '/v1/wallet/topups',
    {
      config: { scope: 'read' },
      schema: {
        summary: 'Top-ups, newest first',
        tags: ['Top-ups'],
        querystring: z.strictObject({
          ...pageQuery({ fallback: 20 }),
          status: z.enum(statuses).optional(),
          source: z.enum(topUpSources).optional(),
        }),
        response: {
          200: z.object({
            topups: z.array(topUpShape),
            ...pageShape,
          }),
        },
      },
    },
    async (request) => {
      const { limit, offset, status, source } = request.query
      const states =
        status === undefined ? undefined : topUpStates.filter((state) => statusOf[state] === status)
      const workspaceId = workspaceOf(request)
      const { payments, total } = await listPayments(db, { workspaceId, states, source, limit, offset })
      return { topups: payments.map(topUpAnswer), total, limit, offset }
    },
  )

  api.get(
    '/v1/wallet/topups/:id',
    {
      config: { scope: 'read' },
      schema: {
        summary: 'A top-up and every step that it took',
        tags: ['Top-ups'],
        params: z.strictObject({
          id: z.string().regex(idPatterns.topUp, 'expected a top-up id such as topup_1a2b'),
        }),
        querystring: z.strictObject({ wait: waitField }),
        response: { 200: topUpWithSteps },
      },
    },
    async (request) => {
      const key = { workspaceId: workspaceOf(request), topUpId: request.params.id }
      await waiting.find(key, request.query.wait)
      const found = await findPaymentWithSteps(db, key)
      if (found === null) throw noTopUp()
      return { ...topUpAnswer(found.payment), steps: found.steps.map(stepAnswer) }
    },
  )
}

/** Shape: of a top-up that a customer has to pay, the checkout with its way back. */
export async function openTopUp(
  { db, log, paddle }: MoneyInContext,
  request: FastifyRequest,
  asked: {
    amount_usd: Micros
    payment_method_id?: string | undefined
    save_card: boolean
    email?: string | undefined
    success_url?: string | undefined
    cancel_url?: string | undefined
    /** What the same wish is called, so that it charges once; without it the request's own name is used. */
    topUpId?: TopUpId | undefined
  },
): Promise<{ topUpId: TopUpId; checkoutUrl: string | null }> {
  const gateway = configuredPaddle(paddle)
  const workspaceId = workspaceOf(request)
  const { amount_usd: amountMicros, payment_method_id: savedCardId, email } = asked
  if (savedCardId !== undefined && (await findCard(db, { workspaceId, savedCardId })) === null) {
    throw noCard('payment_method_id')
  }
  const name = stableNameOf(request)
  const topUpId = asked.topUpId ?? (name === null ? null : topUpIdSchema.parse(`topup_${name}`))
  const charged = await withLockedWallet(db, workspaceId, async (trx, wallet) =>
    openCardTopUp(trx, wallet, { amountMicros, savedCardId, topUpId }, await readClock(trx)),
  )
  if (charged === null) throw noWallet()
  if (charged.outcome === 'opened' || charged.outcome === 'known') {
    return { topUpId: charged.topUp.topUpId, checkoutUrl: null }
  }
  if (charged.outcome === 'frozen') throw frozenWallet()
  if (charged.outcome === 'contradicted') throw otherAmount()
  if (charged.outcome === 'needs_review') throw chargeInReview()
  const payer = { workspaceId, email, actor: actorOf(request) }
  const opened = await openCheckout({ db, gateway }, payer, { amountMicros, saveCard: asked.save_card })
  if (opened.outcome !== 'created') throw noCheckout(opened, { request, log })
  return { topUpId: opened.topUpId, checkoutUrl: withReturn(opened.checkoutUrl, asked) }
}

/** Waits for the end of top-ups; not for many at a time, and not while the server closes. */
function startWaiting(api: Api, db: MoneyInContext['db']) {
  const closing = new AbortController()
  api.addHook('preClose', async () => closing.abort())
  let waiting = 0
  const find = async (
    key: { workspaceId: WorkspaceId; topUpId: string },
    waitSeconds: number,
  ): Promise<Payment | null> => {
    const until = performance.now() + (waiting < mostWaiting ? waitSeconds * 1_000 : 0)
    waiting += 1
    try {
      for (;;) {
        const topUp = await findPayment(db, key)
        if (topUp === null || statusOf[topUp.state] !== 'pending') return topUp
        if (closing.signal.aborted || performance.now() >= until) return topUp
        await pause(200, closing.signal)
      }
    } finally {
      waiting -= 1
    }
  }
  return { find }
}

/** Each asks Postgres five times a second. */
const mostWaiting = 40

const statusOf: Record<TopUpState, Status> = {
  ready: 'pending',
  submitting: 'pending',
  unknown: 'pending',
  processing: 'pending',
  needs_review: 'pending',
  awaiting_customer: 'requires_action',
  succeeded: 'succeeded',
  declined: 'declined',
  failed: 'failed',
  canceled: 'canceled',
  abandoned: 'canceled',
}

function topUpAnswer(topUp: Payment): z.input<typeof topUpShape> {
  return {
    id: topUp.topUpId,
    status: statusOf[topUp.state],
    state: topUp.state,
    source: topUp.source,
    amount_usd: usdNumber(topUp.amountMicros),
    credited_usd: usdNumber(topUp.creditedMicros),
    payment_method_id: topUp.savedCardId,
    checkout_url: topUp.state === 'awaiting_customer' ? topUp.checkoutUrl : null,
    paddle_transaction_id: topUp.paddleTransactionId,
    reason: shownReason(topUp),
    message: explainTopUp(topUp),
    created_at: topUp.createdAt.toISOString(),
    updated_at: topUp.changedAt.toISOString(),
  }
}

function stepAnswer(step: TopUpStep) {
  const { state, steppedAt } = step
  return { state, reason: shownReason(step), message: explainTopUp(step), at: steppedAt.toISOString() }
}

/** Where nobody knows what became of a charge, the reason is about our connection to Paddle. */
function shownReason({ state, reason }: { state: TopUpState; reason: string | null }): string | null {
  return state === 'unknown' ? null : reason
}

export function noTopUp() {
  return refusal({
    status: 404,
    code: 'not_found',
    message: 'This workspace has no such top-up: GET /v1/wallet/topups lists those that it has.',
  })
}

function otherAmount() {
  return refusal({
    status: 422,
    code: 'idempotency_key_reused',
    message: 'This Idempotency-Key was sent before with another amount: use a new key.',
    field: 'idempotency-key',
  })
}

function chargeInReview() {
  return refusal({
    status: 409,
    code: 'charge_in_review',
    message:
      'Nobody knows yet how an earlier charge of the card ended, so it is not charged again: see GET /v1/wallet/topups, and pay ' +
      'by POST /v1/payments/checkout meanwhile.',
  })
}
