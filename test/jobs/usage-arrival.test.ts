// Nothing that arrives is thrown away: whatever a payload says, there is an arrival, and Postgres can keep it.
import * as fc from 'fast-check'
import { describe, expect } from 'vitest'

import { idPatterns } from '../../billing/ids.ts'
import { postUsage, type UsageOutcome } from '../../db/post-usage.ts'
import { createRateBookCache } from '../../db/rate-book.ts'
import type { Db } from '../../db/schema.ts'
import { listReceivedUsage, receiveUsage } from '../../db/usage-event.ts'
import { kindOf, usageArrival, type UsageArrival, type UsageKind } from '../../jobs/usage-arrival.ts'
import { almostCall, almostMessage, anyCall, anyJson } from '../support/any-usage.ts'
import { test } from '../support/fixtures.ts'
import { aCall, givenWorkspace } from '../support/given.ts'

const receivedAt = new Date('2026-11-01T10:00:00Z')
const anyPayload = fc.oneof(anyJson, almostCall, almostMessage)
const anyKind = fc.constantFrom<UsageKind>('call', 'message', 'unknown')

describe('any JSON', () => {
  test('becomes an arrival with a key and a workspace, and is either an event or refused with a reason', () => {
    fc.assert(
      fc.property(anyKind, anyPayload, (kind, payload) => {
        const arrival = usageArrival(kind, payload, receivedAt)

        expect(arrival.workspaceId).toMatch(/^(ws_[A-Za-z0-9_-]{1,64}|unassigned)$/)
        expect(arrival.key).toMatch(/^(call|message|malformed)\/[A-Za-z0-9_-]{1,80}$/)
        expect(arrival.payloadHash).toMatch(/^[0-9a-f]{64}$/)
        expect(JSON.parse(arrival.payload)).toEqual(JSON.parse(JSON.stringify(payload)))
        expect(arrival.event === null).toBe(arrival.refusal !== null)
        expect(kindOf(payload)).toMatch(/^(call|message|unknown)$/)
      }),
      { numRuns: 1_000 },
    )
  })

  test('becomes the same arrival every time', () => {
    fc.assert(
      fc.property(anyKind, anyPayload, (kind, payload) => {
        const again: unknown = JSON.parse(JSON.stringify(payload))

        expect(usageArrival(kind, again, receivedAt)).toEqual(usageArrival(kind, payload, receivedAt))
      }),
      { numRuns: 300 },
    )
  })

  test('can be kept by Postgres: posted as it arrived, and read again', async ({ ownDb: db }) => {
    const workspaceId = await givenWorkspace(db)
    const payloads = [
      ...fc.sample(anyPayload, { numRuns: 400, seed: 1 }),
      ...fc
        .sample(almostCall, { numRuns: 200, seed: 2 })
        .map((call) => Object.assign(Object(call), { workspaceId })),
    ]
    const arrivals = payloads.map((payload, index) =>
      usageArrival(index % 2 === 0 ? 'call' : 'message', payload, receivedAt),
    )

    const outcomes = await post(db, arrivals)

    expect(outcomes).toHaveLength(arrivals.length)
    expect(new Set(outcomes.map(({ outcome }) => outcome)).has('set_aside')).toBe(true)
    expect(await payloadsOf(db)).toEqual(new Set(arrivals.map((arrival) => arrival.payload)))
  })

  test('can be taken in through Postgres, and is set aside when it is posted', async ({ ownDb: db }) => {
    const arrivals = fc
      .sample(anyJson, { numRuns: 200, seed: 3 })
      .map((payload) => usageArrival('call', payload, receivedAt))

    await receiveUsage(db, arrivals)
    const received = await listReceivedUsage(db, { limit: 1_000 })
    const outcomes = await post(db, received)

    expect(new Set(received.map((arrival) => arrival.key))).toEqual(
      new Set(arrivals.map((arrival) => arrival.key)),
    )
    expect(new Set(outcomes.map(({ outcome }) => outcome))).toEqual(new Set(['set_aside']))
  })
})

