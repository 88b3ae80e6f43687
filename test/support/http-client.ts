/** What a platform sends to an API in another process, and what comes back. */

export type HttpAnswer = { status: number; headers: Headers; body: unknown; tookMs: number }

/**
 * Speaks with `keys` in turn, so that no single one of them comes to its limit.
 *
 * Throws: where no answer came, as when the process is killed.
 */
export function httpClient(url: string, keys: readonly string[]) {
  let sent = 0
  const ask = async (method: string, path: string, body?: unknown): Promise<HttpAnswer> => {
    sent += 1
    const startedAt = performance.now()
    const response = await fetch(`${url}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${keys[sent % keys.length]}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    const answer: unknown = await response.json()
    return {
      status: response.status,
      headers: response.headers,
      body: answer,
      tookMs: performance.now() - startedAt,
    }
  }
  return {
    get: (path: string): Promise<HttpAnswer> => ask('GET', path),
    post: (path: string, body?: unknown): Promise<HttpAnswer> => ask('POST', path, body),
  }
}
