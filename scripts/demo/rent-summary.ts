/** What a year of rents came to: each number with its months and states, the money in and out, and Paddle's side of it. */
import { styleText } from 'node:util'

import type { WorkspaceId } from '../../billing/ids.ts'
import { displayUsd, micros, sumMicros, type Micros } from '../../billing/money.ts'
import type { PhoneNumber } from '../../db/phone-number.ts'
import { fold } from '../money-in/text.ts'
import type { PaddlePlace } from '../paddle-place.ts'
import { dayOf } from './rent-story.ts'
import type { Screen } from './screen.ts'
import { comparePaddle } from './summary.ts'
import type { NumberStep, RentFrame, RentMovement } from './watch-rents.ts'

export type RentYear = {
  workspaceId: WorkspaceId
  startedAt: Date
  days: number
  frame: RentFrame
  /** How the card is called. */
  card: string
}

export async function printRentSummary(screen: Screen, year: RentYear, paddle: PaddlePlace): Promise<void> {
  const { workspaceId, startedAt, days, card, frame } = year
  const { movements, topUps } = frame
  const of = (kind: RentMovement['kind']): RentMovement[] => movements.filter((each) => each.kind === kind)
  const rents = of('number_rental')
  const recharges = topUps.filter(({ source }) => source === 'auto_recharge')
  const recharged = sumMicros(recharges.map(({ creditedMicros }) => creditedMicros))
  const credited = sumOf(of('top_up'))
  const declined = recharges.filter(({ state }) => state === 'declined').length
  const numbers = frame.numbers.toSorted((one, other) => one.anchorAt.getTime() - other.anchorAt.getTime())
  screen.print(`
The summary of ${days} days
${numbers.map((number) => numberLines(number, frame)).join('\n')}
  granted            ${displayUsd(sumOf(of('grant')))} at signup
  recharged          ${displayUsd(recharged)}, ${recharges.filter(({ state }) => state === 'succeeded').length} x ${card}, declined ${declined} times
  paid in            ${displayUsd(micros(credited - recharged))} by the customer
  rents              ${displayUsd(micros(0n - sumOf(rents)))}, ${rents.length} months
  balance            ${displayUsd(movements.at(-1)?.balanceAfterMicros ?? micros(0n))}`)
  const said = await comparePaddle({ workspaceId, startedAt }, credited, paddle)
  screen.print(`  Paddle             ${said}`)
}

function numberLines(number: PhoneNumber, { movements, steps }: RentFrame): string {
  const { phoneNumber, state, releasedAt, paidUntil } = number
  const rents = movements.filter((each) => each.kind === 'number_rental' && each.reference === phoneNumber)
  const now =
    state === 'released' && releasedAt !== null
      ? `released ${dayOf(releasedAt)}`
      : `${state.replace('_', ' ')}, paid until ${dayOf(paidUntil)}`
  const months = `${rents.length} months`.padStart(9)
  const paid = displayUsd(micros(0n - sumOf(rents))).padStart(9)
  const changes = historyOf(steps.filter((step) => step.phoneNumber === phoneNumber))
  const history = [`${dayOf(number.anchorAt)} rented`, ...changes].join(', ')
  return (
    `  ${phoneNumber.padEnd(15)}${months}${paid}   ` +
    `${styleText(state === 'active' ? 'green' : 'yellow', now)}\n${styleText('dim', fold(history, ' '.repeat(19)))}`
  )
}

/** Every change of its state since it was rented, with its date. */
function historyOf(steps: readonly NumberStep[]): string[] {
  return steps
    .filter((step, index) => index > 0 && step.state !== steps[index - 1]?.state)
    .map(
      ({ state, reason, at }) => `${dayOf(at)} ${reason === 'reinstated' ? reason : nameOf(state, reason)}`,
    )
}

function nameOf(state: NumberStep['state'], reason: NumberStep['reason']): string {
  if (state === 'released') return reason === 'unpaid' ? 'released unpaid' : 'released'
  return state.replace('_', ' ')
}

function sumOf(movements: readonly RentMovement[]): Micros {
  return sumMicros(movements.map(({ amountMicros }) => amountMicros))
}
