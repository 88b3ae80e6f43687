/** Waiting for a fact, instead of for a time: looks again and again, and says what never came true. */
import { pause } from '../../runtime/repeat.ts'

/**
 * Shape:  the first answer of `look` that is neither false, null nor undefined.
 * Throws: after `withinMs`, with what was waited for and the last error that `look` threw, if it threw.
 */
export async function until<Answer>(
  fact: string,
  look: () => Answer | Promise<Answer>,
  { withinMs = 60_000, everyMs = 10 }: { withinMs?: number; everyMs?: number } = {},
): Promise<Fact<Answer>> {
  const startedAt = performance.now()
  let failure: unknown
  while (performance.now() - startedAt < withinMs) {
    try {
      const answer = await look()
      if (isFact(answer)) return answer
    } catch (error) {
      failure = error
    }
    await pause(everyMs)
  }
  throw new Error(`within ${withinMs} ms it did not come true that ${fact}`, { cause: failure })
}

type Fact<Answer> = NonNullable<Exclude<Answer, false>>

function isFact<Answer>(answer: Answer): answer is Fact<Answer> {
  return answer !== false && answer !== null && answer !== undefined
}
