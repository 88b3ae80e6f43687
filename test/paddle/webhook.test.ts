// Whether a webhook is Paddle's, and what it says. The SDK's verifier is asked the same, so that where the two differ is known.
import { createHmac } from 'node:crypto'

import { Paddle } from '@paddle/paddle-node-sdk'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import { readPaddleEvent, verifyPaddleSignature, type SignatureVerdict } from '../../paddle/webhook.ts'
import { adjustmentWire, eventWire, ids, subscriptionWire, transactionWire } from './wire.ts'

const secret = 'pdl_ntfset_01_current'
const formerSecret = 'pdl_ntfset_01_former'
const rawBody = Buffer.from(JSON.stringify(eventWire('transaction.completed', transactionWire())))
const genuine: SignatureVerdict = { outcome: 'genuine' }
const refused = (reason: string) => ({ outcome: 'refused', reason })

describe('a signature', () => {
  const now = new Date('2026-04-12T10:18:50.400Z')
  const seconds = Math.floor(now.getTime() / 1000)
  const verify = (
    header: string | undefined,
    changes: Partial<Parameters<typeof verifyPaddleSignature>[0]> = {},
  ) => verifyPaddleSignature({ rawBody, header, secrets: [secret], now, toleranceMs: 5_000, ...changes })

  test('made with the secret, over the time and the bytes, is genuine', () => {
    expect(verify(headerOf(seconds, secret))).toEqual(genuine)
    expect(
      verify(headerOf(seconds, secret).toUpperCase().replace('TS=', 'ts=').replace('H1=', 'h1=')),
    ).toEqual(genuine)
    expect(verify(headerOf(seconds, secret).replace(';', '; '))).toEqual(genuine)
  })

  test('counts wherever it stands among several, and whichever of our secrets it was made with', () => {
    const old = h1Of(seconds, formerSecret)
    const good = h1Of(seconds, secret)

    for (const signatures of [
      [old, good],
      [good, old],
      [old, old, good, old],
    ]) {
      const header = `ts=${seconds};${signatures.map((h1) => `h1=${h1}`).join(';')}`
      expect(verify(header)).toEqual(genuine)
    }
    expect(verify(headerOf(seconds, formerSecret), { secrets: [secret, formerSecret] })).toEqual(genuine)
    expect(verify(headerOf(seconds, formerSecret))).toEqual(refused('wrong_signature'))
  })

  test('is refused when anything that it covers has changed', () => {
    const header = headerOf(seconds, secret)
    const reencoded = Buffer.from(JSON.stringify(JSON.parse(rawBody.toString()), null, 1))

    expect(verify(header, { rawBody: reencoded })).toEqual(refused('wrong_signature'))
    expect(verify(header, { rawBody: Buffer.alloc(0) })).toEqual(refused('wrong_signature'))
    expect(verify(header.replace(`ts=${seconds}`, `ts=${seconds - 1}`))).toEqual(refused('wrong_signature'))
    expect(verify(header.replace(/.$/, (last) => (last === '0' ? '1' : '0')))).toEqual(
      refused('wrong_signature'),
    )
  })

  test('is believed up to the tolerance, in the past and ahead, and no further', () => {
    expect(verify(headerOf(seconds - 4, secret))).toEqual(genuine)
    expect(verify(headerOf(seconds + 5, secret))).toEqual(genuine)
    expect(verify(headerOf(seconds - 5, secret))).toEqual(refused('stale'))
    expect(verify(headerOf(seconds + 6, secret))).toEqual(refused('from_the_future'))
  })

  test.for([
    [undefined, 'missing_signature'],
    ['', 'missing_signature'],
    ['nonsense', 'malformed_signature'],
    [`ts=${seconds}`, 'malformed_signature'],
    [`h1=${'0'.repeat(64)}`, 'malformed_signature'],
    [`ts=${seconds};h1=${'0'.repeat(63)}`, 'malformed_signature'],
    [`ts=${seconds};h1=${'g'.repeat(64)}`, 'malformed_signature'],
    [`ts=1e9;h1=${'0'.repeat(64)}`, 'malformed_signature'],
    [`ts=;h1=${'0'.repeat(64)}`, 'malformed_signature'],
    [`ts=-5;h1=${'0'.repeat(64)}`, 'malformed_signature'],
    [`ts=${seconds};ts=${seconds};h1=${'0'.repeat(64)}`, 'malformed_signature'],
    [`ts=${seconds};h1=${'0'.repeat(64)}`, 'wrong_signature'],
  ] as const)('%j is refused: %s', ([header, reason]) => {
    expect(verify(header)).toEqual(refused(reason))
  })

  test('made with no secret is never genuine, even when none is configured', () => {
    expect(verify(headerOf(seconds, ''), { secrets: [''] })).toEqual(refused('wrong_signature'))
    expect(verify(headerOf(seconds, ''), { secrets: [] })).toEqual(refused('wrong_signature'))
  })

  test('of any other text is refused, and never throws', () => {
    const parts = fc.constantFrom('ts=', 'h1=', ';', `${seconds}`, '0'.repeat(64), '=', ' ', '\u0000', 'é')
    const headers = fc.oneof(
      fc.string(),
      fc.array(parts).map((some) => some.join('')),
    )

    fc.assert(
      fc.property(headers, fc.uint8Array(), (header, body) => {
        expect(verify(header, { rawBody: Buffer.from(body) }).outcome).toBe('refused')
      }),
    )
  })
})

