// A wallet's transactions over HTTP: what each says, filters, two ways to turn pages, and CSV.
import * as fc from 'fast-check'
import { parse } from 'csv-parse/sync'
import { describe, expect } from 'vitest'

import { ledgerTransactionKinds } from '../../billing/ledger-draft.ts'
import { test, type TestApi } from '../support/api-server.ts'
import { givenHistory, givenUsage, type HistoryRow } from '../support/given-history.ts'
import { aCall, aMessage, callArrival, messageArrival } from '../support/given.ts'

type Item = Record<string, string | number | undefined> & { id: string }
type Page = {
  transactions: Item[]
  total: number
  limit: number
  offset: number
  next_cursor: string | null
}

test('each transaction says what it belongs to, and moves the balance from before to after', async ({
  api,
  db,
}) => {
  const call = aCall(api.workspaceId, { durationSeconds: 61, agentId: 'agent', campaignId: 'campaign' })
  const inChat = aMessage(api.workspaceId, { chatId: 'chat_1' })
  const alone = aMessage(api.workspaceId)
  for (const arrival of [callArrival(call), messageArrival(inChat), messageArrival(alone)]) {
    await givenUsage(db, [arrival])
  }

  const { body } = await api.get('/v1/wallet/transactions', { key: 'read' })

  const id = expect.stringMatching(/^txn_[0-9a-z]{16}$/)
  const created_at = expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]{12}Z$/)
  expect(body).toEqual({
    transactions: [
      {
        id,
        type: 'usage',
        kind: 'message',
        amount_usd: -0.01,
        balance_before: 9.807,
        balance_after: 9.797,
        created_at,
        description: `Chat message in ${alone.messageId}`,
        endpoint_type: 'chat',
        message_id: alone.messageId,
      },
      {
        id,
        type: 'usage',
        kind: 'message',
        amount_usd: -0.01,
        balance_before: 9.817,
        balance_after: 9.807,
        created_at,
        description: 'Chat message in chat_1',
        endpoint_type: 'chat',
        message_id: inChat.messageId,
        chat_id: 'chat_1',
      },
      {
        id,
        type: 'usage',
        kind: 'call',
        amount_usd: -0.183,
        balance_before: 10,
        balance_after: 9.817,
        created_at,
        description: `Call ${call.callId}`,
        endpoint_type: 'call',
        call_id: call.callId,
        agent_id: 'agent',
        campaign_id: 'campaign',
      },
      {
        id,
        type: 'topup',
        kind: 'grant',
        amount_usd: 10,
        balance_before: 0,
        balance_after: 10,
        created_at,
        description: 'Signup credit',
      },
    ],
    total: 4,
    limit: 50,
    offset: 0,
    next_cursor: null,
  })
})

test('amounts print as the exact decimals that they are', async ({ api, db }) => {
  const amounts = ['0.000001', '-0.000001', '999999989.999999', '-999999999.999999', '0.1', '0.3']
  await givenHistory(
    db,
    api.workspaceId,
    amounts.map((amount) => aRow({ amountMicros: microsOf(amount) })),
  )

  const answer = await api.server.inject({
    url: '/v1/wallet/transactions',
    headers: { authorization: `Bearer ${api.keys.read}` },
  })

  const printed = [...answer.payload.matchAll(/"amount_usd":([^,]+),/g)].map(([, amount]) => amount)
  expect(printed.map(plain)).toEqual([...amounts.toReversed(), '10'])
})

