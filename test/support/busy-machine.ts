/** How much longer things take because others are at work on this machine, for the few tests that are about time. */
import { availableParallelism, loadavg } from 'node:os'

/** How many times longer everything takes than on a machine of its own. */
export function othersTake(): number {
  const [load = 0] = loadavg()
  return Math.max(1, load / availableParallelism())
}
