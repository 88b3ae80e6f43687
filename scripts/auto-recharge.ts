/** Auto-recharge of one workspace: when its card is charged, why it was not, and changing that. */
import type { WorkspaceId } from '../billing/ids.ts'
import { displayUsd, displayUsdExact, micros } from '../billing/money.ts'
import { explainRecharge, type AutoRechargeSettings } from '../billing/recharge.ts'
import { BillingError } from '../billing/billing-error.ts'
import { leastTopUpMicros, mostTopUpMicros } from '../billing/top-up.ts'
import { findAutoRecharge, resumeAutoRecharge, saveAutoRecharge } from '../db/auto-recharge.ts'
import { readClock } from '../db/clock.ts'
import { freezeWallet, unfreezeWallet } from '../db/freeze.ts'
import { decideWalletRecharge, type Recharged } from '../db/recharge.ts'
import { findCardInUse } from '../db/saved-card.ts'
import type { Db } from '../db/schema.ts'
import { findBalance, withLockedWallet } from '../db/wallet.ts'
import { Misuse, runScript, wholeNumber } from './command-line.ts'
import { readDollars, readTopUpAmount, readWorkspaceId } from './money-in/options.ts'
import { actor, print, unknownWorkspace, withBooks } from './money-in/operator-books.ts'
import { printOutlook } from './money-in/outlook.ts'
import { fold } from './money-in/text.ts'
import { nameCard } from './money-in/wording.ts'

const usage = `usage: npm run -s auto-recharge -- <workspace> [--on | --off] [--threshold <usd>] [--top-up <usd>]
                                            [--daily-limit <n>] [--monthly-cap <usd> | none]
       npm run -s auto-recharge -- <workspace> --resume | --freeze <why> | --unfreeze <why>

Without options: the settings, the card, whether it would be charged now and if not why, what is used of the limits, the
last attempts and who changed what. With options it changes that first. Below the threshold already, switching it on
charges the card at once, and says so.

  --on                 charge the saved card whenever less than the threshold is available
  --off                charge it no more
  --threshold <usd>    strictly below this the card is charged, 0 or more
  --top-up <usd>       each recharge is exactly this much, ${displayUsdExact(micros(leastTopUpMicros))} to ${displayUsdExact(micros(mostTopUpMicros))}
  --daily-limit <n>    the most recharges within 24 hours, 1 to 20 (default 10)
  --monthly-cap <usd>  the most in a calendar month, UTC, or none (default none)
  --resume             let it go on after declines suspended it or made it wait
  --freeze <why>       no recharge and no new calls, as after a chargeback; usage is posted as ever
  --unfreeze <why>     the end of that
  --help               this text

What is not named stays as it is. Every change is in the audit log, as "operator".`

await runScript({
  name: 'auto-recharge',
  usage,
  options: {
    on: { type: 'boolean' },
    off: { type: 'boolean' },
    threshold: { type: 'string' },
    'top-up': { type: 'string' },
    'daily-limit': { type: 'string' },
    'monthly-cap': { type: 'string' },
    resume: { type: 'boolean' },
    freeze: { type: 'string' },
    unfreeze: { type: 'string' },
  },
  run: async (options, words) => {
    const [named, ...rest] = words
    if (rest.length > 0) throw new Misuse(`expected one workspace, got "${words.join(' ')}"`)
    const workspaceId = readWorkspaceId(named)
    const change = readChange(options)
    await withBooks({ name: 'auto-recharge', changes: change !== null }, async ({ db }) => {
      if ((await findBalance(db, workspaceId)) === null) throw unknownWorkspace(workspaceId)
      if (change !== null) print(`${fold(await make(db, workspaceId, change))}\n`)
      await printOutlook(db, workspaceId)
    })
  },
})

type Change =
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
function readChange(options: Options): Change | null {
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

/** Shape: what was done, for a person. */
async function make(db: Db, workspaceId: WorkspaceId, change: Change): Promise<string> {
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
