/** Top-ups on a screen: a line or two for each, or one from its first step to its last. */
import { styleText } from 'node:util'

import { displayUsdExact } from '../../billing/money.ts'
import type { TopUpState } from '../../billing/top-up.ts'
import { listAudit, type AuditEntry } from '../../db/audit-log.ts'
import type { Db } from '../../db/schema.ts'
import { listTopUpSteps, type TopUp, type TopUpStep } from '../../db/top-up.ts'
import { print } from './operator-books.ts'
import { field, fold, second } from './text.ts'
import { describeAudit, explainStep, explainTopUp, nameSource } from './wording.ts'

/** The columns of `topUpLine`. */
export const topUpHeader = styleText(
  'dim',
  `${'when'.padEnd(22)}${'top-up'.padEnd(33)}${'source'.padEnd(15)}${'state'.padEnd(19)}${'amount'.padStart(10)}${'credited'.padStart(13)}`,
)

/** Two lines: what it is, and what became of it. */
export function topUpLine(topUp: TopUp, { withWorkspace = false }: { withWorkspace?: boolean } = {}): string {
  const { topUpId, source, state, amountMicros, creditedMicros, createdAt, workspaceId } = topUp
  const credited = creditedMicros === 0n ? '' : `+${displayUsdExact(creditedMicros)}`
  const head =
    `${second(createdAt)}  ${topUpId.padEnd(31)}  ${nameSource(source).padEnd(13)}  ${coloured(state)}` +
    `${displayUsdExact(amountMicros).padStart(10)}${credited.padStart(13)}`
  const whose = withWorkspace ? `${workspaceId}: ` : ''
  return `${head.trimEnd()}\n${fold(`${whose}${explainTopUp(topUp)}`, '    ')}`
}

/** Every step, and who meddled with it. */
export async function printTopUp(db: Db, topUp: TopUp): Promise<void> {
  const { topUpId, workspaceId, source, state, amountMicros, creditedMicros } = topUp
  print(
    `${styleText('bold', topUpId)}  ${displayUsdExact(amountMicros)} for ${workspaceId}, ${nameSource(source)}\n`,
  )
  print(field('state', `${state}: ${explainTopUp(topUp)}`))
  print(field('credited', displayUsdExact(creditedMicros)))
  print(field('at Paddle', topUp.paddleTransactionId ?? 'no transaction that we know of'))
  if (topUp.subscriptionId !== null) print(field('card kept by', topUp.subscriptionId))
  if (topUp.checkoutUrl !== null) print(field('checkout', topUp.checkoutUrl))
  if (topUp.submissions > 0)
    print(field('sent', topUp.submissions === 1 ? 'once' : `${topUp.submissions} times`))
  if (topUp.dueAt !== null) print(field('next look', second(topUp.dueAt)))
  print('')
  for (const step of await listTopUpSteps(db, topUp)) print(stepLine(step))
  const audit = (await listAudit(db, workspaceId, 1_000)).filter((entry) =>
    JSON.stringify(entry.detail).includes(`"${topUpId}"`),
  )
  for (const entry of audit) {
    print(auditLine(entry))
  }
}

/** Who changed what, and when. */
export function auditLine(entry: AuditEntry): string {
  const time = second(entry.happenedAt)
  return fold(`${time}  ${entry.actor}: ${describeAudit(entry)}`, '  ', ' '.repeat(time.length + 4))
}

/** One line, or more when there is much to say. */
export function stepLine({ state, reason, paddleTransactionId, steppedAt }: TopUpStep): string {
  const time = steppedAt.toISOString().slice(0, 23).replace('T', ' ')
  const named = paddleTransactionId === null ? '' : ` ${paddleTransactionId}`
  const said = fold(`${explainStep({ state, reason })}${named}`, ' '.repeat(indent)).slice(indent)
  return `  ${time}  ${coloured(state)}${said}`
}

/** Time and state before it. */
const indent = 2 + 23 + 2 + 19

function coloured(state: TopUpState): string {
  return styleText(colours[state] ?? 'cyan', state.padEnd(19))
}

const colours: Partial<Record<TopUpState, 'green' | 'red' | 'yellow'>> = {
  succeeded: 'green',
  declined: 'red',
  failed: 'red',
  needs_review: 'yellow',
}
