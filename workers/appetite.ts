/**
 * How many jobs a process takes at once. BullMQ counts jobs, and a job may carry one event or five hundred; what fills the memory is
 * the events. And it fetches as many jobs as it may before it begins with the first.
 */

export type Appetite = {
  /** Jobs that each worker may take while nobody knows what they carry. */
  atFirst: number
  /** Does `work` on a job that carries so many events. `decided` is called once for each: it weighs nothing any more. */
  whileInHand: <Result>(events: number, work: (decided: () => void) => Promise<Result>) => Promise<Result>
}

/** Of a process, before it has seen one. */
const jobsAtFirst = 32
/** Undecided events of a process: some transactions' worth, so that each finds enough whose wallets are free. */
const mostUndecided = 4_096
/** Events of jobs that are not done: a job stays as a whole until its last event is decided, as that of a locked wallet. */
const mostCarried = 65_536

/**
 * Shape: each worker takes up to `most` jobs. They get fewer the more their jobs carry, two at least, and more again for jobs of which
 *        little is left to decide.
 */
export function createAppetite({
  workers,
  most,
  tell,
}: {
  workers: number
  most: number
  tell: (jobs: number) => void
}): Appetite {
  const within = (jobs: number): number => Math.min(most, Math.max(2, Math.floor(jobs)))
  const atFirst = within(jobsAtFirst / workers)
  let told = atFirst
  let jobs = 0
  let carried = 0
  let undecided = 0

  const adjust = (): void => {
    const room = Math.max(0, Math.min(mostUndecided - undecided, mostCarried - carried))
    // What comes next will be like what is here.
    const wanted = jobs === 0 ? atFirst : within((jobs * (1 + room / carried)) / workers)
    if (wanted !== told) tell(wanted)
    told = wanted
  }
  return {
    atFirst,
    whileInHand: async (events, work) => {
      let left = events
      jobs += 1
      carried += events
      undecided += events
      adjust()
      try {
        return await work(() => {
          // Of a job that has failed already.
          if (left === 0) return
          left -= 1
          undecided -= 1
          adjust()
        })
      } finally {
        jobs -= 1
        carried -= events
        undecided -= left
        left = 0
        adjust()
      }
    },
  }
}
