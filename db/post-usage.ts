/**
 * Posting usage: one transaction claims events, rates them, books them, moves the balances and decides the recharges that this
 * calls for, so that an event is known exactly if its money has moved. Guarantees: however often, concurrently or late an event is told, it is booked once; the
 * same event with other content is kept and refused; a wallet in use elsewhere delays only its own events.
 */
import { BillingError } from '../billing/billing-error.ts'
import { draftUsage } from '../billing/ledger-draft.ts'
import type { Micros } from '../billing/money.ts'
import { rateUsage } from '../billing/rating.ts'
import { decideAcceptance, type SetAsideReason, type UsageEvent } from '../billing/usage-event.ts'
import type { UsageArrival } from '../jobs/usage-arrival.ts'
import { postLedgerTransactions, type LedgerPost, type WalletPosts } from './ledger.ts'
import type { RateBook } from './rate-book.ts'
import { endHolds } from './hold.ts'
import { readClockAndVersion } from './price-version.ts'
import { decideRecharges } from './recharge.ts'
import type { Tx } from './schema.ts'
import {
  contradictionKey,
  decideUsage,
  findUsage,
  insertUsage,
  moveAside,
  usageName,
  type KnownUsage,
  type UsageDecision,
} from './usage-event.ts'
import { lockFreeWallets, type LockedWallet } from './wallet.ts'

export type UsageOutcome =
  | { outcome: 'posted'; amountMicros: Micros; balanceAfterMicros: Micros; walletSequence: bigint }
  /** Costs nothing: kept, and no ledger transaction. */
  | { outcome: 'free' }
  /** Told before, with the same content. */
  | { outcome: 'duplicate' }
  | { outcome: 'set_aside'; reason: SetAsideReason }
  /** Nothing was done; the next transaction may: another one holds the wallet just now, or this one holds the event. */
  | { outcome: 'deferred' }

/**
 * Shape:  an outcome for each arrival, in their order.
 * Throws: BillingError `claim_lost` when somebody else claimed the same events between our look and our write; whatever
 *         Postgres refuses. The transaction must then be rolled back; trying again is safe.
 */
export async function postUsage(
  trx: Tx,
  arrivals: readonly UsageArrival[],
  rateBookOf: (trx: Tx, version: bigint) => Promise<RateBook>,
): Promise<UsageOutcome[]> {
  const workspaceIds = [...new Set(arrivals.map((arrival) => arrival.workspaceId))].toSorted()
  // One after the other on one connection, without waiting for the answers in between. The look at the events comes after
  // the locks and is a statement of its own: it sees all that was committed before them, and under them it stays so.
  const [{ locked, busy }, known, { now, version }] = await Promise.all([
    lockFreeWallets(trx, workspaceIds),
    findUsage(trx, arrivals),
    readClockAndVersion(trx),
  ])
  const prices = await rateBookOf(trx, version)

  const plan: Plan = {
    known,
    decidedHere: new Set(),
    inserts: [],
    updates: [],
    contradictions: [],
    moved: [],
    posts: new Map(),
  }
  const steps = arrivals.map((arrival): Step => {
    if (busy.has(arrival.workspaceId)) return { outcome: 'deferred' }
    return planArrival(plan, arrival, locked.get(arrival.workspaceId), prices, now)
  })
  for (const arrival of plan.moved) await moveAside(trx, arrival)
  const [, booked] = await Promise.all([write(trx, plan), book(trx, plan, locked, now)])
  await endHolds(trx, callsWithHolds(arrivals, steps, locked), 'settled')
  await decideRecharges(trx, walletsBelowThreshold(plan, locked), now)
  return steps.map((step) => (step.outcome === 'to_post' ? booked(step.post) : step))
}

/** Calls that have been posted, or cost nothing, on wallets that hold something: their holds have done their work. */
function callsWithHolds(
  arrivals: readonly UsageArrival[],
  steps: readonly Step[],
  locked: ReadonlyMap<string, LockedWallet>,
): { workspaceId: string; callId: string }[] {
  return arrivals.flatMap(({ workspaceId, event }, index) => {
    const outcome = steps[index]?.outcome
    const isDecided = outcome === 'to_post' || outcome === 'free' || outcome === 'duplicate'
    const holdsSomething = (locked.get(workspaceId)?.heldMicros ?? 0n) > 0n
    return event?.kind === 'call' && isDecided && holdsSomething ? [{ workspaceId, callId: event.id }] : []
  })
}

/** Those that this transaction debits and leaves below the threshold of their auto-recharge. */
function walletsBelowThreshold(plan: Plan, locked: ReadonlyMap<string, LockedWallet>): LockedWallet[] {
  const below: LockedWallet[] = []
  for (const [workspaceId, posts] of plan.posts) {
    const wallet = locked.get(workspaceId)
    if (wallet === undefined || wallet.rechargeBelowMicros === null) continue
    const availableMicros = posts.reduce(
      (left, post) => left + post.draft.amountMicros,
      wallet.balanceMicros - wallet.heldMicros,
    )
    if (availableMicros < wallet.rechargeBelowMicros) below.push(wallet)
  }
  return below
}

type Step = Exclude<UsageOutcome, { outcome: 'posted' }> | { outcome: 'to_post'; post: LedgerPost }

