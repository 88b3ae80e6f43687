// The transport under the SDK, on real sockets: how long it waits, where it goes, and until when it sends.
import { channel } from 'node:diagnostics_channel'

import { Agent, getGlobalDispatcher, setGlobalDispatcher } from 'undici'
import { describe, expect } from 'vitest'

import { micros } from '../../billing/money.ts'
import { createPaddleGateway } from '../../paddle/gateway.ts'
import { exchange, installPaddleTransport, type ExchangeTerms } from '../../paddle/transport.ts'
import { until } from '../support/until.ts'
import { answering, apiKey, hanging, listing, refusing, test, text } from './scripted-paddle.ts'
import { ids, subscriptionWire, transactionWire } from './wire.ts'

const request = {
  subscriptionId: ids.subscription,
  topUpId: 'top_1',
  workspaceId: 'ws_1',
  source: 'auto_recharge',
  amountMicros: micros(100_000_000n),
} as const
const soon = (): number => performance.now() + 60_000

describe('how long it waits', () => {
  test('a charge outlasts what any other call may take', async ({ paddle, gatewayOn }) => {
    const gateway = gatewayOn(paddle, { timeouts: { chargeMs: 20_000, otherMs: 300 } })
    const held: (() => void)[] = []
    paddle.answer(
      (response) => held.push(() => answering(subscriptionWire(), 201)(response, response.req)),
      hanging,
    )

    const charging = gateway.charge({ ...request, sendBefore: soon() })
    await until('the charge is with Paddle', () => paddle.received.length === 1)
    const other = await gateway.getTransaction(ids.transaction)
    for (const release of held) release()
    const charged = await charging

    expect(other).toEqual({ outcome: 'unknown', cause: 'TypeError UND_ERR_HEADERS_TIMEOUT no answer' })
    expect(charged).toEqual({ outcome: 'accepted' })
  })

  test('a charge that is never answered ends, as unknown', async ({ paddle, gatewayOn }) => {
    paddle.answer(hanging)

    const charged = await gatewayOn(paddle).charge({ ...request, sendBefore: soon() })

    expect(charged).toEqual({ outcome: 'unknown', cause: 'TypeError UND_ERR_HEADERS_TIMEOUT no answer' })
  })

  test('an answer that stops halfway ends, as unknown', async ({ paddle, gatewayOn }) => {
    paddle.answer((response) => response.writeHead(201, { 'content-length': '1000' }).write('{"data":'))

    const charged = await gatewayOn(paddle).charge({ ...request, sendBefore: soon() })

    expect(charged).toEqual({ outcome: 'unknown', cause: 'TypeError UND_ERR_BODY_TIMEOUT HTTP 201' })
  })
})

describe('until when it sends', () => {
  test('a charge whose time has passed is not sent, and no connection is made for it', async ({
    paddle,
    gatewayOn,
  }) => {
    const charged = await gatewayOn(paddle).charge({ ...request, sendBefore: performance.now() })

    expect(charged).toEqual({ outcome: 'not_processed', code: 'send_deadline_passed', retryAfterMs: null })
    expect(paddle.connections()).toBe(0)
  })

  test('a process that stood still while it connected does not send late', async ({ paddle, gatewayOn }) => {
    const sendBefore = performance.now() + 500
    const connecting = channel('undici:client:beforeConnect')
    let frozen = false
    const freeze = (): void => {
      frozen = true
      standStillUntil(sendBefore)
    }

    connecting.subscribe(freeze)
    const charged = await gatewayOn(paddle).charge({ ...request, sendBefore })
    connecting.unsubscribe(freeze)

    expect(frozen).toBe(true)
    expect(charged).toEqual({ outcome: 'not_processed', code: 'send_deadline_passed', retryAfterMs: null })
    expect(paddle.connections()).toBe(1)
    expect(paddle.received).toEqual([])
  })

  test('the connection on which nothing was sent in time serves the next call', async ({
    paddle,
    gatewayOn,
  }) => {
    const gateway = gatewayOn(paddle)
    const sendBefore = performance.now() + 500
    const connecting = channel('undici:client:beforeConnect')
    const freeze = (): void => standStillUntil(sendBefore)
    connecting.subscribe(freeze)
    await gateway.charge({ ...request, sendBefore })
    connecting.unsubscribe(freeze)
    paddle.answer(answering(subscriptionWire(), 201))

    const charged = await gateway.charge({ ...request, sendBefore: soon() })

    expect(charged).toEqual({ outcome: 'accepted' })
    expect(paddle.received).toHaveLength(1)
    expect(paddle.connections()).toBe(1)
  })
})

