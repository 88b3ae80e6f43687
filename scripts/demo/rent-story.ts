/** A year of a wallet that pays rents, told line by line: what was paid and by whom, and what became of numbers that were not. */
import { styleText } from 'node:util'

import { explainDecline } from '../../billing/decline.ts'
import { displayUsd, parseUsd, type Micros } from '../../billing/money.ts'
import type { TopUp } from '../../db/top-up.ts'
import type { NumberStep, RentFrame, RentMovement } from './watch-rents.ts'

/** Given all that there is at a moment, says what is new, in order. */
export type RentStory = (frame: RentFrame) => string[]

const widths = { date: 13, what: 50, number: 15, amount: 10, balance: 11 }

export const rentHeader = styleText(
  'dim',
  line({ date: 'date', what: 'what', number: 'number', amount: 'amount', balance: 'balance' }),
)

/** `card` names it: `visa 4242`. */
export function createRentStory({ card }: { card: string }): RentStory {
  const told = new Set<string>()
  const states = new Map<string, string>()
  const isNew = (name: string): boolean => !told.has(name) && told.add(name).has(name)

  /** A month that cannot be paid is looked at every day; only what changes is told. */
  const changes = ({ phoneNumber, state }: NumberStep): boolean => {
    const before = states.get(phoneNumber)
    states.set(phoneNumber, state)
    return before !== state
  }
  return ({ movements, steps, topUps, suspended }) => {
    const sources = new Map<string, TopUp>(topUps.map((topUp) => [topUp.topUpId, topUp]))
    const back = new Set(
      steps.filter(({ reason }) => reason === 'reinstated').map((step) => `${step.phoneNumber} ${+step.at}`),
    )
    const money = movements
      .filter(({ sequence }) => isNew(`movement ${sequence}`))
      .map((movement) => ({ at: movement.postedAt, say: movementLine(movement, { card, sources, back }) }))
    const stepping = steps
      .filter((step) => isNew(`step ${step.phoneNumber} ${step.step}`))
      .filter((step) => changes(step) || step.reason === 'cancel_asked')
      .map((step) => ({ at: step.at, say: stepLine(step) }))
    const declines = topUps
      .filter(({ state, topUpId }) => state === 'declined' && isNew(`decline ${topUpId}`))
      .map((topUp) => ({ at: topUp.changedAt, say: declineLine(topUp, card) }))
    const suspensions =
      suspended !== null && isNew(`suspended ${+suspended.at}`)
        ? [{ at: suspended.at, say: trouble(suspended.at, 'auto-recharge is suspended: no further attempt') }]
        : []
    // Sorting keeps the order of what happened in the same moment: the rent, and then what came of its number.
    return [...money, ...stepping, ...declines, ...suspensions]
      .toSorted((one, other) => one.at.getTime() - other.at.getTime())
      .flatMap(({ say }) => (say === null ? [] : [say]))
  }
}

/** What somebody outside does: the customer, or their bank. */
export function actLine(at: Date, what: string): string {
  return styleText('cyan', line({ date: dayOf(at), what }))
}

function movementLine(
  movement: RentMovement,
  { card, sources, back }: { card: string; sources: ReadonlyMap<string, TopUp>; back: ReadonlySet<string> },
): string {
  const { kind, reference, amountMicros, balanceAfterMicros, postedAt, period, endsAt } = movement
  const date = dayOf(postedAt)
  const amount = amountMicros < 0n ? displayUsd(amountMicros) : `+${displayUsd(amountMicros)}`
  const paint = (fields: { what: string; number?: string }): string =>
    styleText(amountMicros < 0n ? 'yellow' : 'green', line({ date, amount, ...fields })) +
    styleText('bold', displayUsd(balanceAfterMicros).padStart(widths.balance))
  if (kind === 'grant') return paint({ what: 'opened with its signup grant' })
  if (kind === 'top_up') {
    const isRecharge = sources.get(reference)?.source === 'auto_recharge'
    return paint({ what: isRecharge ? `recharged from ${card}` : 'paid in by the customer, another card' })
  }
  if (kind !== 'number_rental') return paint({ what: kind, number: reference })
  const until = endsAt === null ? '' : ` until ${dayOf(endsAt)}`
  const isBack = back.has(`${reference} ${+postedAt}`)
  const verb = isBack ? 'reinstated, paid' : period === 0 ? 'rented, paid' : 'renewed'
  return paint({ what: `${verb}${until}`, number: reference })
}

/** Null for what the money says already. */
function stepLine(step: NumberStep): string | null {
  const { reason, state, phoneNumber: number, at } = step
  const date = dayOf(at)
  if (reason === 'cancel_asked') {
    const ends = step.endsAt === null ? '' : `: ends on ${dayOf(step.endsAt)}`
    return styleText('cyan', line({ date, what: `cancelled by the customer${ends}`, number }))
  }
  if (state === 'active') return null
  if (state === 'past_due') {
    const owed = `${usd(step.availableUsd)} there, ${usd(step.requiredUsd)} owed`
    return trouble(at, `past due: ${owed}`, number)
  }
  if (state === 'suspended') return trouble(at, 'suspended: unpaid for three days', number)
  return reason === 'unpaid'
    ? trouble(at, 'released: unpaid for ten days', number)
    : line({ date, what: 'released: the month that was paid is over', number })
}

function declineLine({ amountMicros, changedAt, reason }: TopUp, card: string): string {
  const why = explainDecline(reason ?? 'declined').replace(/[.:].*$/, '')
  return trouble(changedAt, `${card} declined ${displayUsd(amountMicros)}: ${lowerFirst(why)}`)
}

function trouble(at: Date, what: string, number = ''): string {
  return styleText('red', line({ date: dayOf(at), what, number }))
}

/** `31 Jan 2027`, UTC. */
export function dayOf(at: Date): string {
  const [, day = '', month = '', year = ''] = at.toUTCString().split(' ')
  return `${Number.parseInt(day, 10)} ${month} ${year}`
}

function line(fields: {
  date: string
  what: string
  number?: string
  amount?: string
  balance?: string
}): string {
  const { date, what, number = '', amount = '', balance = '' } = fields
  const left = `  ${date.padStart(11).padEnd(widths.date)}${what.padEnd(widths.what)}`
  return `${left}${number.padEnd(widths.number)}${amount.padStart(widths.amount)}${balance === '' ? '' : balance.padStart(widths.balance)}`.trimEnd()
}

function usd(text: string | null): string {
  return text === null ? 'nothing' : displayUsd(parseUsd(text) satisfies Micros)
}

function lowerFirst(text: string): string {
  return text.slice(0, 1).toLowerCase() + text.slice(1)
}
