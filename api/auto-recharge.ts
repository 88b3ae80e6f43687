/**
 * Changing auto-recharge, whoever asks: a route of the API or a form of the wallet page. Every change is decided at once, under the
 * wallet's lock.
 */
import type { WorkspaceId } from '../billing/ids.ts'
import { parseUsd, type Micros } from '../billing/money.ts'
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
import { inOneSnapshot } from '../db/snapshot.ts'
import { withLockedWallet } from '../db/wallet.ts'
import type { WalletOwner } from './api.ts'
import { noCard } from './card.ts'
import { refusal } from './errors.ts'
import { noWallet } from './wallet-routes.ts'

/** What is not said when it is set up for the first time. */
export const unsaid = {
  enabled: false,
  thresholdMicros: parseUsd('20'),
  topUpMicros: parseUsd('100'),
  dailyLimit: 10,
  monthlyCapMicros: null,
} as const
export const mostThresholdMicros = parseUsd('10000')
export const mostMonthlyCapMicros = parseUsd('999999')
/** Paddle charges a subscription twenty times an hour at most. */
export const mostADay = 20

/** What is not said stays as it was. */
export type AutoRechargeWanted = {
  enabled: boolean
  thresholdMicros?: Micros | undefined
  topUpMicros?: Micros | undefined
  dailyLimit?: number | undefined
  monthlyCapMicros?: Micros | null | undefined
  savedCardId?: string | undefined
}

/** What there is to say of it. */
export type AutoRechargeSeen = {
  settings: AutoRecharge | typeof unsaid
  savedCardId: string | null
  charging: { topUpId: string; amountMicros: Micros } | null
}

/** Shape: as of one moment; `decided` is what was decided just now; by the time that this reads, its charge may have ended. */
export async function readAutoRecharge(
  db: Db,
  workspaceId: WorkspaceId,
  decided?: Recharged,
): Promise<AutoRechargeSeen> {
  return await inOneSnapshot(db, async (trx) => {
    const settings = await findAutoRecharge(trx, workspaceId)
    const [card] = await listCards(trx, workspaceId)
    const underWay = await findRechargeUnderWay(trx, workspaceId)
    return {
      settings: settings ?? unsaid,
      savedCardId: card?.savedCardId ?? null,
      charging: decided?.decision === 'recharge' ? decided.topUp : underWay,
    }
  })
}

/**
 * Switches it on or off, or changes it, and decides at once: below the threshold already, the card is charged now.
 *
 * Throws: the refusals `no_card`, `card_not_usable`, `cap_below_topup`, `not_found`.
 */
export async function changeAutoRecharge(
  db: Db,
  { workspaceId, actor }: WalletOwner,
  wanted: AutoRechargeWanted,
): Promise<AutoRechargeSeen> {
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
    const result = await saveAutoRecharge(trx, wallet, settings, { actor, now })
    if (result.outcome === 'no_card') throw needsCard()
    return result.decided
  })
  if (saved === null) throw noWallet()
  return await readAutoRecharge(db, workspaceId, saved)
}

/** After declines: forgets them and decides at once. */
export async function letAutoRechargeGoOn(
  db: Db,
  { workspaceId, actor }: WalletOwner,
): Promise<AutoRechargeSeen> {
  const decided = await withLockedWallet(db, workspaceId, async (trx, wallet) =>
    resumeAutoRecharge(trx, wallet, { actor, cause: 'asked for', now: await readClock(trx) }),
  )
  if (decided === null) throw noWallet()
  return await readAutoRecharge(db, workspaceId, decided)
}

/** Throws: refusals for a card of nobody's, and for one that cannot be charged. */
async function checkCard(
  db: Db,
  workspaceId: WorkspaceId,
  { enabled, savedCardId }: AutoRechargeWanted,
): Promise<void> {
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
