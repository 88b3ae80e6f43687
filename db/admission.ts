/**
 * Admission: many calls decided in one transaction. The wallets are locked, each call is priced and decided on what the ones
 * before it left, and what is admitted is held before anybody else can look. So holds never exceed what was there.
 */
import { sql } from 'kysely'

import {
  affordedSeconds,
  holdFor,
  type CallToAdmit,
  type NoPrice,
  type PricedCall,
} from '../billing/admission.ts'
import { micros, sumMicros, type Micros } from '../billing/money.ts'
import { bigintArray, instantArray, textArray } from './array-parameter.ts'
import { campaignName, findCampaigns, pauseForFunds, type Campaign } from './campaign.ts'
import { readClockAndVersion } from './price-version.ts'
import type { RateBook } from './rate-book.ts'
import { decideRecharges, type Recharged } from './recharge.ts'
import type { CampaignStatus, HoldState, Tx } from './schema.ts'
import { lockFreeWallets, type LockedWallet } from './wallet.ts'

export type Admission =
  | {
      outcome: 'admitted'
      holdMicros: Micros
      /** What is left for other calls. */
      availableMicros: Micros
      /** How long this call may last on its hold and on all that is left. */
      affordsSeconds: number
      startedAt: Date
    }
  | {
      outcome: 'insufficient_balance'
      availableMicros: Micros
      requiredMicros: Micros
      rechargeUnderWay: boolean
    }
  | { outcome: 'frozen' }
  | { outcome: 'no_price'; reason: NoPrice }
  /** The id is of a call that was admitted before, for another destination, or that has ended. */
  | { outcome: 'known_call'; state: HoldState }
  | { outcome: 'campaign_stopped'; status: CampaignStatus; pausedBy: Campaign['pausedBy'] }
  | { outcome: 'unknown_workspace' }
  /** Nothing was decided: the wallet is in use elsewhere just now. */
  | { outcome: 'deferred' }

/**
 * Shape: an answer for each call, in their order. The same call asked for again while it lives is admitted as before. Below the
 *        threshold of its auto-recharge afterwards, a wallet's card is charged.
 */
export async function admitCalls(
  trx: Tx,
  calls: readonly CallToAdmit[],
  rateBookOf: (trx: Tx, version: bigint) => Promise<RateBook>,
  { silentAfterMs }: { silentAfterMs: number },
): Promise<Admission[]> {
  const workspaceIds = [...new Set(calls.map((call) => call.workspaceId))].toSorted()
  // The looks come after the locks: under them, what they see stays so.
  const [{ locked, busy }, known, campaigns, { now, version }] = await Promise.all([
    lockFreeWallets(trx, workspaceIds),
    findKnownCalls(trx, calls),
    findCampaigns(trx, calls),
    readClockAndVersion(trx),
  ])
  const prices = await rateBookOf(trx, version)
  const left = new Map(
    [...locked].map(([id, wallet]) => [id, micros(wallet.balanceMicros - wallet.heldMicros)]),
  )
  const desk: Desk = { locked, busy, known, campaigns, prices, now, left, admitted: [], paused: [] }
  const answers = calls.map((call) => decide(desk, call))
  await insertHolds(trx, desk.admitted, new Date(now.getTime() + silentAfterMs))
  await pauseForFunds(trx, desk.paused, now)
  return await withRecharges(trx, { calls, answers, locked, left }, now)
}

/** What is decided on, and what has been decided so far. */
type Desk = {
  locked: ReadonlyMap<string, LockedWallet>
  busy: ReadonlySet<string>
  known: Map<string, KnownCall>
  campaigns: Map<string, Pick<Campaign, 'status' | 'pausedBy'>>
  prices: RateBook
  now: Date
  /** What is available in each wallet after the calls that were decided already. */
  left: Map<string, Micros>
  admitted: AdmittedCall[]
  paused: { workspaceId: string; campaignId: string }[]
}

type KnownCall =
  | (PricedCall & { state: 'open'; holdMicros: Micros; startedAt: Date })
  | { state: Exclude<HoldState, 'open'> }

type AdmittedCall = { call: CallToAdmit; holdMicros: Micros; startedAt: Date }

