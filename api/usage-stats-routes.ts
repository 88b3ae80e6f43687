/** What usage came to, by day, meter, agent, campaign and destination. Days are UTC, and the last of them is today. */
import { z } from 'zod'

import { usageKinds } from '../billing/wallet-transaction.ts'
import { readClock } from '../db/clock.ts'
import { readUsageStats, readWalletActivity, type UsageSum } from '../db/usage-stats.ts'
import { listWalletTransactions } from '../db/wallet-transaction.ts'
import { workspaceOf, type Api, type RouteContext } from './api.ts'
import { wholeNumber } from './query-fields.ts'
import { getWallet } from './wallet-routes.ts'
import {
  exactUsd,
  exactUsdShape,
  walletTransactionJson,
  walletTransactionShape,
} from './wallet-transaction-shape.ts'

const sumShape = { usage_usd: exactUsdShape('What usage took.', 1.283333), count: z.int() }
const day = z.string().meta({ examples: ['2026-11-01'] })
const meterShape = z.object({
  meter: z.string().meta({ examples: ['telephony'] }),
  quantity: z.int().meta({ description: 'Billed seconds, or messages.' }),
  ...sumShape,
})

const analyticsShape = z.object({
  days: z.int(),
  currency: z.literal('USD'),
  daily: z.array(z.object({ date: day, ...sumShape, topup_usd: exactUsdShape('Credit that came.', 50) })),
  models: z
    .array(z.object({ model: z.string().meta({ examples: ['voice'] }), quantity: z.int(), ...sumShape }))
    .meta({ description: 'By what was measured: voice, telephony, recording, message.' }),
  hourly: z
    .array(z.object({ hour: z.int(), ...sumShape }))
    .meta({ description: 'By the hour of the day, UTC.' }),
  recent: z.array(walletTransactionShape).meta({ description: 'The newest ten that are usage.' }),
})

const usageStatsShape = z.object({
  days: z.int(),
  from: day,
  to: day,
  currency: z.literal('USD'),
  totals: z.object({
    ...sumShape,
    calls: z.int(),
    messages: z.int(),
    number_rentals: z.int(),
    billed_seconds: z.int().meta({ description: 'Of voice.' }),
  }),
  by_meter: z.array(meterShape),
  by_agent: z.array(z.object({ agent_id: z.string().nullable(), ...sumShape })),
  by_campaign: z.array(z.object({ campaign_id: z.string().nullable(), ...sumShape })),
  by_destination: z
    .array(z.object({ prefix: z.string().nullable(), billed_seconds: z.int(), ...sumShape }))
    .meta({
      description: 'Telephony alone, by the prefix that was priced; null where the number was withheld.',
    }),
  by_day: z.array(z.object({ date: day, ...sumShape })),
})

export function registerUsageStatsRoutes(api: Api, { db }: RouteContext): void {
  api.get(
    '/v1/wallet/analytics',
    {
      config: { scope: 'read' },
      schema: {
        summary: 'The last days in figures, for charts',
        tags: ['Wallet'],
        querystring: z.strictObject({ days: wholeNumber({ least: 1, most: 90, otherwise: 30 }) }),
        response: { 200: analyticsShape },
      },
    },
    async (request) => {
      const workspaceId = workspaceOf(request)
      const { days } = request.query
      const [{ newest }, now] = await Promise.all([getWallet(db, workspaceId), readClock(db)])
      const dates = lastDays(now, days)
      const [activity, recent] = await Promise.all([
        readWalletActivity(db, workspaceId, { since: startOf(dates), newest }),
        listWalletTransactions(db, workspaceId, { kinds: usageKinds }, { newest, limit: 10 }),
      ])
      const byDay = new Map(activity.byDay.map((each) => [each.day, each]))
      const byHour = new Map(activity.byHour.map((each) => [each.hour, each]))
      return {
        days,
        currency: 'USD' as const,
        daily: dates.map((date) => {
          const of = byDay.get(date)
          return {
            date,
            ...sumJson(of),
            topup_usd: of === undefined ? 0 : exactUsd(of.toppedUpMicros),
          }
        }),
        models: activity.byMeter.map(({ meter, quantity, ...sum }) => ({
          model: meter,
          quantity: Number(quantity),
          ...sumJson(sum),
        })),
        hourly: Array.from({ length: 24 }, (_, hour) => ({ hour, ...sumJson(byHour.get(hour)) })),
        recent: recent.map(walletTransactionJson),
      }
    },
  )
  api.get(
    '/v1/wallet/usage-stats',
    {
      config: { scope: 'read' },
      schema: {
        summary: 'What usage came to, by meter, agent, campaign, destination and day',
        description:
          'The costliest come first; of agents, campaigns and destinations 100 at most are listed.',
        tags: ['Wallet'],
        querystring: z.strictObject({ days: wholeNumber({ least: 1, most: 365, otherwise: 30 }) }),
        response: { 200: usageStatsShape },
      },
    },
    async (request) => {
      const workspaceId = workspaceOf(request)
      const { days } = request.query
      const [{ newest }, now] = await Promise.all([getWallet(db, workspaceId), readClock(db)])
      const dates = lastDays(now, days)
      const stats = await readUsageStats(db, workspaceId, { since: startOf(dates), newest })
      const byDay = new Map(stats.byDay.map((each) => [each.day, each]))
      const voice = stats.byMeter.find(({ meter }) => meter === 'voice')
      return {
        days,
        from: dates[0] ?? '',
        to: dates.at(-1) ?? '',
        currency: 'USD' as const,
        totals: {
          ...sumJson(stats.total),
          calls: Number(stats.total.calls),
          messages: Number(stats.total.messages),
          number_rentals: Number(stats.total.rentals),
          billed_seconds: Number(voice?.quantity ?? 0n),
        },
        by_meter: stats.byMeter.map(({ meter, quantity, ...sum }) => ({
          meter,
          quantity: Number(quantity),
          ...sumJson(sum),
        })),
        by_agent: stats.byAgent.map(({ agentId, ...sum }) => ({ agent_id: agentId, ...sumJson(sum) })),
        by_campaign: stats.byCampaign.map(({ campaignId, ...sum }) => ({
          campaign_id: campaignId,
          ...sumJson(sum),
        })),
        by_destination: stats.byPrefix.map(({ prefix, seconds, ...sum }) => ({
          prefix,
          billed_seconds: Number(seconds),
          ...sumJson(sum),
        })),
        by_day: dates.map((date) => ({ date, ...sumJson(byDay.get(date)) })),
      }
    },
  )
}

const dayMs = 86_400_000

/** The days up to today, the first first. */
export function lastDays(now: Date, days: number): string[] {
  return Array.from({ length: days }, (_, index) =>
    new Date(now.getTime() - (days - 1 - index) * dayMs).toISOString().slice(0, 10),
  )
}

export function startOf(dates: readonly string[]): Date {
  return new Date(`${dates[0] ?? ''}T00:00:00Z`)
}

function sumJson(sum: UsageSum | undefined): { usage_usd: number; count: number } {
  return sum === undefined
    ? { usage_usd: 0, count: 0 }
    : { usage_usd: exactUsd(sum.usedMicros), count: Number(sum.count) }
}