describe('beside the SDK’s verifier', () => {
  const paddle = new Paddle('pdl_sdbx_unused')
  const theirs = (header: string, body = rawBody): Promise<boolean> =>
    paddle.webhooks.unmarshal(body.toString(), secret, header).then(
      () => true,
      () => false,
    )

  test('the two agree on a genuine, a forged, a stale and a missing signature', async () => {
    const headers = [
      headerOf(nowSeconds(), secret),
      headerOf(nowSeconds(), formerSecret),
      headerOf(nowSeconds() - 60, secret),
      `ts=${nowSeconds()}`,
      '',
    ]

    expect(headers.map((header) => ours(header))).toEqual([true, false, false, false, false])
    expect(await Promise.all(headers.map((header) => theirs(header)))).toEqual([
      true,
      false,
      false,
      false,
      false,
    ])
  })

  test('only ours takes a genuine signature that is not the last', async () => {
    const ts = nowSeconds()
    const header = `ts=${ts};h1=${h1Of(ts, secret)};h1=${h1Of(ts, formerSecret)}`

    expect(ours(header)).toBe(true)
    expect(await theirs(header)).toBe(false)
  })

  test('only theirs believes a time that is an hour ahead', async () => {
    const header = headerOf(nowSeconds() + 3600, secret)

    expect(ours(header)).toBe(false)
    expect(await theirs(header)).toBe(true)
  })

  test('only theirs throws on a genuine event whose data has changed shape', async () => {
    const body = Buffer.from(JSON.stringify(eventWire('transaction.completed', { id: ids.transaction })))
    const header = headerOf(nowSeconds(), secret, body)

    expect(ours(header, body)).toBe(true)
    expect(readPaddleEvent(body.toString())).toMatchObject({ outcome: 'unreadable', eventId: ids.event })
    await expect(paddle.webhooks.unmarshal(body.toString(), secret, header)).rejects.toThrow(TypeError)
  })
})

