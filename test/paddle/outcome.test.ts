// What every way in which a charge can fail is taken to prove, told over real HTTP, through the SDK.
import { describe, expect } from 'vitest'

import { micros } from '../../billing/money.ts'
import type { PaddleCall } from '../../paddle/client.ts'
import type { PaddleRefusal } from '../../paddle/outcome.ts'
import { answering, apiKey, json, refusing, test, text, type Script } from './scripted-paddle.ts'
import { ids, subscriptionWire } from './wire.ts'

const charge = {
  subscriptionId: ids.subscription,
  topUpId: 'top_1',
  workspaceId: 'ws_1',
  source: 'auto_recharge',
  amountMicros: micros(100_000_000n),
  sendBefore: Infinity,
} as const

const notProcessed = (code: string, retryAfterMs: number | null = null): PaddleRefusal => ({
  outcome: 'not_processed',
  code,
  retryAfterMs,
})
const blocked = (code: string): PaddleRefusal => ({ outcome: 'blocked', code })
const rejected = (code: string): PaddleRefusal => ({ outcome: 'rejected', code })
const unknown = (cause: string): PaddleRefusal => ({ outcome: 'unknown', cause })
const tooMany = (code: string, headers = {}): Script => refusing(429, code, { headers })

const rows: [what: string, script: Script, PaddleRefusal][] = [
  [
    'a decline',
    refusing(400, 'subscription_payment_declined'),
    { outcome: 'declined', code: 'subscription_payment_declined' },
  ],

  ['429', tooMany('too_many_requests'), notProcessed('too_many_requests')],
  [
    '429 with Retry-After',
    tooMany('too_many_requests', { 'retry-after': '17' }),
    notProcessed('too_many_requests', 17_000),
  ],
  [
    '20 charges in an hour',
    tooMany('subscription_immediate_charge_hour_limit_exceeded'),
    notProcessed('subscription_immediate_charge_hour_limit_exceeded'),
  ],
  [
    '100 charges in a day',
    tooMany('subscription_immediate_charge_24_hour_limit_exceeded'),
    notProcessed('subscription_immediate_charge_24_hour_limit_exceeded'),
  ],
  ['429 with a new code', tooMany('some_new_limit_exceeded'), notProcessed('some_new_limit_exceeded')],
  [
    'a lock before the renewal',
    refusing(409, 'subscription_locked_renewal'),
    notProcessed('subscription_locked_renewal'),
  ],
  [
    'a lock while processing',
    refusing(409, 'subscription_locked_processing'),
    notProcessed('subscription_locked_processing'),
  ],
  [
    'another change at the same time',
    refusing(409, 'concurrent_modification'),
    notProcessed('concurrent_modification'),
  ],
  ['a conflict', refusing(409, 'conflict'), notProcessed('conflict')],

  [
    'an unpaid transaction before it',
    refusing(409, 'subscription_outstanding_transaction'),
    blocked('subscription_outstanding_transaction'),
  ],
  [
    'pending changes',
    refusing(400, 'subscription_locked_pending_changes'),
    blocked('subscription_locked_pending_changes'),
  ],
  [
    'a key that Paddle does not know',
    refusing(401, 'authentication_malformed'),
    blocked('authentication_malformed'),
  ],

  ...[
    'invalid_field',
    'subscription_missing_payment_method_cannot_update',
    'subscription_is_canceled_action_invalid',
    'subscription_not_active',
    'subscription_update_when_past_due',
    'subscription_not_automatic_collection',
    'transaction_balance_less_than_charge_limit',
    'subscription_charge_duplicate_price_ids',
    'a_code_that_is_new',
  ].map((code): [string, Script, PaddleRefusal] => [code, refusing(400, code), rejected(code)]),
  ['not found', refusing(404, 'not_found'), rejected('not_found')],
  ['forbidden', refusing(403, 'forbidden'), rejected('forbidden')],

  ['500', refusing(500, 'internal_error'), unknown('internal_error HTTP 500')],
  [
    '500 with the code of a decline',
    refusing(500, 'subscription_payment_declined', { type: 'request_error' }),
    unknown('subscription_payment_declined HTTP 500'),
  ],
  [
    '400 of another type',
    refusing(400, 'subscription_payment_declined', { type: 'api_error' }),
    unknown('subscription_payment_declined HTTP 400'),
  ],
  [
    '200 with an error',
    refusing(200, 'subscription_payment_declined'),
    unknown('subscription_payment_declined HTTP 200'),
  ],
  ['408', refusing(408, 'request_timeout'), unknown('request_timeout HTTP 408')],
  ['400 with no code', json(400, { error: { type: 'request_error' } }), unknown('HTTP 400')],
  ['400 with a code that is none', refusing(400, `key ${apiKey}`), unknown('HTTP 400')],
  ['400 that is not Paddle’s', json(400, { foo: 1 }), unknown('TypeError HTTP 400')],
  ['502 in HTML', text(502, '<html><h1>Bad Gateway</h1></html>'), unknown('SyntaxError HTTP 502')],
  ['403 in HTML', text(403, '<html>blocked</html>'), unknown('SyntaxError HTTP 403')],
  ['504 with nothing', text(504, ''), unknown('SyntaxError HTTP 504')],
  ['500 with other JSON', json(500, { foo: 1 }), unknown('TypeError HTTP 500')],
  ['201 with half of its JSON', text(201, '{"data":{"id":"sub_'), unknown('SyntaxError HTTP 201')],
  ['201 without items', json(201, { data: { id: ids.subscription } }), unknown('TypeError HTTP 201')],
  ['201 with null', text(201, 'null'), unknown('TypeError HTTP 201')],
  [
    'an early hint and then nothing',
    (response) => response.writeEarlyHints({ link: '</a>; rel=preload' }, () => response.socket?.destroy()),
    unknown('TypeError UND_ERR_SOCKET no answer'),
  ],
  ['a reset', (response) => response.socket?.resetAndDestroy(), unknown('TypeError ECONNRESET no answer')],
  [
    'an end without an answer',
    (response) => response.socket?.destroy(),
    unknown('TypeError UND_ERR_SOCKET no answer'),
  ],
  [
    'what is not HTTP',
    (response) => response.socket?.end('SSH-2.0-OpenSSH_9.6\r\n\r\n'),
    unknown('TypeError no answer'),
  ],
]

