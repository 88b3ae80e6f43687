// Money in by HTTP alone: a customer pays at a checkout, and then an API, a worker and Paddle top the wallet up by its saved card.
import { expect } from 'vitest'

import type { WorkspaceId } from '../../billing/ids.ts'
import { createApiKey } from '../../db/api-key.ts'
import type { Db } from '../../db/schema.ts'
import { test } from '../support/api-process.ts'
import { findBreaks } from '../support/books.ts'
import { givenWorkspace, newId } from '../support/given.ts'
import { quickCharges, startTestPaddle } from '../support/paddle.ts'
import { until } from '../support/until.ts'

test('a checkout saves the card, top-ups charge it once for each key, and a decline is told in plain words', async ({
  ownPlace: place,
  ownDb: db,
  startApi,
  startWorkers,
}) => {
  const paddle = await startTestPaddle()
  const { control } = paddle
  const environment = { ...paddle.environment, ...quickCharges }
  const [api] = await Promise.all([startApi({ place, environment }), startWorkers({ place, environment })])
  await control.setWebhookUrl(`${api.url}/v1/payments/webhooks/paddle`)
  const workspaceId = await givenWorkspace(db)
  const ask = await givenCaller(db, workspaceId, api.url)

  // The customer pays $25 at the checkout and lets the card be kept.
  const opened = await ask('POST', '/v1/wallet/topup', {
    body: { amount_usd: 25, email: 'payer@example.com', save_card: true },
  })
  expect(opened).toMatchObject({ status: 202, body: { status: 'requires_action' } })
  await control.payCheckout(textIn(opened.body, 'paddle_transaction_id'), { saveCard: true })
  const paid = await ask('GET', `/v1/wallet/topups/${textIn(opened.body, 'id')}`)
  expect(paid.status).toBe(200)
  await until('the wallet has it', async () => (await balanceOf(ask)) === 35)
  const method = await until('the card is known', async () =>
    methodIn((await ask('GET', '/v1/payments/methods')).body),
  )

  // A hundred clients that are one client.
  const headers = { 'idempotency-key': newId('key') }
  const body = { amount_usd: '40.00', payment_method_id: method.id }
  const answers = await Promise.all(
    Array.from({ length: 100 }, () => ask('POST', '/v1/wallet/topup', { body, headers })),
  )
  expect(new Set(answers.map((answer) => JSON.stringify(answer))).size).toBe(1)
  const ended = await ask('GET', `/v1/wallet/topups/${textIn(answers[0]?.body, 'id')}?wait=20`)
  expect(ended.body).toMatchObject({
    status: 'succeeded',
    credited_usd: 40,
    message: 'The money was paid, and the wallet has it.',
    steps: [{ state: 'ready' }, { state: 'submitting' }, ...anySteps(ended.body), { state: 'succeeded' }],
  })
  expect(await balanceOf(ask)).toBe(75)

  // The bank says no.
  await control.setCard(await paymentMethodOf(db, workspaceId), { decline: 'not_enough_balance' })
  const declined = await ask('POST', '/v1/wallet/topup?wait=20', { body })
  expect(declined.body).toMatchObject({
    status: 'declined',
    reason: 'not_enough_balance',
    message: 'The card has not enough money or credit.',
    credited_usd: 0,
  })

  const { captures } = await control.journal()
  expect(captures.map(({ net }) => net).filter((net) => net !== '0')).toEqual(['2500', '4000'])
  const history = await ask('GET', '/v1/payments/history')
  expect(history.body).toMatchObject({
    payments: [
      { status: 'failed' },
      { status: 'completed', amount_usd: 40 },
      { status: 'completed', amount_usd: 25 },
    ],
    total: 3,
  })
  expect(await balanceOf(ask)).toBe(75)
  expect(await findBreaks(place.databaseUrl)).toEqual([])
  await paddle.close()
})

