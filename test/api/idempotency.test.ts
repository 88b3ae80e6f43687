// A request with an Idempotency-Key is done once and answered the same each time, whoever waits, dies or is away meanwhile.
import { randomUUID } from 'node:crypto'

import { sql } from 'kysely'
import { describe, expect } from 'vitest'
import { z } from 'zod'

import type { Api } from '../../api/api.ts'
import { refusal } from '../../api/errors.ts'
import { stableNameOf } from '../../api/idempotency.ts'
import { createApiKey } from '../../db/api-key.ts'
import { purgeIdempotentRequests } from '../../db/idempotency.ts'
import type { Db } from '../../db/schema.ts'
import { test as base, type TestApi } from '../support/api-server.ts'
import { until } from '../support/until.ts'

/** Routes that tell what became of each request, and wait where a test says so. */
function createBank() {
  let paid = 0
  let gate: Promise<void> = Promise.resolve()
  const names: (string | null)[] = []
  const answers = new Map<number, 'refuse' | 'fail'>()
  const routes = (api: Api): void => {
    api.post(
      '/v1/pay/:to',
      {
        config: { scope: 'write', idempotent: true },
        schema: {
          params: z.object({ to: z.string() }),
          body: z.strictObject({ cents: z.int().transform((cents) => BigInt(cents)) }),
        },
      },
      async (request, reply) => {
        paid += 1
        const turn = paid
        names.push(stableNameOf(request))
        await gate
        if (answers.get(turn) === 'fail') throw new Error('nobody knows why')
        if (answers.get(turn) === 'refuse') throw refusal({ status: 402, code: 'too_poor', message: 'Poor.' })
        if (request.body.cents < 0n) throw refusal({ status: 409, code: 'closed', message: 'Closed.' })
        return await reply.code(201).header('location', `/v1/payments/${turn}`).send({ turn })
      },
    )
    api.post('/v1/other', { config: { scope: 'write', idempotent: true } }, () => ({ turn: (paid += 1) }))
    api.post('/v1/secret', { config: { scope: 'admin', idempotent: 'sealed' } }, () => ({
      secret: `open-sesame-${(paid += 1)}`,
    }))
  }
  return {
    routes,
    names,
    answers,
    paid: () => paid,
    close: (): (() => void) => {
      const closed = Promise.withResolvers<void>()
      gate = closed.promise
      return closed.resolve
    },
  }
}

type Bank = ReturnType<typeof createBank>

const test = base.extend<{ bank: Bank; bankApi: TestApi }>({
  // oxlint-disable-next-line no-empty-pattern -- vitest reads from the pattern what a fixture needs
  bank: async ({}, use) => {
    await use(createBank())
  },
  bankApi: async ({ bank, startTestApi }, use) => {
    await use(await startTestApi({ routes: bank.routes }))
  },
})

const keyed = (key: string = randomUUID()) => ({ 'idempotency-key': key })
const body = { cents: 100 }

