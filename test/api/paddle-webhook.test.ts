// The webhook route over HTTP: what comes from Paddle is kept to the byte, once, whatever it says; all else leaves a count.
import { randomBytes } from 'node:crypto'
import { gzipSync } from 'node:zlib'

import { sql } from 'kysely'
import { describe, expect } from 'vitest'

import type { Db } from '../../db/schema.ts'
import { readPaddleEvent } from '../../paddle/webhook.ts'
import { test } from '../support/fixtures.ts'
import { newId } from '../support/given.ts'
import { anEvent, sendWebhook, signatureOf, webhookSecret, type Answer } from '../support/paddle-sender.ts'
import { givenServer } from './given-server.ts'

const formerSecret = 'pdl_ntfset_02_former_secret_of_a_test'
const secondsAgo = (seconds: number): Date => new Date(Date.now() - seconds * 1_000)

describe('a webhook from Paddle', () => {
  test('is stored as it came, and staged for a worker in the same transaction', async ({ place, db }) => {
    const { url } = await givenServer(place.databaseUrl)
    const { eventId, body } = anEvent()

    const answer = await sendWebhook(url, body)

    expect(answer).toMatchObject({ status: 200, body: { status: 'received' } })
    const [stored] = await storedEvents(db, eventId)
    expect(stored).toMatchObject({ body, event_type: 'address.updated', state: 'received' })
    const [staged, ...others] = await stagedJobs(db, eventId)
    expect(others).toEqual([])
    expect(staged).toMatchObject({ queue: 'paddle-event', data: { eventId } })
    // The transaction that wrote a row is written in it.
    expect(staged?.xmin).toBe(stored?.xmin)
  })

  test('is one row and one job, however often and however much at once it is told', async ({ place, db }) => {
    const { url } = await givenServer(place.databaseUrl)
    const { eventId, body } = anEvent()
    const replay = anEvent({ event_id: eventId, notification_id: newId('ntf') }).body

    const answers = await Promise.all(
      Array.from({ length: 60 }, (_, index) => sendWebhook(url, index % 3 === 0 ? replay : body)),
    )

    const outcomes = answers.map(({ status, body: said }) => `${status} ${JSON.stringify(said)}`)
    expect(outcomes.filter((outcome) => outcome === '200 {"status":"received"}')).toHaveLength(1)
    expect(outcomes.filter((outcome) => outcome === '200 {"status":"known"}')).toHaveLength(59)
    expect(await storedEvents(db, eventId)).toHaveLength(1)
    expect(await stagedJobs(db, eventId)).toHaveLength(1)
  })

  test('is not kept waiting by many others', async ({ place, db }) => {
    const { url } = await givenServer(place.databaseUrl)
    const events = Array.from({ length: 400 }, () => anEvent())

    const answers = await Promise.all(events.map(({ body }) => sendWebhook(url, body)))

    expect(answers.filter(({ status }) => status !== 200)).toEqual([])
    const { rows } = await sql<{ count: bigint }>`
      select count(*) from paddle_event where event_id = any(${events.map(({ eventId }) => eventId)})`.execute(
      db,
    )
    expect(rows[0]?.count).toBe(400n)
  })

  test.for(['application/json', 'application/json; charset=utf-8', 'text/plain', 'a/b; c', null])(
    'is taken under the content type %s: the signature says what it is',
    async (contentType, { place, db }) => {
      const { url } = await givenServer(place.databaseUrl)
      const { eventId, body } = anEvent()

      const answer = await sendWebhook(url, body, {
        headers: contentType === null ? {} : { 'content-type': contentType },
      })

      expect(answer.status).toBe(200)
      expect(await storedEvents(db, eventId)).toMatchObject([{ body }])
    },
  )

  test('is known by any of its signatures, under any of our secrets', async ({ place }) => {
    const during = await givenServer(place.databaseUrl, { secrets: [webhookSecret, formerSecret] })
    const after = await givenServer(place.databaseUrl)

    expect(await statusOfSigned(during.url, [formerSecret])).toBe(200)
    expect(await statusOfSigned(during.url, [webhookSecret])).toBe(200)
    expect(await statusOfSigned(after.url, [formerSecret, webhookSecret])).toBe(200)
    expect(await statusOfSigned(after.url, [webhookSecret, formerSecret])).toBe(200)
    expect(await statusOfSigned(after.url, [formerSecret])).toBe(401)
  })

  test('may be a little late, or a little early', async ({ place }) => {
    const { url } = await givenServer(place.databaseUrl)
    const { body } = anEvent()

    for (const at of [secondsAgo(30), secondsAgo(-30)]) {
      expect((await sendWebhook(url, body, { signature: signatureOf(body, { at }) })).status).toBe(200)
    }
  })
})