describe('filters', () => {
  test('are what they say, alone and together', async ({ api, db }) => {
    await givenHistory(db, api.workspaceId, [
      aRow({ kind: 'call', reference: 'call_1', agentId: 'a1', campaignId: 'c1', postedAt: day(1) }),
      aRow({ kind: 'call', reference: 'call_2', agentId: 'a2', campaignId: 'c1', postedAt: day(2) }),
      aRow({ kind: 'message', reference: 'chat_1', agentId: 'a1', postedAt: day(3) }),
      aRow({ kind: 'number_rental', reference: '+14155550100', postedAt: day(4) }),
      aRow({ kind: 'top_up', reference: 'topup_1', amountMicros: 20_000_000n, postedAt: day(5) }),
      aRow({ kind: 'refund', reference: 'topup_1', amountMicros: -5_000_000n, postedAt: day(6) }),
      aRow({ kind: 'chargeback', reference: 'topup_1', amountMicros: -1_000_000n, postedAt: day(7) }),
    ])
    const found: Record<string, number> = {}
    const queries = {
      '': 8,
      'type=usage': 4,
      'type=topup': 2,
      'type=refund': 2,
      'kind=call': 2,
      'kind=grant': 1,
      'type=usage&kind=top_up': 0,
      'call_id=call_1': 1,
      'call_id=call_9': 0,
      'call_id=call_1&type=topup': 0,
      'call_id=call_1&chat_id=chat_1': 0,
      'chat_id=chat_1': 1,
      'number=%2B14155550100': 1,
      'number=+14155550100': 1,
      'number=14155550100': 1,
      'agent_id=a1': 2,
      'agent_id=a1&kind=call': 1,
      'campaign_id=c1': 2,
      'campaign_id=c1&agent_id=a2': 1,
      'from=2026-03-02&to=2026-03-03': 2,
      'from=2026-03-02&to=2026-03-02': 1,
      'from=2026-03-03&to=2026-03-02': 0,
      'from=2026-03-04T12:00:00Z&to=2026-03-07T12:00:00Z': 3,
      'from=2026-03-04T12:00:00.001Z&to=2026-03-07T14:00:00%2B02:00': 2,
      'to=2026-03-01': 1,
    }

    for (const query of Object.keys(queries)) {
      const page = await pageOf(api, query)
      expect(page.transactions).toHaveLength(page.total)
      found[query] = page.total
    }

    expect(found).toEqual(queries)
  })

  const refused: [query: string, field: string][] = [
    ['type=', 'type'],
    ['type=charge', 'type'],
    ['kind=sale', 'kind'],
    ['limit=0', 'limit'],
    ['limit=101', 'limit'],
    ['limit=1e1', 'limit'],
    ['limit=-1', 'limit'],
    ['limit=1.5', 'limit'],
    ['limit=', 'limit'],
    ['offset=-1', 'offset'],
    ['offset=99999999999', 'offset'],
    ['offset=NaN', 'offset'],
    ['from=yesterday', 'from'],
    ['from=2026-02-30', 'from'],
    ['to=2026-03-01T00:00:00', 'to'],
    ['call_id=nonsense', 'call_id'],
    ['call_id=call_1&call_id=call_2', 'call_id'],
    ['agent_id=%00', 'agent_id'],
    ['chat_id=', 'chat_id'],
    ['campaign_id=', 'campaign_id'],
    ['number=none', 'number'],
    ['cursor=txn_1', 'cursor'],
    ['cursor=', 'cursor'],
  ]

  test.for(refused)('%s is refused by the name of its field', async ([query, field], { api }) => {
    const answer = await api.get(`/v1/wallet/transactions?${query}`)

    expect(answer).toMatchObject({ status: 400, body: { error: { code: 'invalid_request', field } } })
  })

  test('that nobody knows are refused by their name, in lists and in exports', async ({ api }) => {
    for (const path of [
      'transactions?workspace_id=ws_1',
      'transactions.csv?workspace_id=ws_1',
      'transactions.csv?limit=5',
    ]) {
      const answer = await api.get(`/v1/wallet/${path}`)

      expect(answer.status).toBe(400)
      expect(JSON.stringify(answer.body)).toMatch(/workspace_id|limit/)
    }
  })

  test('take the ends of time', async ({ api }) => {
    for (const moment of ['0001-01-01', '9999-12-31', '9999-12-31T23:59:59.999-23:59']) {
      const answer = await api.get(`/v1/wallet/transactions?from=${moment}&to=${moment}`)

      expect(answer.status).toBe(200)
    }
  })
})