describe('a request that is sent again with its key', () => {
  test('is done once, and its status, body and place are told again', async ({ bank, bankApi: api }) => {
    const headers = keyed()

    const first = await api.post('/v1/pay/ann', { headers, body })
    const second = await api.post('/v1/pay/ann', { headers, body: '{ "cents" :100}' })

    expect(bank.paid()).toBe(1)
    expect(first).toMatchObject({ status: 201, body: { turn: 1 }, headers: { location: '/v1/payments/1' } })
    expect(second).toMatchObject({ status: 201, body: { turn: 1 }, headers: { location: '/v1/payments/1' } })
    expect(second.headers['content-type']).toBe(first.headers['content-type'])
    expect([first, second].map(({ headers: told }) => told['idempotency-replayed'])).toEqual([
      undefined,
      'true',
    ])
  })

  test('a hundred times at once is done once, with a hundred equal answers', async ({
    bank,
    bankApi: api,
  }) => {
    const headers = keyed()

    const answers = await Promise.all(
      Array.from({ length: 100 }, () => api.post('/v1/pay/ann', { headers, body })),
    )

    expect(bank.paid()).toBe(1)
    expect(new Set(answers.map((answer) => JSON.stringify([answer.status, answer.body])))).toEqual(
      new Set(['[201,{"turn":1}]']),
    )
  })

  test('through other processes at once is done once all the same', async ({ bank, db, startTestApi }) => {
    const apis = await Promise.all([1, 2, 3].map(() => startTestApi({ routes: bank.routes })))
    const key = apis[0]?.keys.write ?? ''
    const headers = keyed()
    const open = bank.close()

    const asked = apis.flatMap((api) =>
      Array.from({ length: 10 }, () => api.post('/v1/pay/ann', { key, headers, body })),
    )
    await untilClaimed(db, headers)
    open()
    const answers = await Promise.all(asked)

    expect(bank.paid()).toBe(1)
    expect(answers.map((answer) => [answer.status, answer.body])).toEqual(
      answers.map(() => [201, { turn: 1 }]),
    )
  })

  test('with another body, or to another place, is refused', async ({ bank, bankApi: api }) => {
    const headers = keyed()
    await api.post('/v1/pay/ann', { headers, body })

    const otherBody = await api.post('/v1/pay/ann', { headers, body: { cents: 101 } })
    const otherPlace = await api.post('/v1/pay/bob', { headers, body })

    const reused = { status: 422, body: { error: { code: 'idempotency_key_reused' } } }
    expect([otherBody, otherPlace]).toMatchObject([reused, reused])
    expect(bank.paid()).toBe(1)
  })

  test('while the first with another body is still under way is refused at once', async ({
    bank,
    bankApi: api,
    db,
  }) => {
    const headers = keyed()
    const open = bank.close()
    const first = api.post('/v1/pay/ann', { headers, body })
    await untilClaimed(db, headers)

    const other = await api.post('/v1/pay/ann', { headers, body: { cents: 101 } })
    open()

    expect(other.status).toBe(422)
    expect((await first).status).toBe(201)
  })

  test('means something else on another route and in another workspace', async ({ bank, bankApi: api }) => {
    const headers = keyed()
    const another = await api.another()

    const answers = [
      await api.post('/v1/pay/ann', { headers, body }),
      await api.post('/v1/other', { headers }),
      await another.post('/v1/pay/ann', { headers, body }),
    ]

    expect(answers.map(({ status }) => status)).toEqual([201, 200, 201])
    expect(bank.paid()).toBe(3)
    expect(new Set(bank.names).size).toBe(2)
  })

  test('tells again that it was refused, but not that it was too early or that something failed', async ({
    bank,
    bankApi: api,
  }) => {
    const [refused, early, failed] = [keyed(), keyed(), keyed()]
    const send = (headers: Record<string, string>, cents = 1) =>
      api.post('/v1/pay/ann', { headers, body: { cents } })
    bank.answers.set(2, 'refuse').set(4, 'fail')

    const statuses = []
    for (const [headers, cents] of [
      [refused, -1],
      [early, 1],
      [early, 1],
      [failed, 1],
      [failed, 1],
      [refused, -1],
    ] as const) {
      statuses.push((await send(headers, cents)).status)
    }

    expect(statuses).toEqual([409, 402, 201, 500, 201, 409])
    expect(bank.paid()).toBe(5)
    // The second try of a request has the name of the first, so that its effect is found.
    expect(bank.names[3]).toBe(bank.names[4])
  })

  test('by one whose scope does not suffice, or with a body that is wrong, claims nothing', async ({
    bank,
    bankApi: api,
  }) => {
    const headers = keyed()

    const answers = [
      await api.post('/v1/pay/ann', { key: 'read', headers, body }),
      await api.post('/v1/pay/ann', { key: null, headers, body }),
      await api.post('/v1/pay/ann', { headers, body: { cents: 'all' } }),
      await api.post('/v1/pay/ann', { headers, body }),
    ]

    expect(answers.map(({ status }) => status)).toEqual([403, 401, 400, 201])
    expect(bank.paid()).toBe(1)
  })
})

test('a key is 1 to 255 printable characters, and without one the request just runs', async ({
  bank,
  bankApi: api,
}) => {
  const send = async (headers: Record<string, string>) =>
    (await api.post('/v1/pay/ann', { headers, body })).status

  const statuses = [
    await send(keyed('')),
    await send(keyed('a'.repeat(256))),
    await send(keyed('a\tb')),
    await send(keyed('schlüssel')),
    await send(keyed('a'.repeat(255))),
    await send(keyed('~ !')),
    await send({}),
    await send({}),
  ]

  expect(statuses).toEqual([400, 400, 400, 400, 201, 201, 201, 201])
  expect(bank.paid()).toBe(4)
  expect(bank.names.slice(-2)).toEqual([null, null])
})

test('a request that is still under way after five seconds answers 409 to others, and says when to come again', async ({
  bank,
  bankApi: api,
  db,
}) => {
  const headers = keyed()
  const open = bank.close()
  const first = api.post('/v1/pay/ann', { headers, body })
  await untilClaimed(db, headers)

  const second = await api.post('/v1/pay/ann', { headers, body })
  open()

  expect(second).toMatchObject({
    status: 409,
    headers: { 'retry-after': '5' },
    body: { error: { code: 'idempotency_in_flight' } },
  })
  expect(await first).toMatchObject({ status: 201, body: { turn: 1 } })
  expect(await api.post('/v1/pay/ann', { headers, body })).toMatchObject({ status: 201, body: { turn: 1 } })
})

describe('a claim whose process died', () => {
  test('is taken over after a minute, and what it still answers is not kept', async ({
    bank,
    db,
    startTestApi,
  }) => {
    const [one, other] = await Promise.all([
      startTestApi({ routes: bank.routes }),
      startTestApi({ routes: bank.routes }),
    ])
    const headers = keyed()
    const open = bank.close()
    const frozen = one.post('/v1/pay/ann', { headers, body })
    await untilClaimed(db, headers)
    await sql`
      update idempotent_request set claimed_at = claimed_at - interval '61 seconds'
      where idempotency_key = ${headers['idempotency-key']}`.execute(db)

    const key = one.keys.admin
    const taking = other.post('/v1/pay/ann', { key, headers, body })
    await untilPaid(bank, 2)
    open()
    const taken = await taking
    await frozen
    const again = await other.post('/v1/pay/ann', { key, headers, body })

    expect(taken).toMatchObject({ status: 201 })
    expect([201, { turn: bank.paid() }, 2]).toEqual([again.status, again.body, bank.paid()])
  })
})

