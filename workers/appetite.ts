/**
 * How many jobs a process takes at once. BullMQ counts jobs, and a job may carry one event or five hundred; what fills the memory is
 * the events. And it fetches as many jobs as it may before it begins with the first.
 */

export type Appetite = {
  /** Jobs that each worker may take while nobody knows what they carry. */
  atFirst: number
  /** Does `work` on a job that carries so many events, and tells the workers how many jobs to take meanwhile. */
  whileInHand: <Result>(events: number, work: () => Promise<Result>) => Promise<Result>
}

const few = 16

/**
 * Shape: each worker takes `most` jobs while they carry an event each, fewer the more they carry, one at least. Together the jobs of all
 *        workers carry about twice as many events as the workers may take jobs: one transaction's, and those that wait for the next.
 */
export function createAppetite({ most, tell }: { most: number; tell: (jobs: number) => void }): Appetite {
  const atFirst = Math.min(few, most)
  let told = atFirst
  let jobs = 0
  let events = 0

  const adjust = (): void => {
    const wanted = jobs === 0 ? atFirst : Math.max(1, Math.min(most, Math.floor((2 * most * jobs) / events)))
    if (wanted !== told) tell(wanted)
    told = wanted
  }
  return {
    atFirst,
    whileInHand: async (carried, work) => {
      jobs += 1
      events += carried
      adjust()
      try {
        return await work()
      } finally {
        jobs -= 1
        events -= carried
        adjust()
      }
    },
  }
}
