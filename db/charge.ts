/**
 * A charge of the saved card, as Postgres sees it: claimed before Paddle is asked, and moved on by what became of it. Nothing
 * here talks to Paddle, and no transaction here is open while somebody does. An answer counts only for the submission that
 * it answers, so a worker that was frozen cannot overwrite what others did meanwhile.
 */
import type { WorkspaceId } from '../billing/ids.ts'
import {
  afterWaiting,
  decideMissing,
  giveUpAfterMs,
  nextSearchMs,
  nextTryMs,
  waitedMs,
  type ChargeTiming,
  type Missing,
  type TopUpState,
} from '../billing/top-up.ts'
import { suspendAutoRecharge } from './auto-recharge.ts'
import { readClock } from './clock.ts'
import { declineTopUp } from './paddle-transaction.ts'
import { decideWalletRecharge, findObjection } from './recharge.ts'
import { findUsableCard } from './saved-card.ts'
import type { Db, Tx } from './schema.ts'
import {
  countGivenBack,
  findTopUp,
  hasChargeUnderWay,
  moveTopUp,
  notFoundAtPaddle,
  type TopUp,
  type TopUpChange,
} from './top-up.ts'
import { withLockedWallet, type LockedWallet } from './wallet.ts'

/** A top-up that may be sent to Paddle, by whoever got this, once, and only for a short while. */
export type ClaimedCharge = TopUp & { subscriptionId: string }

/**
 * Claims a charge. Committed before the first byte goes out: whoever finds it `submitting` later knows that it may have been
 * sent.
 *
 * Shape: null when there is nothing to send now: it is not ready, waits for another charge of the card, or is not wanted any
 *        more, which then is written down.
 */
export async function claimCharge(
  db: Db,
  key: { workspaceId: WorkspaceId; topUpId: string },
  timing: ChargeTiming,
): Promise<ClaimedCharge | null> {
  return await withLockedWallet(db, key.workspaceId, async (trx, wallet) => {
    const now = await readClock(trx)
    const topUp = await findTopUp(trx, key)
    if (topUp?.state !== 'ready' || topUp.subscriptionId === null || !isDue(topUp, now)) return null
    if (waitedMs(topUp.createdAt, now, timing) > giveUpAfterMs) {
      await end(trx, wallet, topUp, { state: 'failed', reason: topUp.reason ?? 'not_sent_for_a_day' }, now)
      return null
    }
    const objection = await findObjectionTo(trx, wallet, topUp, now)
    if (objection !== null) {
      await end(trx, wallet, topUp, { state: 'canceled', reason: objection }, now)
      return null
    }
    if (await hasChargeUnderWay(trx, wallet, topUp.topUpId)) {
      const dueAt = afterWaiting(now, Math.ceil(timing.quietPeriodMs / 90), timing)
      await lookAgain(trx, topUp, { dueAt, tries: topUp.tries + 1 })
      return null
    }
    const claimed = await moveTopUp(
      trx,
      wallet,
      topUp.topUpId,
      { states: ['ready'] },
      {
        state: 'submitting',
        reason: null,
        submissions: topUp.submissions + 1,
        searches: 0,
        sentAt: now,
        firstSentAt: topUp.firstSentAt ?? now,
        dueAt: afterWaiting(now, timing.sendWithinMs + timing.chargeTimeoutMs + 5_000, timing),
      },
      now,
    )
    return claimed === null ? null : { ...claimed, subscriptionId: topUp.subscriptionId }
  })
}

/** What became of a submission. The words are those of `paddle/outcome.ts`. */
export type ChargeAnswer =
  | { outcome: 'accepted' }
  | { outcome: 'declined'; code: string }
  | { outcome: 'not_processed'; code: string; retryAfterMs: number | null }
  | { outcome: 'blocked'; code: string }
  | { outcome: 'rejected'; code: string }
  | { outcome: 'unknown'; cause: string }

