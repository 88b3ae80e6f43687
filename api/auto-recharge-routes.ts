/**
 * Auto-recharge: its settings, and why the card is or is not charged. Two names for the same settings, the second one for older
 * clients. Every change is decided at once, under the wallet's lock.
 */
import type { FastifyRequest } from 'fastify'
import { z } from 'zod'

import { explainDecline } from '../billing/decline.ts'
import type { WorkspaceId } from '../billing/ids.ts'
import { micros, parseUsd, type Micros } from '../billing/money.ts'
import { explainRecharge, rechargeReasons } from '../billing/recharge.ts'
import { leastTopUpMicros } from '../billing/top-up.ts'
import {
  findAutoRecharge,
  resumeAutoRecharge,
  saveAutoRecharge,
  type AutoRecharge,
} from '../db/auto-recharge.ts'
import { readClock } from '../db/clock.ts'
import { findCard, findRechargeUnderWay, listCards } from '../db/payment-history.ts'
import type { Recharged } from '../db/recharge.ts'
import type { Db } from '../db/schema.ts'
import { withLockedWallet } from '../db/wallet.ts'
import { actorOf, workspaceOf, type Api } from './api.ts'
import { noCard, paymentMethodId } from './card-routes.ts'
import { refusal } from './errors.ts'
import { usdAmount, usdNumber } from './money.ts'
import type { MoneyInContext } from './paddle-context.ts'
import { noWallet } from './wallet-routes.ts'

/** What is not said when it is set up for the first time. */
const unsaid = {
  enabled: false,
  thresholdMicros: parseUsd('20'),
  topUpMicros: parseUsd('100'),
  dailyLimit: 10,
  monthlyCapMicros: null,
} as const
const mostThresholdMicros = parseUsd('10000')
const mostMonthlyCapMicros = parseUsd('999999')
/** Paddle charges a subscription twenty times an hour at most. */
const mostADay = 20

const commonShape = {
  payment_method_id: paymentMethodId.nullable().meta({ description: 'The card that is charged.' }),
  charging_now: z.boolean().meta({ description: 'Whether the card is being charged just now.' }),
  charging_usd: z.number().nullable().meta({ description: 'With how much.' }),
  charging_topup_id: z
    .string()
    .nullable()
    .meta({ description: 'GET /v1/wallet/topups/{id} tells how it goes.' }),
  last_decision: z
    .object({
      decision: z.enum(['recharge', ...rechargeReasons]),
      message: z.string(),
      decided_at: z.iso.datetime().nullable(),
    })
    .nullable()
    .meta({
      description: 'The last time that it was asked whether to charge the card: that it was, or why not.',
    }),
  suspended: z
    .object({ since: z.iso.datetime(), reason: z.string(), message: z.string() })
    .nullable()
    .meta({ description: 'After declines: until another card is saved, or somebody resumes it.' }),
  cooling_down: z
    .object({ until: z.iso.datetime(), declines_in_a_row: z.int(), message: z.string() })
    .nullable()
    .meta({ description: 'After a decline: until when the card is not tried again.' }),
}
const settingsShape = z.object({
  enabled: z.boolean(),
  threshold_usd: z.number(),
  topup_usd: z.number(),
  daily_limit: z.int(),
  monthly_cap_usd: z.number().nullable(),
  ...commonShape,
})
const olderShape = z.object({
  enabled: z.boolean(),
  threshold_usd: z.number(),
  charge_amount_usd: z.number(),
  ...commonShape,
})

const thresholdField = usdAmount({ least: micros(0n), most: mostThresholdMicros })
  .optional()
  .meta({
    description: 'Strictly below this much available, the card is charged. Not said: as it was, at first 20.',
  })

type Wanted = {
  enabled: boolean
  thresholdMicros?: Micros | undefined
  topUpMicros?: Micros | undefined
  dailyLimit?: number | undefined
  monthlyCapMicros?: Micros | null | undefined
  savedCardId?: string | undefined
}

