// Calls over HTTP: what a platform asks before it dials, while the call lives, and when it is over.
import { sql } from 'kysely'
import { describe, expect } from 'vitest'

import { createAdmissionBatch } from '../../api/admission-batch.ts'
import { agentId as agentIdSchema } from '../../billing/ids.ts'
import { freezeWallet } from '../../db/freeze.ts'
import { connect } from '../../db/connect.ts'
import { postUsage } from '../../db/post-usage.ts'
import { lockWallet } from '../../db/wallet.ts'
import { createLog } from '../../runtime/log.ts'
import { pause } from '../../runtime/repeat.ts'
import { test, type TestApi } from '../support/api-server.ts'
import { aCall, callArrival, givenWorkspace, newId } from '../support/given.ts'
import { aCallToAdmit, givenSilence, moneyOf, post, rateBookOf, spend } from '../support/given-calls.ts'
import { underLock } from '../support/given-money-in.ts'
import { whileHeld } from '../support/held.ts'
import { refusalOf } from '../support/refusal.ts'
import { countLockWaits } from '../support/lock-waits.ts'
import { until } from '../support/until.ts'
import { startTcpProxy } from '../../scripts/drills/tcp-proxy.ts'

const toUs = { to_number: '+14155550100' }

describe('POST /v1/calls', () => {
  test('admits a call, makes its id, holds its first minute and says how long the wallet affords it', async ({
    api,
    db,
  }) => {
    const answer = await api.post('/v1/calls', {
      key: 'write',
      body: { ...toUs, agent_id: 'agent_7', metadata: { customer: 'x' } },
    })

    expect(answer).toMatchObject({
      status: 201,
      body: {
        call_id: expect.stringMatching(/^call_[\da-f]{24}$/),
        status: 'pending',
        direction: 'outbound',
        to_number: '+14155550100',
        from_number: null,
        recorded: false,
        agent_id: 'agent_7',
        campaign_id: null,
        hold_state: 'open',
        hold_usd: 0.2,
        required_usd: 0.2,
        available_usd: 9.8,
        affords_seconds: 3_333,
        start_timestamp: expect.any(Number),
        end_timestamp: null,
      },
    })
    const callId = idOf(answer)
    expect(answer.headers['location']).toBe(`/v1/calls/${callId}`)
    expect(await moneyOf(db, api.workspaceId)).toMatchObject({ held: 200_000n, openHolds: 200_000n })
    expect(await api.get(`/v1/calls/${callId}`, { key: 'read' })).toMatchObject({
      status: 200,
      body: { call_id: callId, status: 'pending', hold_state: 'open', cost_usd: null },
    })
  })

  test('refuses below the buffer with exactly the documented 402', async ({ api, db }) => {
    await spend(db, api.workspaceId, 995)

    const answer = await api.post('/v1/calls', { body: toUs })

    expect(answer.status).toBe(402)
    expect(answer.body).toEqual({
      error: {
        code: 'insufficient_balance',
        message: 'Wallet balance below minimum to start call',
        balance_usd: 0.05,
        required_usd: 0.2,
        request_id: answer.headers['x-request-id'],
      },
    })
    expect(answer.headers['retry-after']).toBeUndefined()
  })

  test("rounds what is there down and what the destination takes up, and names the destination's own price", async ({
    api,
    db,
  }) => {
    await post(db, callArrival(aCall(api.workspaceId, { durationSeconds: 59.5 })))
    await spend(db, api.workspaceId, 940)

    const answer = await api.post('/v1/calls', { body: { to_number: '+88216550100', recorded: true } })

    // $0.60 less 60 seconds at $0.18 is $0.42.
    expect(answer).toMatchObject({ status: 402, body: { error: { balance_usd: 0.42, required_usd: 4.32 } } })
  })

  test('is idempotent by its call id while the call lives, and refuses the id for another or afterwards', async ({
    api,
    db,
  }) => {
    const body = { ...toUs, call_id: 'call_0a1b2c3d' }

    const answers = await Promise.all(Array.from({ length: 5 }, () => api.post('/v1/calls', { body })))
    const other = await api.post('/v1/calls', { body: { ...body, to_number: '+442071838750' } })
    await api.post('/v1/calls/call_0a1b2c3d/release', { body: {} })
    const afterwards = await api.post('/v1/calls', { body })

    expect(answers.map((each) => each.status)).toEqual([201, 201, 201, 201, 201])
    expect([other, afterwards]).toMatchObject([
      { status: 409, body: { error: { code: 'call_exists', field: 'call_id' } } },
      { status: 409, body: { error: { code: 'call_exists' } } },
    ])
    expect(await moneyOf(db, api.workspaceId)).toMatchObject({ held: 0n, openHolds: 0n })
  })

  test('holds once for a request without a call id that is sent again with the same Idempotency-Key', async ({
    api,
    db,
  }) => {
    const headers = { 'idempotency-key': 'dial 17' }

    const answers = await Promise.all(
      Array.from({ length: 5 }, () => api.post('/v1/calls', { body: toUs, headers })),
    )
    const other = await api.post('/v1/calls', { body: { ...toUs, recorded: true }, headers })
    const next = await api.post('/v1/calls', { body: toUs, headers: { 'idempotency-key': 'dial 18' } })
    await api.post(`/v1/calls/${idOf(next)}/release`, { body: {} })

    expect(answers.map((each) => each.status)).toEqual([201, 201, 201, 201, 201])
    expect(new Set(answers.map(idOf)).size).toBe(1)
    expect(idOf(next)).not.toBe(answers.map(idOf)[0])
    expect(other).toMatchObject({
      status: 422,
      body: { error: { code: 'idempotency_key_reused', field: 'idempotency-key' } },
    })
    expect(await moneyOf(db, api.workspaceId)).toMatchObject({ held: 200_000n, openHolds: 200_000n })
  })

  const malformed: [body: unknown, field: string | undefined][] = [
    [{ to_number: '415 555' }, 'to_number'],
    [{ to_number: '+1 (415) 555-0100' }, 'to_number'],
    [{ to_number: '+0155550100' }, 'to_number'],
    [{ to_number: '14155550100' }, 'to_number'],
    [{ to_number: '' }, 'to_number'],
    [{ to_number: null }, 'to_number'],
    [{}, 'to_number'],
    [{ to: 'x' }, 'to'],
    [{ ...toUs, to: '+14155550199' }, 'to_number'],
    [{ ...toUs, from_number: 'anonymous' }, 'from_number'],
    [{ ...toUs, direction: 'sideways' }, 'direction'],
    [{ ...toUs, recorded: 'yes' }, 'recorded'],
    [{ ...toUs, call_id: 'ws_1' }, 'call_id'],
    [{ ...toUs, call_id: `call_${'a'.repeat(65)}` }, 'call_id'],
    [{ ...toUs, agent_id: 'nul\u0000' }, 'agent_id'],
    [{ ...toUs, campaign_id: '\ud800' }, 'campaign_id'],
    [{ ...toUs, metadata: 'text' }, 'metadata'],
    [{ ...toUs, workspace_id: 'ws_other' }, undefined],
    [{ ...toUs, amount_micros: 0 }, undefined],
    [[], undefined],
    ['not JSON', undefined],
    [undefined, undefined],
  ]

  test('refuses what is malformed by its field, before the wallet is looked at', async ({ api, db }) => {
    await spend(db, api.workspaceId, 1_000)

    const answers = await Promise.all(malformed.map(([body]) => api.post('/v1/calls', { body })))

    for (const [index, [body, field]] of malformed.entries()) {
      const answer = answers[index]
      const error = field === undefined ? {} : { code: 'invalid_request', field }
      expect({ body, answer }).toMatchObject({ answer: { status: 400, body: { error } } })
    }
  })

  test('refuses what has no price, whatever is in the wallet', async ({ api, db }) => {
    await spend(db, api.workspaceId, 1_000)

    const nowhere = await api.post('/v1/calls', { body: { to_number: '+99955550100' } })
    const fromNowhere = await api.post('/v1/calls', {
      body: { direction: 'inbound', from_number: '+99955550100', ...toUs },
    })

    expect(nowhere).toMatchObject({
      status: 422,
      body: { error: { code: 'unknown_destination', field: 'to_number' } },
    })
    expect(fromNowhere).toMatchObject({
      status: 422,
      body: { error: { code: 'unknown_destination', field: 'from_number' } },
    })
  })

  test('takes inbound calls, withheld numbers and web calls at their own price', async ({ api }) => {
    const bodies = [
      { direction: 'inbound', to_number: '+14155550100', from_number: '+442071838750' },
      { direction: 'inbound', to: '+14155550100' },
      { direction: 'inbound' },
      { direction: 'web', recorded: true },
    ]

    const answers = await Promise.all(bodies.map((body) => api.post('/v1/calls', { body })))

    expect(answers.map((each) => each.status)).toEqual([201, 201, 201, 201])
  })

  test('refuses a frozen wallet with 403, which tells nobody to top up', async ({ api, db }) => {
    await underLock(db, api.workspaceId, (trx, wallet) =>
      freezeWallet(trx, wallet, { actor: 'test', reason: 'chargeback', now: new Date() }),
    )

    const answer = await api.post('/v1/calls', { body: toUs })

    expect(answer).toMatchObject({ status: 403, body: { error: { code: 'wallet_frozen' } } })
  })

  test('needs a key that may write', async ({ api }) => {
    const answers = await Promise.all(
      [null, 'sk_call2me_nobody', 'read', 'operator'].map((key) =>
        api.post('/v1/calls', { key, body: toUs }),
      ),
    )

    expect(answers.map((each) => each.status)).toEqual([401, 401, 403, 403])
  })
})