/** Shape: false, and nothing changed, when the top-up has moved on without this answer. */
export async function recordAnswer(
  db: Db,
  charge: TopUp,
  answer: ChargeAnswer,
  timing: ChargeTiming,
): Promise<boolean> {
  const recorded = await withLockedWallet(db, charge.workspaceId, async (trx, wallet) => {
    const now = await readClock(trx)
    const submission = charge.submissions
    if (answer.outcome === 'declined') {
      return await declineTopUp(trx, wallet, charge, { code: answer.code, submission }, now)
    }
    const states = await statesBefore(trx, wallet, charge, answer)
    const change = changeBy(answer, charge, now, timing)
    const moved = await moveTopUp(trx, wallet, charge.topUpId, { states, submission }, change, now)
    if (moved !== null && answer.outcome === 'rejected') {
      if (charge.source === 'auto_recharge') await suspendAutoRecharge(trx, wallet, answer.code, now)
      await decideWalletRecharge(trx, wallet, now)
    }
    return moved !== null
  })
  return recorded ?? false
}

/**
 * Where an answer finds its submission. Somebody may have given it up as unknown while the answer was still on the way; that
 * Paddle took it counts even where it was to be sent again.
 */
async function statesBefore(
  trx: Tx,
  wallet: LockedWallet,
  charge: TopUp,
  answer: ChargeAnswer,
): Promise<TopUpState[]> {
  if (answer.outcome !== 'accepted') return ['submitting', 'unknown']
  const isAlone = !(await hasChargeUnderWay(trx, wallet, charge.topUpId))
  return ['submitting', 'unknown', 'needs_review', ...(isAlone ? (['ready'] as const) : [])]
}

function changeBy(
  answer: Exclude<ChargeAnswer, { outcome: 'declined' }>,
  charge: TopUp,
  now: Date,
  timing: ChargeTiming,
): TopUpChange {
  const firstLookAt = searchAt(charge, 0, now, timing)
  const tries = charge.tries + 1
  if (answer.outcome === 'accepted') return { state: 'processing', reason: null, dueAt: firstLookAt }
  if (answer.outcome === 'unknown') {
    return { state: 'unknown', reason: answer.cause.slice(0, 200), dueAt: firstLookAt }
  }
  if (answer.outcome === 'rejected') return { state: 'failed', reason: answer.code, dueAt: null }
  const waitMs =
    answer.outcome === 'blocked' ? blockedForMs : nextTryMs(charge.tries, answer.retryAfterMs, timing)
  return { state: 'ready', reason: answer.code, dueAt: afterWaiting(now, waitMs, timing), tries }
}

/**
 * Found `submitting` by somebody else than its sender: the sender may have died or be frozen, and may have sent it. It is never
 * sent from here.
 */
export async function suspectCharge(db: Db, charge: TopUp, timing: ChargeTiming): Promise<boolean> {
  return await recordAnswer(db, charge, { outcome: 'unknown', cause: 'its worker has not come back' }, timing)
}

/**
 * A search did not find the charge, or found it not paid yet.
 *
 * Shape: `isDoubtful` when Paddle has a charge of the same amount from that time that names no top-up; it may be this one.
 */
export async function recordSearch(
  db: Db,
  searched: TopUp,
  { isDoubtful }: { isDoubtful: boolean },
  timing: ChargeTiming,
): Promise<void> {
  await withLockedWallet(db, searched.workspaceId, async (trx, wallet) => {
    const now = await readClock(trx)
    const topUp = await findTopUp(trx, searched)
    if (topUp === null || topUp.state !== searched.state || topUp.submissions !== searched.submissions) return
    const missing =
      isDoubtful && topUp.state === 'ready' ? 'needs_review' : await decideLost(trx, topUp, now, timing)
    if (missing !== 'search_again' && !(await mustWait(trx, wallet, topUp))) {
      await moveTopUp(
        trx,
        wallet,
        topUp.topUpId,
        { states: ['unknown', 'ready'], submission: topUp.submissions },
        missing === 'send_again' && !isDoubtful
          ? { state: 'ready', reason: notFoundAtPaddle, dueAt: now }
          : {
              state: 'needs_review',
              reason: notFoundAtPaddle,
              dueAt: afterWaiting(now, reviewEveryMs, timing),
            },
        now,
      )
      return
    }
    const ageMs = waitedMs(topUp.sentAt ?? topUp.createdAt, now, timing)
    if (topUp.state === 'awaiting_customer' && ageMs > giveUpAfterMs) {
      const change = { state: 'abandoned', reason: 'not_paid_for_a_day', dueAt: null } as const
      await moveTopUp(trx, wallet, topUp.topUpId, { states: ['awaiting_customer'] }, change, now)
      return
    }
    if (topUp.state === 'processing' && ageMs > giveUpAfterMs) {
      const change = {
        state: 'needs_review',
        reason: 'not_paid_for_a_day',
        dueAt: afterWaiting(now, reviewEveryMs, timing),
      } as const
      await moveTopUp(trx, wallet, topUp.topUpId, { states: ['processing'] }, change, now)
      return
    }
    // What needs a review is asked for hourly for some days; after that only the nightly reconcile looks.
    const isOver = topUp.state === 'needs_review' && ageMs > 3 * giveUpAfterMs
    const dueAt = isOver
      ? null
      : topUp.state === 'needs_review'
        ? afterWaiting(now, reviewEveryMs, timing)
        : searchAt(topUp, topUp.searches + 1, now, timing)
    await lookAgain(trx, topUp, { dueAt, searches: Math.min(topUp.searches + 1, 30_000) })
  })
}

