// The receipt over HTTP: everything that an amount follows from, for every kind of transaction, and for its own workspace alone.
import { describe, expect } from 'vitest'

import { test, type TestApi } from '../support/api-server.ts'
import { givenUsage } from '../support/given-history.ts'
import { bringAdjustment, bringTransaction, underLock } from '../support/given-money-in.ts'
import { aCall, aMessage, callArrival, messageArrival, newId } from '../support/given.ts'
import { aTransaction, anAdjustment } from '../support/paddle-news.ts'
import { bindPaddleCustomer } from '../../db/paddle-customer.ts'
import type { Db } from '../../db/schema.ts'

const instant = expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]{12}Z$/)
const digest = expect.stringMatching(/^[0-9a-f]{64}$/)

describe('the receipt', () => {
  test('of a call shows what was told, the prices, every increment, the rounding and the postings', async ({
    api,
    db,
  }) => {
    const call = aCall(api.workspaceId, { durationSeconds: 60.4, recorded: true })
    await givenUsage(db, [callArrival(call)])

    const receipt = await newestReceipt(api)

    expect(receipt).toEqual({
      id: expect.stringMatching(/^txn_/),
      type: 'usage',
      kind: 'call',
      amount_usd: -0.203333,
      balance_before: 10,
      balance_after: 9.796667,
      created_at: instant,
      description: `Call ${call.callId}`,
      endpoint_type: 'call',
      call_id: call.callId,
      currency: 'USD',
      sequence: 2,
      occurred_at: instant,
      posted_at: instant,
      usage: {
        event: call,
        received_at: instant,
        rate_card: { id: 'standard', effective_from: '2020-01-01T00:00:00.000Z', has_agreed_rates: false },
        prefix: '1',
        lines: [
          { meter: 'voice', ...billedLine('0.10', '0.101666666666666', 0.101667) },
          {
            meter: 'telephony',
            prefix: '1',
            place: 'United States, Canada',
            ...billedLine('0.08', '0.081333333333333', 0.081333),
          },
          { meter: 'recording', ...billedLine('0.02', '0.020333333333333', 0.020333) },
        ],
        total_usd: 0.203333,
        rounding: { mode: 'half_up', to_usd: '0.000001', times: 'once_per_line' },
      },
      topup: null,
      adjustment: null,
      postings: [
        posting(1, 'voice_revenue', 'Voice revenue', 0.101667, 61, null),
        posting(2, 'telephony_revenue', 'Telephony revenue', 0.081333, 61, '1'),
        posting(3, 'recording_revenue', 'Recording revenue', 0.020333, 61, null),
      ],
      payload_hash: digest,
      previous_hash: digest,
      hash: digest,
      recomputes: true,
      differences: [],
    })
  })

  test('of a message shows its price', async ({ api, db }) => {
    const message = aMessage(api.workspaceId, { chatId: 'chat_1' })
    await givenUsage(db, [messageArrival(message)])

    const receipt = await newestReceipt(api)

    expect(receipt).toMatchObject({
      kind: 'message',
      amount_usd: -0.01,
      usage: {
        event: message,
        prefix: null,
        lines: [{ meter: 'message', unit: 'message', quantity: 1, each_usd: '0.01', amount_usd: 0.01 }],
      },
      recomputes: true,
    })
  })

  test('of a grant is the first of its chain', async ({ api }) => {
    const receipt = await newestReceipt(api)

    expect(receipt).toMatchObject({
      kind: 'grant',
      description: 'Signup credit',
      sequence: 1,
      balance_before: 0,
      balance_after: 10,
      usage: null,
      topup: null,
      previous_hash: '0'.repeat(64),
      recomputes: true,
    })
  })

  test("of a top-up shows its steps and Paddle's transaction, and of its refund both", async ({
    api,
    db,
  }) => {
    const payer = await givenCustomerOf(db, api)
    const paid = aTransaction(payer)
    await bringTransaction(db, paid)
    const topUp = await newestReceipt(api)
    const refund = anAdjustment(paid)
    await bringAdjustment(db, refund)

    const refunded = await newestReceipt(api)

    const topup = {
      id: expect.stringMatching(/^topup_/),
      source: 'checkout',
      state: 'succeeded',
      amount_usd: 20,
      credited_usd: 20,
      paddle_transaction_id: paid.transactionId,
      created_at: instant,
      steps: [
        {
          step: expect.any(Number),
          state: 'succeeded',
          reason: 'adopted',
          paddle_transaction_id: paid.transactionId,
          at: instant,
        },
      ],
    }
    expect(topUp).toMatchObject({ kind: 'top_up', amount_usd: 20, topup, adjustment: null, recomputes: true })
    expect(refunded).toMatchObject({
      type: 'refund',
      kind: 'refund',
      amount_usd: -20,
      topup,
      adjustment: {
        id: refund.adjustmentId,
        action: 'refund',
        status: 'approved',
        amount_usd: 20,
        paddle_transaction_id: paid.transactionId,
        applied_at: instant,
      },
      recomputes: true,
    })
    expect(refunded['previous_hash']).toBe(topUp['hash'])
  })
})

describe("another workspace's transaction", () => {
  test('is answered as one that does not exist, whoever asks', async ({ api, db }) => {
    await givenUsage(db, [callArrival(aCall(api.workspaceId))])
    const another = await api.another()
    const ids = await idsOf(api)

    for (const id of [...ids, 'txn_0000000100000000', 'txn_', 'nonsense', '%00', "'", '..%2f..']) {
      const answers = await Promise.all(
        (['read', 'write', 'admin'] as const).map((key) =>
          another.get(`/v1/wallet/transactions/${id}`, { key }),
        ),
      )
      for (const answer of answers) {
        expect(answer).toMatchObject({ status: 404, body: { error: { code: 'transaction_not_found' } } })
      }
    }
    expect(ids).toHaveLength(2)
  })
})

async function newestReceipt(api: TestApi): Promise<Record<string, unknown>> {
  const [id] = await idsOf(api)
  const answer = await api.server.inject({
    url: `/v1/wallet/transactions/${id}`,
    headers: { authorization: `Bearer ${api.keys.read}` },
  })
  expect(answer.statusCode).toBe(200)
  return answer.json()
}

async function idsOf(api: TestApi): Promise<string[]> {
  const answer = await api.server.inject({
    url: '/v1/wallet/transactions',
    headers: { authorization: `Bearer ${api.keys.read}` },
  })
  const page: { transactions: { id: string }[] } = answer.json()
  return page.transactions.map(({ id }) => id)
}

async function givenCustomerOf(db: Db, { workspaceId }: TestApi) {
  const customerId = newId('ctm')
  await underLock(db, workspaceId, (trx, wallet) =>
    bindPaddleCustomer(trx, wallet, { customerId, email: 'payer@example.com' }, 'test'),
  )
  return { workspaceId, customerId }
}

function posting(
  line: number,
  credit_account: string,
  credit_title: string,
  amount_usd: number,
  quantity: number,
  prefix: string | null,
) {
  return {
    line,
    debit_account: 'wallet',
    debit_title: 'Customer wallet',
    credit_account,
    credit_title,
    amount_usd,
    quantity,
    prefix,
  }
}

/** 61 seconds, each sold alone. */
function billedLine(per_minute_usd: string, unrounded_usd: string, amount_usd: number) {
  return {
    unit: 'second',
    quantity: 61,
    connection_fee_usd: '0.00',
    increments: [{ from_second: 0, count: 61, increment_seconds: 1, per_minute_usd }],
    unrounded_usd,
    amount_usd,
  }
}
