/** What a wallet did, told line by line: its calls, and between them the recharges that they caused and what came of each. */
import type { Micros } from '../../billing/money.ts'
import type { TopUp } from '../../db/top-up.ts'
import { explainTopUp } from '../money-in/wording.ts'
import { creditLine, movementLine, rechargeLine, refusedLine } from './screen.ts'
import type { WalletMovement } from './watch-wallet.ts'

/** Given everything that is new, and all top-ups as they are at the same moment, says it in order. */
export type Story = (movements: readonly WalletMovement[], topUps: readonly TopUp[]) => string[]

/** `card` names it: `visa 4242`. */
export function createStory({
  card,
  thresholdMicros,
  balanceMicros,
}: {
  card: string
  thresholdMicros: Micros
  balanceMicros: Micros
}): Story {
  const begun = new Set<string>()
  const ended = new Set<string>()
  let balance = balanceMicros
  return (movements, topUps) => {
    const byId = new Map<string, TopUp>(topUps.map((topUp) => [topUp.topUpId, topUp]))
    const told = movements.map((movement) => ({
      at: movement.postedAt,
      say: () => {
        balance = movement.balanceAfterMicros
        const topUp = byId.get(movement.reference)
        if (movement.kind !== 'top_up' || topUp === undefined) return movementLine(movement)
        const tookMs = movement.postedAt.getTime() - topUp.createdAt.getTime()
        return creditLine(movement, { card, tookMs })
      },
    }))
    const beginnings = topUps
      .filter((topUp) => topUp.source === 'auto_recharge' && !begun.has(topUp.topUpId))
      .map(({ topUpId, createdAt: at, amountMicros }) => ({
        at,
        say: () => {
          begun.add(topUpId)
          return rechargeLine({ at, balanceMicros: balance, thresholdMicros, amountMicros, card })
        },
      }))
    const refusals = topUps
      .filter((topUp) => hasFailed(topUp) && !ended.has(topUp.topUpId))
      .map((topUp) => ({
        at: topUp.changedAt,
        say: () => {
          ended.add(topUp.topUpId)
          return refusedLine({ at: topUp.changedAt, text: `${topUp.state}: ${explainTopUp(topUp)}` })
        },
      }))
    // Sorting keeps the order of what happened in the same moment: a call, and then the recharge that it caused.
    return [...told, ...beginnings, ...refusals]
      .toSorted((one, other) => one.at.getTime() - other.at.getTime())
      .map(({ say }) => say())
  }
}

function hasFailed({ state }: TopUp): boolean {
  return state === 'declined' || state === 'failed' || state === 'needs_review'
}