describe('the texts that Postgres cannot hold', () => {
  const texts = {
    'a NUL character': 'a\0b',
    'half of a surrogate pair': 'a\ud800b',
    'the other half': '\udc00',
  }

  test.for(Object.entries(texts))(
    '%s is set aside wherever it stands, and never fails a batch',
    async ([, text], { db }) => {
      const workspaceId = await givenWorkspace(db)
      const fields = [
        'callId',
        'workspaceId',
        'startedAt',
        'durationSeconds',
        'direction',
        'to',
        'from',
        'recorded',
        'agentId',
        'campaignId',
      ]
      const arrivals = [
        ...fields.map((field) => usageArrival('call', aCall(workspaceId, { [field]: text }), receivedAt)),
        usageArrival('call', { [text]: text }, receivedAt),
        usageArrival('unknown', text, receivedAt),
      ]
      const good = usageArrival('call', aCall(workspaceId), receivedAt)

      const outcomes = await post(db, [...arrivals, good])

      expect(new Set(outcomes.map(reasonOf))).toEqual(
        new Set(['malformed_payload', 'impossible_duration', null]),
      )
      expect(outcomes.filter(({ outcome }) => outcome === 'posted')).toHaveLength(1)
    },
  )

  test.for(Object.entries(texts))(
    '%s in a field that nobody knows does not stop a call from being posted',
    async ([, text], { db }) => {
      const workspaceId = await givenWorkspace(db)

      const outcomes = await post(db, [
        usageArrival('call', aCall(workspaceId, { notes: text, [`${text}?`]: 1 }), receivedAt),
      ])

      expect(outcomes).toMatchObject([{ outcome: 'posted' }])
    },
  )
})

describe('an event', () => {
  test('has the same hash whichever way it was told, and another one when anything of it is other', () => {
    fc.assert(
      fc.property(anyCall, (call) => {
        const retold: unknown = JSON.parse(JSON.stringify(call))

        expect(hashOf(retold)).toBe(hashOf(call))
        expect(hashOf({ ...call, recorded: !call.recorded })).not.toBe(hashOf(call))
      }),
      { numRuns: 200 },
    )
  })

  test('keeps the key that a refused payload claims, so that a correction finds it', () => {
    const call = aCall('ws_acme')
    const refused = usageArrival('call', { ...call, durationSeconds: -1 }, receivedAt)

    expect(refused.key).toBe(usageArrival('call', call, receivedAt).key)
    expect(refused.workspaceId).toBe('ws_acme')
    expect(refused.refusal?.reason).toBe('impossible_duration')
  })

  test('that claims an id of another form is kept under a name of its own', () => {
    const arrivals = ['call:1', 'msg_1', `call_${'x'.repeat(65)}`, 7].map((callId) =>
      usageArrival('call', { callId, workspaceId: 'ws_acme' }, receivedAt),
    )

    expect(idPatterns.call.test('call_1')).toBe(true)
    for (const { key } of arrivals) expect(key).toMatch(/^malformed\/[0-9a-f]{32}$/)
    expect(new Set(arrivals.map(({ key }) => key)).size).toBe(arrivals.length)
  })
})

/** One that the batch had just seen under the same key waits for the next. */
async function post(db: Db, arrivals: readonly UsageArrival[]): Promise<UsageOutcome[]> {
  const outcomes = await db.transaction().execute((trx) => postUsage(trx, arrivals, createRateBookCache()))
  const deferred = arrivals.filter((_, index) => outcomes[index]?.outcome === 'deferred')
  if (deferred.length === 0) return outcomes
  return [...outcomes.filter(({ outcome }) => outcome !== 'deferred'), ...(await post(db, deferred))]
}

function hashOf(call: unknown): string {
  return usageArrival('call', call, receivedAt).payloadHash
}

function reasonOf(outcome: UsageOutcome): string | null {
  return outcome.outcome === 'set_aside' ? outcome.reason : null
}

async function payloadsOf(db: Db): Promise<Set<string>> {
  const rows = await db
    .selectFrom('usage_event')
    .select((expression) => expression.cast<string>('payload', 'text').as('payload'))
    .execute()
  return new Set(rows.map((row) => row.payload))
}
