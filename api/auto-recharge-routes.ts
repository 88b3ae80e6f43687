/**
 * Auto-recharge: its settings, and why the card is or is not charged. Two names for the same settings, the second one for older
 * clients. Every change is decided at once, under the wallet's lock.
 */
import { z } from 'zod'

import { explainDecline } from '../billing/decline.ts'
import { micros } from '../billing/money.ts'
import { explainRecharge, rechargeReasons } from '../billing/recharge.ts'
import { leastTopUpMicros } from '../billing/top-up.ts'
import type { AutoRecharge } from '../db/auto-recharge.ts'
import { ownerOf, workspaceOf, type Api } from './api.ts'
import {
  changeAutoRecharge,
  letAutoRechargeGoOn,
  mostADay,
  mostMonthlyCapMicros,
  mostThresholdMicros,
  readAutoRecharge,
  type AutoRechargeSeen,
} from './auto-recharge.ts'
import { paymentMethodId } from './card-routes.ts'
import { usdAmount, usdNumber } from './money.ts'
import type { MoneyInContext } from './paddle-context.ts'

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
      const saved = await changeAutoRecharge(db, ownerOf(request), {
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
      const saved = await changeAutoRecharge(db, ownerOf(request), {
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
      return settingsAnswer(await letAutoRechargeGoOn(db, ownerOf(request)))
    },
  )
}

function settingsAnswer(seen: AutoRechargeSeen): z.input<typeof settingsShape> {
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

function olderAnswer(seen: AutoRechargeSeen): z.input<typeof olderShape> {
  const { settings } = seen
  return {
    enabled: settings.enabled,
    threshold_usd: usdNumber(settings.thresholdMicros),
    charge_amount_usd: usdNumber(settings.topUpMicros),
    ...commonAnswer(seen),
  }
}

function commonAnswer({ settings, savedCardId, charging }: AutoRechargeSeen) {
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