export function registerAutoRechargeRoutes(api: Api, { db, mostTopUpMicros }: MoneyInContext): void {
  const tags = ['Auto-recharge']
  const amountField = usdAmount({ least: micros(leastTopUpMicros), most: mostTopUpMicros })
    .optional()
    .meta({ description: 'Each recharge is exactly this much. Not said: as it was, at first 100.' })
  const description =
    'Switching it on is the consent to charge the saved card, and needs one. Where the available balance is below the threshold ' +
    'already, the card is charged at once and the answer says so.'

  api.get(
    '/v1/wallet/auto-recharge',
    {
      config: { scope: 'read' },
      schema: {
        summary: 'Auto-recharge settings, and why it does what it does',
        tags,
        response: { 200: settingsShape },
      },
    },
    async (request) => settingsAnswer(await readAutoRecharge(db, workspaceOf(request))),
  )

  api.put(
    '/v1/wallet/auto-recharge',
    {
      config: { scope: 'admin' },
      schema: {
        summary: 'Switch auto-recharge on or off, or change it',
        description,
        tags,
        body: z.strictObject({
          enabled: z.boolean(),
          threshold_usd: thresholdField,
          topup_usd: amountField,
          payment_method_id: paymentMethodId.optional(),
          daily_limit: z.int().min(1).max(mostADay).optional().meta({
            description: 'The most recharges in any 24 hours. Not said: as it was, at first 10.',
          }),
          monthly_cap_usd: usdAmount({ least: micros(leastTopUpMicros), most: mostMonthlyCapMicros })
            .nullable()
            .optional()
            .meta({ description: 'The most in a calendar month, UTC; null is no cap. Not said: as it was.' }),
        }),
        response: { 200: settingsShape },
      },
    },
    async (request) => {
      const { body } = request
      const saved = await save(db, request, {
        enabled: body.enabled,
        thresholdMicros: body.threshold_usd,
        topUpMicros: body.topup_usd,
        dailyLimit: body.daily_limit,
        monthlyCapMicros: body.monthly_cap_usd,
        savedCardId: body.payment_method_id,
      })
      return settingsAnswer(saved)
    },
  )

  api.get(
    '/v1/payments/auto-charge',
    {
      config: { scope: 'read' },
      schema: {
        summary: 'Auto-recharge settings, by their older names',
        tags,
        response: { 200: olderShape },
      },
    },
    async (request) => olderAnswer(await readAutoRecharge(db, workspaceOf(request))),
  )

  api.put(
    '/v1/payments/auto-charge',
    {
      config: { scope: 'admin' },
      schema: {
        summary: 'Switch auto-recharge on or off, by its older names',
        description,
        tags,
        body: z.strictObject({
          enabled: z.boolean(),
          threshold_usd: thresholdField,
          charge_amount_usd: amountField,
          payment_method_id: paymentMethodId.optional(),
        }),
        response: { 200: olderShape },
      },
    },
    async (request) => {
      const { body } = request
      const saved = await save(db, request, {
        enabled: body.enabled,
        thresholdMicros: body.threshold_usd,
        topUpMicros: body.charge_amount_usd,
        savedCardId: body.payment_method_id,
      })
      return olderAnswer(saved)
    },
  )

  api.post(
    '/v1/wallet/auto-recharge/resume',
    {
      config: { scope: 'admin', idempotent: true },
      schema: {
        summary: 'Let auto-recharge go on after declines',
        description: 'Forgets the declines and decides at once. Does nothing else where it was not held up.',
        tags,
        response: { 200: settingsShape },
      },
    },
    async (request) => {
      const workspaceId = workspaceOf(request)
      const decided = await withLockedWallet(db, workspaceId, async (trx, wallet) =>
        resumeAutoRecharge(trx, wallet, {
          actor: actorOf(request),
          cause: 'asked for',
          now: await readClock(trx),
        }),
      )
      if (decided === null) throw noWallet()
      return settingsAnswer(await readAutoRecharge(db, workspaceId, decided))
    },
  )
}

type Seen = {
  settings: AutoRecharge | typeof unsaid
  savedCardId: string | null
  charging: { topUpId: string; amountMicros: Micros } | null
}

/** Shape: `decided` is what was decided just now; by the time that this reads, its charge may have ended. */
async function readAutoRecharge(db: Db, workspaceId: WorkspaceId, decided?: Recharged): Promise<Seen> {
  const [settings, cards, underWay] = await Promise.all([
    findAutoRecharge(db, workspaceId),
    listCards(db, workspaceId),
    findRechargeUnderWay(db, workspaceId),
  ])
  return {
    settings: settings ?? unsaid,
    savedCardId: cards[0]?.savedCardId ?? null,
    charging: decided?.decision === 'recharge' ? decided.topUp : underWay,
  }
}

