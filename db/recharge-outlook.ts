/**
 * Why a wallet's card was or was not charged, for whoever asks: the facts of the decision read without a lock, and the pure
 * decision taken on them. Decides nothing; between the reading and the showing the wallet may have moved on.
 */
import { sql } from 'kysely'

import type { WorkspaceId } from '../billing/ids.ts'
import { micros, type Micros } from '../billing/money.ts'
import { decideRecharge, type RechargeDecision, type RechargeFacts } from '../billing/recharge.ts'
import { openChargeStates } from '../billing/top-up.ts'
import { findAutoRecharge, type AutoRecharge } from './auto-recharge.ts'
import { findCardInUse, type SavedCard } from './saved-card.ts'
import type { Db } from './schema.ts'
import { inOneSnapshot } from './snapshot.ts'
import { listTopUps, type TopUp } from './top-up.ts'

export type RechargeOutlook = {
  balanceMicros: Micros
  heldMicros: Micros
  availableMicros: Micros
  frozen: { since: Date; reason: string } | null
  /** Null when the workspace never set it up. */
  settings: AutoRecharge | null
  card: SavedCard | null
  /** A charge of the card whose end is not known yet; one that needs a review before any other. */
  openCharge: TopUp | null
  rechargesInADay: number
  rechargedInMonthMicros: Micros
  /** What a decision taken now would be. */
  decision: RechargeDecision
  /** What it would be if the balance were below the threshold: what stands in the way of the next recharge. */
  belowThreshold: RechargeDecision
}

/** Shape: all as of one moment; null when the workspace has no wallet. */
export async function findRechargeOutlook(
  db: Db,
  workspaceId: WorkspaceId,
  now: Date,
): Promise<RechargeOutlook | null> {
  return await inOneSnapshot(db, (trx) => readOutlook(trx, workspaceId, now))
}

async function readOutlook(db: Db, workspaceId: WorkspaceId, now: Date): Promise<RechargeOutlook | null> {
  const wallet = await db
    .selectFrom('wallet')
    .select(['balance_micros', 'held_micros', 'frozen_at', 'frozen_reason'])
    .where('workspace_id', '=', workspaceId)
    .executeTakeFirst()
  if (wallet === undefined) return null
  const settings = await findAutoRecharge(db, workspaceId)
  const card = await findCardInUse(db, workspaceId)
  const charges = (await listTopUps(db, { workspaceId, states: openChargeStates, limit: 100 })).filter(
    (topUp) => topUp.source !== 'checkout',
  )
  const openCharge = charges.find((charge) => charge.state === 'needs_review') ?? charges[0] ?? null
  const used = await countRecharges(db, workspaceId, now)
  const availableMicros = micros(wallet.balance_micros - wallet.held_micros)
  const facts: RechargeFacts = {
    now,
    availableMicros,
    settings,
    suspended: (settings?.suspendedAt ?? null) !== null,
    coolingUntil: settings?.coolingUntil ?? null,
    frozen: wallet.frozen_at !== null,
    card: card === null ? 'none' : card.state === 'active' ? 'usable' : 'not_usable',
    openCharge:
      openCharge === null ? 'none' : openCharge.state === 'needs_review' ? 'needs_review' : 'under_way',
    ...used,
  }
  const belowMicros = micros((settings?.thresholdMicros ?? 0n) - 1n)
  return {
    balanceMicros: wallet.balance_micros,
    heldMicros: wallet.held_micros,
    availableMicros,
    frozen:
      wallet.frozen_at === null ? null : { since: wallet.frozen_at, reason: wallet.frozen_reason ?? '' },
    settings,
    card,
    openCharge,
    ...used,
    decision: decideRecharge(facts),
    belowThreshold: decideRecharge({ ...facts, availableMicros: belowMicros }),
  }
}

/** What recharges took or still may take, counted as the decision counts them. */
async function countRecharges(
  db: Db,
  workspaceId: WorkspaceId,
  now: Date,
): Promise<{ rechargesInADay: number; rechargedInMonthMicros: Micros }> {
  const row = await db
    .selectFrom('top_up')
    .select([
      sql<number>`(count(*) filter (where created_at > ${now}::timestamptz - interval '24 hours'))::int`.as(
        'rechargesInADay',
      ),
      sql<Micros>`coalesce(sum(amount_micros)
        filter (where created_at >= date_trunc('month', ${now}::timestamptz, 'UTC')), 0)::bigint`.as(
        'rechargedInMonthMicros',
      ),
    ])
    .where('workspace_id', '=', workspaceId)
    .where('source', '=', 'auto_recharge')
    .where('state', 'in', [...openChargeStates, 'succeeded'])
    .where('created_at', '>', sql<Date>`${now}::timestamptz - interval '32 days'`)
    .executeTakeFirstOrThrow()
  return row
}
