/**
 * A lane: one batch at a time, and while it is under way the next one gathers. No timer: an idle lane starts at once, a
 * busy one takes all that has come when it is free. Under load batches grow by themselves.
 */

export type Lane<Item, Result> = {
  /** Resolves when the batch that carried the item is done with it. */
  submit: (item: Item) => Promise<Result>
  /** Items that wait or are under way. */
  size: () => number
  /** Lets the batch under way end and rejects what waits with `reason`. */
  close: (reason: Error) => Promise<void>
}

/** How many items learn of their result in one turn of the event loop. */
const atATime = 64

/** What a batch says of an item that it left undone: it goes to the end of the line, so that others are not held up by it. */
export const again = Symbol('again')

/**
 * Shape: `run` gets up to `most` items and gives a result for each, in order. When it throws, all of its items are
 *        rejected with that error.
 */
export function createLane<Item, Result extends object>({
  most,
  run,
}: {
  most: number
  run: (items: Item[]) => Promise<(Result | typeof again)[]>
}): Lane<Item, Result> {
  type Waiting = { item: Item; resolve: (result: Result) => void; reject: (error: unknown) => void }
  let waiting: Waiting[] = []
  let running = 0
  let closed: Error | null = null
  let idle: Promise<void> = Promise.resolve()

  const drain = async (): Promise<void> => {
    // One turn of the event loop: whatever arrived in the same breath goes into the first batch.
    await nextTurn()
    while (waiting.length > 0) {
      const batch = waiting.length <= most ? waiting : waiting.slice(0, most)
      waiting = waiting.length <= most ? [] : waiting.slice(most)
      running = batch.length
      const left = await runBatch(batch)
      running = 0
      if (closed === null) waiting = left.length === 0 ? waiting : [...waiting, ...left]
      else rejectAll(left, closed)
    }
  }

  const runBatch = async (batch: Waiting[]): Promise<Waiting[]> => {
    try {
      const results = await run(batch.map((each) => each.item))
      const left: Waiting[] = []
      const done: (() => void)[] = []
      for (const [index, each] of batch.entries()) {
        const result = results[index]
        if (result === undefined || result === again) left.push(each)
        else done.push(() => each.resolve(result))
      }
      void announce(done)
      return left
    } catch (error) {
      rejectAll(batch, error)
      return []
    }
  }

  const rejectAll = (items: Waiting[], error: unknown): void => {
    for (const each of items) each.reject(error)
  }

  return {
    submit: (item) =>
      new Promise((resolve, reject) => {
        if (closed !== null) {
          reject(closed)
          return
        }
        waiting.push({ item, resolve, reject })
        if (waiting.length === 1 && running === 0) idle = idle.then(drain)
      }),
    size: () => waiting.length + running,
    close: async (reason) => {
      closed = reason
      rejectAll(waiting.splice(0), reason)
      await idle
    },
  }
}

/** A few at a time: what each of them sets off must not keep the next batch, which is under way by now, waiting. */
async function announce(done: readonly (() => void)[]): Promise<void> {
  for (let start = 0; start < done.length; start += atATime) {
    for (const resolve of done.slice(start, start + atATime)) resolve()
    await nextTurn()
  }
}

/** One turn of the event loop. */
function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve)
  })
}
