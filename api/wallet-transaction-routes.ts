/** A wallet's transactions: in pages by number or by cursor, and all at once as CSV. */
import { Readable } from 'node:stream'

import type { FastifyReply, FastifyRequest } from 'fastify'
import { z } from 'zod'

import { agentId, callId, campaignId, type WorkspaceId } from '../billing/ids.ts'
import { ledgerTransactionKinds, type LedgerTransactionKind } from '../billing/ledger-draft.ts'
import { formatUsd, micros } from '../billing/money.ts'
import {
  kindsOfType,
  sequenceOfTransactionId,
  walletTransactionId,
  walletTransactionTypes,
} from '../billing/wallet-transaction.ts'
import type { Log } from '../runtime/log.ts'
import {
  countWalletTransactions,
  listWalletTransactions,
  walkWalletTransactions,
  type WalletTransaction,
  type WalletTransactionFilter,
} from '../db/wallet-transaction.ts'
import { workspaceOf, type Api, type RouteContext } from './api.ts'
import { csvLine } from './csv.ts'
import { refusal } from './errors.ts'
import { moment, phoneNumber, wholeNumber } from './query-fields.ts'
import { getWallet } from './wallet-routes.ts'
import {
  walletTransactionJson,
  walletTransactionShape,
  type WalletTransactionJson,
} from './wallet-transaction-shape.ts'

/** By what transactions can be found, in an address. */
export const filterFields = {
  type: z.enum(walletTransactionTypes).optional(),
  kind: z.enum(ledgerTransactionKinds).optional(),
  call_id: callId.optional(),
  chat_id: agentId.optional().meta({ description: 'Or the message, where it belongs to no chat.' }),
  number: phoneNumber.optional(),
  agent_id: agentId.optional(),
  campaign_id: campaignId.optional(),
  from: moment
    .optional()
    .meta({ description: 'Booked at this instant or later; a date begins at 0:00 UTC.' }),
  to: moment.optional().meta({ description: 'Booked before this instant; a date is meant whole, UTC.' }),
}

const listQuery = z.strictObject({
  ...filterFields,
  limit: wholeNumber({ least: 1, most: 100, otherwise: 50 }),
  offset: wholeNumber({ least: 0, most: 999_999_999, otherwise: 0 }),
  cursor: z.string().optional().meta({
    description: 'The `next_cursor` of the page before, instead of an offset. New rows do not move it.',
  }),
})

const csvQuery = z.strictObject(filterFields)

const listShape = z.object({
  transactions: z.array(walletTransactionShape),
  total: z.int().meta({ description: 'How many the filters find, on all pages together.' }),
  limit: z.int(),
  offset: z.int(),
  next_cursor: z.string().nullable().meta({ description: 'Null on the last page.' }),
})

export function registerWalletTransactionRoutes(api: Api, { db, log }: RouteContext): void {
  api.get(
    '/v1/wallet/transactions',
    {
      config: { scope: 'read' },
      schema: {
        summary: 'Wallet transactions, newest first',
        tags: ['Wallet'],
        querystring: listQuery,
        response: { 200: listShape },
      },
    },
    async (request) => {
      const workspaceId = workspaceOf(request)
      const { limit, offset, cursor, ...query } = request.query
      const wallet = await getWallet(db, workspaceId)
      const filter = filterOf(query)
      const from = cursor === undefined ? wallet.newest : belowCursor(workspaceId, { cursor, offset })
      const [found, total] = await Promise.all([
        // One more than asked for says whether there is another page.
        listWalletTransactions(db, workspaceId, filter, { newest: from, offset, limit: limit + 1 }),
        countWalletTransactions(db, workspaceId, filter, wallet.newest),
      ])
      const page = found.slice(0, limit)
      const last = page.at(-1)
      return {
        transactions: page.map(walletTransactionJson),
        total: Number(total),
        limit,
        offset,
        next_cursor:
          found.length > limit && last !== undefined ? walletTransactionId(workspaceId, last.sequence) : null,
      }
    },
  )
  api.get(
    '/v1/wallet/transactions.csv',
    {
      config: { scope: 'read' },
      // Answering HEAD would read everything to throw it away.
      exposeHeadRoute: false,
      schema: {
        summary: 'All wallet transactions that the filters find, newest first, as CSV',
        description:
          'Amounts are exact decimals. Columns are found by their names in the first line; new ones come at the end. Text that a spreadsheet would take for a formula has an apostrophe before it.',
        tags: ['Wallet'],
        querystring: csvQuery,
        response: { 200: { content: { 'text/csv': { schema: z.unknown().meta({ type: 'string' }) } } } },
      },
    },
    async (request, reply) => {
      return await sendCsv({ db, log }, request, reply, filterOf(request.query))
    },
  )
}

