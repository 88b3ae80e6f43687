/**
 * Ending a top-up of which nobody knew how it ended. A person says that no money came; that brings none and takes none, because
 * whatever Paddle captured or will capture for it is credited all the same.
 */
import { BillingError } from '../../billing/billing-error.ts'
import { isCaptured } from '../../billing/credit.ts'
import type { PaddleTransaction } from '../../billing/paddle-facts.ts'
import { explainRecharge } from '../../billing/recharge.ts'
import { displayUsd } from '../../billing/money.ts'
import { writeAudit } from '../../db/audit-log.ts'
import { readClock } from '../../db/clock.ts'
import { decideWalletRecharge, type Recharged } from '../../db/recharge.ts'
import { moveTopUp, type TopUp } from '../../db/top-up.ts'
import { withLockedWallet } from '../../db/wallet.ts'
import type { PaddleGateway } from '../../paddle/gateway.ts'
import { Misuse } from '../command-line.ts'
import { findPaddle, withGateway } from '../paddle-place.ts'
import { actor, note, print, type Books } from './operator-books.ts'
import { fold } from './text.ts'
import { explainRefusal } from './wording.ts'

export type Resolution = { as: 'failed' | 'canceled'; why: string }

/** Throws: Misuse. */
export function readResolution({
  as,
  why,
}: {
  as?: string | undefined
  why?: string | undefined
}): Resolution {
  if (as !== 'failed' && as !== 'canceled') throw new Misuse('--as: expected failed or canceled')
  const reason = why?.trim() ?? ''
  if (reason === '' || reason.length > 200) {
    throw new Misuse(
      '--why: expected a reason of 1 to 200 characters, which whoever reads the audit log will see',
    )
  }
  return { as, why: reason }
}

/** Throws: BillingError when there is nothing to resolve, or when Paddle has the money after all. */
export async function resolveTopUp(books: Books, topUp: TopUp, { as, why }: Resolution): Promise<void> {
  const { db } = books
  const { topUpId, workspaceId } = topUp
  if (topUp.state !== 'needs_review') throw notInReview(topUp)
  await assertNotCaptured(books, topUp)
  const decided = await withLockedWallet(db, workspaceId, async (trx, wallet) => {
    const now = await readClock(trx)
    const change = { state: as, reason: 'resolved_by_operator', dueAt: null } as const
    const moved = await moveTopUp(trx, wallet, topUpId, { states: ['needs_review'] }, change, now)
    if (moved === null) throw notInReview(topUp)
    const detail = { top_up_id: topUpId, was: topUp.reason, as, why }
    await writeAudit(trx, { workspaceId, actor, action: 'top_up.resolved', detail })
    return await decideWalletRecharge(trx, wallet, now)
  })
  print(`${topUpId} is ${as}. Should Paddle capture it yet, the wallet is credited all the same.`)
  if (decided !== null) print(fold(`Auto-recharge decided again: ${describe(decided)}`))
}

/** Where Paddle can be asked, it is: what it captured is not to be resolved but credited. */
async function assertNotCaptured({ stack }: Books, topUp: TopUp): Promise<void> {
  const place = await findPaddle(stack).catch((error: unknown) => {
    if (error instanceof BillingError && error.code === 'no_paddle') return null
    throw error
  })
  if (place === null) {
    note('there is no Paddle to ask from here: your word counts')
    return
  }
  const asked = await withGateway(place, (gateway) => askAbout(gateway, topUp))
  if (typeof asked === 'string') {
    note(asked)
    return
  }
  for (const { transactionId, status } of asked)
    note(`Paddle has ${transactionId} for it, which is ${status}`)
  const captured = asked.find(isCaptured)
  if (captured === undefined) return
  throw new BillingError(
    'captured_after_all',
    `Paddle captured ${topUp.topUpId} as ${captured.transactionId},\nand the wallet is owed that: npm run -s reconcile credits it`,
  )
}

/** Shape: Paddle's transactions of the top-up, or why there is no telling. */
async function askAbout(
  gateway: PaddleGateway,
  topUp: TopUp,
): Promise<readonly PaddleTransaction[] | string> {
  const { paddleTransactionId, subscriptionId, firstSentAt } = topUp
  if (paddleTransactionId !== null) {
    const asked = await gateway.getTransaction(paddleTransactionId)
    if (asked.outcome === 'found') return [asked.transaction]
    return asked.outcome === 'not_found' ? [] : `Paddle was not asked: ${explainRefusal(asked)}`
  }
  if (subscriptionId === null || firstSentAt === null) return []
  const since = new Date(firstSentAt.getTime() - clockDifferenceMs)
  const asked = await gateway.listCharges({ subscriptionId, since })
  if (asked.outcome !== 'listed') return `Paddle was not asked: ${explainRefusal(asked)}`
  return asked.transactions.filter((each) => each.lines.some((line) => line.topUpId === topUp.topUpId))
}

/** Paddle's clock and ours may differ. */
const clockDifferenceMs = 120_000

function notInReview({ topUpId, state }: TopUp): BillingError {
  return new BillingError(
    'not_in_review',
    `${topUpId} is ${state} and needs no review: nothing is to be resolved`,
  )
}

function describe(decided: Recharged): string {
  return decided.decision === 'wait'
    ? explainRecharge(decided.reason)
    : `the card is charged with ${displayUsd(decided.topUp.amountMicros)} now, ${decided.topUp.topUpId}.`
}