/** A submission that came to nothing for certain cannot be lost, so it does not count. */
async function decideLost(trx: Tx, topUp: TopUp, now: Date, timing: ChargeTiming): Promise<Missing> {
  const { state, sentAt, amountMicros } = topUp
  if (state !== 'unknown' || sentAt === null) return 'search_again'
  const submissions = topUp.submissions - (await countGivenBack(trx, topUp))
  return decideMissing({ sentAt, amountMicros, submissions }, now, timing)
}

/** What is ready leaves the card to another charge; while that is under way, it cannot be one itself. */
async function mustWait(trx: Tx, wallet: LockedWallet, { state, topUpId }: TopUp): Promise<boolean> {
  return state === 'ready' && (await hasChargeUnderWay(trx, wallet, topUpId))
}

/** Paddle could not be asked: the same again a little later. */
export async function postponeLook(db: Db, topUp: TopUp, timing: ChargeTiming): Promise<void> {
  await db.transaction().execute(async (trx) => {
    const dueAt = afterWaiting(await readClock(trx), timing.retryMs, timing)
    await lookAgain(trx, topUp, { dueAt, tries: topUp.tries + 1 })
  })
}

/** Changes nothing but when to look again, and only if the top-up is where it was. */
async function lookAgain(
  trx: Tx,
  topUp: TopUp,
  {
    dueAt,
    searches = topUp.searches,
    tries = topUp.tries,
  }: { dueAt: Date | null; searches?: number; tries?: number },
): Promise<void> {
  await trx
    .updateTable('top_up')
    .set({ due_at: dueAt, searches, tries: Math.min(tries, 30_000) })
    .where('workspace_id', '=', topUp.workspaceId)
    .where('top_up_id', '=', topUp.topUpId)
    .where('state', '=', topUp.state)
    .where('submissions', '=', topUp.submissions)
    .execute()
}

async function end(
  trx: Tx,
  wallet: LockedWallet,
  topUp: TopUp,
  { state, reason }: { state: 'failed' | 'canceled'; reason: string },
  now: Date,
): Promise<void> {
  await moveTopUp(trx, wallet, topUp.topUpId, { states: ['ready'] }, { state, reason, dueAt: null }, now)
  await decideWalletRecharge(trx, wallet, now)
}

async function findObjectionTo(
  trx: Tx,
  wallet: LockedWallet,
  topUp: TopUp,
  now: Date,
): Promise<string | null> {
  if (topUp.source === 'auto_recharge') return await findObjection(trx, topUp, now)
  if (wallet.frozen) return 'frozen'
  const card = await findUsableCard(trx, topUp.workspaceId)
  return card?.subscriptionId === topUp.subscriptionId ? null : 'card_not_usable'
}

const blockedForMs = 1_800_000
const reviewEveryMs = 3_600_000

function isDue(topUp: TopUp, now: Date): boolean {
  return topUp.dueAt !== null && topUp.dueAt <= now
}

/** When to search after so many searches: by the schedule, counted from when it was sent; then hourly. */
function searchAt(topUp: TopUp, searches: number, now: Date, timing: ChargeTiming): Date {
  const sinceSentMs = nextSearchMs(searches, timing)
  if (sinceSentMs === null) return afterWaiting(now, reviewEveryMs, timing)
  const at = afterWaiting(topUp.sentAt ?? now, sinceSentMs, timing)
  return at > now ? at : now
}
