/** Campaigns, as far as money is concerned: whether one may dial, and whether it goes on by itself when there is money again. */
import { sql } from 'kysely'

import { leastBufferMicros, liveCallsAfforded } from '../billing/admission.ts'
import { micros, type Micros } from '../billing/money.ts'
import type { CampaignId, WorkspaceId } from '../billing/ids.ts'
import { textArray } from './array-parameter.ts'
import type { CampaignStatus, Db, Tx } from './schema.ts'
import type { LockedWallet } from './wallet.ts'

export type Campaign = {
  workspaceId: WorkspaceId
  campaignId: string
  status: CampaignStatus
  pausedBy: 'person' | 'funds' | null
  resumeWhenFunded: boolean
  changedAt: Date
}

export async function findCampaign(
  db: Db,
  { workspaceId, campaignId }: { workspaceId: WorkspaceId; campaignId: string },
): Promise<Campaign | null> {
  const row = await db
    .selectFrom('campaign')
    .select([
      'workspace_id as workspaceId',
      'campaign_id as campaignId',
      'status',
      'paused_by as pausedBy',
      'resume_when_funded as resumeWhenFunded',
      'changed_at as changedAt',
    ])
    .where('workspace_id', '=', workspaceId)
    .where('campaign_id', '=', campaignId)
    .executeTakeFirst()
  return row ?? null
}

export const campaignActions = ['start', 'pause', 'resume', 'cancel'] as const

export type CampaignAction = (typeof campaignActions)[number]

export type ActedOn =
  | { outcome: 'done'; campaign: CampaignNow }
  /** It stays as it was; or, when it is to go on by itself, it is paused until there is money. */
  | { outcome: 'insufficient_balance'; availableMicros: Micros; requiredMicros: Micros }
  | { outcome: 'frozen' }
  | { outcome: 'unknown_campaign' }
  /** Completed or cancelled, and to stay so. */
  | { outcome: 'over'; status: CampaignStatus }

/**
 * Starts, pauses, resumes or cancels a campaign. The first start makes it known; the others need to know it.
 *
 * Shape: `resumeWhenFunded` undefined leaves it as it was, and false for a new one.
 */
export async function actOnCampaign(
  trx: Tx,
  wallet: LockedWallet,
  {
    campaignId,
    action,
    resumeWhenFunded,
  }: { campaignId: CampaignId; action: CampaignAction; resumeWhenFunded?: boolean | undefined },
  now: Date,
): Promise<ActedOn> {
  const { workspaceId } = wallet
  const before = await findCampaign(trx, { workspaceId, campaignId })
  if (before === null && action !== 'start') return { outcome: 'unknown_campaign' }
  const isOver = before !== null && (before.status === 'cancelled' || before.status === 'completed')
  const isRepeat = action === 'cancel' && before?.status === 'cancelled'
  if (isOver && !isRepeat) return { outcome: 'over', status: before.status }

  const goesOnByItself = resumeWhenFunded ?? before?.resumeWhenFunded ?? false
  const save = async (status: CampaignStatus, pausedBy: Campaign['pausedBy']): Promise<void> => {
    await saveCampaign(trx, wallet, { campaignId, status, pausedBy, resumeWhenFunded: goesOnByItself }, now)
  }
  if (action === 'pause') await save('paused', 'person')
  else if (action === 'cancel') await save('cancelled', null)
  else {
    if (wallet.frozen) return { outcome: 'frozen' }
    const availableMicros = micros(wallet.balanceMicros - wallet.heldMicros)
    if (availableMicros < leastBufferMicros) {
      if (goesOnByItself) await save('paused', 'funds')
      return { outcome: 'insufficient_balance', availableMicros, requiredMicros: leastBufferMicros }
    }
    await save('running', null)
  }
  const campaign = await findCampaignNow(trx, { workspaceId, campaignId })
  return campaign === null ? { outcome: 'unknown_campaign' } : { outcome: 'done', campaign }
}

/** A campaign, and what its wallet allows just now. */
export type CampaignNow = Campaign & {
  /** Calls of it that something is held for. */
  liveCalls: number
  /** Those, and as many more as the wallet has a buffer for; 100 at most. */
  mostLiveCalls: number
}

