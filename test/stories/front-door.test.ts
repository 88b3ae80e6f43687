// A platform's first day, by HTTP and the queue alone: sign up, call, run dry, be refused, pay, and call again.
import { expect } from 'vitest'

import { createProducer } from '../../jobs/producer.ts'
import { test } from '../support/api-process.ts'
import { httpClient, type HttpAnswer } from '../support/http-client.ts'
import { newId } from '../support/given.ts'
import { quickCharges, startTestPaddle } from '../support/paddle.ts'
import { until } from '../support/until.ts'

const operatorKey = 'operator-key-of-this-test-0123456789'

test('sign up with $10, call, spend it, get the documented 402, pay at the checkout, and call again', async ({
  ownPlace: place,
  startApi,
  startWorkers,
}) => {
  const paddle = await startTestPaddle()
  const environment = { ...paddle.environment, ...quickCharges, OPERATOR_KEY: operatorKey }
  const [api] = await Promise.all([startApi({ place, environment }), startWorkers({ place, environment })])
  await paddle.control.setWebhookUrl(`${api.url}/v1/payments/webhooks/paddle`)
  const producer = createProducer(place.redisUrl, { prefix: place.queuePrefix, timeoutMs: 10_000 })

  const workspaceId = newId('ws')
  const opened = await httpClient(api.url, [operatorKey]).post('/v1/workspaces', {
    workspace_id: workspaceId,
  })
  expect(opened.status).toBe(201)
  const wallet = httpClient(api.url, [keyIn(opened)])
  expect((await wallet.get('/v1/wallet')).body).toEqual({
    balance_usd: 10,
    currency: 'USD',
    auto_recharge: { enabled: false, threshold_usd: 20, topup_usd: 100 },
  })

  // One call, admitted, ended and on the statement.
  const admitted = await wallet.post('/v1/calls', { to_number: '+14155550100' })
  expect(admitted.status).toBe(201)
  const callId = textIn(admitted, 'call_id')
  expect(admitted.headers.get('location')).toBe(`/v1/calls/${callId}`)
  await producer.callEnded(aCall(callId, workspaceId, 60))
  const billed = await until('the call is on the statement', async () => {
    const { body } = await wallet.get(`/v1/wallet/transactions?call_id=${callId}`)
    return firstOf(body, 'transactions')
  })
  expect(billed).toMatchObject({
    type: 'usage',
    call_id: callId,
    amount_usd: -0.18,
    balance_before: 10,
    balance_after: 9.82,
  })
  expect((await wallet.get('/v1/wallet/balance')).body).toMatchObject({ held_usd: 0, available_usd: 9.82 })

  // 3,260 seconds at $0.18 a minute are $9.78: four cents are left.
  await producer.callEnded(aCall(newId('call'), workspaceId, 3_260))
  await until('the money is spent', async () => balanceIn(await wallet.get('/v1/wallet')) === 0.04)
  const refused = await wallet.post('/v1/calls', { to_number: '+14155550100' })
  expect(refused.status).toBe(402)
  expect(refused.body).toEqual({
    error: {
      code: 'insufficient_balance',
      message: 'Wallet balance below minimum to start call',
      balance_usd: 0.04,
      required_usd: 0.2,
      request_id: expect.stringMatching(/^req_/),
    },
  })

  const checkout = await wallet.post('/v1/payments/checkout', { amount: 50, email: 'payer@example.com' })
  expect(checkout).toMatchObject({ status: 201, body: { provider: 'paddle' } })
  await payAt(textIn(checkout, 'checkout_url'))
  await until('the money is there', async () => balanceIn(await wallet.get('/v1/wallet')) === 50.04)
  expect((await wallet.post('/v1/calls', { to_number: '+14155550100' })).status).toBe(201)

  await producer.close()
  await paddle.close()
})

function aCall(callId: string, workspaceId: string, durationSeconds: number) {
  const startedAt = new Date(Date.now() - durationSeconds * 1_000).toISOString()
  return { callId, workspaceId, startedAt, durationSeconds, to: '+14155550100', recorded: false }
}

/** As the customer does: opens the page, and sends its form. */
async function payAt(checkoutUrl: string): Promise<void> {
  const page = await (await fetch(checkoutUrl)).text()
  expect(page).toContain('Pay $50.00')
  const paid = await fetch(checkoutUrl, {
    method: 'POST',
    body: new URLSearchParams({ test_card: '4242424242424242', country: 'US' }),
  })
  expect(await paid.text()).toContain('You paid')
}

function keyIn({ body }: HttpAnswer): string {
  const secret = fieldOf(fieldOf(body, 'key'), 'key')
  if (typeof secret !== 'string') throw new Error(`no key in ${JSON.stringify(body)}`)
  return secret
}

function textIn({ body }: HttpAnswer, name: string): string {
  const value = fieldOf(body, name)
  if (typeof value !== 'string') throw new Error(`no ${name} in ${JSON.stringify(body)}`)
  return value
}

function balanceIn({ body }: HttpAnswer): unknown {
  return fieldOf(body, 'balance_usd')
}

function firstOf(body: unknown, name: string): unknown {
  const list = fieldOf(body, name)
  return Array.isArray(list) ? list[0] : undefined
}

function fieldOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined
}