test('switching auto-recharge on below its threshold charges the card now, and a request that waits ends with its server', async ({
  ownPlace: place,
  ownDb: db,
  startApi,
  startWorkers,
}) => {
  const paddle = await startTestPaddle()
  const environment = { ...paddle.environment, ...quickCharges }
  const api = await startApi({ place, environment })
  await paddle.control.setWebhookUrl(`${api.url}/webhooks/paddle`)
  const workspaceId = await givenWorkspace(db)
  const ask = await givenCaller(db, workspaceId, api.url)
  const setup = await ask('POST', '/v1/payments/methods/setup', { body: { email: 'payer@example.com' } })
  await paddle.control.payCheckout(textIn(setup.body, 'session_id'), { saveCard: true })
  const workers = await startWorkers({ place, environment })
  await until('the card is known', async () => methodIn((await ask('GET', '/v1/payments/methods')).body))

  const saved = await ask('PUT', '/v1/payments/auto-charge', {
    body: { enabled: true, threshold_usd: 20, charge_amount_usd: 50 },
  })
  expect(saved.body).toMatchObject({ charging_now: true, charging_usd: 50 })
  const recharge = await ask('GET', `/v1/wallet/topups/${textIn(saved.body, 'charging_topup_id')}?wait=20`)
  expect(recharge.body).toMatchObject({ status: 'succeeded', source: 'auto_recharge' })
  expect(await balanceOf(ask)).toBe(60)
  expect((await ask('GET', '/v1/wallet/auto-recharge')).body).toMatchObject({ charging_now: false })

  await workers.stop()
  const waiting = ask('POST', '/v1/wallet/topup?wait=20', { body: { amount_usd: 5 } })
  await until('it is written down', async () => (await topUpsOf(db, workspaceId)) === 2)
  const code = await api.stop()
  expect(await waiting).toMatchObject({ status: 202, body: { status: 'pending' } })
  expect(code).toBe(0)
  await paddle.close()
})

type Answer = { status: number; body: unknown }
type Ask = (
  method: string,
  path: string,
  request?: { body?: unknown; headers?: Record<string, string> },
) => Promise<Answer>

async function givenCaller(db: Db, workspaceId: WorkspaceId, url: string): Promise<Ask> {
  const { secret } = await db
    .transaction()
    .execute((trx) => createApiKey(trx, { workspaceId, scope: 'admin', createdBy: 'test' }))
  return async (method, path, { body, headers = {} } = {}) => {
    const response = await fetch(`${url}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${secret}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    return { status: response.status, body: await response.json() }
  }
}

async function balanceOf(ask: Ask): Promise<unknown> {
  const { body } = await ask('GET', '/v1/wallet')
  return typeof body === 'object' && body !== null && 'balance_usd' in body ? body.balance_usd : null
}

function methodIn(body: unknown): { id: string } | null {
  const id = /"id":"(pm_\w+)"/.exec(JSON.stringify(body))?.[1]
  return id === undefined ? null : { id }
}

function textIn(body: unknown, field: string): string {
  const value: unknown = typeof body === 'object' && body !== null ? Reflect.get(body, field) : undefined
  if (typeof value === 'string') return value
  throw new Error(`there is no ${field} in ${JSON.stringify(body)}`)
}

/** Whether Paddle's answer or its webhook came first shows between the sending and the end. */
function anySteps(body: unknown): unknown[] {
  const steps = (JSON.stringify(body).match(/"at":/g) ?? []).length
  return Array.from({ length: Math.max(0, steps - 3) }, () => expect.anything())
}

async function paymentMethodOf(db: Db, workspaceId: WorkspaceId): Promise<string> {
  const row = await db
    .selectFrom('saved_card')
    .select('payment_method_id')
    .where('workspace_id', '=', workspaceId)
    .executeTakeFirstOrThrow()
  return row.payment_method_id ?? ''
}

async function topUpsOf(db: Db, workspaceId: WorkspaceId): Promise<number> {
  const rows = await db
    .selectFrom('top_up')
    .select('top_up_id')
    .where('workspace_id', '=', workspaceId)
    .execute()
  return rows.length
}
