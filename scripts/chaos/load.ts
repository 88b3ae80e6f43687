/**
 * The load of a chaos run, made of its seed and of nothing else: which events there are, whose, on which road and in which company.
 * Any event can be made again from its number, so nobody has to remember a million of them. Imports nothing of the project: the
 * oracle works on the same load, and must not be able to share an error with what it judges.
 */

/** What becomes of a wallet during the run. */
export type WalletRole =
  /** Only spends, and may fall below zero. */
  | 'spending'
  /** Has a card that pays, and auto-recharge. */
  | 'recharging'
  /** Has auto-recharge and a card that is declined. */
  | 'declined'
  /** Has a card, and tops up through the API. */
  | 'paying'
  /** Has no card, and pays checkouts. */
  | 'checkout'
  /** Uses nothing, and rents numbers for all that it was given. */
  | 'renting'

export type LoadPlan = {
  seed: number
  events: number
  wallets: number
  eventsPerBatch: number
  batches: number
  payments: number
  /** Milliseconds since 1970. Everything happened before it. */
  base: number
  /** Whole dollars that each automatic recharge brings. */
  rechargeUsd: number
  /** Whole dollars: strictly below this, a recharging wallet's card is charged. */
  thresholdUsd: number
}

export type CallEvent = {
  kind: 'call'
  id: string
  workspaceId: string
  startedAt: string
  /** Tenths of a second. */
  tenths: number
  direction: 'outbound' | 'inbound' | 'web'
  to?: string
  from?: string
  recorded: boolean
  /** Asked for at the front door before it begins. */
  admitted: boolean
}

type MessageEvent = { kind: 'message'; id: string; workspaceId: string; sentAt: string }

export type LoadEvent = CallEvent | MessageEvent

export type Road =
  /** `usage-batch` jobs. */
  | 'queue'
  /** `call-ended` and `message-sent` jobs, one by one. */
  | 'queue_singly'
  /** `POST /v1/usage`, all of one workspace. */
  | 'http'

export type Payment = { number: number; kind: 'topup' | 'checkout'; workspaceId: string; dollars: number }

/** Numbers to call: what their telephony prefix is, and how many digits may follow what is written here. */
const destinations = [
  { to: '+1415555', digits: 4 },
  { to: '+1212555', digits: 4 },
  { to: '+44207946', digits: 4 },
  { to: '+447700900', digits: 3 },
  { to: '+49301234', digits: 4 },
  { to: '+491511234', digits: 4 },
  { to: '+33199001', digits: 3 },
  { to: '+33639981', digits: 3 },
  { to: '+2022345', digits: 4 },
  { to: '+20101234', digits: 4 },
  { to: '+61491570', digits: 3 },
  { to: '+61255501', digits: 3 },
] as const

/** International premium numbers: no card has a price for them. */
const unpriced = { to: '+97912345', digits: 4 }

const largestBatch = 250
const mostWallets = 2_000
const fewestWallets = 20
const eventsPerWallet = 100

/** What an event costs, and rather more than less. */
const dollarsPerEvent = 0.3
const fewestDollars = 5
/** A card's limit a day is 20: nothing of this load is to be held up by it. */
const mostRecharges = 16

export function planLoad({
  seed,
  events,
  faults,
  base,
}: {
  seed: number
  events: number
  faults: number
  base: number
}): LoadPlan {
  const wallets = Math.min(mostWallets, Math.max(fewestWallets, Math.round(events / eventsPerWallet)))
  // Enough batches for every fault to meet some dozens of them.
  const eventsPerBatch = Math.min(largestBatch, Math.max(5, Math.round(events / (faults + 2) / 50)))
  const batches = Math.ceil(events / eventsPerBatch)
  const plan = {
    seed,
    events,
    wallets,
    eventsPerBatch,
    batches,
    payments: Math.min(batches, Math.max(4, Math.round(events / 500))),
    base,
    rechargeUsd: fewestDollars,
    thresholdUsd: 6,
  }
  const spentUsd = mostEventsToRecharge(plan) * dollarsPerEvent
  return { ...plan, rechargeUsd: Math.max(fewestDollars, Math.ceil(spentUsd / mostRecharges)) }
}

/** Of the wallet that has the most of them, and a card to be charged. */
function mostEventsToRecharge(plan: LoadPlan): number {
  const events = new Map<number, number>()
  for (let index = 0; index < plan.events; index += 1) {
    const wallet = walletOf(plan, index)
    if (roleOf(wallet) === 'recharging') events.set(wallet, (events.get(wallet) ?? 0) + 1)
  }
  return [...events.values()].reduce((most, count) => Math.max(most, count), 0)
}

