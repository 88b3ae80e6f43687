/** Spend on the wallet page. Days are UTC, and the last of them is today. */
import { places } from '../dashboard/places.ts'
import type { SpendDay } from '../dashboard/spend-chart.ts'
import { spans, spendPage } from '../dashboard/spend-page.ts'
import { readClock } from '../db/clock.ts'
import { listTelephonyPlaces } from '../db/telephony-place.ts'
import type { DaySpend } from '../db/usage-stats.ts'
import { workspaceOf, type Api } from './api.ts'
import { queryOf, readFrame, sendPage, type DashboardContext } from './dashboard-page.ts'
import { lastDays, startOf } from './usage-stats-routes.ts'
import { readSpend } from './wallet-figures.ts'
import { getWallet } from './wallet-routes.ts'

const mostDestinations = 12
const mostNames = 20

export function registerSpendPage(scope: Api, context: DashboardContext): void {
  const { db } = context
  scope.get(
    places.spend.path,
    { config: { scope: 'session' }, schema: { hide: true } },
    async (request, reply) => {
      const workspaceId = workspaceOf(request)
      const asked = queryOf(request)['days']
      const days = spans.find((span) => String(span) === asked) ?? 30
      const [frame, { newest }, now] = await Promise.all([
        readFrame(context, request, 'spend'),
        getWallet(db, workspaceId),
        readClock(db),
      ])
      const dates = lastDays(now, days)
      const spend = await readSpend(db, workspaceId, { since: startOf(dates), newest })
      const destinations = spend.byPrefix.slice(0, mostDestinations)
      const prefixes = destinations.flatMap(({ prefix }) => (prefix === null ? [] : [prefix]))
      const knownPlaces = await listTelephonyPlaces(db, prefixes)
      const view = {
        days,
        byDay: spendDays(dates, spend.byDayAndMeter),
        total: spend.total,
        byMeter: spend.byMeter,
        byAgent: spend.byAgent.slice(0, mostNames).map(({ agentId: name, ...sum }) => ({ name, ...sum })),
        byCampaign: spend.byCampaign
          .slice(0, mostNames)
          .map(({ campaignId: name, ...sum }) => ({ name, ...sum })),
        byDestination: destinations.map((sum) => ({
          ...sum,
          place: sum.prefix === null ? null : (knownPlaces.get(sum.prefix) ?? null),
        })),
      }
      return await sendPage(reply, spendPage(frame, view))
    },
  )
}

function spendDays(dates: readonly string[], spend: readonly DaySpend[]): SpendDay[] {
  const byDay = Map.groupBy(spend, ({ day }) => day)
  return dates.map((date) => ({ date, meters: byDay.get(date) ?? [] }))
}
