/** The platform's side of the API: small requests over connections that are kept, and an answer or the reason why there was none. */

export type Answer = { status: number; body: unknown; tookMs: number }

export type Asked = {
  method: 'GET' | 'POST' | 'PUT'
  path: string
  key: string
  body?: object
  idempotencyKey?: string
}

const patienceMs = 10_000

/** Throws: when there was no answer. What was asked may have been done all the same. */
export async function ask(
  apiUrl: string,
  { method, path, key, body, idempotencyKey }: Asked,
): Promise<Answer> {
  const startedAt = performance.now()
  const answer = await fetch(`${apiUrl}${path}`, {
    method,
    headers: {
      authorization: `Bearer ${key}`,
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...(idempotencyKey === undefined ? {} : { 'idempotency-key': idempotencyKey }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    signal: AbortSignal.timeout(patienceMs),
  })
  const text = await answer.text()
  const parsed: unknown = text === '' ? null : JSON.parse(text)
  return { status: answer.status, body: parsed, tookMs: performance.now() - startedAt }
}

/** A field of an answer, by its way: `fieldOf(body, 'error', 'code')`. */
export function fieldOf(body: unknown, ...way: string[]): unknown {
  let at = body
  for (const name of way) {
    at = typeof at === 'object' && at !== null ? Reflect.get(at, name) : undefined
  }
  return at
}

/** Shape: rejects with the first failure. */
export async function inParallel<Item>(
  items: readonly Item[],
  atOnce: number,
  work: (item: Item) => Promise<void>,
): Promise<void> {
  let next = 0
  const workThrough = async (): Promise<void> => {
    for (;;) {
      const item = items[next]
      next += 1
      if (item === undefined) return
      await work(item)
    }
  }
  await Promise.all(Array.from({ length: atOnce }, workThrough))
}