describe('pages', () => {
  test('by cursor are those by offset, with nothing twice and nothing left out while new rows arrive', async ({
    api,
    db,
  }) => {
    await givenHistory(db, api.workspaceId, manyRows(130))
    for (const query of ['', 'type=usage', 'agent_id=a1', 'kind=call&campaign_id=c2', 'type=topup']) {
      const offsets = await offsetWalk(api, query)
      const cursors: Item[] = []
      let cursor: string | null = ''
      while (cursor !== null) {
        const page = await pageOf(api, `${query}&limit=7${cursor === '' ? '' : `&cursor=${cursor}`}`)
        cursors.push(...page.transactions)
        cursor = page.next_cursor
        await givenHistory(db, api.workspaceId, manyRows(3))
      }

      expect(cursors.map(({ id }) => id)).toEqual(offsets.map(({ id }) => id))
      expect(cursors).toEqual(offsets)
    }
  })

  test('beyond the end are empty and still say how many there are', async ({ api }) => {
    const page = await pageOf(api, 'offset=5')

    expect(page).toEqual({ transactions: [], total: 1, limit: 50, offset: 5, next_cursor: null })
  })

  test('have a cursor exactly when there is more', async ({ api, db }) => {
    await givenHistory(db, api.workspaceId, manyRows(9))

    const all = await pageOf(api, 'limit=10')
    const some = await pageOf(api, 'limit=9')
    const last = await pageOf(api, `limit=9&cursor=${some.next_cursor ?? ''}`)

    expect(all.next_cursor).toBeNull()
    expect(some.next_cursor).toBe(some.transactions.at(-1)?.id)
    expect(last).toMatchObject({ total: 10, next_cursor: null })
    expect(last.transactions).toHaveLength(1)
  })

  test("take no other wallet's cursor, and no offset beside one", async ({ api, db }) => {
    await givenHistory(db, api.workspaceId, manyRows(5))
    const { next_cursor: cursor } = await pageOf(api, 'limit=1')
    const another = await api.another()

    const foreign = await another.get(`/v1/wallet/transactions?cursor=${cursor}`)
    const both = await api.get(`/v1/wallet/transactions?cursor=${cursor}&offset=1`)

    for (const answer of [foreign, both]) {
      expect(answer).toMatchObject({ status: 400, body: { error: { field: 'cursor' } } })
    }
  })

  test("show nothing of another workspace's, whatever is asked", async ({ api, db }) => {
    await givenHistory(db, api.workspaceId, manyRows(20))
    const another = await api.another()

    for (const query of ['', 'call_id=call_1', 'agent_id=a1', 'campaign_id=c1', 'kind=call', 'type=topup']) {
      const page = await pageOf(another, query)
      expect(page.transactions.filter(({ kind }) => kind !== 'grant')).toEqual([])
    }
  })
})

describe('CSV', () => {
  test('of every row says what the JSON says, whatever the names are', async ({ api, db }) => {
    const name = fc.oneof(
      fc.constantFrom(
        '=HYPERLINK("http://x")',
        '+1',
        '-1',
        '@x',
        '\tx',
        '\rx',
        '\nx',
        'a,b',
        'a"b',
        'a\r\nb',
        "'",
      ),
      fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 }),
    )
    const rows = fc.sample(
      fc.record({
        kind: fc.constantFrom(...ledgerTransactionKinds),
        reference: name,
        agentId: fc.option(name),
        campaignId: fc.option(name),
        amountMicros: fc.bigInt(-90_000_000n, 90_000_000n).filter((amount) => amount !== 0n),
        postedAt: fc.constant(day(1)),
      }),
      { numRuns: 400, seed: 5 },
    )
    await givenHistory(db, api.workspaceId, rows.filter(isStorable))
    const json = await offsetWalk(api, '')

    const { body, headers } = await api.get('/v1/wallet/transactions.csv', { key: 'read' })

    expect(headers).toMatchObject({
      'content-type': 'text/csv; charset=utf-8',
      'content-disposition': `attachment; filename="transactions-${api.workspaceId}.csv"`,
    })
    const cells: Record<string, string>[] = parse(String(body), { columns: true })
    expect(cells).toHaveLength(json.length)
    expect(cells.map(undefused)).toEqual(json.map(texts))
    for (const cell of cells.flatMap((row) => Object.entries(row))) {
      const [column, value] = cell
      const isMoney = /^(?:amount|balance)_/.test(column)
      expect(isMoney ? /^-?\d+\.\d{6}$/.test(value) : !/^[=+\-@\t\r\n]/.test(value)).toBe(true)
    }
  })

  test('takes the same filters', async ({ api, db }) => {
    await givenHistory(db, api.workspaceId, manyRows(60))
    for (const query of [
      'type=topup',
      'agent_id=a1',
      'kind=call&campaign_id=c1',
      'kind=grant&from=2020-01-01',
    ]) {
      const json = await offsetWalk(api, query)

      const { body } = await api.get(`/v1/wallet/transactions.csv?${query}`)

      const rows: Record<string, string>[] = parse(String(body), { columns: true })
      expect(rows.map(({ id }) => id)).toEqual(json.map(({ id }) => id))
    }
  })

  test('of many pages is whole, in order, and as the wallet was when it was asked for', async ({
    api,
    db,
  }) => {
    await givenHistory(db, api.workspaceId, manyRows(3_500))

    const asked = api.get('/v1/wallet/transactions.csv')
    await givenHistory(db, api.workspaceId, manyRows(10))
    const { body } = await asked

    const rows: Record<string, string>[] = parse(String(body), { columns: true })
    const ids = rows.map(({ id = '' }) => id)
    expect(ids.length).toBeGreaterThanOrEqual(3_501)
    expect(ids).toEqual(ids.toSorted().toReversed())
    expect(new Set(ids).size).toBe(ids.length)
    expect(rows.at(-1)).toMatchObject({ kind: 'grant', balance_before: '0.000000' })
  })

  test('of nothing is the header', async ({ api }) => {
    const { body } = await api.get('/v1/wallet/transactions.csv?kind=call')

    expect(body).toBe(
      'id,created_at,type,kind,description,amount_usd,balance_before,balance_after,endpoint_type,call_id,chat_id,' +
        'message_id,number,topup_id,agent_id,campaign_id,phone_number_id,period_start\r\n',
    )
  })
})

