/** A one-off top-up that the saved card pays, from the decision to its end, for somebody who watches. */
import { BillingError } from '../../billing/billing-error.ts'
import type { WorkspaceId } from '../../billing/ids.ts'
import { displayUsd, displayUsdExact, type Micros } from '../../billing/money.ts'
import { openCardTopUp } from '../../db/card-top-up.ts'
import { readClock } from '../../db/clock.ts'
import { findCardInUse } from '../../db/saved-card.ts'
import type { Db } from '../../db/schema.ts'
import { findTopUp, listTopUpSteps, type TopUp } from '../../db/top-up.ts'
import { findBalance, withLockedWallet } from '../../db/wallet.ts'
import { pause } from '../../runtime/repeat.ts'
import { findPaddle } from '../paddle-place.ts'
import { countWorkers } from '../running-workers.ts'
import { startWorkerProcess, type Stack } from '../stack.ts'
import { note, print, unknownWorkspace, type Books } from './operator-books.ts'
import { duration, fold } from './text.ts'
import { stepLine } from './top-up-page.ts'
import { explainTopUp, nameCard } from './wording.ts'

const waitMs = 30_000

/** Shape: the exit code, 0 when the wallet is credited. */
export async function chargeCard(
  books: Books,
  workspaceId: WorkspaceId,
  amountMicros: Micros,
): Promise<number> {
  const { db, stack } = books
  if ((await findBalance(db, workspaceId)) === null) throw unknownWorkspace(workspaceId)
  const card = await findCardInUse(db, workspaceId)
  if (card?.state !== 'active') throw noCard(workspaceId)
  const workers = await startWorkersUnlessThere(stack)
  try {
    const topUp = await open(db, workspaceId, amountMicros)
    print(`${topUp.topUpId}  ${displayUsdExact(amountMicros)} from ${nameCard(card)} for ${workspaceId}`)
    return await watch(books, topUp)
  } finally {
    await workers?.stop()
  }
}

/** Before anything is opened: a charge that nobody sends now would be sent at some other time. */
async function startWorkersUnlessThere(stack: Stack): Promise<{ stop: () => Promise<void> } | null> {
  if ((await countWorkers(stack, 'charge')) > 0) return null
  const { environment } = await findPaddle(stack)
  note('no workers run that charge cards: starting some for as long as this takes')
  return await startWorkerProcess(stack, note, environment)
}

async function open(db: Db, workspaceId: WorkspaceId, amountMicros: Micros): Promise<TopUp> {
  const opened = await withLockedWallet(db, workspaceId, async (trx, wallet) => {
    if (wallet.frozen) return { outcome: 'frozen' } as const
    return await openCardTopUp(trx, wallet, { amountMicros }, await readClock(trx))
  })
  if (opened === null) throw unknownWorkspace(workspaceId)
  if (opened.outcome === 'opened') return opened.topUp
  if (opened.outcome === 'no_card') throw noCard(workspaceId)
  throw new BillingError(
    'wallet_frozen',
    `the wallet is frozen, so its card is not charged: npm run -s auto-recharge -- ${workspaceId} says why`,
  )
}

/** Shows each step as it comes. */
async function watch({ db, signal }: Books, opened: TopUp): Promise<number> {
  const startedAt = performance.now()
  let shown = 0
  for (;;) {
    const topUp = (await findTopUp(db, opened)) ?? opened
    const steps = await listTopUpSteps(db, opened)
    for (const step of steps.slice(shown)) print(stepLine(step))
    shown = steps.length
    const elapsedMs = performance.now() - startedAt
    if (topUp.state === 'succeeded') {
      const balance = await findBalance(db, opened.workspaceId)
      const took = duration(topUp.changedAt.getTime() - topUp.createdAt.getTime())
      print(
        `\nCredited ${displayUsdExact(topUp.creditedMicros)} in ${took}: the balance is ${balance === null ? '-' : displayUsd(balance)}.`,
      )
      return 0
    }
    if (topUp.state === 'declined' || topUp.state === 'failed' || topUp.state === 'canceled') {
      print(`\n${fold(`Not credited, ${topUp.state}: ${explainTopUp(topUp)}`)}`)
      return 1
    }
    if (elapsedMs > waitMs || signal.aborted || topUp.state === 'needs_review') {
      print(`\n${fold(`Still under way: ${explainTopUp(topUp)} It goes on without you:`)}`)
      print(`  npm run -s top-ups -- ${opened.topUpId}`)
      return 1
    }
    await pause(50, signal)
  }
}

function noCard(workspaceId: WorkspaceId): BillingError {
  return new BillingError(
    'no_card',
    `--charge: ${workspaceId} has no saved card that can be charged. Save one:\n` +
      `  npm run -s top-ups -- ${workspaceId} --save-card-only --email <the payer's e-mail address>`,
  )
}
