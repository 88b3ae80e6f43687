/** Work that Postgres being away does not fail: it is no fault of the job's, and no attempt of it is used up. */
import { isOutage } from '../db/errors.ts'
import { pause } from '../runtime/repeat.ts'

const againAfterMs = 500

/** Tries until Postgres answers, whatever it answers, or the process is to end. `work` must be one that may be done again. */
export async function throughOutages<Result>(
  stopping: AbortSignal,
  work: () => Promise<Result>,
): Promise<Result> {
  for (;;) {
    try {
      return await work()
    } catch (error) {
      if (!isOutage(error) || stopping.aborted) throw error
      await pause(againAfterMs, stopping)
    }
  }
}
