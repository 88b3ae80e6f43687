/**
 * The saved card: shown, saved without paying, changed, removed. Paddle keeps it and knows its number; here it has a name of ours,
 * `pm_...`, and what is printed on it. A wallet has one card in use; a new one takes the place of the one before.
 */
import { z } from 'zod'

import { listCards, type CardRecord } from '../db/payment-history.ts'
import { actorOf, workspaceOf, type Api } from './api.ts'
import { getCardInUse, noCard, removeCard } from './card.ts'
import { checkoutShape, payerFields, returnFields, withReturn } from './checkout-fields.ts'
import { addressed, openCardSetup } from './checkout.ts'
import { configuredPaddle, noCheckout, refusedByPaddle, type MoneyInContext } from './paddle-context.ts'

export const paymentMethodId = z
  .string()
  .regex(/^pm_[A-Za-z0-9_-]{1,64}$/, 'expected a payment method id such as pm_1a2b')
  .meta({ description: 'As GET /v1/payments/methods names it.', examples: ['pm_3f2a9c1b7d5e8f60a1b2c3d4'] })

const methodShape = z.object({
  id: paymentMethodId,
  provider: z.literal('paddle'),
  status: z.enum(['active', 'paused', 'past_due']).meta({
    description: 'Only an active one can be charged; the others wait for something at Paddle.',
  }),
  card_brand: z
    .string()
    .nullable()
    .meta({ examples: ['visa'] }),
  card_last_four: z
    .string()
    .nullable()
    .meta({ examples: ['4242'] }),
  card_exp_month: z.int().nullable(),
  card_exp_year: z.int().nullable(),
  is_default: z.boolean(),
  created_at: z.iso.datetime(),
})

/** The second is what older clients call it. */
const addresses = ['/v1/payments/methods', '/v1/payments/saved-cards'] as const

export function registerCardRoutes(api: Api, context: MoneyInContext): void {
  for (const address of addresses) registerCardsAt(api, address, context)
}

function registerCardsAt(api: Api, address: string, { db, log, paddle }: MoneyInContext): void {
  const tags = ['Cards']
  const params = z.strictObject({ id: paymentMethodId })

  api.get(
    address,
    {
      config: { scope: 'read' },
      schema: {
        summary: 'The saved card',
        tags,
        response: { 200: z.object({ methods: z.array(methodShape) }) },
      },
    },
    async (request) => ({ methods: (await listCards(db, workspaceOf(request))).flatMap(methodAnswer) }),
  )

  for (const path of [address, `${address}/setup`]) {
    api.post(
      path,
      {
        config: { scope: 'admin', idempotent: true },
        schema: {
          summary: 'Open a checkout that saves a card and takes nothing',
          tags,
          // No body at all is null.
          body: z.strictObject(payerFields).nullable(),
          response: { 201: checkoutShape },
        },
      },
      async (request, reply) => {
        const gateway = configuredPaddle(paddle)
        const payer = {
          workspaceId: workspaceOf(request),
          email: request.body?.email,
          actor: actorOf(request),
        }
        const opened = await openCardSetup({ db, gateway }, payer)
        if (opened.outcome !== 'created') throw noCheckout(opened, { request, log })
        return await reply
          .code(201)
          .header('location', '/v1/payments/methods')
          .send({
            session_id: opened.paddleTransactionId,
            provider: 'paddle',
            checkout_url: withReturn(opened.checkoutUrl, request.body ?? {}),
          })
      },
    )
  }

  api.get(
    `${address}/:id/update`,
    {
      config: { scope: 'admin' },
      schema: {
        summary: 'Open a checkout that replaces the card',
        description: 'It takes nothing, unless a charge of the card is past due at Paddle: that it collects.',
        tags,
        params,
        querystring: z.strictObject(returnFields),
        response: { 200: checkoutShape },
      },
    },
    async (request) => {
      const gateway = configuredPaddle(paddle)
      const { subscriptionId } = await getCardInUse(db, {
        workspaceId: workspaceOf(request),
        savedCardId: request.params.id,
      })
      const opened = addressed(await gateway.getCardUpdate(subscriptionId))
      if (opened.outcome !== 'created') throw refusedByPaddle(opened, { request, log })
      return {
        session_id: opened.transactionId,
        provider: 'paddle' as const,
        checkout_url: withReturn(opened.checkoutUrl, request.query),
      }
    },
  )

  api.post(
    `${address}/:id/default`,
    {
      config: { scope: 'admin', idempotent: true },
      schema: {
        summary: 'Use this card',
        description:
          'A wallet uses the card that was saved last. One that was replaced has to be saved again.',
        tags,
        params,
        response: { 200: methodShape },
      },
    },
    async (request) => {
      const [method] = methodAnswer(
        await getCardInUse(db, { workspaceId: workspaceOf(request), savedCardId: request.params.id }),
      )
      if (method === undefined) throw noCard()
      return method
    },
  )

  api.delete(
    `${address}/:id`,
    {
      config: { scope: 'admin' },
      schema: {
        summary: 'Remove the card',
        description: 'It is charged no more. Refused while auto-recharge needs it: switch that off first.',
        tags,
        params,
        response: { 200: z.object({ id: paymentMethodId, deleted: z.literal(true) }) },
      },
    },
    async (request) => {
      const savedCardId = await removeCard({ db, log, paddle }, request, request.params.id)
      return { id: savedCardId, deleted: true as const }
    },
  )
}

/** Shape: nothing for a card that is not in use. */
function methodAnswer(card: CardRecord): z.input<typeof methodShape>[] {
  const { state } = card
  if (state !== 'active' && state !== 'paused' && state !== 'past_due') return []
  return [
    {
      id: card.savedCardId,
      provider: 'paddle',
      status: state,
      card_brand: card.brand,
      card_last_four: card.last4,
      card_exp_month: card.expiryMonth,
      card_exp_year: card.expiryYear,
      is_default: true,
      created_at: card.createdAt.toISOString(),
    },
  ]
}