export function workspaceAt(wallet: number): string {
  return `ws_chaos_${wallet}`
}

/** The first wallet is everybody's: a tenth of all events are its. */
export function roleOf(wallet: number): WalletRole {
  if (wallet === 0) return 'spending'
  const place = wallet % 20
  if (place < 8) return 'spending'
  if (place < 14) return 'recharging'
  if (place === 14) return 'declined'
  if (place < 17) return 'paying'
  return place < 19 ? 'checkout' : 'renting'
}

function walletsOf(plan: LoadPlan, role: WalletRole): number[] {
  return Array.from({ length: plan.wallets }, (_, wallet) => wallet).filter(
    (wallet) => roleOf(wallet) === role,
  )
}

/** The numbers of a batch's events: from the first until before the second. */
export function eventsOf({ eventsPerBatch, events }: LoadPlan, batch: number): [number, number] {
  return [batch * eventsPerBatch, Math.min(events, (batch + 1) * eventsPerBatch)]
}

export function roadOf({ seed }: LoadPlan, batch: number): Road {
  const die = dice(seed, streams.road, batch) % 100
  if (die < 50) return 'http'
  return die < 95 ? 'queue' : 'queue_singly'
}

export function eventAt(plan: LoadPlan, index: number): LoadEvent {
  const { seed, base } = plan
  const workspaceId = workspaceAt(walletOf(plan, index))
  const name = `c${seed.toString(36)}_${index.toString(36).padStart(5, '0')}`
  const instant = new Date(base - 60_000 - (dice(seed, streams.time, index) % 172_800_000)).toISOString()
  if (dice(seed, streams.kind, index) % 100 < 20) {
    return { kind: 'message', id: `msg_${name}`, workspaceId, sentAt: instant }
  }
  const place = dice(seed, streams.place, index) % 1_000
  const destination = place < 6 ? unpriced : (destinations[place % destinations.length] ?? destinations[0])
  const number = `${destination.to}${String(dice(seed, streams.number, index) % 10 ** destination.digits).padStart(destination.digits, '0')}`
  const way = dice(seed, streams.way, index) % 100
  const lasted = dice(seed, streams.duration, index) % 1_836
  // One in fifty was not answered; the others lasted up to three minutes.
  const tenths = lasted < 36 ? 0 : lasted - 35
  const call = {
    kind: 'call' as const,
    id: `call_${name}`,
    workspaceId,
    startedAt: instant,
    tenths,
    recorded: dice(seed, streams.recorded, index) % 5 === 0,
    admitted: false,
  }
  if (way < 4) return { ...call, direction: 'web' }
  if (way < 8) return { ...call, direction: 'inbound' }
  if (way < 12) return { ...call, direction: 'inbound', from: number, to: '+14155550100' }
  // Long enough to cost what was held for its first minute: a hold then never asks for more than the call will.
  const admitted = place >= 6 && tenths >= 700 && dice(seed, streams.admission, index) % 40 === 0
  return { ...call, direction: 'outbound', to: number, admitted }
}

/** A call that is admitted with the batch and never happens: it is released, or nobody mentions it again. */
export function phantomOf(
  plan: LoadPlan,
  batch: number,
): { callId: string; workspaceId: string; to: string; end: 'released' | 'silent' } | null {
  const die = dice(plan.seed, streams.phantom, batch)
  if (die % 5 !== 0) return null
  // What it holds is never spent, so it must not be what a card is charged for.
  const spending = Math.floor(die / 5) % plan.wallets
  const wallet = roleOf(spending) === 'spending' ? spending : 0
  return {
    callId: `call_c${plan.seed.toString(36)}_never${batch}`,
    workspaceId: workspaceAt(wallet),
    to: '+14155550123',
    // Silence takes a while to be noticed, and the end is not to wait for it.
    end: die % 2 === 0 || batch * 2 > plan.batches ? 'released' : 'silent',
  }
}

/** A batch told over HTTP, of which one call is told again with another duration once the first telling stands. */
export function contradictedOf(plan: LoadPlan, batch: number): CallEvent | null {
  if (roadOf(plan, batch) !== 'http' || dice(plan.seed, streams.contradiction, batch) % 6 !== 0) return null
  const [from, to] = eventsOf(plan, batch)
  for (let index = from; index < to; index += 1) {
    const event = eventAt(plan, index)
    if (event.kind === 'call' && event.tenths > 0 && event.to !== undefined && !isUnpriced(event))
      return event
  }
  return null
}

