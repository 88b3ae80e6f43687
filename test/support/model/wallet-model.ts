/**
 * The wallet in as few words as it can be said: what each command does to balances, holds, recharges and rents, in BigInt and maps,
 * one command at a time. It imports nothing of the project, so that an error there cannot hide here as well.
 */

const second = 1_000
const day = 86_400_000
const quietPeriodMs = 900_000

type Hold = { amount: bigint; state: 'open' | 'settled' | 'released' | 'expired'; expiresAt: number }
type Policy = { enabled: boolean; threshold: bigint; topUp: bigint; dailyLimit: number; cap: bigint | null }
export type ModelTopUp = {
  source: 'checkout' | 'api' | 'auto_recharge'
  state: string
  amount: bigint
  credited: bigint
  submissions: number
  givenBack: number
  createdAt: number
  sentAt: number | null
  dueAt: number
  tries: number
  boundTo: string | null
}
/** What Paddle has: money it took, or a card that it could not charge. */
export type Payment = {
  id: string
  topUp: ModelTopUp | null
  amount: bigint
  captured: boolean
  credited: boolean
}
export type Adjustment = { id: string; payment: Payment; action: string; amount: bigint }
type PhoneNumber = {
  phone: string
  anchor: number
  state: string
  billed: number
  nextLook: number | null
  cancelAt: number | null
  pastDueAt: number | null
  suspendedAt: number | null
}
type Rate = { meter: 'voice' | 'number'; from: number; price: bigint; increment: bigint }
export type Call = { id: string; startedAt: number; seconds: number; recorded: boolean }

export type ModelWallet = {
  balance: bigint
  booked: Map<string, bigint>
  holds: Map<string, Hold>
  usage: Map<string, { call: Call; state: 'posted' | 'free' | 'set_aside' }>
  policy: Policy | null
  lastDecision: string | null
  declines: number
  coolingUntil: number | null
  suspended: boolean
  frozen: boolean
  topUps: ModelTopUp[]
  payments: Payment[]
  adjustments: Adjustment[]
  numbers: PhoneNumber[]
  rates: Rate[]
}
export type Model = { now: number; wallets: ModelWallet[] }

export function openModelWallet(): ModelWallet {
  return {
    balance: 10_000_000n, booked: new Map([['grant', 10_000_000n]]), holds: new Map(), usage: new Map(), policy: null,
    lastDecision: null, declines: 0, coolingUntil: null, suspended: false, frozen: false, topUps: [], payments: [],
    adjustments: [], numbers: [], rates: [],
  } // prettier-ignore
}

export const heldBy = (w: ModelWallet): bigint => sum([...w.holds.values()].filter((h) => h.state === 'open'))
export const availableIn = (w: ModelWallet): bigint => w.balance - heldBy(w)

/** Told as usage. Shape: how the wallet answers. */
export function postCall(m: Model, w: ModelWallet, call: Call): string {
  const known = w.usage.get(call.id)
  const isSame = known !== undefined && JSON.stringify(known.call) === JSON.stringify(call)
  const isOver = known !== undefined && known.state !== 'set_aside'
  if (isOver && !isSame) return 'set_aside'
  if (isOver) {
    settleHold(w, call)
    return 'duplicate'
  }
  const verdict = judge(m, call)
  if (verdict === 'set_aside' && known !== undefined && !isSame) return 'set_aside'
  w.usage.set(call.id, { call, state: verdict })
  if (verdict === 'set_aside') return verdict
  const before = availableIn(w)
  settleHold(w, call)
  if (verdict === 'free') return verdict
  const cost = priceOf(w, call)
  book(w, `call/${call.id}`, -cost)
  if (w.policy?.enabled === true && before - cost < w.policy.threshold) decide(m, w)
  return verdict
}

function judge(m: Model, { startedAt, seconds }: Call): 'posted' | 'free' | 'set_aside' {
  const endedAt = startedAt + seconds * second
  if (endedAt > m.now + 300 * second || endedAt < m.now - 35 * day) return 'set_aside'
  return seconds === 0 ? 'free' : 'posted'
}