describe('where it goes', () => {
  test.for([301, 302, 303, 307, 308])(
    'a redirect with %i is not followed',
    async (status, { paddle, gatewayOn }) => {
      paddle.answer(text(status, '', { location: `${paddle.url}/subscriptions/sub_2/charge` }))

      const charged = await gatewayOn(paddle).charge({ ...request, sendBefore: soon() })

      expect(charged).toEqual({
        outcome: 'unknown',
        cause: `TypeError second_request_refused HTTP ${status}`,
      })
      expect(paddle.received).toHaveLength(1)
    },
  )

  test('a redirect to elsewhere takes the key nowhere', async ({ startPaddle, paddle, gatewayOn }) => {
    const elsewhere = await startPaddle()
    paddle.answer(text(302, '', { location: elsewhere.url }))

    const found = await gatewayOn(paddle).getTransaction(ids.transaction)

    expect(found.outcome).toBe('unknown')
    expect(elsewhere.connections()).toBe(0)
  })

  test('a next page that is elsewhere is not read', async ({ startPaddle, paddle, gatewayOn }) => {
    const elsewhere = await startPaddle()
    const next = `${elsewhere.url}/transactions?after=${paddle.url}`
    paddle.answer(listing([transactionWire()], { next, hasMore: true }))

    const listed = await gatewayOn(paddle).listTransactions({ updatedSince: new Date(0) })

    expect(listed).toEqual({ outcome: 'not_processed', code: 'foreign_origin_refused', retryAfterMs: null })
    expect(elsewhere.connections()).toBe(0)
  })

  test('what is no call to Paddle passes through untouched', async ({ paddle }) => {
    paddle.answer(text(302, '', { location: '/here' }), text(200, 'here'))

    const response = await fetch(`${paddle.url}/there`)

    expect(await response.text()).toBe('here')
  })
})

describe('what it notes', () => {
  test('status, request id and Retry-After, whatever becomes of the body', async ({ paddle }) => {
    paddle.answer(text(429, 'slow down', { 'retry-after': '17' }))

    const end = await exchange(terms(paddle.url), async () => await (await fetch(paddle.url)).json())

    expect(end.ended).toBe('error')
    expect(end.facts).toEqual({
      sent: true,
      refusal: null,
      status: 429,
      requestId: 'req-1',
      retryAfterMs: 17_000,
    })
  })

  test.for([
    ['0', 0],
    ['999999999', 86_400_000],
    ['Wed, 21 Oct 2026 07:28:00 GMT', null],
    ['-5', null],
    ['1.5', null],
    ['soon', null],
  ] as const)('a Retry-After of %j as %j ms', async ([header, retryAfterMs], { paddle }) => {
    paddle.answer(text(429, '', { 'retry-after': header }))

    const { facts } = await exchange(terms(paddle.url), () => fetch(paddle.url))

    expect(facts.retryAfterMs).toBe(retryAfterMs)
  })

  test('each of many at once for itself', async ({ paddle }) => {
    paddle.answer((response, request) => text(Number(request.url?.slice(1)), '')(response, request))
    const statuses = Array.from({ length: 40 }, (_, at) => 400 + at)

    const patient = { ...terms(paddle.url), headersTimeoutMs: 30_000, bodyTimeoutMs: 30_000 }

    const ends = await Promise.all(
      statuses.map((status) => exchange(patient, () => fetch(`${paddle.url}/${status}`))),
    )

    expect(ends.map(({ facts }) => facts.status)).toEqual(statuses)
  })
})

describe('being installed', () => {
  test('without it, no gateway is created and no call is made', async ({ paddle, gatewayOn }) => {
    const gateway = gatewayOn(paddle)
    const ours = getGlobalDispatcher()
    const other = new Agent()

    setGlobalDispatcher(other)
    try {
      expect(() => gatewayOn(paddle)).toThrow(/installPaddleTransport\(\)/)
      await expect(gateway.getTransaction(ids.transaction)).rejects.toMatchObject({
        code: 'paddle_transport_missing',
      })
    } finally {
      setGlobalDispatcher(ours)
      await other.close()
    }
    expect(paddle.connections()).toBe(0)
  })

  test('closing it puts back what was there', async () => {
    const before = getGlobalDispatcher()

    const transport = installPaddleTransport()
    const during = getGlobalDispatcher()
    await transport.close()

    expect(during).not.toBe(before)
    expect(getGlobalDispatcher()).toBe(before)
  })

  test('no failure leaves a rejection that nobody handles', async ({ paddle, gatewayOn, startPaddle }) => {
    const unhandled: unknown[] = []
    const note = (error: unknown): number => unhandled.push(error)
    process.on('unhandledRejection', note)
    const gateway = gatewayOn(paddle)
    const elsewhere = await startPaddle()
    const late = { ...request, sendBefore: performance.now() }

    paddle.answer((response) => response.socket?.resetAndDestroy())
    await Promise.all([gateway.charge(late), gateway.charge({ ...request, sendBefore: soon() })])
    paddle.answer(text(307, '', { location: elsewhere.url }))
    await gateway.charge({ ...request, sendBefore: soon() })
    paddle.answer(refusing(500, 'internal_error'))
    await gateway.charge({ ...request, sendBefore: soon() })
    // An unhandled rejection is told of once the microtasks are done, before the next turn.
    await new Promise((resolve) => setImmediate(resolve))
    process.off('unhandledRejection', note)

    expect(unhandled).toEqual([])
  })
})

test('a gateway is created only for a key and an environment that go together', () => {
  const options = { productId: 'pro_1', setupPriceId: 'pri_1' }

  expect(() => createPaddleGateway({ ...options, apiKey, environment: 'production' })).toThrow(/live key/)
})

function terms(origin: string): ExchangeTerms {
  return { origin, headersTimeoutMs: 500, bodyTimeoutMs: 500, sendBefore: null }
}

/** As a stopped process: nothing of it runs until then. */
function standStillUntil(instant: number): void {
  while (performance.now() < instant) {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, Math.ceil(instant - performance.now()))
  }
}
