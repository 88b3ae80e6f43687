/** A person with a browser, as far as HTTP shows it: a cookie, and forms that are sent from the page they stand on. */
import { expect } from 'vitest'

import type { TestApi } from './api-server.ts'

export type Page = { status: number; headers: Record<string, string | undefined>; html: string }

export type Visitor = {
  /** The session's cookie, as a browser sends it back; null before signing in. */
  cookie: string | null
  get: (path: string) => Promise<Page>
  /** Sends a form with the token of the session, as its pages do. */
  post: (path: string, fields?: Record<string, string>, headers?: Record<string, string>) => Promise<Page>
}

export const ownOrigin = {
  host: 'wallet.test',
  origin: 'https://wallet.test',
  'sec-fetch-site': 'same-origin',
}

export async function signIn(api: TestApi, key: 'read' | 'write' | 'admin'): Promise<Visitor> {
  const answer = await visit(api, null).post('/wallet/sign-in', { key: api.keys[key] })
  expect(answer.status).toBe(303)
  return visit(api, sessionCookieOf(answer))
}

/** A browser that has this cookie, or none. */
export function visit(api: TestApi, cookie: string | null): Visitor {
  let csrf: string | null = null
  const withCookie = cookie === null ? {} : { cookie }
  const get = async (path: string): Promise<Page> => {
    const response = await api.server.inject({
      method: 'GET',
      url: path,
      headers: { host: ownOrigin.host, ...withCookie },
    })
    return pageOf(response)
  }
  const post: Visitor['post'] = async (path, fields = {}, headers = {}) => {
    if (cookie !== null && csrf === null) csrf = csrfIn(await get('/wallet'))
    const body = new URLSearchParams({ ...(csrf === null ? {} : { csrf }), ...fields })
    const response = await api.server.inject({
      method: 'POST',
      url: path,
      headers: {
        ...ownOrigin,
        ...withCookie,
        'content-type': 'application/x-www-form-urlencoded',
        ...headers,
      },
      payload: body.toString(),
    })
    return pageOf(response)
  }
  return { cookie, get, post }
}

export function sessionCookieOf({ headers }: Page): string {
  const [pair = ''] = (headers['set-cookie'] ?? '').split(';')
  expect(pair).toMatch(/^__Host-wallet-session=[\w-]{43}$/)
  return pair
}

function csrfIn({ html }: Page): string {
  return /name="csrf" value="([\w-]+)"/.exec(html)?.[1] ?? ''
}

function pageOf(response: { statusCode: number; headers: Record<string, unknown>; payload: string }): Page {
  const headers = Object.fromEntries(
    Object.entries(response.headers).map(([name, value]) => [name, String(value)]),
  )
  return { status: response.statusCode, headers, html: response.payload }
}