function settleHold(w: ModelWallet, call: Call): void {
  const hold = w.holds.get(call.id)
  if (hold?.state === 'open') hold.state = 'settled'
}

function priceOf(w: ModelWallet, { startedAt, seconds, recorded }: Omit<Call, 'id'>): bigint {
  const voice = rateAt(w, 'voice', startedAt)
  const line = (price: bigint, increment = 1n): bigint => {
    const billed = ((BigInt(seconds) + increment - 1n) / increment) * increment
    return (2n * price * billed + 60n) / 120n
  }
  return line(voice.price, voice.increment) + line(80_000n) + (recorded ? line(20_000n) : 0n)
}

function rateAt(w: ModelWallet, meter: Rate['meter'], at: number): Pick<Rate, 'price' | 'increment'> {
  const agreed = w.rates.filter((rate) => rate.meter === meter && rate.from <= at).at(-1)
  return agreed ?? { price: meter === 'voice' ? 100_000n : 5_000_000n, increment: 1n }
}

export function admitCall(m: Model, w: ModelWallet, id: string): string {
  const outcome = admission(m, w, id)
  if (w.policy?.enabled === true && availableIn(w) < w.policy.threshold) decide(m, w)
  return outcome
}

function admission(m: Model, w: ModelWallet, id: string): string {
  const usage = w.usage.get(id)
  if (usage !== undefined && usage.state !== 'set_aside') return 'known_call'
  const known = w.holds.get(id)
  if (known !== undefined) return known.state === 'open' ? 'admitted' : 'known_call'
  if (w.frozen) return 'frozen'
  const minute = priceOf(w, { startedAt: m.now, seconds: 60, recorded: false })
  const amount = minute < 200_000n ? 200_000n : minute
  if (availableIn(w) < amount) return 'insufficient_balance'
  w.holds.set(id, { amount, state: 'open', expiresAt: m.now + 900 * second })
  return 'admitted'
}

export function releaseHold(w: ModelWallet, id: string): string {
  const hold = w.holds.get(id)
  if (hold === undefined) return 'unknown_call'
  if (hold.state === 'settled') return 'billed'
  hold.state = 'released'
  return 'released'
}

export function expireHolds(m: Model): void {
  for (const hold of m.wallets.flatMap((w) => [...w.holds.values()])) {
    if (hold.state === 'open' && hold.expiresAt <= m.now) hold.state = 'expired'
  }
}

/** Takes the decision and its consequence. A wallet without a policy keeps no trace of it. */
export function decide(m: Model, w: ModelWallet): string {
  if (w.policy === null) return 'not_enabled'
  const reason = decision(m, w, null)
  w.lastDecision = reason
  if (reason === 'recharge') openTopUp(m, w, 'auto_recharge', w.policy.topUp)
  return reason
}

const openStates = ['ready', 'submitting', 'unknown', 'processing', 'needs_review']
const isOpen = (t: ModelTopUp): boolean => openStates.includes(t.state)

function decision(m: Model, w: ModelWallet, except: ModelTopUp | null): string {
  const { policy } = w
  if (policy?.enabled !== true) return 'not_enabled'
  if (availableIn(w) >= policy.threshold) return 'above_threshold'
  if (w.frozen) return 'frozen'
  const open = except === null ? w.topUps.filter((t) => t.source !== 'checkout' && isOpen(t)) : []
  if (open.some((t) => t.state === 'needs_review')) return 'needs_review'
  if (open.length > 0) return 'charge_under_way'
  if (w.suspended) return 'suspended'
  if (w.coolingUntil !== null && m.now < w.coolingUntil) return 'cooling_down'
  const counted = w.topUps.filter(
    (t) => t !== except && t.source === 'auto_recharge' && (isOpen(t) || t.state === 'succeeded'),
  )
  if (counted.filter((t) => t.createdAt > m.now - day).length >= policy.dailyLimit) return 'daily_limit'
  const ofMonth = counted.filter((t) => monthOf(t.createdAt) === monthOf(m.now))
  return policy.cap !== null && sum(ofMonth) + policy.topUp > policy.cap ? 'monthly_cap' : 'recharge'
}

