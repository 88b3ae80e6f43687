/**
 * Reconcile: what Paddle has against what we booked, both ways. What is missing here is adopted; what does not fit is listed.
 */
import { centsToMicros, isCaptured } from '../billing/credit.ts'
import { sumMicros, micros, type Micros } from '../billing/money.ts'
import type { PaddleTransaction } from '../billing/paddle-facts.ts'
import { listCredits } from '../db/paddle-transaction.ts'
import { listTopUps } from '../db/top-up.ts'
import type { PaddleGateway } from '../paddle/gateway.ts'
import type { PaddleRefusal } from '../paddle/outcome.ts'
import { adoptFromPaddle, type Adopted, type Adopting } from './adopt-from-paddle.ts'

export type Reconciling = Adopting & { gateway: Pick<PaddleGateway, 'getTransaction'> }

export type Reconciliation = Adopted & {
  since: Date
  /** Paddle's captured transactions and its adjustments in that time. */
  transactions: number
  adjustments: number
  creditedMicros: Micros
}

/**
 * Shape: a `PaddleRefusal` when Paddle cannot be asked; what was adopted until then stays. Running it again changes nothing.
 */
export async function reconcile(
  reconciling: Reconciling,
  { since }: { since: Date },
): Promise<({ outcome: 'reconciled' } & Reconciliation) | PaddleRefusal> {
  const adoption = await adoptFromPaddle(reconciling, { since })
  if (adoption.outcome !== 'adopted') return adoption
  const { transactions, adjustments, adopted, misfits } = adoption
  const report: Reconciliation = {
    since,
    transactions: transactions.filter(isCaptured).length,
    adjustments: adjustments.length,
    creditedMicros: micros(0n),
    adopted,
    misfits,
  }
  const refusal = await compareOurs(reconciling, report, transactions)
  if (refusal !== null) return refusal
  await listOpenEnds(reconciling, report)
  return { outcome: 'reconciled', ...report }
}

/** The other way: every credit that we booked in that time must be captured money at Paddle, to the cent. */
async function compareOurs(
  { db, gateway }: Reconciling,
  report: Reconciliation,
  listed: readonly PaddleTransaction[],
): Promise<PaddleRefusal | null> {
  const known = new Map(listed.map((transaction) => [transaction.transactionId, transaction]))
  for (const credit of await listCredits(db, { since: report.since })) {
    const { paddleTransactionId: paddleId, workspaceId, amountMicros } = credit
    report.creditedMicros = sumMicros([report.creditedMicros, amountMicros])
    const asked = known.has(paddleId) ? null : await gateway.getTransaction(paddleId)
    const transaction = known.get(paddleId) ?? (asked?.outcome === 'found' ? asked.transaction : undefined)
    if (asked !== null && asked.outcome !== 'found' && asked.outcome !== 'not_found') return asked
    const what = 'credited here'
    if (transaction === undefined) {
      report.misfits.push({ what, paddleId, workspaceId, why: 'Paddle does not know it' })
    } else if (!isCaptured(transaction)) {
      report.misfits.push({ what, paddleId, workspaceId, why: `at Paddle it is ${transaction.status}` })
    } else if (netMicros(transaction) !== amountMicros) {
      report.misfits.push({ what, paddleId, workspaceId, why: 'at Paddle it is another amount' })
    }
  }
  return null
}

/** What waits for a person, or has waited longer than anything should. */
async function listOpenEnds({ db }: Reconciling, report: Reconciliation): Promise<void> {
  for (const topUp of await listTopUps(db, { states: ['needs_review'], limit: 1_000 })) {
    const { topUpId: paddleId, workspaceId, reason } = topUp
    report.misfits.push({ what: 'top-up needs a review', paddleId, workspaceId, why: reason ?? '-' })
  }
}

function netMicros(transaction: PaddleTransaction): Micros {
  return centsToMicros(transaction.lines.reduce((sum, line) => sum + line.net.amount, 0n))
}