describe('a call that lives', () => {
  test('is extended, hung up, and billed when its duration is told', async ({ api, db }) => {
    const callId = await givenCall(api)

    const extended = await api.post(`/v1/calls/${callId}/extend`, { body: { duration_seconds: 120 } })
    const hungUp = await api.post(`/v1/calls/${callId}/end`)
    const told = await api.post(`/v1/calls/${callId}/end`, { body: { duration_seconds: 61.5 } })
    const again = await api.post(`/v1/calls/${callId}/end`, { body: { duration_seconds: 61.5 } })
    const other = await api.post(`/v1/calls/${callId}/end`, { body: { duration_seconds: 62 } })

    expect(extended).toMatchObject({
      status: 200,
      body: { status: 'in_progress', hold_usd: 0.54, available_usd: 9.46, affords_seconds: 3_333 },
    })
    expect(hungUp).toMatchObject({
      status: 200,
      body: { status: 'ended', hold_state: 'open', usage: 'awaited', end_timestamp: expect.any(Number) },
    })
    expect(told).toMatchObject({ status: 202, body: { usage: 'accepted', hold_state: 'open' } })
    expect(again).toMatchObject({ status: 202, body: { usage: 'duplicate' } })
    expect(other).toMatchObject({ status: 409, body: { error: { code: 'usage_contradicts' } } })
    const row = await db
      .selectFrom('usage_event')
      .select(['state', sql<Record<string, unknown>>`payload`.as('payload')])
      .where('workspace_id', '=', api.workspaceId)
      .where('key', '=', `call/${callId}`)
      .executeTakeFirstOrThrow()
    expect(row).toMatchObject({
      state: 'received',
      payload: { callId, durationSeconds: 61.5, to: '+14155550100', recorded: false },
    })
    await post(db, callArrival(row.payload))
    expect(await api.get(`/v1/calls/${callId}`)).toMatchObject({
      status: 200,
      body: { status: 'completed', hold_state: 'settled', cost_usd: '0.186000' },
    })
    expect(await api.post(`/v1/calls/${callId}/end`)).toMatchObject({
      status: 200,
      body: { status: 'completed', usage: 'duplicate' },
    })
  })

  test('is never shown as settled without what it cost, nor the other way round, however its billing falls between', async ({
    api,
    db,
  }) => {
    const callId = await givenCall(api)
    const billing = await db.startTransaction().execute()
    await postUsage(billing, [callArrival(aCall(api.workspaceId, { callId }))], rateBookOf)
    await sql`lock table hold in access exclusive mode`.execute(billing)

    const shown = api.get(`/v1/calls/${callId}`)
    await until('its hold is being read', async () => (await countLockWaits(db, 'hung_up_at')) > 0)
    await billing.commit().execute()

    expect(await shown).toMatchObject({
      status: 200,
      body: { status: 'completed', hold_state: 'settled', cost_usd: '0.180000' },
    })
  })

  test('is told to end when the wallet cannot carry it on, and its hold stays as it was', async ({
    api,
    db,
  }) => {
    await spend(db, api.workspaceId, 950)
    const callId = await givenCall(api)

    const answer = await api.post(`/v1/calls/${callId}/extend`, { body: { duration_seconds: 120 } })

    expect(answer).toMatchObject({
      status: 402,
      body: {
        error: {
          code: 'insufficient_balance',
          message: 'Wallet balance below what the call needs to go on',
          balance_usd: 0.3,
          required_usd: 0.34,
          should_end: true,
          affords_seconds: 166,
        },
      },
    })
    expect(await api.get(`/v1/calls/${callId}`)).toMatchObject({
      body: { status: 'in_progress', hold_usd: 0.2 },
    })
  })

  test('is told as it was when its start and recording are told with its end', async ({ api, db }) => {
    const callId = await givenCall(api)
    const startedAt = new Date(Date.now() - 90_000)

    const answer = await api.post(`/v1/calls/${callId}/end`, {
      body: { duration_seconds: 30, start_timestamp: startedAt.getTime(), recorded: true },
    })
    const same = await api.post(`/v1/calls/${callId}/end`, {
      body: { duration_seconds: 30, started_at: startedAt.toISOString(), recorded: true },
    })

    expect([answer, same]).toMatchObject([
      { status: 202, body: { usage: 'accepted' } },
      { status: 202, body: { usage: 'duplicate' } },
    ])
    const { payload } = await db
      .selectFrom('usage_event')
      .select(sql<Record<string, unknown>>`payload`.as('payload'))
      .where('key', '=', `call/${callId}`)
      .executeTakeFirstOrThrow()
    expect(payload).toMatchObject({ startedAt: startedAt.toISOString(), recorded: true })
  })

  test('frees its hold when it never happened, and cannot be released once it is billed', async ({
    api,
    db,
  }) => {
    const callId = await givenCall(api)
    const billed = await givenCall(api)
    await post(db, callArrival(aCall(api.workspaceId, { callId: billed })))

    const released = await api.post(`/v1/calls/${callId}/release`)
    const again = await api.post(`/v1/calls/${callId}/release`, { body: {} })
    const refused = await api.post(`/v1/calls/${billed}/release`)
    const over = await api.post(`/v1/calls/${callId}/extend`, { body: { duration_seconds: 1 } })

    expect([released, again]).toMatchObject([
      { status: 200, body: { status: 'failed', hold_state: 'released' } },
      { status: 200, body: { status: 'failed' } },
    ])
    expect(refused).toMatchObject({ status: 409, body: { error: { code: 'call_billed' } } })
    expect(over).toMatchObject({ status: 409, body: { error: { code: 'call_over', should_end: true } } })
    expect(await moneyOf(db, api.workspaceId)).toMatchObject({ held: 0n, openHolds: 0n })
  })

  const bodies: [path: string, body: unknown][] = [
    ['extend', {}],
    ['extend', { duration_seconds: -1 }],
    ['extend', { duration_seconds: 86_401 }],
    ['extend', { duration_seconds: '60' }],
    ['extend', { duration_seconds: 60, hold_usd: 0 }],
    ['end', { duration_seconds: 1e308 }],
    ['end', { duration_seconds: 1, started_at: 'yesterday' }],
    ['end', { duration_seconds: 1, started_at: '2026-11-01T10:00:00Z', start_timestamp: 1 }],
    ['end', { duration_seconds: 1, to_number: '+442071838750' }],
    ['release', { why: 'busy' }],
  ]

  test.for(bodies)('is not changed by what is malformed: %s %j', async ([path, body], { api }) => {
    const callId = await givenCall(api)

    const answer = await api.post(`/v1/calls/${callId}/${path}`, { body })

    expect(answer).toMatchObject({ status: 400, body: { error: { code: 'invalid_request' } } })
  })
})

