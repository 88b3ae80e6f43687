/**
 * What happens to a call between its admission and its usage: it goes on and needs more, it is hung up, or it never happened.
 * Each takes the call's hold as it is under the wallet's lock.
 */
import { affordedSeconds, holdFor } from '../billing/admission.ts'
import { micros, sumMicros, type Micros } from '../billing/money.ts'
import { isUnderWay } from './admission.ts'
import { readClock } from './clock.ts'
import { changeHold, endHolds, findHold, type Hold } from './hold.ts'
import { readClockAndVersion } from './price-version.ts'
import type { RateBook } from './rate-book.ts'
import { decideWalletRecharge } from './recharge.ts'
import type { Tx } from './schema.ts'
import type { LockedWallet } from './wallet.ts'

export type Extension =
  | {
      outcome: 'extended'
      hold: Hold
      /** What is left for other calls. */
      availableMicros: Micros
      /** How long this call may last in all on its hold and on all that is left. */
      affordsSeconds: number
    }
  /** The hold stays as it was. */
  | {
      outcome: 'insufficient_balance'
      availableMicros: Micros
      /** What the hold would have to grow by. */
      requiredMicros: Micros
      affordsSeconds: number
      rechargeUnderWay: boolean
    }
  /** Hung up, or its hold has ended. */
  | { outcome: 'over'; hold: Hold }
  | { outcome: 'unknown_call' }

/** The call has lasted so long and goes on: from now on all of that and a minute more is held. A hold never shrinks. */
export async function extendCall(
  trx: Tx,
  wallet: LockedWallet,
  { callId, lastedSeconds }: { callId: string; lastedSeconds: number },
  rateBookOf: (trx: Tx, version: bigint) => Promise<RateBook>,
  { silentAfterMs }: { silentAfterMs: number },
): Promise<Extension> {
  const { workspaceId } = wallet
  const hold = await findHold(trx, { workspaceId, callId })
  if (hold === null) return { outcome: 'unknown_call' }
  if (hold.state !== 'open' || hold.hungUpAt !== null) return { outcome: 'over', hold }

  const { now, version } = await readClockAndVersion(trx)
  const card = (await rateBookOf(trx, version)).cardFor(workspaceId, hold.startedAt)
  const call = { ...hold, to: hold.to ?? undefined, from: hold.from ?? undefined }
  const price = holdFor(card, call, lastedSeconds)
  const needsMicros = price.outcome === 'priced' ? price.holdMicros : hold.amountMicros
  const growthMicros = micros(needsMicros > hold.amountMicros ? needsMicros - hold.amountMicros : 0n)
  const availableMicros = micros(wallet.balanceMicros - wallet.heldMicros)
  const affordable = sumMicros([hold.amountMicros, micros(availableMicros > 0n ? availableMicros : 0n)])
  const affordsSeconds = affordedSeconds(card, call, affordable)
  const isAffordable = growthMicros === 0n || growthMicros <= availableMicros

  // Heard of it was either way.
  const heard = { now, expiresAt: new Date(now.getTime() + silentAfterMs) }
  const amountMicros = isAffordable ? sumMicros([hold.amountMicros, growthMicros]) : hold.amountMicros
  await changeHold(trx, wallet, hold, { amountMicros, ...heard })
  const leftMicros = micros(isAffordable ? availableMicros - growthMicros : availableMicros)
  const rechargeUnderWay = await rechargeIfBelow(trx, wallet, leftMicros, now)
  if (!isAffordable) {
    const requiredMicros = growthMicros
    return {
      outcome: 'insufficient_balance',
      availableMicros,
      requiredMicros,
      affordsSeconds,
      rechargeUnderWay,
    }
  }
  const extended: Hold = { ...hold, amountMicros, heardAt: now, expiresAt: heard.expiresAt }
  return { outcome: 'extended', hold: extended, availableMicros: leftMicros, affordsSeconds }
}

export type Release =
  | { outcome: 'released'; hold: Hold }
  | { outcome: 'billed'; hold: Hold }
  | { outcome: 'unknown_call' }

/**
 * The call never happened: what was held for it is free, and nobody waits for its usage any more. A call that was given up as
 * silent can be released too; one that was billed cannot.
 */
export async function releaseCall(trx: Tx, wallet: LockedWallet, callId: string): Promise<Release> {
  const { workspaceId } = wallet
  const before = await findHold(trx, { workspaceId, callId })
  if (before === null) return { outcome: 'unknown_call' }
  if (before.state === 'settled') return { outcome: 'billed', hold: before }
  await endHolds(trx, [{ workspaceId, callId }], 'released')
  await trx
    .updateTable('hold')
    .set({ state: 'released' })
    .where('workspace_id', '=', workspaceId)
    .where('call_id', '=', callId)
    .where('state', '=', 'expired')
    .execute()
  return { outcome: 'released', hold: (await findHold(trx, { workspaceId, callId })) ?? before }
}

/**
 * The call is over and its usage is to come: nothing is added to its hold any more.
 *
 * Shape: the hold; null when there is no such call. Needs no lock of the wallet, because no money moves.
 */
export async function noteHangUp(
  trx: Tx,
  { workspaceId, callId }: Pick<Hold, 'workspaceId' | 'callId'>,
  { silentAfterMs }: { silentAfterMs: number },
): Promise<Hold | null> {
  const now = await readClock(trx)
  await trx
    .updateTable('hold')
    .set({ hung_up_at: now, heard_at: now, expires_at: new Date(now.getTime() + silentAfterMs) })
    .where('workspace_id', '=', workspaceId)
    .where('call_id', '=', callId)
    .where('state', '=', 'open')
    .where('hung_up_at', 'is', null)
    .execute()
  return await findHold(trx, { workspaceId, callId })
}

/** Whether the card is being charged, after what this may have decided. */
async function rechargeIfBelow(
  trx: Tx,
  wallet: LockedWallet,
  availableMicros: Micros,
  now: Date,
): Promise<boolean> {
  if (wallet.rechargeBelowMicros === null || availableMicros >= wallet.rechargeBelowMicros) return false
  return isUnderWay(await decideWalletRecharge(trx, wallet, now))
}
