/** Transactions on the wallet page: found by filters, page by page, downloaded, and each with its receipt. */
import type { FastifyRequest } from 'fastify'

import { describeAccount } from '../billing/ledger-draft.ts'
import { subjectOf } from '../billing/wallet-transaction.ts'
import type { Typed } from '../dashboard/form.ts'
import { paths, places } from '../dashboard/places.ts'
import { receiptPage, type ReceiptLine, type ReceiptView } from '../dashboard/receipt-page.ts'
import { filterNames, transactionsPage } from '../dashboard/transactions-page.ts'
import type { Receipt } from '../db/receipt.ts'
import type { WalletTransactionFilter } from '../db/wallet-transaction.ts'
import { workspaceOf, type Api } from './api.ts'
import { goTo, paramsOf, queryOf, readFrame, sendPage, type DashboardContext } from './dashboard-page.ts'
import { createPrices } from './prices.ts'
import { ratedLineJson } from './rated-line.ts'
import { getReceipt } from './receipt-routes.ts'
import { readTransactionPage } from './wallet-figures.ts'
import { transactionRow } from './wallet-page-routes.ts'
import { getWallet } from './wallet-routes.ts'
import { filterFields, filterOf, sendCsv } from './wallet-transaction-routes.ts'

const route = { config: { scope: 'session' }, schema: { hide: true } } as const
const shownAtOnce = 50
/** Of an address that somebody typed: below it there are no more digits than a number has. */
const mostOffset = 999_999_950

export function registerTransactionsPage(scope: Api, context: DashboardContext): void {
  const { db } = context
  const prices = createPrices(db)

  scope.get(places.transactions.path, route, async (request, reply) => {
    const { typed, filter } = readFilters(request)
    const workspaceId = workspaceOf(request)
    const offset = readOffset(queryOf(request)['offset'])
    const [frame, { newest }] = await Promise.all([
      readFrame(context, request, 'transactions'),
      getWallet(db, workspaceId),
    ])
    const found =
      filter === null
        ? { transactions: [], total: 0n }
        : await readTransactionPage(db, workspaceId, filter, { newest, offset, limit: shownAtOnce })
    const view = {
      rows: found.transactions.map(transactionRow),
      total: found.total,
      offset,
      limit: shownAtOnce,
      filters: typed,
      mostOffset,
    }
    return await sendPage(reply, transactionsPage(frame, view), { status: filter === null ? 422 : 200 })
  })

  scope.get(paths.csv, { ...route, exposeHeadRoute: false }, async (request, reply) => {
    const { filter } = readFilters(request)
    if (filter === null) return await goTo(reply, places.transactions.path)
    return await sendCsv(context, request, reply, filter)
  })

  scope.get(`${places.transactions.path}/:id`, route, async (request, reply) => {
    const { id = '' } = paramsOf(request)
    const [frame, receipt] = await Promise.all([
      readFrame(context, request, 'transactions'),
      getReceipt({ db, prices }, workspaceOf(request), id),
    ])
    return await sendPage(reply, receiptPage(frame, receiptView(receipt)))
  })
}

/** Shape: `filter` is null where one of them cannot be read, and `typed` says which. */
function readFilters(request: FastifyRequest): { typed: Typed; filter: WalletTransactionFilter | null } {
  const query = queryOf(request)
  const values: Record<string, string> = {}
  const problems: Record<string, string> = {}
  const read: Record<string, unknown> = {}
  for (const name of filterNames) {
    const value = query[name]?.trim()
    if (value === undefined || value === '') continue
    values[name] = value
    const parsed = filterFields[name].safeParse(value)
    if (parsed.success) read[name] = parsed.data
    else problems[name] = problemWords[name] ?? 'This is not one that we know.'
  }
  const isReadable = Object.keys(problems).length === 0
  return { typed: { values, problems }, filter: isReadable ? filterOf(read) : null }
}

const problemWords: Partial<Record<(typeof filterNames)[number], string>> = {
  call_id: 'Enter the whole id of a call, such as call_1a2b.',
  kind: 'Choose one of the kinds.',
  from: 'Enter a date.',
  to: 'Enter a date.',
  agent_id: 'Enter the name of an agent, at most 128 characters.',
  campaign_id: 'Enter the name of a campaign, at most 128 characters.',
}

function readOffset(text: string | undefined): number {
  return text !== undefined && /^\d{1,9}$/.test(text) ? Math.min(mostOffset, Number(text)) : 0
}

function receiptView(receipt: Receipt): ReceiptView {
  const { transaction, usage, topUp, balanceBeforeMicros } = receipt
  return {
    row: transactionRow(transaction),
    sequence: transaction.sequence,
    balanceBeforeMicros,
    occurredAt: transaction.occurredAt,
    facts: factsOf(receipt),
    topUpId: topUp?.topUpId ?? null,
    rateCard:
      usage === null || usage.card === null
        ? null
        : {
            id: usage.card.id,
            effectiveFrom: usage.card.effectiveFrom,
            hasAgreedRates: usage.hasAgreedRates,
          },
    lines: linesOf(receipt),
    postings: receipt.postings.map(({ debitAccount, creditAccount, amountMicros }) => ({
      debit: describeAccount(debitAccount).title,
      credit: describeAccount(creditAccount).title,
      amountMicros,
    })),
    hash: receipt.hash.toString('hex'),
    previousHash: receipt.previousHash.toString('hex'),
    differences: receipt.differences,
  }
}

function linesOf({ usage }: Receipt): ReceiptLine[] {
  if (usage === null || usage.card === null || usage.rating === null) return []
  const { card, place } = usage
  return usage.rating.lines.map((line) => {
    const json = ratedLineJson(line, card, place)
    return {
      meter: line.meter,
      quantity: line.quantity,
      isTime: json.unit === 'second',
      prefix: json.prefix ?? null,
      place: json.place ?? null,
      eachUsd: json.each_usd ?? null,
      connectionFeeUsd: json.connection_fee_usd ?? null,
      increments: (json.increments ?? []).map((each) => ({
        fromSecond: each.from_second,
        count: each.count,
        incrementSeconds: each.increment_seconds,
        perMinuteUsd: each.per_minute_usd,
      })),
      unroundedUsd: json.unrounded_usd,
      amountMicros: line.amountMicros,
    }
  })
}

/** What was told of the call or the message, and to what it belongs. */
function factsOf({ transaction, usage, topUp }: Receipt): ReceiptView['facts'] {
  const subject = subjectOf(transaction)
  const { agentId, campaignId } = transaction
  const told = isRecord(usage?.event) ? usage.event : {}
  return [
    ...(subject.of === 'call' ? fact('Call', subject.callId) : []),
    ...(subject.of === 'message'
      ? [...fact('Message', subject.messageId), ...fact('Chat', subject.chatId)]
      : []),
    ...(subject.of === 'number' ? fact('Number', subject.number) : []),
    ...fact('Direction', told['direction']),
    ...fact('To', told['to']),
    ...fact('From', told['from']),
    ...(typeof told['durationSeconds'] === 'number' ? fact('Talk time', `${told['durationSeconds']} s`) : []),
    ...(told['recorded'] === true ? fact('Recorded', 'Yes') : []),
    ...fact('Agent', agentId),
    ...fact('Campaign', campaignId),
    ...fact('At Paddle', topUp?.paddleTransactionId),
  ]
}

function fact(title: string, value: unknown): { title: string; text: string }[] {
  return typeof value === 'string' || typeof value === 'number' ? [{ title, text: String(value) }] : []
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}
