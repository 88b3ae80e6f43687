// Usage over HTTP: what was accepted is in Postgres, each event stands or falls alone, and no road tells a fact twice.
import { sql } from 'kysely'
import { describe, expect } from 'vitest'

import { listReceivedUsage, receiveUsage } from '../../db/usage-event.ts'
import { findBalance } from '../../db/wallet.ts'
import { test, type ApiAnswer } from '../support/api-server.ts'
import { countUsage } from '../support/books.ts'
import { aCall, aMessage, callArrival, newId } from '../support/given.ts'
import { post } from '../support/given-calls.ts'
import { whileHeld } from '../support/held.ts'
import { countLockWaits } from '../support/lock-waits.ts'
import { until } from '../support/until.ts'

describe('POST /v1/usage', () => {
  test('takes in what is good, answers for each event, and rings once', async ({ api, db }) => {
    const call = { kind: 'call', ...aCall(api.workspaceId) }
    const { workspaceId: _own, ...message } = { kind: 'message', ...aMessage(api.workspaceId) }
    const events = [
      call,
      message,
      call,
      { ...call, durationSeconds: 61 },
      { ...call, callId: newId('call'), to: '415 555' },
      { ...call, callId: newId('call'), workspaceId: 'ws_other' },
      { ...call, callId: newId('call'), surprise: 1 },
      { kind: 'video', id: 'x' },
      null,
    ]

    const answer = await api.post('/v1/usage', { key: 'write', body: { events } })

    expect(answer).toMatchObject({
      status: 202,
      body: {
        accepted: 2,
        duplicate: 1,
        refused: 6,
        results: [
          { result: 'accepted', kind: 'call', id: call.callId },
          { result: 'accepted', kind: 'message', id: message.messageId },
          { result: 'duplicate', kind: 'call', id: call.callId },
          { result: 'refused', reason: 'contradicts', field: 'callId' },
          {
            result: 'refused',
            reason: 'malformed',
            field: 'to',
            message: expect.stringContaining('+14155550100'),
          },
          { result: 'refused', reason: 'other_workspace', field: 'workspaceId' },
          { result: 'refused', reason: 'malformed', field: 'surprise' },
          { result: 'refused', reason: 'malformed', field: 'kind', kind: 'unknown', id: null },
          { result: 'refused', reason: 'malformed', field: 'kind' },
        ],
      },
    })
    expect(await countUsage(db, api.workspaceId)).toEqual({ received: 2 })
    expect(await countUsage(db, 'ws_other')).toEqual({})
    const staged = await db
      .selectFrom('staged_job')
      .select(['queue', 'name'])
      .where('workspace_id', '=', api.workspaceId)
      .execute()
    expect(staged).toEqual([{ queue: 'usage', name: 'usage-received' }])
  })

  test('is the same telling as a job of the queue: neither bills what the other has', async ({
    ownApi: api,
    ownDb: db,
  }) => {
    const first = aCall(api.workspaceId)
    const second = aCall(api.workspaceId)
    await post(db, callArrival(first))

    const answer = await api.post('/v1/usage', {
      body: {
        events: [
          { kind: 'call', ...first },
          { kind: 'call', ...second },
        ],
      },
    })
    const [received] = await listReceivedUsage(db, { limit: 10 })
    if (received === undefined) throw new Error('nothing was received')
    const outcomes = await post(db, received, callArrival(second))

    expect(answer).toMatchObject({ body: { results: [{ result: 'duplicate' }, { result: 'accepted' }] } })
    expect(outcomes.map((each) => each.outcome)).toEqual(['posted', 'duplicate'])
    expect(await findBalance(db, api.workspaceId)).toBe(10_000_000n - 360_000n)
  })

  test('is not 202 when nothing of it was accepted', async ({ api, db }) => {
    const call = { kind: 'call', ...aCall(api.workspaceId) }
    await api.post('/v1/usage', { body: { events: [call] } })

    const malformed = await api.post('/v1/usage', { body: { events: [{ ...call, to: 'x' }] } })
    const contradicting = await api.post('/v1/usage', { body: { events: [{ ...call, recorded: true }] } })
    const mixed = await api.post('/v1/usage', {
      body: { events: [{ ...call, recorded: true }, { kind: 'call' }] },
    })

    expect(malformed).toMatchObject({
      status: 400,
      body: {
        error: {
          code: 'invalid_request',
          field: 'events.0.to',
          message: expect.stringMatching(/\.$/),
          results: [{ result: 'refused' }],
        },
      },
    })
    expect(contradicting).toMatchObject({ status: 409, body: { error: { code: 'usage_contradicts' } } })
    expect(mixed).toMatchObject({ status: 400, body: { error: { results: [{}, {}] } } })
    expect(await countUsage(db, api.workspaceId)).toEqual({ received: 1 })
  })

  test('takes 500 events and a megabyte, and no more', async ({ api }) => {
    const event = (): Record<string, unknown> => ({ kind: 'message', ...aMessage(api.workspaceId) })
    const many = Array.from({ length: 501 }, event)

    const startedAt = performance.now()
    const most = await api.post('/v1/usage', { body: { events: many.slice(1) } })
    const tookMs = performance.now() - startedAt
    const answers = await Promise.all([
      api.post('/v1/usage', { body: { events: many } }),
      api.post('/v1/usage', { body: { events: [] } }),
      api.post('/v1/usage', { body: { events: [{ note: 'x'.repeat(600_000) }] } }),
      api.post('/v1/usage', { body: { events: [{ note: 'x'.repeat(1_100_000) }] } }),
    ])

    expect(most).toMatchObject({ status: 202, body: { accepted: 500 } })
    expect(tookMs).toBeLessThan(2_000)
    expect(answers).toMatchObject([
      { status: 400, body: { error: { field: 'events' } } },
      { status: 400, body: { error: { field: 'events' } } },
      { status: 400, body: { error: { code: 'invalid_request' } } },
      { status: 413, body: { error: { code: 'too_large' } } },
    ])
  })

  const nonsense: unknown[] = [
    undefined,
    null,
    [],
    {},
    { events: {} },
    { events: [[]] },
    { events: ['call'] },
    { events: [{ kind: 'call', callId: 5 }] },
    { events: [{ kind: 'call', callId: `call_${'a'.repeat(100_000)}` }] },
    { events: [{ kind: { toString: 1 } }] },
    { events: [{ kind: 'message', messageId: 'msg_\u0000' }] },
    { events: [{ kind: 'call', constructor: { prototype: { polluted: true } } }] },
    { events: [{ kind: 'message' }], workspaceId: 'ws_other' },
    '{"events":[{"kind":"call","__proto__":{"polluted":true}}]}',
  ]

  test.for(nonsense)('refuses nonsense with 400 and keeps nothing of it: %j', async (body, { api, db }) => {
    const answer = await api.post('/v1/usage', { body })

    expect(answer.status).toBe(400)
    expect(Reflect.get({}, 'polluted')).toBeUndefined()
    expect(await countUsage(db, api.workspaceId)).toEqual({})
  })

  test('takes the workspace from the key alone', async ({ api, db }) => {
    const other = await api.another()
    const call = { kind: 'call', ...aCall(other.workspaceId) }

    const foreign = await api.post('/v1/usage', { body: { events: [call] } })

    expect(foreign).toMatchObject({
      status: 400,
      body: { error: { results: [{ reason: 'other_workspace', field: 'workspaceId' }] } },
    })
    expect(await countUsage(db, other.workspaceId)).toEqual({})
  })

  test.for([
    { told: 'the same', seconds: 60, second: { status: 202, body: { accepted: 0, duplicate: 1 } } },
    {
      told: 'something else',
      seconds: 61,
      second: { status: 409, body: { error: { code: 'usage_contradicts' } } },
    },
  ])(
    'accepts one of two requests at once that tell $told of one call',
    async ({ seconds, second }, { ownApi: api, ownDb: db }) => {
      const call = { kind: 'call', ...aCall(api.workspaceId) }

      // Both have looked and found no such call when the first of them may write it.
      const { asked } = await whileHeld(
        db,
        (trx) => receiveUsage(trx, [callArrival(call)]),
        async () => {
          const events = [call, { ...call, durationSeconds: seconds }]
          const asked = events.map((event) => api.post('/v1/usage', { body: { events: [event] } }))
          await until('both wait', async () => (await countLockWaits(db)) === 2)
          return { asked }
        },
      )
      const answers = (await Promise.all(asked)).toSorted((one, other) => acceptedBy(other) - acceptedBy(one))

      expect(answers).toMatchObject([{ status: 202, body: { accepted: 1, duplicate: 0 } }, second])
      expect(await countUsage(db, api.workspaceId)).toEqual({ received: 1 })
    },
  )

  test('waits for no wallet, and says 503 when Postgres does not take it', async ({
    ownApi: api,
    ownDb: db,
  }) => {
    const call = { kind: 'call', ...aCall(api.workspaceId) }
    await sql`revoke insert on usage_event from wallet_worker`.execute(db)

    const away = await api.post('/v1/usage', { body: { events: [call] } })

    await sql`grant insert on usage_event to wallet_worker`.execute(db)
    const taken = await db.transaction().execute(async (trx) => {
      await sql`select from wallet where workspace_id = ${api.workspaceId} for update`.execute(trx)
      return await api.post('/v1/usage', { body: { events: [call] } })
    })

    expect(away).toMatchObject({ status: 503, body: { error: { code: 'unavailable' } } })
    expect(taken).toMatchObject({ status: 202, body: { accepted: 1 } })
  })
})

function acceptedBy({ body }: ApiAnswer): number {
  return Number(Reflect.get(Object(body), 'accepted') ?? 0)
}
