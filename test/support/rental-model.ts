/**
 * What rents come to, written down a second time and plainly: numbers, bigints and a calendar of its own. It knows none of our
 * modules, so that an error in one of them is not in here as well. Instants are milliseconds, money is micro-dollars.
 */

export type ModelNumber = {
  id: string
  phone: string
  anchor: number
  paid: { starts: number; fee: bigint }[]
  state: 'active' | 'past_due' | 'suspended' | 'released'
  pastDue: number | null
  suspended: number | null
  cancel: number | null
  released: number | null
  /** Since when the telephony service has it back, where it said so. */
  givenBack: number | null
  nextLook: number | null
}

export type ModelWallet = {
  balance: bigint
  held: bigint
  frozen: boolean
  /** By the instant from which each is in force. */
  fees: { from: number; fee: bigint }[]
  numbers: ModelNumber[]
  /** What is booked, in order. */
  journal: { key: string; reference: string; amount: bigint; at: number }[]
}

const day = 86_400_000

export function newModel(balance: bigint, fee: bigint): ModelWallet {
  return { balance, held: 0n, frozen: false, fees: [{ from: 0, fee }], numbers: [], journal: [] }
}

/** The rental that has the phone number now. */
export function live(wallet: ModelWallet, phone: string): ModelNumber | undefined {
  return wallet.numbers.find((number) => number.phone === phone && number.state !== 'released')
}

export function sweep(wallet: ModelWallet, now: number): void {
  const due = wallet.numbers
    .filter(({ nextLook }) => nextLook !== null && nextLook <= now)
    .toSorted((one, other) => startOf(one) - startOf(other) || (one.id < other.id ? -1 : 1))
  settle(wallet, due, now)
}

/** What renting by the API comes to; a new rental has its id from outside. */
export function rent(
  wallet: ModelWallet,
  phone: string,
  now: number,
): 'already_rented' | 'frozen' | 'insufficient_balance' | 'rented' {
  const known = live(wallet, phone)
  if (known !== undefined) {
    known.cancel = null
    return 'already_rented'
  }
  if (wallet.frozen) return 'frozen'
  return canPay(wallet, feeAt(wallet, now)) ? 'rented' : 'insufficient_balance'
}

/** A rental begins, by the API or by news of it. */
export function open(
  wallet: ModelWallet,
  { id, phone, anchor }: Pick<ModelNumber, 'id' | 'phone' | 'anchor'>,
  now: number,
): void {
  const number: ModelNumber = {
    id,
    phone,
    anchor,
    paid: [],
    state: 'active',
    pastDue: null,
    suspended: null,
    cancel: null,
    released: null,
    givenBack: null,
    nextLook: anchor,
  }
  wallet.numbers.push(number)
  settle(wallet, [number], now)
}

/** News of a rental: it may be over already, by news that was taken for that of the rental before it. */
export function note(
  wallet: ModelWallet,
  rental: Pick<ModelNumber, 'id' | 'phone' | 'anchor'>,
  now: number,
): void {
  const before = wallet.numbers
    .filter(({ phone, anchor }) => phone === rental.phone && anchor <= rental.anchor)
    .toSorted((one, other) => other.anchor - one.anchor)[0]
  open(wallet, rental, now)
  const ended = before?.givenBack ?? null
  const number = live(wallet, rental.phone)
  if (number !== undefined && ended !== null && ended > rental.anchor) giveBack(wallet, number, ended, now)
}

export function cancel(wallet: ModelWallet, number: ModelNumber, now: number): void {
  if (number.cancel !== null) return
  if (number.state === 'active') settle(wallet, [number], now)
  if (number.state !== 'active') return release(number, now)
  number.cancel = startOf(number)
  number.nextLook = number.cancel
}

export function cancelNow(wallet: ModelWallet, number: ModelNumber, now: number): void {
  payUntil(wallet, number, Math.min(now, number.cancel ?? now))
  release(number, now)
}

/** The telephony service has had it back since then. */
export function giveBack(wallet: ModelWallet, number: ModelNumber, since: number, now: number): void {
  payUntil(wallet, number, Math.min(since, number.cancel ?? since))
  release(number, now)
  number.givenBack = since
  const tooMuch = number.paid.filter(({ starts, fee }) => starts >= since && fee > 0n)
  for (const { starts, fee } of tooMuch) {
    wallet.balance += fee
    book(wallet, number, { prefix: 'reversal/', starts, amount: fee })
  }
  if (tooMuch.length > 0) wake(wallet, now)
}