async function save(db: Db, request: FastifyRequest, wanted: Wanted): Promise<Seen> {
  const workspaceId = workspaceOf(request)
  const saved = await withLockedWallet(db, workspaceId, async (trx, wallet) => {
    const before = (await findAutoRecharge(trx, workspaceId)) ?? unsaid
    const settings = {
      enabled: wanted.enabled,
      thresholdMicros: wanted.thresholdMicros ?? before.thresholdMicros,
      topUpMicros: wanted.topUpMicros ?? before.topUpMicros,
      dailyLimit: wanted.dailyLimit ?? before.dailyLimit,
      monthlyCapMicros:
        wanted.monthlyCapMicros === undefined ? before.monthlyCapMicros : wanted.monthlyCapMicros,
    }
    const { monthlyCapMicros: cap } = settings
    if (settings.enabled && cap !== null && cap < settings.topUpMicros) throw capTooSmall()
    await checkCard(trx, workspaceId, wanted)
    const now = await readClock(trx)
    const result = await saveAutoRecharge(trx, wallet, settings, { actor: actorOf(request), now })
    if (result.outcome === 'no_card') throw needsCard()
    return result.decided
  })
  if (saved === null) throw noWallet()
  return await readAutoRecharge(db, workspaceId, saved)
}

/** Throws: refusals for a card of nobody's, and for one that cannot be charged. */
async function checkCard(db: Db, workspaceId: WorkspaceId, { enabled, savedCardId }: Wanted): Promise<void> {
  if (savedCardId !== undefined) {
    const named = await findCard(db, { workspaceId, savedCardId })
    if (named === null) throw noCard('payment_method_id')
    if (enabled && named.state !== 'active') throw unusableCard()
  }
  if (!enabled) return
  const [card] = await listCards(db, workspaceId)
  if (card === undefined) throw needsCard()
  if (card.state !== 'active') throw unusableCard()
}

function settingsAnswer(seen: Seen): z.input<typeof settingsShape> {
  const { settings } = seen
  return {
    enabled: settings.enabled,
    threshold_usd: usdNumber(settings.thresholdMicros),
    topup_usd: usdNumber(settings.topUpMicros),
    daily_limit: settings.dailyLimit,
    monthly_cap_usd: settings.monthlyCapMicros === null ? null : usdNumber(settings.monthlyCapMicros),
    ...commonAnswer(seen),
  }
}

function olderAnswer(seen: Seen): z.input<typeof olderShape> {
  const { settings } = seen
  return {
    enabled: settings.enabled,
    threshold_usd: usdNumber(settings.thresholdMicros),
    charge_amount_usd: usdNumber(settings.topUpMicros),
    ...commonAnswer(seen),
  }
}

function commonAnswer({ settings, savedCardId, charging }: Seen) {
  const history = 'workspaceId' in settings ? settings : null
  return {
    payment_method_id: savedCardId,
    charging_now: charging !== null,
    charging_usd: charging === null ? null : usdNumber(charging.amountMicros),
    charging_topup_id: charging?.topUpId ?? null,
    last_decision: history === null ? null : lastDecision(history),
    suspended: history === null ? null : suspension(history),
    cooling_down: history === null ? null : cooling(history),
  }
}

function lastDecision({ lastDecision: decision, lastDecisionAt }: AutoRecharge) {
  if (decision === null) return null
  const message =
    decision === 'recharge'
      ? 'The available balance was below the threshold, so a charge of the card was begun.'
      : explainRecharge(decision)
  return { decision, message, decided_at: lastDecisionAt?.toISOString() ?? null }
}

function suspension({ suspendedAt, suspendedReason: reason }: AutoRecharge) {
  if (suspendedAt === null || reason === null) return null
  const message = `${explainDecline(reason)} Save another card, or resume it with POST /v1/wallet/auto-recharge/resume.`
  return { since: suspendedAt.toISOString(), reason, message }
}

function cooling({ coolingUntil, declinesInARow }: AutoRecharge) {
  if (coolingUntil === null) return null
  const message =
    'The card was declined: it is tried again then, or at once with POST /v1/wallet/auto-recharge/resume.'
  return { until: coolingUntil.toISOString(), declines_in_a_row: declinesInARow, message }
}

function needsCard() {
  return refusal({
    status: 409,
    code: 'no_card',
    message: 'Auto-recharge needs a saved card: save one with POST /v1/payments/methods, then switch it on.',
  })
}

function unusableCard() {
  return refusal({
    status: 409,
    code: 'card_not_usable',
    message:
      'This card cannot be charged as it is: change it with GET /v1/payments/methods/{id}/update, or save another one with ' +
      'POST /v1/payments/methods.',
  })
}

function capTooSmall() {
  return refusal({
    status: 422,
    code: 'cap_below_topup',
    message:
      'The monthly cap is below a single recharge, so that the card would never be charged: raise it, or lower the top-up.',
    field: 'monthly_cap_usd',
  })
}