export function isUnpriced(event: LoadEvent): boolean {
  if (event.kind !== 'call' || event.tenths === 0) return false
  return (event.direction === 'inbound' ? event.from : event.to)?.startsWith(unpriced.to) === true
}

/** The payment that is made with a batch. */
export function paymentOf(plan: LoadPlan, batch: number): Payment | null {
  const number = Math.floor((batch * plan.payments) / plan.batches)
  const isFirst = batch === 0 || Math.floor(((batch - 1) * plan.payments) / plan.batches) !== number
  return isFirst && number < plan.payments ? paymentAt(plan, number) : null
}

export function paymentAt(plan: LoadPlan, number: number): Payment {
  const kind = number % 3 === 0 ? 'checkout' : 'topup'
  const wallets = walletsOf(plan, kind === 'checkout' ? 'checkout' : 'paying')
  const wallet = wallets[dice(plan.seed, streams.payer, number) % wallets.length] ?? 0
  const dollars = 5 + (dice(plan.seed, streams.amount, number) % 40)
  return { number, kind, workspaceId: workspaceAt(wallet), dollars }
}

export type Rental = { workspaceId: string; phoneNumber: string; rentedAt: string; months: number }

/**
 * What is rented with a batch: one number more than a month ago, or one this month and another one now. Either takes the whole signup grant,
 * so it does not matter which comes first.
 */
export function rentalOf(plan: LoadPlan, batch: number): { told: Rental; rentedNow: string | null } | null {
  const wallets = walletsOf(plan, 'renting')
  const place = wallets.findIndex(
    (_, each) => Math.floor(((each + 0.5) * plan.batches) / wallets.length) === batch,
  )
  const wallet = wallets[place]
  return wallet === undefined ? null : rentalAt(plan, wallet)
}

export function rentalAt(plan: LoadPlan, wallet: number): { told: Rental; rentedNow: string | null } {
  const digits = String(wallet).padStart(4, '0')
  const isOld = dice(plan.seed, streams.rental, wallet) % 2 === 0
  const rentedAt = new Date(plan.base - (isOld ? 33 : 20) * 86_400_000).toISOString()
  return {
    told: {
      workspaceId: workspaceAt(wallet),
      phoneNumber: `+1415556${digits}`,
      rentedAt,
      months: isOld ? 2 : 1,
    },
    rentedNow: isOld ? null : `+1415557${digits}`,
  }
}

/** As both roads spell it. */
export function wireOf(event: LoadEvent) {
  if (event.kind === 'message') {
    const { kind, id: messageId, workspaceId, sentAt } = event
    return { kind, messageId, workspaceId, sentAt }
  }
  const { kind, id: callId, workspaceId, startedAt, tenths, direction, to, from, recorded } = event
  return {
    kind,
    callId,
    workspaceId,
    startedAt,
    durationSeconds: tenths / 10,
    direction,
    recorded,
    ...(to === undefined ? {} : { to }),
    ...(from === undefined ? {} : { from }),
  }
}

/** The name under which an event is booked. */
export function keyOf(event: Pick<LoadEvent, 'kind' | 'id'>): string {
  return `${event.kind}/${event.id}`
}

/** Whose an event is: one in ten is the first wallet's. A key belongs to one workspace, and with it all that is told over HTTP at once. */
function walletOf(plan: LoadPlan, index: number): number {
  const { seed, wallets, events, eventsPerBatch } = plan
  const batch = Math.floor(index / eventsPerBatch)
  const die = dice(seed, streams.wallet, roadOf(plan, batch) === 'http' ? events + batch : index)
  const wallet = die % 10 === 0 ? 0 : Math.floor(die / 10) % wallets
  return roleOf(wallet) === 'renting' ? 0 : wallet
}

const streams = {
  road: 1,
  kind: 2,
  wallet: 3,
  time: 4,
  place: 5,
  number: 6,
  way: 7,
  duration: 8,
  recorded: 9,
  admission: 10,
  phantom: 11,
  contradiction: 12,
  payer: 13,
  amount: 14,
  rental: 15,
} as const

/** A whole number below 2^32 that looks like chance, and is the same whenever it is asked for. */
export function dice(seed: number, stream: number, index: number): number {
  let bits = seed ^ Math.imul(stream, 0x9e_37_79_b1) ^ Math.imul(index + 1, 0x85_eb_ca_6b)
  for (const factor of [0x7f_eb_35_2d, 0x84_6c_a6_8b]) {
    bits = Math.imul(bits ^ (bits >>> 16), factor)
    bits ^= bits >>> 15
  }
  return (bits ^ (bits >>> 16)) >>> 0
}