export function openTopUp(
  m: Model,
  w: ModelWallet,
  source: ModelTopUp['source'],
  amount: bigint,
): ModelTopUp {
  const topUp: ModelTopUp = {
    source, amount, state: 'ready', credited: 0n, submissions: 0, givenBack: 0, createdAt: m.now, sentAt: null, dueAt: m.now, tries: 0,
    boundTo: null,
  } // prettier-ignore
  w.topUps.push(topUp)
  return topUp
}

/** Shape: whether it may be sent. */
export function claim(m: Model, w: ModelWallet, t: ModelTopUp): boolean {
  if (t.state !== 'ready' || t.dueAt > m.now) return false
  if (m.now - t.createdAt > day) return endUnsent(m, w, t, 'failed')
  const wanted =
    t.source === 'api' ? !w.frozen : decision(m, w, t) === 'recharge' && w.policy?.topUp === t.amount
  if (!wanted) return endUnsent(m, w, t, 'canceled')
  if (isAnotherSent(w, t)) {
    Object.assign(t, { dueAt: m.now + quietPeriodMs / 90, tries: t.tries + 1 })
    return false
  }
  Object.assign(t, { state: 'submitting', submissions: t.submissions + 1, sentAt: m.now })
  return true
}

function endUnsent(m: Model, w: ModelWallet, t: ModelTopUp, state: string): false {
  t.state = state
  decide(m, w)
  return false
}

const isAnotherSent = (w: ModelWallet, t: ModelTopUp): boolean =>
  w.topUps.some((o) => o !== t && o.source !== 'checkout' && isOpen(o) && o.state !== 'ready')

export type Answer = 'accepted' | 'declined' | 'expired_card' | 'not_processed' | 'unknown' | 'rejected'

/** Counts only for the submission that it answers. */
export function answer(m: Model, w: ModelWallet, t: ModelTopUp, submission: number, said: Answer): void {
  if (t.submissions !== submission) return
  if (said === 'declined' || said === 'expired_card') return decline(m, w, t, said, null)
  const isAlone = said === 'accepted' && !isAnotherSent(w, t)
  const from = [
    'submitting',
    'unknown',
    ...(said === 'accepted' ? ['needs_review'] : []),
    ...(isAlone ? ['ready'] : []),
  ]
  if (!from.includes(t.state)) return
  if (said === 'not_processed') {
    const waitMs = Math.min(30 * second * 2 ** Math.min(t.tries, 10), 1_800 * second)
    Object.assign(t, {
      state: 'ready',
      dueAt: m.now + waitMs,
      tries: t.tries + 1,
      givenBack: t.givenBack + 1,
    })
  } else if (said === 'rejected') {
    t.state = 'failed'
    if (t.source === 'auto_recharge' && w.policy !== null) w.suspended = true
    decide(m, w)
  } else t.state = said === 'accepted' ? 'processing' : 'unknown'
}

function decline(m: Model, w: ModelWallet, t: ModelTopUp, code: string, paymentId: string | null): void {
  if (!isOpen(t)) return
  Object.assign(t, { state: 'declined', boundTo: paymentId ?? t.boundTo })
  if (t.source === 'auto_recharge' && w.policy !== null) {
    w.declines += 1
    const coolingHours = code === 'expired_card' ? undefined : [1, 6][w.declines - 1]
    w.coolingUntil = coolingHours === undefined ? null : m.now + coolingHours * 3_600 * second
    if (coolingHours === undefined) w.suspended = true
  }
  decide(m, w)
}