async function pageOf(api: TestApi, query: string): Promise<Page> {
  const answer = await api.server.inject({
    url: `/v1/wallet/transactions?${query}`,
    headers: { authorization: `Bearer ${api.keys.read}` },
  })
  expect({ status: answer.statusCode, query }).toEqual({ status: 200, query })
  return answer.json()
}

async function offsetWalk(api: TestApi, query: string): Promise<Item[]> {
  const items: Item[] = []
  for (;;) {
    const page = await pageOf(api, `${query}&limit=100&offset=${items.length}`)
    items.push(...page.transactions)
    if (items.length >= page.total) return items
  }
}

function aRow(row: Partial<HistoryRow> = {}): HistoryRow {
  return {
    kind: 'call',
    reference: 'call_1',
    agentId: null,
    campaignId: null,
    amountMicros: -180_000n,
    postedAt: day(1),
    ...row,
  }
}

function manyRows(count: number): HistoryRow[] {
  return Array.from({ length: count }, (_, index) =>
    aRow({
      kind: (['call', 'call', 'message', 'top_up'] as const)[index % 4] ?? 'call',
      reference: `call_${index}`,
      agentId: ['a1', 'a2', null][index % 3] ?? null,
      campaignId: ['c1', 'c2'][index % 5] ?? null,
    }),
  )
}

function day(number: number): Date {
  return new Date(Date.UTC(2026, 2, number, 12))
}

function microsOf(decimal: string): bigint {
  const [whole = '', decimals = ''] = decimal.split('.')
  return BigInt(whole + decimals.padEnd(6, '0'))
}

/** JSON may print a small number with an exponent. */
function plain(number: string | undefined): string {
  return (number ?? '').replace(/^(-?)1e-6$/, '$10.000001')
}

function isStorable({ reference, agentId, campaignId }: HistoryRow): boolean {
  return [reference, agentId, campaignId].every(
    (text) => text === null || (text.isWellFormed() && !text.includes('\0')),
  )
}

/** As the cells say it without the apostrophe and with numbers read. */
function undefused(row: Record<string, string>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(row).map(([column, value]) => [
      column,
      /^(?:amount|balance)_/.test(column) ? String(Number(value)) : value.replace(/^'(?=[=+\-@\t\r\n])/, ''),
    ]),
  )
}

/** As a row of CSV has it: everything text, and what is not there empty. */
function texts(item: Item): Record<string, string> {
  const columns = [
    'id',
    'created_at',
    'type',
    'kind',
    'description',
    'amount_usd',
    'balance_before',
    'balance_after',
    'endpoint_type',
    'call_id',
    'chat_id',
    'message_id',
    'number',
    'topup_id',
    'agent_id',
    'campaign_id',
    'phone_number_id',
    'period_start',
  ]
  expect(Object.keys(item).filter((name) => !columns.includes(name))).toEqual([])
  return Object.fromEntries(columns.map((column) => [column, String(item[column] ?? '')]))
}
