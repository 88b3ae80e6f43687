/**
 * Answers that may be a little old: whoever asks while one is being read, or shortly after, gets the same one. So however
 * many ask, what is behind it is asked at most every so often.
 */

/** Shape: an answer is given out for `forMs` from when it came. A failure is not kept: it is the answer of those who waited. */
export function cached<Answer>(forMs: number, read: () => Promise<Answer>): () => Promise<Answer> {
  let pending: Promise<Answer> | null = null
  let known: { answer: Answer; until: number } | null = null
  return async () => {
    if (known !== null && performance.now() < known.until) return known.answer
    pending ??= read().finally(() => {
      pending = null
    })
    const answer = await pending
    known = { answer, until: performance.now() + forMs }
    return answer
  }
}

/** Throws: an error that says how long it waited. What was begun goes on; nobody waits for it any longer. */
export async function within<Answer>(timeoutMs: number, promise: Promise<Answer>): Promise<Answer> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}
