/** Every fault that a run can meet, and in which order it meets them. */
import type { Fault } from './fault.ts'
import { dice } from './load.ts'
import { paddleFaults } from './paddle-faults.ts'
import { postgresFaults } from './postgres-faults.ts'
import { processFaults } from './process-faults.ts'
import { redisFaults } from './redis-faults.ts'

export const catalogue: readonly Fault[] = [
  ...processFaults,
  ...redisFaults,
  ...postgresFaults,
  ...paddleFaults,
]

const orderStream = 2_001

/**
 * Shape: so many faults. All of a kind come before one comes again, always in the same order, so that between two faults of one
 *        kind there is time for the first one's late consequences.
 */
export function scheduleOf(seed: number, count: number, among: readonly Fault[]): Fault[] {
  const order = among
    .map((fault, index) => ({ fault, die: dice(seed, orderStream, index) }))
    .toSorted((one, other) => one.die - other.die)
    .map(({ fault }) => fault)
  return Array.from({ length: count }, (_, place) => order[place % order.length]).filter(
    (fault) => fault !== undefined,
  )
}
