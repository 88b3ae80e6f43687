/**
 * Recharges decided: the facts read under the wallets' locks, the pure decision taken, its plan or its reason written down, all
 * in the caller's transaction. Set-based, because a batch of usage may take hundreds of wallets below their thresholds at once.
 */
import { sql } from 'kysely'

import type { WorkspaceId } from '../billing/ids.ts'
import { micros, type Micros } from '../billing/money.ts'
import { decideRecharge, type RechargeFacts, type RechargeReason } from '../billing/recharge.ts'
import type { Db, SavedCardState, Tx } from './schema.ts'
import { newTopUpId, openTopUp, type TopUp } from './top-up.ts'
import type { LockedWallet } from './wallet.ts'

/** What was decided for a wallet; the reason is kept and shown. */
export type Recharged = { decision: 'recharge'; topUp: TopUp } | { decision: 'wait'; reason: RechargeReason }

/**
 * Decides for each of the wallets, whose locks the caller holds, with what the transaction has done so far.
 *
 * Shape: by workspace; a workspace that never set auto-recharge up is `not_enabled` and leaves no trace.
 */
export async function decideRecharges(
  trx: Tx,
  wallets: readonly LockedWallet[],
  now: Date,
): Promise<Map<WorkspaceId, Recharged>> {
  const decided = new Map<WorkspaceId, Recharged>()
  if (wallets.length === 0) return decided
  const known = await readRechargeFacts(
    trx,
    wallets.map((wallet) => wallet.workspaceId),
    now,
  )
  const changed: { workspaceId: WorkspaceId; decision: RechargeReason | 'recharge' }[] = []
  for (const wallet of wallets) {
    const row = known.get(wallet.workspaceId)
    const result = row === undefined ? notSetUp : await plan(trx, wallet, row, now)
    decided.set(wallet.workspaceId, result)
    const decision = result.decision === 'recharge' ? 'recharge' : result.reason
    if (row !== undefined && row.lastDecision !== decision)
      changed.push({ workspaceId: wallet.workspaceId, decision })
  }
  await keepDecisions(trx, changed, now)
  return decided
}

/** As `decideRecharges`, for one wallet. */
export async function decideWalletRecharge(trx: Tx, wallet: LockedWallet, now: Date): Promise<Recharged> {
  return (await decideRecharges(trx, [wallet], now)).get(wallet.workspaceId) ?? notSetUp
}

/**
 * Whether a recharge that was decided earlier is still wanted, now that it is about to be sent: null when it is.
 *
 * Shape: the decision taken again as if this one had never been; or that the card or the amount is another one by now.
 */
export async function findObjection(
  trx: Tx,
  topUp: TopUp,
  now: Date,
): Promise<RechargeReason | 'another_card' | 'another_amount' | null> {
  const known = (await readRechargeFacts(trx, [topUp.workspaceId], now)).get(topUp.workspaceId)
  if (known === undefined) return 'not_enabled'
  const { facts } = known
  const isOfThisMonth = monthOf(topUp.createdAt) === monthOf(now)
  const isOfThisDay = now.getTime() - topUp.createdAt.getTime() < 86_400_000
  const decision = decideRecharge({
    ...facts,
    openCharge: 'none',
    rechargesInADay: facts.rechargesInADay - (isOfThisDay ? 1 : 0),
    rechargedInMonthMicros: micros(facts.rechargedInMonthMicros - (isOfThisMonth ? topUp.amountMicros : 0n)),
  })
  if (decision.decision === 'wait') return decision.reason
  if (known.subscriptionId !== topUp.subscriptionId) return 'another_card'
  return decision.amountMicros === topUp.amountMicros ? null : 'another_amount'
}

function monthOf(instant: Date): string {
  return instant.toISOString().slice(0, 7)
}

/** Workspaces whose available balance is below their threshold: what the sweep decides for again. */
export async function listBelowThreshold(
  db: Db,
  { after, limit }: { after: WorkspaceId | null; limit: number },
): Promise<WorkspaceId[]> {
  const rows = await db
    .selectFrom('auto_recharge')
    .innerJoin('wallet', 'wallet.workspace_id', 'auto_recharge.workspace_id')
    .select('wallet.workspace_id')
    .where('auto_recharge.enabled', '=', true)
    .where(sql<boolean>`wallet.balance_micros - wallet.held_micros < auto_recharge.threshold_micros`)
    .$if(after !== null, (query) => query.where(sql`wallet.workspace_id`, '>', after))
    .orderBy('wallet.workspace_id')
    .limit(limit)
    .execute()
  return rows.map((row) => row.workspace_id)
}

const notSetUp: Recharged = { decision: 'wait', reason: 'not_enabled' }

type Known = { facts: RechargeFacts; lastDecision: string | null; subscriptionId: string | null }

