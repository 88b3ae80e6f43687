// The stream that keeps a wallet's page up to date: what it tells, to whom, and when it ends.
import { describe, expect } from 'vitest'
import { z } from 'zod'

import { revokeApiKey } from '../../db/api-key.ts'
import { test } from '../support/api-server.ts'
import { aMessage, messageArrival } from '../support/given.ts'
import { givenUsage } from '../support/given-history.ts'
import { signIn } from '../support/visitor.ts'

describe('the stream of a wallet', () => {
  test('tells the balance at once, and again when it has changed', async ({ api, db }) => {
    const lived = await api.another()
    const stranger = await api.another()
    const { cookie } = await signIn(lived, 'read')
    const url = await lived.server.listen({ port: 0, host: '127.0.0.1' })
    const leave = new AbortController()

    const response = await fetch(`${url}/wallet/events`, {
      headers: { cookie: cookie ?? '' },
      signal: leave.signal,
    })
    const next = eventsOf(response)
    const first = await next()
    await givenUsage(db, [messageArrival(aMessage(stranger.workspaceId))])
    await givenUsage(db, [messageArrival(aMessage(lived.workspaceId))])
    const second = await next()
    leave.abort()

    expect(response.headers.get('content-type')).toBe('text/event-stream; charset=utf-8')
    expect(response.headers.get('cache-control')).toBe('no-store')
    expect([first, second].map(({ balance }) => balance)).toEqual(['$10.00', '$9.99'])
    expect(first.mark).not.toBe(second.mark)
  })

  test('is for nobody whose key was revoked', async ({ api, db }) => {
    const other = await api.another()
    const visitor = await signIn(other, 'read')
    const keyId = other.keys.read.slice('sk_call2me_'.length, 'sk_call2me_'.length + 10)
    await db
      .transaction()
      .execute((trx) => revokeApiKey(trx, { workspaceId: other.workspaceId, keyId, forced: true }))

    expect((await visitor.get('/wallet/events')).status).toBe(401)
  })
})

const told = z.object({ balance: z.string(), mark: z.string() })

/** Shape: waits for the next event that tells of the wallet; comments are passed over. */
function eventsOf(response: Response): () => Promise<z.infer<typeof told>> {
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader()
  let pending = ''
  return async () => {
    for (;;) {
      const end = pending.indexOf('\n\n')
      if (end >= 0) {
        const data = /^data: (.*)$/m.exec(pending.slice(0, end))?.[1]
        pending = pending.slice(end + 2)
        if (data !== undefined) return told.parse(JSON.parse(data))
        continue
      }
      const { value, done } = (await reader?.read()) ?? { value: undefined, done: true }
      if (done) throw new Error('the stream has ended')
      pending += value
    }
  }
}