function decide(desk: Desk, call: CallToAdmit): Admission {
  if (desk.busy.has(call.workspaceId)) return { outcome: 'deferred' }
  const wallet = desk.locked.get(call.workspaceId)
  if (wallet === undefined) return { outcome: 'unknown_workspace' }
  const availableMicros = desk.left.get(call.workspaceId) ?? micros(0n)
  const known = desk.known.get(nameOf(call))
  if (known !== undefined) return decideKnown(desk, call, known, availableMicros)

  const price = holdFor(desk.prices.cardFor(call.workspaceId, desk.now), call, 0)
  if (price.outcome === 'refused') return { outcome: 'no_price', reason: price.reason }
  if (wallet.frozen) return { outcome: 'frozen' }
  const campaign = desk.campaigns.get(campaignName(call))
  const stopped = campaign === undefined || campaign.status === 'running' ? null : campaign
  if (stopped !== null && stopped.pausedBy !== 'funds') return { outcome: 'campaign_stopped', ...stopped }
  if (availableMicros < price.holdMicros) {
    noteWantOfFunds(desk, call)
    const requiredMicros = price.holdMicros
    return {
      outcome: 'insufficient_balance',
      availableMicros,
      requiredMicros,
      rechargeUnderWay: false,
    }
  }
  // There is money again, and nobody has said that it is to go on.
  if (stopped !== null) return { outcome: 'campaign_stopped', ...stopped }
  return admit(desk, call, { holdMicros: price.holdMicros, availableMicros })
}

function decideKnown(desk: Desk, call: CallToAdmit, known: KnownCall, availableMicros: Micros): Admission {
  if (known.state !== 'open' || !isSameCall(known, call)) return { outcome: 'known_call', state: known.state }
  const { holdMicros, startedAt } = known
  const card = desk.prices.cardFor(call.workspaceId, startedAt)
  const affordsSeconds = affordedSeconds(card, call, sumMicros([availableMicros, holdMicros]))
  return { outcome: 'admitted', holdMicros, availableMicros, affordsSeconds, startedAt }
}

function admit(
  desk: Desk,
  call: CallToAdmit,
  { holdMicros, availableMicros }: { holdMicros: Micros; availableMicros: Micros },
): Admission {
  const startedAt = desk.now
  const leftMicros = micros(availableMicros - holdMicros)
  desk.left.set(call.workspaceId, leftMicros)
  desk.admitted.push({ call, holdMicros, startedAt })
  desk.known.set(nameOf(call), { ...call, state: 'open', holdMicros, startedAt })
  const card = desk.prices.cardFor(call.workspaceId, startedAt)
  const affordsSeconds = affordedSeconds(card, call, availableMicros)
  return { outcome: 'admitted', holdMicros, availableMicros: leftMicros, affordsSeconds, startedAt }
}

/** Its campaign stops with this call, for the ones after it in this very batch too. */
function noteWantOfFunds(desk: Desk, call: CallToAdmit): void {
  const { workspaceId, campaignId } = call
  if (campaignId === undefined || desk.campaigns.get(campaignName(call))?.status !== 'running') return
  desk.paused.push({ workspaceId, campaignId })
  desk.campaigns.set(campaignName(call), { status: 'paused', pausedBy: 'funds' })
}

/** Decides the recharges that holds and refusals call for, and tells the refused whether money is on its way. */
async function withRecharges(
  trx: Tx,
  {
    calls,
    answers,
    locked,
    left,
  }: {
    calls: readonly CallToAdmit[]
    answers: readonly Admission[]
    locked: ReadonlyMap<string, LockedWallet>
    left: ReadonlyMap<string, Micros>
  },
  now: Date,
): Promise<Admission[]> {
  const below = [...locked.values()].filter(({ workspaceId, rechargeBelowMicros }) => {
    const availableMicros = left.get(workspaceId)
    return (
      rechargeBelowMicros !== null && availableMicros !== undefined && availableMicros < rechargeBelowMicros
    )
  })
  const decided = await decideRecharges(trx, below, now)
  return answers.map((answer, index) => {
    const workspaceId = calls[index]?.workspaceId
    if (answer.outcome !== 'insufficient_balance' || workspaceId === undefined) return answer
    const recharge = decided.get(workspaceId)
    return { ...answer, rechargeUnderWay: recharge !== undefined && isUnderWay(recharge) }
  })
}