export async function findCampaignNow(
  db: Db,
  { workspaceId, campaignId }: { workspaceId: WorkspaceId; campaignId: string },
): Promise<CampaignNow | null> {
  const campaign = await findCampaign(db, { workspaceId, campaignId })
  if (campaign === null) return null
  const { rows } = await sql<{ available: Micros; frozen: boolean; live: number }>`
    select balance_micros - held_micros as available, frozen_at is not null as frozen, (
      select count(*)::int from hold
      where hold.workspace_id = wallet.workspace_id and hold.campaign_id = ${campaignId} and hold.state = 'open') as live
    from wallet where workspace_id = ${workspaceId}`.execute(db)
  const { available = micros(0n), frozen = false, live: liveCalls = 0 } = rows[0] ?? {}
  const mayStart = campaign.status === 'running' && !frozen
  return {
    ...campaign,
    liveCalls,
    mostLiveCalls: liveCallsAfforded(mayStart ? available : micros(0n), liveCalls),
  }
}

/** A name for a campaign among those of several workspaces. */
export function campaignName(of: { workspaceId: string; campaignId?: string | undefined }): string {
  return `${of.workspaceId}\n${of.campaignId ?? ''}`
}

/** The campaigns that calls belong to, by `campaignName`. One that nobody started or stopped here is not in it. */
export async function findCampaigns(
  trx: Tx,
  calls: readonly { workspaceId: string; campaignId?: string | undefined }[],
): Promise<Map<string, Pick<Campaign, 'status' | 'pausedBy'>>> {
  const named = calls.filter((call) => call.campaignId !== undefined)
  if (named.length === 0) return new Map()
  const { rows } = await sql<
    Pick<Campaign, 'workspaceId' | 'campaignId' | 'status' | 'pausedBy'>
  >`/* find-campaigns */
    select distinct workspace_id as "workspaceId", campaign_id as "campaignId", status, paused_by as "pausedBy"
    from unnest(
      ${textArray(named.map((call) => call.workspaceId))}::text[],
      ${textArray(named.map((call) => call.campaignId ?? null))}::text[]
    ) as asked (workspace_id, campaign_id)
    join campaign using (workspace_id, campaign_id)`.execute(trx)
  return new Map(rows.map(({ status, pausedBy, ...row }) => [campaignName(row), { status, pausedBy }]))
}

/** Writes a campaign's state down, new or changed, under its wallet's lock. */
async function saveCampaign(
  trx: Tx,
  wallet: LockedWallet,
  campaign: Omit<Campaign, 'workspaceId' | 'changedAt'>,
  now: Date,
): Promise<void> {
  const values = {
    status: campaign.status,
    paused_by: campaign.pausedBy,
    resume_when_funded: campaign.resumeWhenFunded,
    changed_at: now,
  }
  await trx
    .insertInto('campaign')
    .values({ workspace_id: wallet.workspaceId, campaign_id: campaign.campaignId, ...values })
    .onConflict((conflict) => conflict.columns(['workspace_id', 'campaign_id']).doUpdateSet(values))
    .execute()
}

/** Running campaigns, one of whose calls was refused for want of money, are paused; their live calls go on. */
export async function pauseForFunds(
  trx: Tx,
  campaigns: readonly { workspaceId: string; campaignId: string }[],
  now: Date,
): Promise<void> {
  if (campaigns.length === 0) return
  await sql`
    update campaign set status = 'paused', paused_by = 'funds', changed_at = ${now}
    from unnest(
      ${textArray(campaigns.map((each) => each.workspaceId))}::text[],
      ${textArray(campaigns.map((each) => each.campaignId))}::text[]
    ) as refused (workspace_id, campaign_id)
    where campaign.workspace_id = refused.workspace_id and campaign.campaign_id = refused.campaign_id
      and status = 'running'`.execute(trx)
}

/** Money came: what it had stopped, and was asked to go on by itself, goes on. */
export async function resumeFunded(trx: Tx, wallet: LockedWallet, now: Date): Promise<void> {
  await trx
    .updateTable('campaign')
    .set({ status: 'running', paused_by: null, changed_at: now })
    .where('workspace_id', '=', wallet.workspaceId)
    .where('status', '=', 'paused')
    .where('paused_by', '=', 'funds')
    .where('resume_when_funded', '=', true)
    .where((where) =>
      where.exists(
        where
          .selectFrom('wallet')
          .select('workspace_id')
          .where('wallet.workspace_id', '=', wallet.workspaceId)
          .where(sql<boolean>`balance_micros - held_micros >= ${leastBufferMicros} and frozen_at is null`),
      ),
    )
    .execute()
}

/** How many wait for money, and for nothing else. */
export async function countPausedByFunds(db: Db, workspaceId: WorkspaceId): Promise<number> {
  const { count } = await db
    .selectFrom('campaign')
    .select(sql<number>`count(*)::integer`.as('count'))
    .where('workspace_id', '=', workspaceId)
    .where('paused_by', '=', 'funds')
    .executeTakeFirstOrThrow()
  return count
}