/** Paddle tells of a payment: by webhook, answer to a search or reconcile. Shape: how the wallet answers. */
export function tellPayment(m: Model, w: ModelWallet, payment: Payment): string {
  const t = payment.topUp
  if (!payment.captured) {
    if (t !== null && (t.boundTo === null || t.boundTo === payment.id))
      decline(m, w, t, 'declined', payment.id)
    return 'noted'
  }
  if (payment.credited) return 'already_credited'
  payment.credited = true
  book(w, `payment/${payment.id}`, payment.amount)
  const topUp = t ?? openTopUp(m, w, 'checkout', payment.amount)
  if (topUp.state !== 'succeeded') topUp.boundTo = payment.id
  Object.assign(topUp, { state: 'succeeded', credited: topUp.credited + payment.amount })
  if (!w.suspended && w.declines > 0) Object.assign(w, { declines: 0, coolingUntil: null })
  decide(m, w)
  wakeRents(m, w)
  return 'credited'
}

/** A search came back without news. */
export function missSearch(m: Model, t: ModelTopUp): void {
  const age = m.now - (t.sentAt ?? t.createdAt)
  if (t.state === 'unknown' && age >= quietPeriodMs) {
    const isSentAgain = t.submissions - t.givenBack < 2 && t.amount <= 1_000_000_000n
    Object.assign(t, isSentAgain ? { state: 'ready', dueAt: m.now } : { state: 'needs_review' })
  } else if (t.state === 'processing' && age > day) t.state = 'needs_review'
}

/** Money that Paddle gives back or wins back. Shape: how the wallet answers. */
export function tellAdjustment(m: Model, w: ModelWallet, adjustment: Adjustment): string {
  const { payment, action, amount } = adjustment
  if (!payment.credited) return 'waiting'
  if (w.adjustments.includes(adjustment)) return 'already_applied'
  const others = w.adjustments.filter((each) => each.payment === payment)
  const signed = action === 'chargeback_reverse' ? amount : -amount
  if (signed < 0n && -sum(others.map(signedOf)) + amount > payment.amount) {
    if (action === 'chargeback') w.frozen = true
    return 'review'
  }
  const disputed = others.filter((each) => each.action.startsWith('chargeback'))
  if (signed > 0n && -sum(disputed.map(signedOf)) < amount) return 'waiting'
  const wasDisputed = isDisputed(w, payment)
  book(w, `adjustment/${adjustment.id}`, signed)
  w.adjustments.push(adjustment)
  const is = isDisputed(w, payment)
  if (is && !wasDisputed) w.frozen = true
  if (!is && wasDisputed && !w.payments.some((each) => isDisputed(w, each))) w.frozen = false
  decide(m, w)
  if (signed > 0n) wakeRents(m, w)
  return 'applied'
}

const signedOf = ({ action, amount }: Adjustment) => ({
  amount: action === 'chargeback_reverse' ? amount : -amount,
})

function isDisputed(w: ModelWallet, payment: Payment): boolean {
  const count = (action: string): number =>
    w.adjustments.filter((each) => each.payment === payment && each.action === action).length
  return count('chargeback') > count('chargeback_reverse')
}

export const findRented = (w: ModelWallet, phone: string): PhoneNumber | undefined =>
  w.numbers.find((n) => n.phone === phone && n.state !== 'released')

export function rent(m: Model, w: ModelWallet, phone: string): string {
  const known = findRented(w, phone)
  if (known !== undefined) {
    known.cancelAt = null
    return 'already_rented'
  }
  if (w.frozen) return 'frozen'
  const fee = rateAt(w, 'number', m.now).price
  if (fee > 0n && availableIn(w) < fee) {
    decide(m, w)
    return 'insufficient_balance'
  }
  w.numbers.push({
    phone, anchor: m.now, state: 'active', billed: 0, nextLook: m.now, cancelAt: null, pastDueAt: null, suspendedAt: null,
  }) // prettier-ignore
  settleRents(m, w, w.numbers.slice(-1))
  return 'rented'
}

