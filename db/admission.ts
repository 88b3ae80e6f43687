/**
 * Admission: many calls decided in one transaction. The wallets are locked, each call is priced and decided on what the ones
 * before it left, and what is admitted is held before anybody else can look. So holds never exceed what was there.
 */
import { sql } from 'kysely'

import { affordedSeconds, holdFor, type CallToAdmit, type NoPrice } from '../billing/admission.ts'
import { micros, sumMicros, type Micros } from '../billing/money.ts'
import { bigintArray, instantArray, textArray } from './array-parameter.ts'
import { pauseForFunds } from './campaign.ts'
import { readClockAndVersion } from './price-version.ts'
import type { RateBook } from './rate-book.ts'
import { decideRecharges } from './recharge.ts'
import type { HoldState, Tx } from './schema.ts'
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
  const [{ locked, busy }, known, { now, version }] = await Promise.all([
    lockFreeWallets(trx, workspaceIds),
    findKnownCalls(trx, calls),
    readClockAndVersion(trx),
  ])
  const prices = await rateBookOf(trx, version)
  const left = new Map(
    [...locked].map(([id, wallet]) => [id, micros(wallet.balanceMicros - wallet.heldMicros)]),
  )
  const admitted: AdmittedCall[] = []
  const answers = calls.map((call): Admission => {
    if (busy.has(call.workspaceId)) return { outcome: 'deferred' }
    const wallet = locked.get(call.workspaceId)
    if (wallet === undefined) return { outcome: 'unknown_workspace' }
    const card = prices.cardFor(call.workspaceId, now)
    const availableMicros = left.get(call.workspaceId) ?? micros(0n)
    const before = known.get(nameOf(call))
    if (before !== undefined) {
      if (before.state !== 'open' || !isSameCall(before, call))
        return { outcome: 'known_call', state: before.state }
      const affordsSeconds = affordedSeconds(card, call, sumMicros([availableMicros, before.holdMicros]))
      return {
        outcome: 'admitted',
        holdMicros: before.holdMicros,
        availableMicros,
        affordsSeconds,
        startedAt: before.startedAt,
      }
    }
    const price = holdFor(card, call, 0)
    if (price.outcome === 'refused') return { outcome: 'no_price', reason: price.reason }
    if (wallet.frozen) return { outcome: 'frozen' }
    const { holdMicros } = price
    if (availableMicros < holdMicros) {
      return {
        outcome: 'insufficient_balance',
        availableMicros,
        requiredMicros: holdMicros,
        rechargeUnderWay: false,
      }
    }
    const leftMicros = micros(availableMicros - holdMicros)
    left.set(call.workspaceId, leftMicros)
    admitted.push({ call, holdMicros, startedAt: now })
    known.set(nameOf(call), { ...call, state: 'open', holdMicros, startedAt: now })
    const affordsSeconds = affordedSeconds(card, call, availableMicros)
    return { outcome: 'admitted', holdMicros, availableMicros: leftMicros, affordsSeconds, startedAt: now }
  })
  await insertHolds(trx, admitted, new Date(now.getTime() + silentAfterMs))
  await pauseForFunds(trx, refusedCampaigns(calls, answers), now)
  return await withRecharges(trx, { calls, answers, locked, left }, now)
}

type KnownCall = Pick<CallToAdmit, 'direction' | 'to' | 'from' | 'recorded'> & {
  state: HoldState
  holdMicros: Micros
  startedAt: Date
}

type AdmittedCall = { call: CallToAdmit; holdMicros: Micros; startedAt: Date }

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
    const isUnderWay =
      recharge !== undefined && (recharge.decision === 'recharge' || recharge.reason === 'charge_under_way')
    return { ...answer, rechargeUnderWay: isUnderWay }
  })
}

function refusedCampaigns(calls: readonly CallToAdmit[], answers: readonly Admission[]) {
  return calls.flatMap(({ workspaceId, campaignId }, index) =>
    campaignId !== undefined && answers[index]?.outcome === 'insufficient_balance'
      ? [{ workspaceId, campaignId }]
      : [],
  )
}

async function findKnownCalls(trx: Tx, calls: readonly CallToAdmit[]): Promise<Map<string, KnownCall>> {
  const { rows } = await sql<KnownRow>`/* find-known-calls */
    select h.workspace_id, h.call_id, h.state, h.amount_micros, h.direction, h.to_number, h.from_number, h.recorded, h.started_at
    from unnest(
      ${textArray(calls.map((call) => call.workspaceId))}::text[],
      ${textArray(calls.map((call) => call.callId))}::text[]
    ) as asked (workspace_id, call_id)
    join hold h using (workspace_id, call_id)`.execute(trx)
  return new Map(
    rows.map((row) => [
      nameOf({ workspaceId: row.workspace_id, callId: row.call_id }),
      {
        state: row.state,
        holdMicros: row.amount_micros,
        direction: row.direction,
        to: row.to_number ?? undefined,
        from: row.from_number ?? undefined,
        recorded: row.recorded,
        startedAt: row.started_at,
      },
    ]),
  )
}

type KnownRow = {
  workspace_id: string
  call_id: string
  state: HoldState
  amount_micros: Micros
  direction: CallToAdmit['direction']
  to_number: string | null
  from_number: string | null
  recorded: boolean
  started_at: Date
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

function isSameCall(known: KnownCall, call: CallToAdmit): boolean {
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