/** All that the filter finds, as it is read: however much it is, one page of it is in memory. */
export async function sendCsv(
  { db, log }: RouteContext,
  request: FastifyRequest,
  reply: FastifyReply,
  filter: WalletTransactionFilter,
): Promise<FastifyReply> {
  const workspaceId = workspaceOf(request)
  const { newest } = await getWallet(db, workspaceId)
  const pages = walkWalletTransactions(db, workspaceId, filter, { newest, limit: csvPageSize })
  // Before the answer begins, so that what goes wrong with the first page is still an error.
  const first = await pages.next()
  const lines = csvChunks(first.done === true ? [] : first.value, pages)
  return await reply
    .type('text/csv; charset=utf-8')
    .header('content-disposition', `attachment; filename="transactions-${workspaceId}.csv"`)
    .send(Readable.from(told(lines, log, request.id), { objectMode: false, highWaterMark: 65_536 }))
}

const csvPageSize = 1_000

export type FilterQuery = z.output<typeof csvQuery>

export function filterOf({ type, kind, ...query }: FilterQuery): WalletTransactionFilter {
  const wanted: (readonly LedgerTransactionKind[])[] = [
    ...(type === undefined ? [] : [kindsOfType(type)]),
    ...(kind === undefined ? [] : [[kind]]),
    ...(query.call_id === undefined ? [] : [['call' as const]]),
    ...(query.chat_id === undefined ? [] : [['message' as const]]),
    ...(query.number === undefined ? [] : [['number_rental' as const, 'reversal' as const]]),
  ]
  return {
    kinds:
      wanted.length === 0
        ? undefined
        : ledgerTransactionKinds.filter((each) => wanted.every((kinds) => kinds.includes(each))),
    reference: query.call_id ?? query.chat_id ?? query.number,
    agentId: query.agent_id,
    campaignId: query.campaign_id,
    from: query.from?.from,
    until: query.to?.until,
  }
}

/** The place right below the last one that was seen. */
function belowCursor(
  workspaceId: WorkspaceId,
  { cursor, offset }: { cursor: string; offset: number },
): bigint {
  const sequence = sequenceOfTransactionId(workspaceId, cursor)
  if (sequence === null || offset > 0) {
    throw refusal({
      status: 400,
      code: 'invalid_request',
      field: 'cursor',
      message:
        sequence === null
          ? 'The cursor is none of this list: send the next_cursor of the page before, or begin without one.'
          : 'A cursor and an offset are two ways to say where to begin: send one of them.',
    })
  }
  return sequence - 1n
}

const columns: readonly (keyof WalletTransactionJson)[] = [
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
  // Added later, at the end, so that whoever counts columns still finds the others.
  'phone_number_id',
  'period_start',
]

async function* csvChunks(
  first: readonly WalletTransaction[],
  others: AsyncIterable<readonly WalletTransaction[]>,
): AsyncGenerator<string> {
  yield csvLine(columns) + first.map(csvRow).join('')
  for await (const page of others) yield page.map(csvRow).join('')
}

function csvRow(transaction: WalletTransaction): string {
  const json = walletTransactionJson(transaction)
  const { amountMicros, balanceAfterMicros } = transaction
  const money: Partial<Record<keyof WalletTransactionJson, string>> = {
    amount_usd: formatUsd(amountMicros),
    balance_before: formatUsd(micros(balanceAfterMicros - amountMicros)),
    balance_after: formatUsd(balanceAfterMicros),
  }
  return csvLine(
    columns.map((name) => {
      const amount = money[name]
      return amount === undefined ? json[name]?.toString() : { number: amount }
    }),
  )
}

/** The answer has begun: what fails now cuts it off, which is seen, and is told to whoever runs this. */
async function* told(chunks: AsyncIterable<string>, log: Log, requestId: string): AsyncGenerator<string> {
  try {
    yield* chunks
  } catch (error) {
    log.error({ requestId, err: error }, 'an export was cut off')
    throw error
  }
}