describe('a call of another workspace', () => {
  test('is nowhere, exactly as one that never was', async ({ api }) => {
    const callId = await givenCall(api)
    const other = await api.another()
    const asks = (id: string): Promise<{ status: number; body: unknown }>[] => [
      other.get(`/v1/calls/${id}`),
      other.post(`/v1/calls/${id}/extend`, { body: { duration_seconds: 60 } }),
      other.post(`/v1/calls/${id}/end`, { body: { duration_seconds: 60 } }),
      other.post(`/v1/calls/${id}/end`),
      other.post(`/v1/calls/${id}/release`),
    ]

    const foreign = await Promise.all(asks(callId))
    const missing = await Promise.all(asks('call_never'))

    expect(foreign.map((each) => each.status)).toEqual([404, 404, 404, 404, 404])
    expect(foreign.map(withoutRequestId)).toEqual(missing.map(withoutRequestId))
    expect(await api.get(`/v1/calls/${callId}`)).toMatchObject({
      body: { status: 'pending', hold_state: 'open' },
    })
  })
})

test('GET /v1/calls/unbilled lists the silent calls of the workspace, newest first, and counts them', async ({
  api,
  db,
}) => {
  const ids = [await givenCall(api), await givenCall(api), await givenCall(api)]
  const other = await api.another()
  await givenCall(other)
  for (const workspaceId of [api.workspaceId, other.workspaceId]) {
    await givenSilence(db, workspaceId)
    await sql`
      with ended as (
        update hold set state = 'expired', ended_at = clock_timestamp()
        where workspace_id = ${workspaceId} returning amount_micros)
      update wallet set held_micros = held_micros - (select sum(amount_micros) from ended)
      where workspace_id = ${workspaceId}`.execute(db)
  }
  await api.post(`/v1/calls/${ids[0]}/end`, { body: { duration_seconds: 5 } })

  const page = await api.get('/v1/calls/unbilled?limit=1', { key: 'read' })
  const wrong = await api.get('/v1/calls/unbilled?limit=101')

  expect(page).toMatchObject({
    status: 200,
    body: { calls: [{ status: 'ended', hold_state: 'expired' }], total: 2, limit: 1, offset: 0 },
  })
  expect(wrong.status).toBe(400)
})