describe('what nobody can read', () => {
  const nested = `${'['.repeat(20_000)}${']'.repeat(20_000)}`
  const strange: [what: string, body: string | Buffer][] = [
    ['nothing', ''],
    ['no JSON', 'hello'],
    ['JSON that is no object', 'null'],
    ['an event of nothing', '{}'],
    ['JSON after a byte order mark', `\uFEFF${anEvent().body}`],
    ['bytes that are no text', Buffer.from([0xff, 0xfe, 0x00, 0x80, 0x0a])],
    ['text that is cut off within a letter', Buffer.from('"ü').subarray(0, 2)],
    ['a zero', 'a\0b'],
    ['compressed JSON', gzipSync(anEvent().body)],
    ['an id with a zero in it', anEvent({ event_id: 'evt_\u0000' }).body],
    ['an id that no queue takes', anEvent({ event_id: `evt:${newId('a')}` }).body],
    ['an id that only looks like a name', anEvent({ event_id: 'evt_1; drop table paddle_event' }).body],
    ['an id as long as a page', anEvent({ event_id: 'e'.repeat(5_000) }).body],
    ['a number for an id', anEvent({ event_id: 17 }).body],
    ['a type with a zero in it', anEvent({ event_type: 'a\u0000b' }).body],
    ['no time', anEvent({ occurred_at: 'yesterday' }).body],
    ['a transaction without its fields', anEvent({ event_type: 'transaction.paid', data: {} }).body],
    ['half a letter', anEvent({ data: { name: '\ud800' } }).body],
    [
      'a name of every object',
      '{"__proto__":{"event_id":"evt_1"},"constructor":{"prototype":{"polluted":1}}}',
    ],
    ['twenty thousand lists in one another', `{"event_id":"${newId('evt')}","data":${nested}}`],
  ]

  test.for(strange)('is kept to the byte, since Paddle signed it: %s', async ([, body], { place, db }) => {
    const { url } = await givenServer(place.databaseUrl)
    const before = await countEvents(db)

    const answer = await sendWebhook(url, body)
    const again = await sendWebhook(url, body)

    expect(answer).toMatchObject({ status: 200, body: { status: 'received' } })
    expect(again).toMatchObject({ status: 200, body: { status: 'known' } })
    expect(await countEvents(db)).toBe(before + 1)
    const stored = await newestEvent(db)
    const isText = Buffer.from(stored.body).equals(Buffer.from(body))
    expect(isText || Buffer.from(stored.body, 'base64').equals(Buffer.from(body))).toBe(true)
    expect(stored.event_id).toMatch(/^[\w-]{1,128}$/)
    expect(await stagedJobs(db, stored.event_id)).toHaveLength(1)
    expect(Reflect.get({}, 'polluted')).toBeUndefined()
  })

  test('has a name of its own, and what it says of itself where that can be read', async ({ place, db }) => {
    const { url } = await givenServer(place.databaseUrl)
    const drifted = anEvent({ event_type: 'transaction.paid', data: { id: 'txn_1' } })
    await sendWebhook(url, 'no JSON at all')
    const unnamed = await newestEvent(db)
    await sendWebhook(url, drifted.body)
    const named = await newestEvent(db)

    expect(unnamed).toMatchObject({ event_type: 'unreadable' })
    expect(unnamed.event_id).toMatch(/^unreadable_[\da-f]{64}$/)
    expect(named).toMatchObject({ event_id: drifted.eventId, event_type: 'transaction.paid' })
    expect(readPaddleEvent(named.body)).toMatchObject({ outcome: 'unreadable' })
  })

  test('has a time that Postgres takes, at both ends of the calendar', async ({ place, db }) => {
    const { url } = await givenServer(place.databaseUrl)

    for (const occurredAt of ['0000-01-01T00:00:00+14:00', '9999-12-31T23:59:59.999999999-14:00']) {
      const { eventId, body } = anEvent({ occurred_at: occurredAt })
      expect((await sendWebhook(url, body)).status).toBe(200)
      expect(await storedEvents(db, eventId)).toHaveLength(1)
    }
  })
})

