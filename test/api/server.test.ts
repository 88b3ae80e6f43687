// The server around the routes: one shape for every error, nothing internal in any, and no patience with who is slow.
import { once } from 'node:events'
import { connect as connectSocket, type Socket } from 'node:net'
import { text } from 'node:stream/consumers'

import { sql } from 'kysely'
import { describe, expect, onTestFinished } from 'vitest'

import { test } from '../support/fixtures.ts'
import { anEvent, answerOf, sendWebhook, signatureOf } from '../support/paddle-sender.ts'
import { until } from '../support/until.ts'
import { givenServer } from './given-server.ts'

/** A second, in the eyes of these tests: the server looks for late requests every so often. */
const patience = { headersMs: 300, requestMs: 600, closeMs: 200 }

describe('every error', () => {
  const wrong: [method: string, path: string][] = [
    ['GET', '/webhooks/paddle'],
    ['PUT', '/webhooks/paddle'],
    ['DELETE', '/webhooks/paddle'],
    ['PATCH', '/webhooks/paddle'],
    ['OPTIONS', '/webhooks/paddle'],
    ['POST', '/webhooks/paddle/'],
    ['POST', '/webhooks/paddle/again'],
    ['POST', '/webhooks//paddle'],
    ['POST', '/webhooks%2Fpaddle'],
    ['POST', '/WEBHOOKS/paddle'],
    ['POST', '/webhooks'],
    ['POST', '/webhooks/../../etc/passwd'],
    ['POST', '/'],
    ['GET', '/.env'],
    ['POST', '/healthz'],
    ['GET', `/${'a'.repeat(2_000)}`],
  ]

  test.for(wrong)('has one shape, and says what to do: %s %s', async ([method, path], { place }) => {
    const { url } = await givenServer(place.databaseUrl)

    const answer = await answerOf(await fetch(`${url}${path}`, { method }))

    expect(answer).toMatchObject({ status: 404, body: { error: { code: 'not_found' } } })
    expectOneShape(answer)
  })

  test('has it without a body where HTTP wants none', async ({ place }) => {
    const { url } = await givenServer(place.databaseUrl)

    const answer = await answerOf(await fetch(`${url}/webhooks/paddle`, { method: 'HEAD' }))

    expect(answer).toMatchObject({ status: 404, text: '' })
    expect(answer.requestId).toMatch(/^req_/)
  })

  const broken: [what: string, request: string, status: number, code: string][] = [
    ['is no HTTP', 'hello there\r\n\r\n', 400, 'malformed_request'],
    ['is TLS', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', 400, 'malformed_request'],
    [
      'has an address that cannot be',
      'GET /%zz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n',
      400,
      'malformed_request',
    ],
    [
      'has two lengths',
      'POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab',
      400,
      'malformed_request',
    ],
    [
      'has headers without end',
      `GET / HTTP/1.1\r\nhost: a\r\nx: ${'a'.repeat(20_000)}\r\n\r\n`,
      431,
      'headers_too_large',
    ],
  ]

  test.for(broken)('has it where the request %s', async ([, request, status, code], { place }) => {
    const { url } = await givenServer(place.databaseUrl)
    const socket = await openSocket(url)

    socket.write(request)
    const answer = parseAnswer(await text(socket))

    expect(answer).toMatchObject({ status, body: { error: { code } } })
    expectOneShape(answer)
  })

  test('of ours has nothing of what went wrong in it, and is in the log under its id', async ({
    ownPlace: place,
    ownDb: db,
  }) => {
    const { url, log } = await givenServer(place.databaseUrl)
    await sql`
      alter table paddle_event add constraint secret_rule check (event_type <> 'address.updated')`.execute(db)

    const answer = await sendWebhook(url, anEvent().body)

    expect(answer).toMatchObject({ status: 500, body: { error: { code: 'internal_error' } } })
    expectOneShape(answer)
    expect(answer.text).not.toMatch(/secret_rule|paddle_event|constraint|at .*\.ts/)
    const line = log.find((each) => each.level === 'error')
    expect(line).toMatchObject({ requestId: answer.requestId, route: '/webhooks/paddle' })
    expect(JSON.stringify(line)).toContain('secret_rule')
  })

  test('has an id of its own, and not one that the sender made up', async ({ place }) => {
    const { url } = await givenServer(place.databaseUrl)
    const ask = async (): Promise<string | null> => {
      const response = await fetch(`${url}/nowhere`, { headers: { 'x-request-id': 'made up' } })
      return (await answerOf(response)).requestId
    }

    const ids = await Promise.all(Array.from({ length: 20 }, ask))

    expect(new Set(ids).size).toBe(20)
    expect(ids).not.toContain('made up')
  })
})

describe('a server with little time', () => {
  const begin = 'POST /webhooks/paddle HTTP/1.1\r\nhost: a\r\n'
  // A drop now and then is no sign of life.
  const slow: [what: string, head: string, drop: string][] = [
    ['headers never end', begin, 'x'],
    ['body never ends', `${begin}content-length: 1000\r\n\r\n`, 'x'],
    ['chunks never end', `${begin}transfer-encoding: chunked\r\n\r\n`, '1\r\nx\r\n'],
  ]

  test.for(slow)(
    'cuts off a request whose %s, and serves others meanwhile',
    async ([, head, drop], { place }) => {
      const { url, log } = await givenServer(place.databaseUrl, { limits: patience })
      const socket = await openSocket(url)
      const closed = text(socket)

      socket.write(head)
      const dripping = setInterval(() => socket.write(drop), 50)
      socket.once('close', () => clearInterval(dripping))
      const meanwhile = await sendWebhook(url, anEvent().body)
      const answer = parseAnswer(await closed)

      expect(meanwhile.status).toBe(200)
      expect(answer).toMatchObject({ status: 408, body: { error: { code: 'too_slow' } } })
      expectOneShape(answer)
      // Whoever does this again and again shall not fill the log.
      expect(log.filter((line) => line.level !== 'debug' && line.level !== 'info')).toEqual([])
    },
  )

  test('does not wait for the end of a request that hangs up, and says nothing of it', async ({
    ownPlace: place,
    ownDb: db,
  }) => {
    const server = await givenServer(place.databaseUrl, { limits: patience })
    const socket = await openSocket(server.url)

    socket.write('POST /webhooks/paddle HTTP/1.1\r\nhost: a\r\ncontent-length: 1000\r\n\r\nabc')
    // Answered only after the server has looked at what came before.
    await fetch(`${server.url}/healthz`)
    socket.destroy()
    await until('the server has given it up', () =>
      server.log.some((line) => line.msg === 'a request was refused'),
    )
    await server.close()

    expect(server.log.filter((line) => line.level === 'error')).toEqual([])
    expect(await db.selectFrom('refused_webhook').select(['reason', 'refused']).execute()).toEqual([
      { reason: 'malformed_request', refused: 1n },
    ])
  })

  test('closes although somebody is still sending, and lets what is nearly done end', async ({ place }) => {
    const server = await givenServer(place.databaseUrl, {
      limits: { ...patience, requestMs: 60_000, headersMs: 60_000, closeMs: 1_000 },
    })
    const slowBody = await openSocket(server.url)
    const slowHead = await openSocket(server.url)
    const { body } = anEvent()
    const nearlyDone = await openSocket(server.url)
    slowBody.write('POST /webhooks/paddle HTTP/1.1\r\nhost: a\r\ncontent-length: 1000\r\n\r\nabc')
    slowHead.write('POST /webhooks/paddle HTTP/1.1\r\nhost: a\r\n')
    nearlyDone.write(
      `POST /webhooks/paddle HTTP/1.1\r\nhost: a\r\npaddle-signature: ${signatureOf(body)}\r\n` +
        `content-length: ${Buffer.byteLength(body)}\r\n\r\n${body.slice(0, 20)}`,
    )
    const answered = text(nearlyDone)
    await sendWebhook(server.url, anEvent().body)

    const closed = server.close()
    nearlyDone.write(body.slice(20))
    await closed

    expect(parseAnswer(await answered)).toMatchObject({ status: 200, body: { status: 'received' } })
  })

  test('refuses ten megabytes by their announcement', async ({ place }) => {
    const { url } = await givenServer(place.databaseUrl)
    const socket = await openSocket(url)

    socket.write(
      'POST /webhooks/paddle HTTP/1.1\r\nhost: a\r\ncontent-length: 10000000\r\nconnection: close\r\n\r\nab',
    )
    const [head] = await once(socket, 'data')

    expect(String(head)).toMatch(/^HTTP\/1\.1 413 /)
  })

  test('refuses what grows beyond the limit without having said so', async ({ place }) => {
    const { url } = await givenServer(place.databaseUrl, { limits: { bodyBytes: 10_000 } })
    const socket = await openSocket(url)

    socket.write('POST /webhooks/paddle HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n')
    socket.write(`4000\r\n${'a'.repeat(0x4000)}\r\n`)
    const [head] = await once(socket, 'data')

    expect(String(head)).toMatch(/^HTTP\/1\.1 413 /)
  })
})

test('/healthz says that the process is alive, for GET and HEAD, and asks nobody else', async ({
  place,
  startServers,
}) => {
  const { postgres, databaseUrl } = await startServers({ redisUrl: place.redisUrl })
  await postgres.kill()
  const { url } = await givenServer(databaseUrl)

  expect(await answerOf(await fetch(`${url}/healthz`))).toMatchObject({ status: 200, body: { status: 'ok' } })
  expect((await fetch(`${url}/healthz`, { method: 'HEAD' })).status).toBe(200)
})

type RawAnswer = { status: number; requestId: string | null; body: unknown }

function expectOneShape({ body, requestId }: RawAnswer): void {
  expect(requestId).toMatch(/^req_[\da-f-]{36}$/)
  expect(body).toEqual({
    error: {
      code: expect.stringMatching(/^[a-z_]+$/),
      // A sentence or two for a person.
      message: expect.stringMatching(/^[A-Z].{20,}\.$/),
      request_id: requestId,
    },
  })
}

async function openSocket(url: string): Promise<Socket> {
  const { hostname, port } = new URL(url)
  const socket = connectSocket(Number(port), hostname)
  // Being cut off is what these tests are about.
  socket.on('error', () => undefined)
  onTestFinished(() => void socket.destroy())
  await once(socket, 'connect')
  return socket
}

function parseAnswer(raw: string): RawAnswer {
  const [head = '', body = ''] = raw.split('\r\n\r\n')
  const parsed: unknown = body === '' ? null : JSON.parse(body)
  return {
    status: Number(/^HTTP\/1\.1 (\d{3}) /.exec(head)?.[1]),
    requestId: /^x-request-id: (\S+)$/im.exec(head)?.[1] ?? null,
    body: parsed,
  }
}