describe('a charge that Paddle answers with', () => {
  test.for(rows)('%s', async ([, script, expected], { paddle, gatewayOn }) => {
    const calls: PaddleCall[] = []
    paddle.answer(script)

    const outcome = await gatewayOn(paddle, { onCall: (call) => calls.push(call) }).charge(charge)

    expect(outcome).toEqual(expected)
    expect(paddle.received).toHaveLength(1)
    expect(calls).toEqual([
      expect.objectContaining({ operation: 'charge', outcome: expected.outcome, sent: true }),
    ])
    expect(JSON.stringify([outcome, calls])).not.toContain('canary')
  })

  test('201 is accepted, and was asked for as agreed', async ({ paddle, gatewayOn }) => {
    paddle.answer(answering(subscriptionWire(), 201))

    const outcome = await gatewayOn(paddle).charge(charge)

    expect(outcome).toEqual({ outcome: 'accepted' })
    expect(paddle.received).toEqual([
      {
        method: 'POST',
        path: `/subscriptions/${ids.subscription}/charge`,
        authorization: `bearer ${apiKey}`,
        body: {
          effective_from: 'immediately',
          on_payment_failure: 'prevent_change',
          items: [
            {
              quantity: 1,
              price: {
                product_id: 'pro_walletcredit',
                name: 'Wallet top-up',
                description: 'auto_recharge top_1',
                tax_mode: 'external',
                unit_price: { amount: '10000', currency_code: 'USD' },
                quantity: { minimum: 1, maximum: 1 },
                custom_data: { top_up_id: 'top_1', workspace_id: 'ws_1', source: 'auto_recharge' },
              },
            },
          ],
        },
      },
    ])
  })
})

describe('a charge that never reaches Paddle', () => {
  test('because nobody listens, was not processed', async ({ paddle, gatewayOn }) => {
    const gateway = gatewayOn(paddle)
    await paddle.close()

    const outcome = await gateway.charge(charge)

    expect(outcome).toEqual(notProcessed('econnrefused'))
  })

  test('because fetch itself refuses the port, was not processed', async ({ gatewayOn }) => {
    const outcome = await gatewayOn({ url: 'http://127.0.0.1:1' }).charge(charge)

    expect(outcome).toEqual(notProcessed('not_sent'))
  })
})

describe('a charge that no charge can be', () => {
  test.for([
    ['nothing', { amountMicros: micros(0n) }, 'malformed_top_up_amount'],
    ['less than nothing', { amountMicros: micros(-10_000n) }, 'malformed_top_up_amount'],
    ['a part of a cent', { amountMicros: micros(10_001n) }, 'malformed_top_up_amount'],
    ['no top-up', { topUpId: '' }, 'malformed_top_up_note'],
    ['a workspace with a space', { workspaceId: 'ws 1' }, 'malformed_top_up_note'],
    ['a path for a subscription', { subscriptionId: 'sub_1/../sub_2' }, 'malformed_paddle_id'],
    ['no subscription', { subscriptionId: '' }, 'malformed_paddle_id'],
  ] as const)('%s is thrown and not sent', async ([, change, code], { paddle, gatewayOn }) => {
    const charging = gatewayOn(paddle).charge({ ...charge, ...change })

    await expect(charging).rejects.toMatchObject({ code })
    expect(paddle.connections()).toBe(0)
  })
})