test('a request whose sender hangs up is done all the same, and answered when it is sent again', async ({
  bank,
  bankApi: api,
  db,
}) => {
  const url = await api.server.listen({ host: '127.0.0.1', port: 0 })
  const headers = keyed()
  const open = bank.close()
  const hangUp = new AbortController()
  const first = fetch(`${url}/v1/pay/ann`, {
    method: 'POST',
    headers: { ...headers, authorization: `Bearer ${api.keys.write}`, 'content-type': 'application/json' },
    body: JSON.stringify(body),
    signal: hangUp.signal,
  })
  await untilClaimed(db, headers)

  hangUp.abort()
  await expect(first).rejects.toThrow('aborted')
  open()
  const again = await api.post('/v1/pay/ann', { key: 'write', headers, body })

  expect(again).toMatchObject({ status: 201, body: { turn: 1 } })
  expect(bank.paid()).toBe(1)
})

test('an answer that cannot be kept is given all the same, and told to whoever runs this', async ({
  bank,
  ownPlace,
  ownDb,
  startTestApi,
}) => {
  const api = await startTestApi({ databaseUrl: ownPlace.databaseUrl, db: ownDb, routes: bank.routes })
  const headers = keyed()
  const open = bank.close()
  const first = api.post('/v1/pay/ann', { headers, body })
  await untilClaimed(ownDb, headers)

  await sql`alter table idempotent_request rename to idempotent_request_elsewhere`.execute(ownDb)
  open()
  const answer = await first

  expect(answer).toMatchObject({ status: 201, body: { turn: 1 } })
  expect(api.log.filter(({ level }) => level === 'error')).toMatchObject([
    { route: 'POST /v1/pay/:to', status: 201, msg: expect.stringContaining('could not be kept') },
  ])
})

test('an answer is forgotten after thirty days, and not before', async ({
  bank,
  ownPlace,
  ownDb,
  startTestApi,
}) => {
  const api = await startTestApi({ databaseUrl: ownPlace.databaseUrl, db: ownDb, routes: bank.routes })
  const [old, young] = [keyed(), keyed()]
  for (const headers of [old, young]) await api.post('/v1/pay/ann', { headers, body })
  await sql`
    update idempotent_request set created_at = created_at - interval '30 days 1 second'
    where idempotency_key = ${old['idempotency-key']}`.execute(ownDb)

  const forgotten = [
    await purgeIdempotentRequests(ownDb, { most: 100 }),
    await purgeIdempotentRequests(ownDb, { most: 100 }),
  ]

  expect(forgotten).toEqual([1, 0])
  const left = await ownDb.selectFrom('idempotent_request').select('idempotency_key').execute()
  expect(left).toEqual([{ idempotency_key: young['idempotency-key'] }])
})

describe('an answer that holds a secret', () => {
  test('is told again to the key that asked, and to no other', async ({ bank, bankApi: api, db }) => {
    const headers = keyed()
    const { secret: otherAdmin } = await db
      .transaction()
      .execute((trx) =>
        createApiKey(trx, { workspaceId: api.workspaceId, scope: 'admin', createdBy: 'test' }),
      )

    const first = await api.post('/v1/secret', { headers })
    const again = await api.post('/v1/secret', { headers })
    const other = await api.post('/v1/secret', { key: otherAdmin, headers })

    expect(first).toMatchObject({ status: 200, body: { secret: 'open-sesame-1' } })
    expect(again.body).toEqual(first.body)
    expect(other).toMatchObject({ status: 409, body: { error: { code: 'idempotency_answer_sealed' } } })
    expect(bank.paid()).toBe(1)
  })

  test('is in the database only as what nobody can read', async ({ bankApi: api, db }) => {
    await api.post('/v1/secret', { headers: keyed() })

    const { rows } = await sql<{ row: string }>`
      select idempotent_request::text as row from idempotent_request where route like '%secret'`.execute(db)

    expect(rows.length).toBeGreaterThan(0)
    expect(rows.map(({ row }) => row).join()).not.toMatch(/sesame/)
    expect(rows.map(({ row }) => row).join()).not.toContain(
      Buffer.from('open-sesame').toString('base64').slice(0, 12),
    )
  })
})

async function untilClaimed(db: Db, headers: { 'idempotency-key': string }): Promise<void> {
  await until('the request is claimed', async () => {
    const row = await db
      .selectFrom('idempotent_request')
      .select('status')
      .where('idempotency_key', '=', headers['idempotency-key'])
      .executeTakeFirst()
    return row !== undefined
  })
}

async function untilPaid(bank: Bank, times: number): Promise<void> {
  await until(`it was done ${times} times`, () => bank.paid() === times)
}