export function credit(wallet: ModelWallet, amount: bigint, now: number): void {
  wallet.balance += amount
  wake(wallet, now)
}

function wake(wallet: ModelWallet, now: number): void {
  for (const number of wallet.numbers) {
    if (number.state === 'past_due' || number.state === 'suspended') number.nextLook = now
  }
}

function payUntil(wallet: ModelWallet, number: ModelNumber, until: number): void {
  if (number.state !== 'active') return
  while (startOf(number) < until && pay(wallet, number));
}

/** One month after the other, whichever started first, until every number rests, owes or has ended. */
function settle(wallet: ModelWallet, numbers: readonly ModelNumber[], now: number): void {
  const open = [...numbers]
  while (open.length > 0) {
    let first = open[0]
    for (const number of open) if (first !== undefined && startOf(number) < startOf(first)) first = number
    if (first === undefined) return
    const isOver = first.cancel !== null && first.cancel <= startOf(first)
    if (!isOver && startOf(first) <= now && pay(wallet, first)) continue
    open.splice(open.indexOf(first), 1)
    if (isOver) {
      if (now >= (first.cancel ?? 0)) release(first, now)
      else first.nextLook = first.cancel
    } else if (now < startOf(first)) first.nextLook = startOf(first)
    else owe(first, now)
  }
}

function pay(wallet: ModelWallet, number: ModelNumber): boolean {
  const starts = startOf(number)
  const fee = feeAt(wallet, starts)
  if (!canPay(wallet, fee)) return false
  number.paid.push({ starts, fee })
  number.state = 'active'
  number.pastDue = null
  number.suspended = null
  wallet.balance -= fee
  if (fee > 0n) book(wallet, number, { prefix: '', starts, amount: -fee })
  return true
}

function owe(number: ModelNumber, now: number): void {
  number.pastDue ??= now
  if (number.suspended !== null && now - number.suspended >= 7 * day) return release(number, now)
  if (now - number.pastDue >= 3 * day) number.suspended ??= now
  number.state = number.suspended === null ? 'past_due' : 'suspended'
  let tomorrow = number.pastDue
  while (tomorrow <= now) tomorrow += day
  number.nextLook = number.suspended === null ? tomorrow : Math.min(tomorrow, number.suspended + 7 * day)
}

function release(number: ModelNumber, now: number): void {
  number.state = 'released'
  number.released = now
  number.nextLook = null
}

function book(
  wallet: ModelWallet,
  { id, phone }: ModelNumber,
  { prefix, starts, amount }: { prefix: string; starts: number; amount: bigint },
): void {
  const key = `${prefix}rental/${id}/${new Date(starts).toISOString().slice(0, 10)}`
  wallet.journal.push({ key, reference: phone, amount, at: starts })
}

function canPay({ balance, held }: ModelWallet, fee: bigint): boolean {
  return fee === 0n || balance - held >= fee
}

function feeAt({ fees }: ModelWallet, at: number): bigint {
  return fees.findLast(({ from }) => from <= at)?.fee ?? 0n
}

/** When the next month starts that is to be paid. */
export function startOf({ anchor, paid }: { anchor: number; paid: ArrayLike<unknown> }): number {
  return monthsLater(anchor, paid.length)
}

/** The day on which each month begins, counted from 1 January 1970; and one more. */
const monthBegins = (() => {
  const begins = [0]
  for (let year = 1_970; year < 2_100; year += 1) {
    const february = year % 4 === 0 ? 29 : 28
    for (const days of [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]) {
      begins.push((begins.at(-1) ?? 0) + days)
    }
  }
  return begins
})()

function monthsLater(anchor: number, months: number): number {
  const dayNumber = Math.floor(anchor / day)
  const month = monthBegins.findIndex((begins) => begins > dayNumber) - 1
  const dayOfMonth = dayNumber - (monthBegins[month] ?? 0)
  const begins = monthBegins[month + months] ?? 0
  const length = (monthBegins[month + months + 1] ?? 0) - begins
  return (begins + Math.min(dayOfMonth, length - 1)) * day + (anchor - dayNumber * day)
}