/** Whether money is on its way from the card. */
export function isUnderWay(recharge: Recharged): boolean {
  return recharge.decision === 'recharge' || recharge.reason === 'charge_under_way'
}

/** A call that was told as usage is over, whether it was ever admitted here or not. */
async function findKnownCalls(trx: Tx, calls: readonly CallToAdmit[]): Promise<Map<string, KnownCall>> {
  const { rows } = await sql<KnownRow>`/* find-known-calls */
    select asked.workspace_id, asked.call_id, case when u.key is null then h.state else 'settled' end as state,
      h.amount_micros, h.direction, h.to_number, h.from_number, h.recorded, h.started_at
    from unnest(
      ${textArray(calls.map((call) => call.workspaceId))}::text[],
      ${textArray(calls.map((call) => call.callId))}::text[]
    ) as asked (workspace_id, call_id)
    left join hold h on h.workspace_id = asked.workspace_id and h.call_id = asked.call_id
    left join usage_event u on u.workspace_id = asked.workspace_id and u.key = 'call/' || asked.call_id
      and u.state in ('received', 'posted', 'free')
    where h.call_id is not null or u.key is not null`.execute(trx)
  return new Map(
    rows.map((row) => [nameOf({ workspaceId: row.workspace_id, callId: row.call_id }), knownOf(row)]),
  )
}

type KnownRow = { workspace_id: string; call_id: string } & (
  | {
      state: 'open'
      amount_micros: Micros
      direction: CallToAdmit['direction']
      to_number: string | null
      from_number: string | null
      recorded: boolean
      started_at: Date
    }
  | { state: Exclude<HoldState, 'open'> }
)

function knownOf(row: KnownRow): KnownCall {
  if (row.state !== 'open') return { state: row.state }
  return {
    state: row.state,
    holdMicros: row.amount_micros,
    direction: row.direction,
    to: row.to_number ?? undefined,
    from: row.from_number ?? undefined,
    recorded: row.recorded,
    startedAt: row.started_at,
  }
}

async function insertHolds(trx: Tx, admitted: readonly AdmittedCall[], expiresAt: Date): Promise<void> {
  if (admitted.length === 0) return
  const calls = admitted.map((each) => each.call)
  await sql`/* insert-holds */
    with held as (
      insert into hold (workspace_id, call_id, amount_micros, direction, to_number, from_number, recorded, agent_id,
        campaign_id, started_at, heard_at, expires_at)
      select workspace_id, call_id, amount_micros, direction, to_number, from_number, recorded = 'true', agent_id,
        campaign_id, started_at, started_at, ${expiresAt}::timestamptz
      from unnest(
        ${textArray(calls.map((call) => call.workspaceId))}::text[],
        ${textArray(calls.map((call) => call.callId))}::text[],
        ${bigintArray(admitted.map((each) => each.holdMicros))}::bigint[],
        ${textArray(calls.map((call) => call.direction))}::text[],
        ${textArray(calls.map((call) => call.to ?? null))}::text[],
        ${textArray(calls.map((call) => call.from ?? null))}::text[],
        ${textArray(calls.map((call) => String(call.recorded)))}::text[],
        ${textArray(calls.map((call) => call.agentId ?? null))}::text[],
        ${textArray(calls.map((call) => call.campaignId ?? null))}::text[],
        ${instantArray(admitted.map((each) => each.startedAt))}::timestamptz[]
      ) as admitted (workspace_id, call_id, amount_micros, direction, to_number, from_number, recorded, agent_id,
        campaign_id, started_at)
      returning workspace_id, amount_micros
    ), taken as (select workspace_id, sum(amount_micros) as amount_micros from held group by workspace_id)
    update wallet set held_micros = wallet.held_micros + taken.amount_micros
    from taken where wallet.workspace_id = taken.workspace_id`.execute(trx)
}

function isSameCall(known: PricedCall, call: PricedCall): boolean {
  return (
    known.direction === call.direction &&
    known.to === call.to &&
    known.from === call.from &&
    known.recorded === call.recorded
  )
}

function nameOf(call: { workspaceId: string; callId: string }): string {
  return `${call.workspaceId}\n${call.callId}`
}
