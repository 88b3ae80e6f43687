/** The card in use: found, and removed, by whoever asks. A card that is needed, or is being charged, stays. */
import type { FastifyRequest } from 'fastify'

import type { WorkspaceId } from '../billing/ids.ts'
import { writeAudit } from '../db/audit-log.ts'
import { findAutoRecharge } from '../db/auto-recharge.ts'
import { readClock } from '../db/clock.ts'
import { applyPaddleSubscription } from '../db/paddle-subscription.ts'
import { findCard, hasOpenCharge, type CardRecord } from '../db/payment-history.ts'
import type { Db } from '../db/schema.ts'
import { withLockedWallet } from '../db/wallet.ts'
import { ownerOf, type WalletOwner } from './api.ts'
import { refusal } from './errors.ts'
import { configuredPaddle, refusedByPaddle, type MoneyInContext } from './paddle-context.ts'
import { noWallet } from './wallet-routes.ts'

/** Shape: the card's id. Throws: the refusals `not_found`, `card_in_use`, `charge_under_way`, and those of Paddle. */
export async function removeCard(
  { db, log, paddle }: Omit<MoneyInContext, 'mostTopUpMicros'>,
  request: FastifyRequest,
  savedCardId: string,
): Promise<string> {
  const gateway = configuredPaddle(paddle)
  const owner = ownerOf(request)
  const card = await askToRemove(db, owner, savedCardId)
  const canceled = await gateway.cancelSubscription(card.subscriptionId)
  if (canceled.outcome !== 'canceled') throw refusedByPaddle(canceled, { request, log })
  await noteRemoval(db, owner.workspaceId, card)
  return card.savedCardId
}

/** Throws: refusals for a card of nobody's, and for one that was removed or replaced. */
export async function getCardInUse(
  db: Db,
  named: { workspaceId: WorkspaceId; savedCardId: string },
): Promise<CardRecord> {
  const card = await findCard(db, named)
  if (card === null) throw noCard()
  if (isInUse(card)) return card
  throw refusal({
    status: 409,
    code: 'card_not_in_use',
    message:
      'This card was removed or replaced by another one: save it again with POST /v1/payments/methods.',
  })
}

/** Throws: refusals where it is not there, or is needed. */
async function askToRemove(
  db: Db,
  { workspaceId, actor }: WalletOwner,
  savedCardId: string,
): Promise<CardRecord> {
  const asked = await withLockedWallet(db, workspaceId, async (trx) => {
    const card = await findCard(trx, { workspaceId, savedCardId })
    if (card === null || !isInUse(card)) throw noCard()
    const autoRecharge = await findAutoRecharge(trx, workspaceId)
    if (autoRecharge?.enabled === true) throw neededCard()
    if (await hasOpenCharge(trx, { workspaceId, subscriptionId: card.subscriptionId })) throw chargedCard()
    await writeAudit(trx, {
      workspaceId,
      actor,
      action: 'card.removal_asked',
      detail: { payment_method_id: card.savedCardId, brand: card.brand, last4: card.last4 },
    })
    return card
  })
  if (asked === null) throw noWallet()
  return asked
}

/** What Paddle's webhook will say too; whichever comes second changes nothing. */
async function noteRemoval(db: Db, workspaceId: WorkspaceId, card: CardRecord): Promise<void> {
  const { subscriptionId, customerId, stateAt } = card
  await db.transaction().execute(async (trx) => {
    const now = await readClock(trx)
    // Paddle's clock may be ahead of ours, and this is news in any case.
    const updatedAt = new Date(Math.max(now.getTime(), stateAt.getTime() + 1))
    const news = {
      subscriptionId,
      customerId,
      workspaceId,
      status: 'canceled',
      transactionId: null,
      updatedAt,
    }
    await applyPaddleSubscription(trx, news, now)
  })
}

function isInUse({ state }: CardRecord): boolean {
  return state === 'active' || state === 'paused' || state === 'past_due'
}

export function noCard(field?: string) {
  return refusal({
    status: 404,
    code: 'not_found',
    message: 'This workspace has no such card: GET /v1/payments/methods lists the one that it has.',
    field,
  })
}

function neededCard() {
  return refusal({
    status: 409,
    code: 'card_in_use',
    message:
      'Auto-recharge charges this card: switch it off with PUT /v1/wallet/auto-recharge first, then remove the card.',
  })
}

function chargedCard() {
  return refusal({
    status: 409,
    code: 'charge_under_way',
    message: 'The card is being charged: wait for that top-up to end, then remove the card.',
  })
}
