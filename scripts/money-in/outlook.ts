/** The page of one workspace's auto-recharge: what is set, what would happen now and why, what is used, and what happened. */
import { styleText } from 'node:util'

import { explainDecline } from '../../billing/decline.ts'
import type { WorkspaceId } from '../../billing/ids.ts'
import { displayUsd, displayUsdExact } from '../../billing/money.ts'
import { explainRecharge, type RechargeDecision } from '../../billing/recharge.ts'
import { listAudit } from '../../db/audit-log.ts'
import { readClock } from '../../db/clock.ts'
import { findRechargeOutlook, type RechargeOutlook } from '../../db/recharge-outlook.ts'
import type { Db } from '../../db/schema.ts'
import { listTopUps, type TopUp } from '../../db/top-up.ts'
import { print, unknownWorkspace } from './operator-books.ts'
import { field, fold, second } from './text.ts'
import { auditLine, topUpHeader, topUpLine } from './top-up-page.ts'
import { explainTopUp, nameCard } from './wording.ts'

export async function printOutlook(db: Db, workspaceId: WorkspaceId): Promise<void> {
  const now = await readClock(db)
  const outlook = await findRechargeOutlook(db, workspaceId, now)
  if (outlook === null) throw unknownWorkspace(workspaceId)
  const attempts = await listTopUps(db, { workspaceId, limit: 5 })
  const audit = await listAudit(db, workspaceId, 8)

  print(`${styleText('bold', workspaceId)}\n${fold(stateOf(outlook, attempts), '  ')}\n`)
  for (const [name, text] of figures(outlook)) print(field(name, text))
  print(`\nLast attempts${attempts.length === 0 ? ': none' : ''}`)
  if (attempts.length > 0) print(topUpHeader)
  for (const attempt of attempts) print(topUpLine(attempt))
  print(`\nWho changed what${audit.length === 0 ? ': nobody anything' : ''}`)
  for (const entry of audit) {
    print(auditLine(entry))
  }
}

/** One sentence, or two, that say what a person wants to know: is it charged, and if not, why not. */
function stateOf(outlook: RechargeOutlook, attempts: readonly TopUp[]): string {
  const { settings, decision, belowThreshold, availableMicros, openCharge } = outlook
  if (settings === null) return 'Auto-recharge was never set up: the card is not charged.'
  const threshold = displayUsd(settings.thresholdMicros)
  const available = displayUsd(availableMicros)
  if (decision.decision === 'recharge') {
    return (
      `${available} is below ${threshold}: the card is due to be charged with ${displayUsd(decision.amountMicros)}. Workers decide ` +
      'with the next usage, at the latest within five minutes.'
    )
  }
  if (decision.reason === 'not_enabled') return 'Auto-recharge is switched off: the card is not charged.'
  if (decision.reason === 'above_threshold') {
    const obstacle = reasonOf(outlook, belowThreshold, attempts)
    return obstacle === null
      ? `${available} is not below ${threshold}: nothing is charged now.`
      : `${available} is not below ${threshold}, and if it were, nothing would be charged: ${obstacle}`
  }
  if (decision.reason === 'charge_under_way' && openCharge !== null) {
    return `${available} is below ${threshold}, and a charge is under way. ${explainTopUp(openCharge)}`
  }
  return `${available} is below ${threshold}, and nothing is charged: ${reasonOf(outlook, decision, attempts) ?? ''}`
}

/** Why not, with what the reason's own sentence leaves open. */
function reasonOf(
  { settings, frozen, card, openCharge }: RechargeOutlook,
  decision: RechargeDecision,
  attempts: readonly TopUp[],
): string | null {
  if (decision.decision === 'recharge') return null
  const { reason } = decision
  const sentence = explainRecharge(reason)
  if (reason === 'frozen') {
    return `The wallet is frozen (${frozen?.reason ?? '-'}): clear that with Paddle, then unfreeze it.`
  }
  if (reason === 'card_not_usable') return `${sentence} (${card?.state ?? '-'})`
  if ((reason === 'needs_review' || reason === 'charge_under_way') && openCharge !== null) {
    return `${sentence} npm run -s top-ups -- ${openCharge.topUpId}`
  }
  if (reason === 'suspended') {
    const code = settings?.suspendedReason ?? '-'
    return `${sentence} ${explainDecline(code)} (${code})`
  }
  if (reason === 'cooling_down') {
    const last = attempts.find((attempt) => attempt.state === 'declined')
    const until = settings?.coolingUntil ?? null
    return [sentence, until && `Until ${second(until)}.`, last && explainTopUp(last)]
      .filter(Boolean)
      .join(' ')
  }
  return sentence
}

function figures(outlook: RechargeOutlook): [name: string, text: string][] {
  const { settings, card, frozen, heldMicros } = outlook
  const held = heldMicros === 0n ? '' : `, ${displayUsd(heldMicros)} of it held for calls`
  const lines: [string, string][] = [
    ['balance', `${displayUsd(outlook.balanceMicros)}${held}`],
    ['card', card === null ? 'none' : describeCard(card)],
  ]
  if (settings !== null) {
    const { thresholdMicros, topUpMicros, dailyLimit, monthlyCapMicros } = settings
    lines.push(
      [
        'settings',
        `${settings.enabled ? 'on' : 'off'}: below ${displayUsd(thresholdMicros)} it brings ${displayUsdExact(topUpMicros)}`,
      ],
      ['last 24 hours', `${outlook.rechargesInADay} of ${dailyLimit} recharges`],
      [
        'this month',
        `${displayUsdExact(outlook.rechargedInMonthMicros)}${monthlyCapMicros === null ? ', no cap' : ` of ${displayUsdExact(monthlyCapMicros)}`}`,
      ],
    )
    if (settings.declinesInARow > 0) lines.push(['declines', `${settings.declinesInARow} in a row`])
    if (settings.suspendedAt !== null) {
      lines.push(['suspended', `since ${second(settings.suspendedAt)} (${settings.suspendedReason ?? '-'})`])
    }
    if (settings.lastDecisionAt !== null) {
      lines.push(['last decision', `${settings.lastDecision ?? '-'}, ${second(settings.lastDecisionAt)}`])
    }
  }
  if (frozen !== null) lines.push(['frozen', `since ${second(frozen.since)}: ${frozen.reason}`])
  return lines
}

function describeCard(card: NonNullable<RechargeOutlook['card']>): string {
  const { card: seen, state, savedCardId, subscriptionId } = card
  const expiry =
    seen === null ? '' : `, until ${String(seen.expiryMonth).padStart(2, '0')}/${seen.expiryYear}`
  return `${nameCard(card)}${expiry}, ${state}, ${savedCardId}, kept by ${subscriptionId}`
}
