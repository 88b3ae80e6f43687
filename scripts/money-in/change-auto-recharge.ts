/** Changing a workspace's auto-recharge: what the options ask for, whether it can be, and what follows from it at once. */
import { BillingError } from '../../billing/billing-error.ts'
import type { WorkspaceId } from '../../billing/ids.ts'
import { displayUsd, displayUsdExact } from '../../billing/money.ts'
import { explainRecharge, type AutoRechargeSettings } from '../../billing/recharge.ts'
import { leastTopUpMicros, mostTopUpMicros } from '../../billing/top-up.ts'
import { findAutoRecharge, resumeAutoRecharge, saveAutoRecharge } from '../../db/auto-recharge.ts'
import { readClock } from '../../db/clock.ts'
import { freezeWallet, unfreezeWallet } from '../../db/freeze.ts'
import { decideWalletRecharge, type Recharged } from '../../db/recharge.ts'
import { findCardInUse } from '../../db/saved-card.ts'
import type { Db } from '../../db/schema.ts'
import { withLockedWallet } from '../../db/wallet.ts'
import { Misuse, wholeNumber } from '../command-line.ts'
import { readDollars, readTopUpAmount } from './options.ts'
import { actor, unknownWorkspace } from './operator-books.ts'
import { nameCard } from './wording.ts'

/** What the options ask for. */
export type Change =
  | { what: 'settings'; changed: Partial<AutoRechargeSettings> }
  | { what: 'resume' }
  | { what: 'freeze' | 'unfreeze'; reason: string }

type Options = {
  on?: boolean | undefined
  off?: boolean | undefined
  threshold?: string | undefined
  'top-up'?: string | undefined
  'daily-limit'?: string | undefined
  'monthly-cap'?: string | undefined
  resume?: boolean | undefined
  freeze?: string | undefined
  unfreeze?: string | undefined
}

/** Shape: null when nothing is to be changed. Throws: Misuse. */
export function readChange(options: Options): Change | null {
  const { on, off, threshold, resume, freeze, unfreeze } = options
  const { 'top-up': topUp, 'daily-limit': dailyLimit, 'monthly-cap': cap } = options
  const verbs = Object.entries({ on, off, resume, freeze, unfreeze }).filter(
    ([, given]) => given !== undefined,
  )
  const figures = [threshold, topUp, dailyLimit, cap].filter((figure) => figure !== undefined)
  const names = verbs.map(([name]) => `--${name}`).join(' and ')
  if (verbs.length > 1) throw new Misuse(`${names}: one at a time`)
  if (figures.length > 0 && (resume ?? freeze ?? unfreeze) !== undefined) {
    throw new Misuse(`${names}: change the settings in a call of their own`)
  }
  if (resume === true) return { what: 'resume' }
  if (freeze !== undefined) return { what: 'freeze', reason: readReason('--freeze', freeze) }
  if (unfreeze !== undefined) return { what: 'unfreeze', reason: readReason('--unfreeze', unfreeze) }
  if (verbs.length + figures.length === 0) return null
  const most = mostTopUpMicros
  const changed: Partial<AutoRechargeSettings> = {
    ...(on === true ? { enabled: true } : off === true ? { enabled: false } : {}),
    ...(threshold === undefined
      ? {}
      : { thresholdMicros: readDollars('--threshold', threshold, { least: 0n, most }) }),
    ...(topUp === undefined ? {} : { topUpMicros: readTopUpAmount('--top-up', topUp) }),
    ...(dailyLimit === undefined
      ? {}
      : { dailyLimit: wholeNumber('--daily-limit', dailyLimit, { least: 1, most: 20 }) }),
    ...(cap === undefined
      ? {}
      : {
          monthlyCapMicros:
            cap === 'none'
              ? null
              : readDollars('--monthly-cap', cap, { least: leastTopUpMicros, most: most * 1_000n }),
        }),
  }
  return { what: 'settings', changed }
}

function readReason(option: string, text: string): string {
  const reason = text.trim()
  if (reason !== '' && reason.length <= 200) return reason
  throw new Misuse(
    `${option}: expected a reason of 1 to 200 characters, which whoever reads the audit log will see`,
  )
}