describe('an event', () => {
  test.for([
    ['transaction.completed', transactionWire(), 'transaction'],
    ['transaction.payment_failed', transactionWire({ status: 'ready', payments: [] }), 'transaction'],
    ['subscription.created', subscriptionWire({ transaction_id: ids.transaction }), 'subscription'],
    ['subscription.canceled', subscriptionWire({ status: 'canceled' }), 'subscription'],
    ['adjustment.updated', adjustmentWire(), 'adjustment'],
  ] as const)('%s carries its fact', ([eventType, data, kind]) => {
    const reading = readPaddleEvent(JSON.stringify(eventWire(eventType, data)))

    expect(reading).toMatchObject({
      outcome: 'read',
      event: {
        eventId: ids.event,
        eventType,
        occurredAt: new Date('2026-04-12T10:18:49.621Z'),
        fact: { kind },
      },
    })
  })

  test.for([
    ['customer.updated', {}],
    ['a.kind.that.is.new', null],
    ['transactions', { id: 1 }],
    ['adjustment.created', adjustmentWire({ totals: { subtotal: '0', currency_code: 'USD' } })],
  ] as const)('%s that moves nothing here is read without a fact', ([eventType, data]) => {
    const reading = readPaddleEvent(JSON.stringify(eventWire(eventType, data)))

    expect(reading).toMatchObject({ outcome: 'read', event: { eventType, fact: null } })
  })

  test.for([
    ['no JSON', 'half of {', { detail: 'not JSON' }],
    ['no object', '[]', {}],
    ['null', 'null', {}],
    [
      'an envelope without a time',
      JSON.stringify({ event_id: ids.event, event_type: 'customer.updated' }),
      { eventId: ids.event, eventType: 'customer.updated' },
    ],
    [
      'an id with a NUL',
      JSON.stringify(eventWire('customer.updated', {}, { event_id: 'evt_\u0000' })),
      { eventType: 'customer.updated' },
    ],
    [
      'data without items',
      JSON.stringify(eventWire('transaction.paid', transactionWire({ items: undefined }))),
      { eventId: ids.event, eventType: 'transaction.paid', detail: expect.stringContaining('items') },
    ],
    [
      'money as a number',
      JSON.stringify(
        eventWire('adjustment.updated', adjustmentWire({ totals: { subtotal: 2500, currency_code: 'USD' } })),
      ),
      { detail: expect.stringContaining('totals.subtotal') },
    ],
    [
      'a refund below zero',
      JSON.stringify(
        eventWire('adjustment.updated', adjustmentWire({ totals: { subtotal: '-1', currency_code: 'USD' } })),
      ),
      { detail: expect.stringContaining('zero or more') },
    ],
  ] as const)('of %s is unreadable, and says what it can', ([, text, expected]) => {
    expect(readPaddleEvent(text)).toMatchObject({ outcome: 'unreadable', ...expected })
  })

  test('of any text or JSON is a value, and never throws', () => {
    const whole = eventWire('transaction.completed', transactionWire())
    const paths = pathsOf(whole)
    const broken = fc
      .tuple(fc.constantFrom(...paths), fc.jsonValue())
      .map(([path, value]) => JSON.stringify(replaced(whole, path, value)))

    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json(), broken), (text) => {
        expect(['read', 'unreadable']).toContain(readPaddleEvent(text).outcome)
      }),
      { numRuns: 500 },
    )
  })

  test('does not repeat, in what it says of itself, what it held', () => {
    const event = eventWire('transaction.completed', transactionWire({ customer_id: 'canary canary' }))

    expect(JSON.stringify(readPaddleEvent(JSON.stringify(event)))).not.toContain('canary')
    expect(JSON.stringify(readPaddleEvent('canary'))).not.toContain('canary')
  })

  test('nested a hundred thousand deep is read or not, and does not overflow', () => {
    const depth = 100_000
    const text = `{"data":${'['.repeat(depth)}${']'.repeat(depth)}}`

    expect(readPaddleEvent(text).outcome).toBe('unreadable')
  })
})

function nowSeconds(): number {
  return Math.floor(Date.now() / 1000)
}

function ours(header: string, body = rawBody): boolean {
  const now = new Date()
  const verdict = verifyPaddleSignature({ rawBody: body, header, secrets: [secret], now, toleranceMs: 5_000 })
  return verdict.outcome === 'genuine'
}

function h1Of(seconds: number, secret: string, body = rawBody): string {
  return createHmac('sha256', secret).update(`${seconds}:`).update(body).digest('hex')
}

function headerOf(seconds: number, secret: string, body = rawBody): string {
  return `ts=${seconds};h1=${h1Of(seconds, secret, body)}`
}

type Path = readonly string[]

function pathsOf(value: unknown, path: Path = []): Path[] {
  if (typeof value !== 'object' || value === null) return [path]
  return [path, ...Object.entries(value).flatMap(([key, inner]) => pathsOf(inner, [...path, key]))]
}

function replaced(value: unknown, [key, ...rest]: Path, by: unknown): unknown {
  if (key === undefined) return by
  if (Array.isArray(value))
    return value.map((inner, at) => (String(at) === key ? replaced(inner, rest, by) : inner))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value).map(([name, inner]) => [name, name === key ? replaced(inner, rest, by) : inner]),
  )
}