/** Whatever has come due, the month that began first before the others, while money lasts. */
export function settleRents(m: Model, w: ModelWallet, numbers = w.numbers): void {
  let due = numbers.filter((n) => n.nextLook !== null && n.nextLook <= m.now)
  let isDecided = false
  while (due.length > 0) {
    const n = due.reduce((first, each) => (dueAt(each) < dueAt(first) ? each : first))
    if (n.cancelAt !== null && n.cancelAt <= dueAt(n)) {
      if (m.now >= n.cancelAt) release(n)
      else n.nextLook = n.cancelAt
    } else if (m.now < dueAt(n)) n.nextLook = dueAt(n)
    else if (payMonth(w, n)) {
      isDecided = true
      continue
    } else if (n.suspendedAt !== null && m.now >= n.suspendedAt + 7 * day) release(n)
    else {
      const pastDueAt = n.pastDueAt ?? m.now
      const suspendedAt = n.suspendedAt ?? (m.now >= pastDueAt + 3 * day ? m.now : null)
      const tomorrow = pastDueAt + (Math.floor((m.now - pastDueAt) / day) + 1) * day
      const nextLook = suspendedAt === null ? tomorrow : Math.min(tomorrow, suspendedAt + 7 * day)
      const state = suspendedAt === null ? 'past_due' : 'suspended'
      Object.assign(n, { state, pastDueAt, suspendedAt, nextLook })
      isDecided = true
    }
    due = due.filter((each) => each !== n)
  }
  if (isDecided) decide(m, w)
}

function payMonth(w: ModelWallet, n: PhoneNumber): boolean {
  const { price } = rateAt(w, 'number', dueAt(n))
  if (price > 0n && price > availableIn(w)) return false
  const key = `rental/${n.phone}@${n.anchor}/${new Date(dueAt(n)).toISOString().slice(0, 10)}`
  if (price > 0n) book(w, key, -price)
  Object.assign(n, { state: 'active', billed: n.billed + 1, pastDueAt: null, suspendedAt: null })
  return true
}

/** With the month that is paid; at once where the next one is owed. */
export function cancelRental(m: Model, w: ModelWallet, n: PhoneNumber): void {
  if (n.cancelAt !== null) return
  if (n.state === 'active') {
    n.nextLook = m.now
    settleRents(m, w, [n])
  }
  if (n.state === 'active') Object.assign(n, { cancelAt: dueAt(n), nextLook: dueAt(n) })
  else release(n)
}

/** At once. A month that has begun is paid first, if it can be and nobody knows yet that it cannot. */
export function endRental(m: Model, w: ModelWallet, n: PhoneNumber): void {
  const endsAt = Math.min(n.cancelAt ?? m.now, m.now)
  let isPaid = false
  while (n.state === 'active' && dueAt(n) < endsAt && payMonth(w, n)) isPaid = true
  release(n)
  if (isPaid) decide(m, w)
}

const release = (n: PhoneNumber): void => void Object.assign(n, { state: 'released', nextLook: null })

function wakeRents(m: Model, w: ModelWallet): void {
  for (const n of w.numbers) if (n.state === 'past_due' || n.state === 'suspended') n.nextLook = m.now
}

/** When the next month of a number begins: on the day of its anchor, or on the month's last. */
function dueAt({ anchor, billed }: PhoneNumber): number {
  const from = new Date(anchor)
  const timeOfDay = anchor % day
  for (let date = from.getUTCDate(); ; date -= 1) {
    const at = new Date(Date.UTC(from.getUTCFullYear(), from.getUTCMonth() + billed, date))
    if (at.getUTCMonth() === (from.getUTCMonth() + billed) % 12) return at.getTime() + timeOfDay
  }
}

function book(w: ModelWallet, key: string, amount: bigint): void {
  if (w.booked.has(key)) throw new Error(`the model books ${key} twice`)
  w.booked.set(key, amount)
  w.balance += amount
}

const monthOf = (at: number): string => new Date(at).toISOString().slice(0, 7)
const sum = (of: readonly { amount: bigint }[]): bigint =>
  of.reduce((total, { amount }) => total + amount, 0n)