/** What the transaction is going to write. */
type Plan = {
  /** What is known of each event, this batch included. */
  known: Map<string, KnownUsage>
  decidedHere: Set<string>
  inserts: UsageDecision[]
  updates: UsageDecision[]
  contradictions: UsageDecision[]
  moved: UsageArrival[]
  posts: Map<string, LedgerPost[]>
}

function planArrival(
  plan: Plan,
  arrival: UsageArrival,
  wallet: LockedWallet | undefined,
  prices: RateBook,
  now: Date,
): Step {
  const name = usageName(arrival)
  const known = plan.known.get(name)
  const same = known?.payloadHash === arrival.payloadHash
  if (known !== undefined && known.state !== 'set_aside') {
    if (!same) return contradict(plan, arrival)
    if (known.state !== 'received') return { outcome: 'duplicate' }
  }
  // Set aside a moment ago by this very transaction: let it be written down before it is looked at again.
  if (plan.decidedHere.has(name)) return { outcome: 'deferred' }

  const verdict = judge(arrival, wallet, prices, now)
  const decision = { arrival, state: verdict.state, reason: verdict.reason, detail: verdict.detail }
  if (known === undefined) plan.inserts.push(decision)
  else if (same) plan.updates.push(decision)
  else if (verdict.state === 'set_aside') return contradict(plan, arrival, verdict)
  else {
    plan.moved.push(arrival)
    plan.inserts.push(decision)
  }
  plan.decidedHere.add(name)
  plan.known.set(name, { payloadHash: arrival.payloadHash, state: verdict.state })

  if (verdict.state === 'set_aside') return { outcome: 'set_aside', reason: verdict.reason }
  if (verdict.state === 'free') return { outcome: 'free' }
  const posts = plan.posts.get(arrival.workspaceId)
  if (posts === undefined) plan.posts.set(arrival.workspaceId, [verdict.post])
  else posts.push(verdict.post)
  return { outcome: 'to_post', post: verdict.post }
}

type Verdict =
  | { state: 'posted'; reason: null; detail: null; post: LedgerPost }
  | { state: 'free'; reason: null; detail: null }
  | { state: 'set_aside'; reason: SetAsideReason; detail: string | null }

function judge(
  arrival: UsageArrival,
  wallet: LockedWallet | undefined,
  prices: RateBook,
  now: Date,
): Verdict {
  const { event, refusal } = arrival
  if (refusal !== null) return { state: 'set_aside', ...refusal }
  if (event === null) return setAside('malformed_payload')
  if (wallet === undefined) return setAside('unknown_workspace')
  const refused = decideAcceptance(event, now)
  if (refused !== null) return setAside(refused)
  const card = prices.cardFor(arrival.workspaceId, startOf(event))
  if (card === null) return setAside('no_rate_card')
  const rating = rateUsage(card, event)
  if (rating.outcome === 'set_aside') return setAside(rating.reason)
  if (rating.outcome === 'free') return { state: 'free', reason: null, detail: null }
  const draft = draftUsage(event, rating, card.id)
  return { state: 'posted', reason: null, detail: null, post: { draft, payloadHash: arrival.payloadHash } }
}

function setAside(reason: SetAsideReason): Verdict {
  return { state: 'set_aside', reason, detail: null }
}

/** The price is the one of the moment at which the usage began. */
function startOf(event: UsageEvent): Date {
  return event.kind === 'call' ? event.startedAt : event.sentAt
}

/** Keeps a telling that says other than the one that stands, beside it. */
function contradict(plan: Plan, arrival: UsageArrival, verdict?: Verdict): Step {
  const reason = verdict?.reason ?? 'conflicting_duplicate'
  plan.contradictions.push({
    arrival: { ...arrival, key: contradictionKey(arrival) },
    state: 'set_aside',
    reason,
    detail: verdict?.detail ?? null,
  })
  return { outcome: 'set_aside', reason }
}

async function write(trx: Tx, plan: Plan): Promise<void> {
  const [inserted, updated] = await Promise.all([
    insertUsage(trx, plan.inserts),
    decideUsage(trx, plan.updates),
    insertUsage(trx, plan.contradictions),
  ])
  if (inserted !== plan.inserts.length || updated !== plan.updates.length) {
    throw new BillingError('claim_lost', 'Somebody else claimed the same usage events meanwhile', {
      missing: plan.inserts.length - inserted + plan.updates.length - updated,
    })
  }
}

/** Books the posts, and gives for each of them its outcome. */
async function book(
  trx: Tx,
  plan: Plan,
  locked: ReadonlyMap<string, LockedWallet>,
  now: Date,
): Promise<(post: LedgerPost) => UsageOutcome> {
  const wallets: WalletPosts[] = []
  for (const [workspaceId, posts] of plan.posts) {
    const wallet = locked.get(workspaceId)
    if (wallet === undefined)
      throw new BillingError('wallet_not_locked', 'A post without the lock of its wallet')
    wallets.push({ wallet, posts })
  }
  const booked = await postLedgerTransactions(trx, wallets, now)
  const outcomes = new Map<LedgerPost, UsageOutcome>()
  for (const [index, { posts }] of wallets.entries()) {
    for (const [place, post] of posts.entries()) {
      const at = booked[index]?.[place]
      if (at === undefined) throw new BillingError('nothing_booked', 'A post came back without its booking')
      outcomes.set(post, { outcome: 'posted', amountMicros: post.draft.amountMicros, ...at })
    }
  }
  return (post) => outcomes.get(post) ?? { outcome: 'deferred' }
}