describe('what is not from Paddle', () => {
  const { body } = anEvent()
  /** Its time, and its signature. */
  const parts = (at = new Date()): [string, string] => {
    const [time = '', h1 = ''] = signatureOf(body, { at }).split(';')
    return [time, h1]
  }
  const refused: [what: string, send: (url: string) => Promise<Answer>, code: string][] = [
    ['has no signature', (url) => sendWebhook(url, body, { signature: null }), 'missing_signature'],
    ['has an empty one', (url) => sendWebhook(url, body, { signature: '' }), 'missing_signature'],
    ['has words for one', (url) => sendWebhook(url, body, { signature: 'let me in' }), 'malformed_signature'],
    ['has half of one', (url) => signed(url, [parts()[0], parts()[1].slice(0, 40)]), 'malformed_signature'],
    ['has no time', (url) => signed(url, [parts()[1]]), 'malformed_signature'],
    ['has two times', (url) => signed(url, [parts()[0], ...parts()]), 'malformed_signature'],
    [
      'is signed with the secret of another environment',
      (url) => sendWebhook(url, body, { signature: signatureOf(body, { secrets: [formerSecret] }) }),
      'wrong_signature',
    ],
    [
      'is signed for another time',
      (url) => signed(url, [parts(secondsAgo(1))[0], parts()[1]]),
      'wrong_signature',
    ],
    [
      'is written anew',
      (url) => sendWebhook(url, JSON.stringify(JSON.parse(body)), { signature: signatureOf(body) }),
      'wrong_signature',
    ],
    [
      'is compressed after it was signed',
      (url) =>
        sendWebhook(url, gzipSync(body), {
          signature: signatureOf(body),
          headers: { 'content-type': 'application/json', 'content-encoding': 'gzip' },
        }),
      'wrong_signature',
    ],
    [
      'is cut short',
      (url) => sendWebhook(url, body.slice(0, -1), { signature: signatureOf(body) }),
      'wrong_signature',
    ],
    ['is empty', (url) => sendWebhook(url, '', { signature: signatureOf(body) }), 'wrong_signature'],
    [
      'was signed long ago',
      (url) => sendWebhook(url, body, { signature: signatureOf(body, { at: secondsAgo(120) }) }),
      'stale',
    ],
    [
      'will be signed tomorrow',
      (url) => sendWebhook(url, body, { signature: signatureOf(body, { at: secondsAgo(-86_400) }) }),
      'from_the_future',
    ],
    ['is a megabyte of noise', (url) => sendWebhook(url, randomBytes(1_000_000)), 'too_large'],
    [
      'is of no kind that there could be',
      (url) => sendWebhook(url, body, { headers: { 'content-type': 'nonsense' } }),
      'unknown_content_type',
    ],
  ]

  test.for(refused)(
    'is refused and leaves a count, nothing else: it %s',
    async ([, send, code], { ownPlace, ownDb }) => {
      const server = await givenServer(ownPlace.databaseUrl)

      const answer = await send(server.url)
      await server.close()

      expect(answer.status).toBe({ too_large: 413, unknown_content_type: 415 }[code] ?? 401)
      expect(answer.body).toEqual({
        error: { code, message: expect.stringMatching(/\.$/), request_id: answer.requestId },
      })
      expect(await countEvents(ownDb)).toBe(0)
      expect(await ownDb.selectFrom('staged_job').select('id').execute()).toEqual([])
      expect(await readRefusals(ownDb)).toEqual({ [code]: 1n })
    },
  )

  test('is counted by several processes together, and counts that could not be written are written later', async ({
    ownPlace: place,
    ownDb: db,
  }) => {
    const servers = await Promise.all([1, 2, 3].map(() => givenServer(place.databaseUrl)))
    await sql`alter table refused_webhook rename to refused_webhook_elsewhere`.execute(db)

    for (const { url } of servers) {
      await Promise.all([
        sendWebhook(url, body, { signature: null }),
        sendWebhook(url, body, { signature: 'let me in' }),
        sendWebhook(url, body, { signature: signatureOf(body, { at: secondsAgo(120) }) }),
      ])
    }
    await servers[0]?.close()
    await sql`alter table refused_webhook_elsewhere rename to refused_webhook`.execute(db)
    await Promise.all(servers.map((server) => server.close()))

    expect(await readRefusals(db)).toEqual({ missing_signature: 2n, malformed_signature: 2n, stale: 2n })
    // What nobody could write is said at least.
    expect(servers[0]?.log.find((line) => line.msg === 'refused webhooks were not counted')).toMatchObject({
      refusals: { missing_signature: 1, malformed_signature: 1, stale: 1 },
    })
  })

  const signed = (url: string, words: readonly string[]): Promise<Answer> =>
    sendWebhook(url, body, { signature: words.join(';') })
})

async function statusOfSigned(url: string, secrets: readonly string[]): Promise<number> {
  const { body } = anEvent()
  return (await sendWebhook(url, body, { signature: signatureOf(body, { secrets }) })).status
}

type StoredEvent = { event_id: string; event_type: string; body: string; state: string; xmin: string }

async function storedEvents(db: Db, eventId: string): Promise<StoredEvent[]> {
  const { rows } = await sql<StoredEvent>`
    select event_id, event_type, body, state, xmin::text from paddle_event where event_id = ${eventId}`.execute(
    db,
  )
  return rows
}

async function newestEvent(db: Db): Promise<StoredEvent> {
  const { rows } = await sql<StoredEvent>`
    select event_id, event_type, body, state, xmin::text from paddle_event order by received_at desc limit 1`.execute(
    db,
  )
  const [row] = rows
  if (row === undefined) throw new Error('no event is stored')
  return row
}

async function countEvents(db: Db): Promise<number> {
  return (await db.selectFrom('paddle_event').select('event_id').execute()).length
}

async function stagedJobs(
  db: Db,
  eventId: string,
): Promise<{ queue: string; data: unknown; xmin: string }[]> {
  const { rows } = await sql<{ queue: string; data: unknown; xmin: string }>`
    select queue, data, xmin::text from staged_job where job_id = ${`paddle-event-received_${eventId}`}`.execute(
    db,
  )
  return rows
}

async function readRefusals(db: Db): Promise<Record<string, bigint>> {
  const rows = await db.selectFrom('refused_webhook').select(['reason', 'refused']).execute()
  return Object.fromEntries(rows.map(({ reason, refused }) => [reason, refused]))
}