describe('the admission batch', () => {
  test('lets the calls of other wallets pass one that is in use, and admits its calls when it is free', async ({
    place,
    db,
  }) => {
    const { batch, close } = givenBatch(place.databaseUrl)
    const busy = await givenWorkspace(db)
    const free = await givenWorkspace(db)
    let isDecided = false

    const passing = await whileHeld(
      db,
      (trx) => lockWallet(trx, busy),
      async () => {
        const waiting = batch.admit(aCallToAdmit(busy)).then((admission) => {
          isDecided = true
          return admission
        })
        const passed = await Promise.all(Array.from({ length: 20 }, () => batch.admit(aCallToAdmit(free))))
        return { waiting, passed, wasDecided: isDecided }
      },
    )
    const waited = await passing.waiting
    await close()

    expect(passing.passed.every((each) => each.outcome === 'admitted')).toBe(true)
    expect(passing.wasDecided).toBe(false)
    expect(waited).toMatchObject({ outcome: 'admitted' })
  })

  test('admits on a wallet that somebody has again and again, and on others meanwhile', async ({
    place,
    db,
  }) => {
    const { batch, close } = givenBatch(place.databaseUrl)
    const wanted = await givenWorkspace(db)
    const free = await givenWorkspace(db)
    const stopping = new AbortController()
    // Two who wait for the wallet in turn: it is never free for anybody who does not.
    const others = Array.from({ length: 2 }, async () => {
      while (!stopping.signal.aborted) {
        await db.transaction().execute(async (trx) => {
          await lockWallet(trx, wanted)
          await sql`select pg_sleep(0.01)`.execute(trx)
        })
      }
    })

    const outcomes = await Promise.all(
      Array.from({ length: 40 }, async (_, index) => {
        await pause(index * 5)
        const { outcome } = await batch.admit(aCallToAdmit(index % 2 === 0 ? wanted : free))
        return outcome
      }),
    )
    stopping.abort()
    await Promise.all(others)
    await close()

    expect(new Set(outcomes)).toEqual(new Set(['admitted']))
    expect(await moneyOf(db, wanted)).toMatchObject({ held: 4_000_000n, openHolds: 4_000_000n })
  })

  test('gives up in time on a wallet that stays in use, and holds nothing for the call', async ({
    place,
    db,
  }) => {
    const { batch, close } = givenBatch(place.databaseUrl, { patienceMs: 1_500 })
    const busy = await givenWorkspace(db)

    const other = await givenWorkspace(db)

    const { refused, passed } = await whileHeld(
      db,
      (trx) => lockWallet(trx, busy),
      async () => {
        const waiting = refusalOf(batch.admit(aCallToAdmit(busy)))
        const passing: string[] = []
        for (let call = 0; call < 10; call += 1) {
          passing.push((await batch.admit(aCallToAdmit(other))).outcome)
        }
        return { refused: await waiting, passed: passing }
      },
    )
    const admitted = await batch.admit(aCallToAdmit(busy))
    await close()

    expect(passed).toEqual(Array.from({ length: 10 }, () => 'admitted'))
    expect(refused).toMatchObject({ code: 'unavailable', fields: { api: { status: 503 } } })
    expect(admitted).toMatchObject({ outcome: 'admitted' })
    expect(await moneyOf(db, busy)).toMatchObject({ held: 200_000n, openHolds: 200_000n })
  })

  test('gives up in time while Postgres does not answer at all, and goes on when it does', async ({
    place,
    db,
  }) => {
    const { hostname, port } = new URL(place.databaseUrl)
    const proxy = await startTcpProxy({ host: hostname, port: Number(port) })
    const { batch, close } = givenBatch(proxy.urlOf(place.databaseUrl), { patienceMs: 300 })
    const workspaceId = await givenWorkspace(db)
    // On a busy machine even a first one may run out of so little patience.
    const first = aCallToAdmit(workspaceId)
    await until('one is admitted', async () => (await batch.admit(first)).outcome === 'admitted')
    await proxy.close()

    const startedAt = performance.now()
    const refusals = await Promise.all(
      Array.from({ length: 20 }, () => refusalOf(batch.admit(aCallToAdmit(workspaceId)))),
    )
    const tookMs = performance.now() - startedAt
    await close()

    expect(new Set(refusals.map((each) => each.code))).toEqual(new Set(['unavailable']))
    // Less than the five seconds after which the pool would have given up.
    expect(tookMs).toBeLessThan(4_000)
    expect(await moneyOf(db, workspaceId)).toMatchObject({ held: 200_000n })
  })

  test('admits once when the answer to its COMMIT is lost', async ({ place, db }) => {
    const { hostname, port } = new URL(place.databaseUrl)
    const proxy = await startTcpProxy({ host: hostname, port: Number(port) })
    const { batch, close } = givenBatch(proxy.urlOf(place.databaseUrl))
    const workspaceId = await givenWorkspace(db)

    const cut = proxy.dropAnswerTo('commit')
    const admission = await batch.admit(aCallToAdmit(workspaceId))
    await cut
    await close()
    await proxy.close()

    expect(admission).toMatchObject({ outcome: 'admitted', availableMicros: 9_800_000n })
    expect(await moneyOf(db, workspaceId)).toMatchObject({ held: 200_000n, openHolds: 200_000n })
  })

  test('fails one call that Postgres cannot take, and no other of its batch', async ({
    ownPlace,
    ownDb: db,
  }) => {
    await sql`alter table hold add constraint no_agent_13 check (agent_id <> 'agent 13')`.execute(db)
    const { batch, close } = givenBatch(ownPlace.databaseUrl)
    const workspaceId = await givenWorkspace(db)
    const calls = Array.from({ length: 20 }, () => aCallToAdmit(workspaceId))
    const bad = aCallToAdmit(workspaceId, { agentId: agentIdSchema.parse('agent 13') })

    const outcomes = await Promise.all(
      [...calls.slice(0, 10), bad, ...calls.slice(10)].map((call) =>
        batch.admit(call).then(
          (admission) => admission.outcome,
          () => 'failed',
        ),
      ),
    )
    await close()

    expect(outcomes.filter((each) => each === 'admitted')).toHaveLength(20)
    expect(outcomes[10]).toBe('failed')
    expect(await moneyOf(db, workspaceId)).toMatchObject({ held: 4_000_000n, openHolds: 4_000_000n })
  })
})

function givenBatch(databaseUrl: string, { patienceMs }: { patienceMs?: number } = {}) {
  const db = connect(databaseUrl, { profile: 'posting', name: 'admission', poolSize: 3 })
  const batch = createAdmissionBatch({
    db,
    log: createLog('silent', 'test'),
    silentAfterMs: 900_000,
    ...(patienceMs === undefined ? {} : { patienceMs }),
  })
  const close = async (): Promise<void> => {
    await batch.close()
    await db.destroy()
  }
  return { batch, close }
}

async function givenCall(api: TestApi): Promise<string> {
  const answer = await api.post('/v1/calls', { body: { ...toUs, call_id: newId('call') } })
  expect(answer.status).toBe(201)
  return idOf(answer)
}

function idOf({ body }: { body: unknown }): string {
  return String(Reflect.get(Object(body), 'call_id'))
}

function withoutRequestId({ status, body }: { status: number; body: unknown }) {
  return { status, body: JSON.stringify(body).replace(/req_[\da-f-]{36}/, '') }
}