async function plan(trx: Tx, wallet: LockedWallet, known: Known, now: Date): Promise<Recharged> {
  const decision = decideRecharge(known.facts)
  if (decision.decision === 'wait') return decision
  const topUp = await openTopUp(
    trx,
    wallet,
    {
      topUpId: newTopUpId(now),
      source: 'auto_recharge',
      state: 'ready',
      amountMicros: decision.amountMicros,
      subscriptionId: known.subscriptionId,
      dueAt: now,
    },
    now,
  )
  return topUp === null ? { decision: 'wait', reason: 'charge_under_way' } : { decision: 'recharge', topUp }
}

type FactsRow = {
  workspace_id: WorkspaceId
  available_micros: Micros
  frozen: boolean
  enabled: boolean
  threshold_micros: Micros
  top_up_micros: Micros
  daily_limit: number
  monthly_cap_micros: Micros | null
  suspended: boolean
  cooling_until: Date | null
  last_decision: string | null
  card_state: SavedCardState | null
  subscription_id: string | null
  needs_review: boolean
  under_way: boolean
  recharges_in_a_day: number
  recharged_in_month_micros: Micros
}

async function readRechargeFacts(
  trx: Tx,
  workspaceIds: readonly WorkspaceId[],
  now: Date,
): Promise<Map<WorkspaceId, Known>> {
  const { rows } = await sql<FactsRow>`/* recharge-facts */
    select a.workspace_id, w.balance_micros - w.held_micros as available_micros, w.frozen_at is not null as frozen,
      a.enabled, a.threshold_micros, a.top_up_micros, a.daily_limit, a.monthly_cap_micros,
      a.suspended_at is not null as suspended, a.cooling_until, a.last_decision,
      c.state as card_state, c.subscription_id,
      coalesce(o.needs_review, false) as needs_review, coalesce(o.under_way, false) as under_way,
      coalesce(r.in_a_day, 0)::int as recharges_in_a_day,
      coalesce(r.in_month, 0)::bigint as recharged_in_month_micros
    from unnest(${workspaceIds}::text[]) as asked (workspace_id)
    join auto_recharge a using (workspace_id)
    join wallet w using (workspace_id)
    left join saved_card c on c.workspace_id = a.workspace_id and c.state in ('active', 'paused', 'past_due')
    left join lateral (
      select bool_or(t.state = 'needs_review') as needs_review, bool_or(t.state <> 'needs_review') as under_way
      from top_up t
      where t.workspace_id = a.workspace_id and t.source <> 'checkout'
        and t.state in ('ready', 'submitting', 'unknown', 'processing', 'needs_review')) o on true
    left join lateral (
      select count(*) filter (where t.created_at > ${now}::timestamptz - interval '24 hours') as in_a_day,
        sum(t.amount_micros) filter (where t.created_at >= date_trunc('month', ${now}::timestamptz, 'UTC')) as in_month
      from top_up t
      where t.workspace_id = a.workspace_id and t.source = 'auto_recharge'
        and t.created_at > ${now}::timestamptz - interval '32 days'
        and t.state in ('ready', 'submitting', 'unknown', 'processing', 'needs_review', 'succeeded')) r on true`.execute(
    trx,
  )
  return new Map(rows.map((row) => [row.workspace_id, knownOf(row, now)]))
}

function knownOf(row: FactsRow, now: Date): Known {
  return {
    lastDecision: row.last_decision,
    subscriptionId: row.subscription_id,
    facts: {
      now,
      availableMicros: row.available_micros,
      settings: {
        enabled: row.enabled,
        thresholdMicros: row.threshold_micros,
        topUpMicros: row.top_up_micros,
        dailyLimit: row.daily_limit,
        monthlyCapMicros: row.monthly_cap_micros,
      },
      suspended: row.suspended,
      coolingUntil: row.cooling_until,
      frozen: row.frozen,
      card: row.card_state === null ? 'none' : row.card_state === 'active' ? 'usable' : 'not_usable',
      openCharge: row.needs_review ? 'needs_review' : row.under_way ? 'under_way' : 'none',
      rechargesInADay: row.recharges_in_a_day,
      rechargedInMonthMicros: row.recharged_in_month_micros,
    },
  }
}

async function keepDecisions(
  trx: Tx,
  changed: readonly { workspaceId: WorkspaceId; decision: string }[],
  now: Date,
): Promise<void> {
  if (changed.length === 0) return
  await sql`
    update auto_recharge set last_decision = decided.decision, last_decision_at = ${now}
    from unnest(
      ${changed.map((each) => each.workspaceId)}::text[], ${changed.map((each) => each.decision)}::text[]
    ) as decided (workspace_id, decision)
    where auto_recharge.workspace_id = decided.workspace_id`.execute(trx)
}