/** Shape: what was done, and what follows from it at once, for a person. Throws: Misuse or BillingError when it cannot be. */
export async function makeChange(db: Db, workspaceId: WorkspaceId, change: Change): Promise<string> {
  if (change.what === 'settings') return await save(db, workspaceId, change.changed)
  if (change.what === 'resume') return await resume(db, workspaceId)
  const { what, reason } = change
  const done = await withLockedWallet(db, workspaceId, async (trx, wallet) => {
    const now = await readClock(trx)
    if (what === 'freeze') await freezeWallet(trx, wallet, { actor, reason, now })
    else await unfreezeWallet(trx, wallet, { actor, reason })
    return { wasFrozen: wallet.frozen, decided: await decideWalletRecharge(trx, wallet, now) }
  })
  const isFrozen = what === 'freeze'
  if (done?.wasFrozen === isFrozen) return isFrozen ? 'It was frozen already.' : 'It was not frozen.'
  return isFrozen
    ? 'Frozen: the card is not charged until you unfreeze it.'
    : `Unfrozen. ${describeDecision(done?.decided)}`
}

async function resume(db: Db, workspaceId: WorkspaceId): Promise<string> {
  const settings = await findAutoRecharge(db, workspaceId)
  if (settings === null) throw neverSetUp(workspaceId)
  if (settings.suspendedAt === null && settings.declinesInARow === 0) return 'Nothing held it up.'
  const decided = await withLockedWallet(db, workspaceId, async (trx, wallet) =>
    resumeAutoRecharge(trx, wallet, { actor, cause: 'operator', now: await readClock(trx) }),
  )
  return `Resumed. ${describeDecision(decided)}`
}

async function save(
  db: Db,
  workspaceId: WorkspaceId,
  changed: Partial<AutoRechargeSettings>,
): Promise<string> {
  const before = await findAutoRecharge(db, workspaceId)
  const { thresholdMicros = before?.thresholdMicros, topUpMicros = before?.topUpMicros } = changed
  if (before === null && changed.enabled !== true) throw neverSetUp(workspaceId)
  if (thresholdMicros === undefined)
    throw new Misuse(`--threshold: is missing; below how much is the card charged?`)
  if (topUpMicros === undefined) throw new Misuse(`--top-up: is missing; how much is charged each time?`)
  const settings = {
    enabled: changed.enabled ?? before?.enabled ?? false,
    thresholdMicros,
    topUpMicros,
    dailyLimit: changed.dailyLimit ?? before?.dailyLimit ?? 10,
    monthlyCapMicros:
      changed.monthlyCapMicros === undefined ? (before?.monthlyCapMicros ?? null) : changed.monthlyCapMicros,
  }
  const { monthlyCapMicros } = settings
  if (monthlyCapMicros !== null && monthlyCapMicros < topUpMicros) {
    throw new Misuse(
      `--monthly-cap: ${displayUsdExact(monthlyCapMicros)} is less than one top-up of ${displayUsdExact(topUpMicros)}, so ` +
        'the card would never be charged',
    )
  }
  const saved = await withLockedWallet(db, workspaceId, async (trx, wallet) => {
    const now = await readClock(trx)
    const result = await saveAutoRecharge(trx, wallet, settings, { actor, now })
    return { ...result, availableMicros: wallet.balanceMicros - wallet.heldMicros }
  })
  if (saved === null) throw unknownWorkspace(workspaceId)
  if (saved.outcome === 'no_card') throw await noCard(db, workspaceId)
  if (!settings.enabled) return 'Saved: auto-recharge is off, and the card is not charged.'
  return `Saved: auto-recharge is on. ${describeDecision(saved.decided)}`
}

/** What follows from a change at once. */
function describeDecision(decided: Recharged | null | undefined): string {
  if (decided === null || decided === undefined) return ''
  if (decided.decision === 'wait') {
    return decided.reason === 'above_threshold'
      ? 'The available balance is not below the threshold: nothing is charged now.'
      : explainRecharge(decided.reason)
  }
  const { topUpId, amountMicros } = decided.topUp
  return (
    `The available balance is below the threshold already, so the card is charged with ${displayUsd(amountMicros)} now: ` +
    `npm run -s top-ups -- ${topUpId}`
  )
}

function neverSetUp(workspaceId: WorkspaceId): BillingError {
  return new BillingError(
    'never_set_up',
    `auto-recharge was never set up for ${workspaceId}. Set it up:\n` +
      `  npm run -s auto-recharge -- ${workspaceId} --on --threshold 20 --top-up 100`,
  )
}

async function noCard(db: Db, workspaceId: WorkspaceId): Promise<BillingError> {
  const card = await findCardInUse(db, workspaceId)
  const why =
    card === null
      ? `--on: no card is saved for ${workspaceId}, so there is nothing to charge. Save one:`
      : `--on: ${nameCard(card)} cannot be charged, because its subscription at Paddle is ${card.state}. Settle that there, or ` +
        'save another card:'
  return new BillingError(
    'no_card',
    `${why}\n  npm run -s top-ups -- ${workspaceId} --save-card-only --email <the payer's e-mail address>`,
  )
}
