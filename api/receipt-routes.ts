/** The receipt of a wallet transaction: everything that its amount follows from. */
import { z } from 'zod'

import { accounts, describeAccount } from '../billing/ledger-draft.ts'
import type { WorkspaceId } from '../billing/ids.ts'
import { sequenceOfTransactionId } from '../billing/wallet-transaction.ts'
import { findReceipt, type Receipt } from '../db/receipt.ts'
import type { Db } from '../db/schema.ts'
import { inOneSnapshot } from '../db/snapshot.ts'
import { workspaceOf, type Api, type RouteContext } from './api.ts'
import { refusal } from './errors.ts'
import { createPrices, type Prices } from './prices.ts'
import { ratedLineJson, ratedLineShape } from './rated-line.ts'
import {
  exactUsd,
  exactUsdShape,
  walletTransactionJson,
  walletTransactionShape,
} from './wallet-transaction-shape.ts'

const instant = z.string().meta({ examples: ['2026-11-01T10:02:11.120Z'] })
const digest = z.string().meta({ description: 'SHA-256, hexadecimal.' })

const usageShape = z.object({
  event: z.unknown().meta({ description: 'What was told, verbatim.' }),
  received_at: instant,
  rate_card: z
    .object({
      id: z.string(),
      effective_from: instant,
      has_agreed_rates: z.boolean().meta({ description: 'Whether rates of this workspace are in it.' }),
    })
    .nullable(),
  prefix: z.string().nullable().meta({ description: 'The telephony prefix that matched.' }),
  lines: z.array(ratedLineShape),
  total_usd: exactUsdShape('The sum of the lines.', 0.203333).nullable(),
  rounding: z.object({
    mode: z.literal('half_up'),
    to_usd: z.literal('0.000001'),
    times: z.literal('once_per_line'),
  }),
})

const topUpShape = z.object({
  id: z.string(),
  source: z.string(),
  state: z.string(),
  amount_usd: exactUsdShape('Asked for.', 50),
  credited_usd: exactUsdShape('Credited so far.', 50),
  paddle_transaction_id: z.string().nullable(),
  created_at: instant,
  steps: z.array(
    z.object({
      step: z.int(),
      state: z.string(),
      reason: z.string().nullable(),
      paddle_transaction_id: z.string().nullable(),
      at: instant,
    }),
  ),
})

const adjustmentShape = z.object({
  id: z.string(),
  action: z.string(),
  status: z.string(),
  amount_usd: exactUsdShape('Of the credit.', 50),
  paddle_transaction_id: z.string(),
  applied_at: instant,
})

const postingShape = z.object({
  line: z.int(),
  debit_account: z.enum(accounts),
  debit_title: z.string(),
  credit_account: z.enum(accounts),
  credit_title: z.string(),
  amount_usd: exactUsdShape('Above zero.', 0.1),
  quantity: z.int().nullable(),
  prefix: z.string().nullable(),
})

const receiptShape = walletTransactionShape.extend({
  currency: z.literal('USD'),
  sequence: z.int().meta({ description: 'Its place in the wallet: 1 is the first.' }),
  occurred_at: instant,
  posted_at: instant,
  usage: usageShape.nullable(),
  topup: topUpShape.nullable(),
  adjustment: adjustmentShape.nullable(),
  postings: z.array(postingShape),
  payload_hash: digest,
  previous_hash: digest.meta({ description: 'Of the transaction before it; zeros for the first.' }),
  hash: digest.meta({ description: 'Covers the previous hash and everything that this transaction says.' }),
  recomputes: z.boolean().meta({
    description:
      'Whether postings, balance, hash and price follow again from what is stored, computed just now.',
  }),
  differences: z.array(z.string()),
})

export function registerReceiptRoutes(api: Api, { db }: RouteContext): void {
  const prices = createPrices(db)
  api.get(
    '/v1/wallet/transactions/:id',
    {
      config: { scope: 'read' },
      schema: {
        summary: 'The receipt of a wallet transaction',
        tags: ['Wallet'],
        params: z.object({ id: z.string().meta({ examples: ['txn_0000001a9f86d081'] }) }),
        response: { 200: receiptShape },
      },
    },
    async (request) => {
      return receiptJson(await getReceipt({ db, prices }, workspaceOf(request), request.params.id))
    },
  )
}

/** Throws: the refusal `transaction_not_found`. */
export async function getReceipt(
  { db, prices }: { db: Db; prices: Prices },
  workspaceId: WorkspaceId,
  transactionId: string,
): Promise<Receipt> {
  const sequence = sequenceOfTransactionId(workspaceId, transactionId)
  if (sequence === null) throw noTransaction()
  const receipt = await inOneSnapshot(db, async (trx) =>
    findReceipt(trx, { workspaceId, sequence }, (await prices.quoteIn(trx)).prices),
  )
  if (receipt === null) throw noTransaction()
  return receipt
}

function noTransaction() {
  return refusal({
    status: 404,
    code: 'transaction_not_found',
    message: 'This wallet has no such transaction: list them to find its id.',
  })
}

function receiptJson(receipt: Receipt): z.output<typeof receiptShape> {
  const { transaction, differences } = receipt
  return {
    ...walletTransactionJson(transaction),
    balance_before: exactUsd(receipt.balanceBeforeMicros),
    currency: 'USD' as const,
    sequence: Number(transaction.sequence),
    occurred_at: transaction.occurredAt.toISOString(),
    posted_at: transaction.postedAt.toISOString(),
    usage: usageJson(receipt),
    topup: topUpJson(receipt),
    adjustment: adjustmentJson(receipt),
    postings: receipt.postings.map((posting) => ({
      line: posting.line,
      debit_account: posting.debitAccount,
      debit_title: describeAccount(posting.debitAccount).title,
      credit_account: posting.creditAccount,
      credit_title: describeAccount(posting.creditAccount).title,
      amount_usd: exactUsd(posting.amountMicros),
      quantity: posting.quantity,
      prefix: posting.prefix,
    })),
    payload_hash: receipt.payloadHash.toString('hex'),
    previous_hash: receipt.previousHash.toString('hex'),
    hash: receipt.hash.toString('hex'),
    recomputes: differences.length === 0,
    differences,
  }
}

function usageJson({ usage }: Receipt): z.output<typeof usageShape> | null {
  if (usage === null) return null
  const { card, rating, place } = usage
  const lines = rating?.lines ?? []
  return {
    event: usage.event,
    received_at: usage.receivedAt.toISOString(),
    rate_card:
      card === null
        ? null
        : {
            id: card.id,
            effective_from: card.effectiveFrom.toISOString(),
            has_agreed_rates: usage.hasAgreedRates,
          },
    prefix: lines.find((line) => line.prefix !== undefined)?.prefix ?? null,
    lines: card === null ? [] : lines.map((line) => ratedLineJson(line, card, place)),
    total_usd: rating === null ? null : exactUsd(rating.totalMicros),
    rounding: { mode: 'half_up' as const, to_usd: '0.000001' as const, times: 'once_per_line' as const },
  }
}

function topUpJson({ topUp: found }: Receipt): z.output<typeof topUpShape> | null {
  if (found === null) return null
  const { topUp, steps, paddleTransactionId } = found
  return {
    id: topUp.topUpId,
    source: topUp.source,
    state: topUp.state,
    amount_usd: exactUsd(topUp.amountMicros),
    credited_usd: exactUsd(topUp.creditedMicros),
    paddle_transaction_id: paddleTransactionId,
    created_at: topUp.createdAt.toISOString(),
    steps: steps.map((step) => ({
      step: step.step,
      state: step.state,
      reason: step.reason,
      paddle_transaction_id: step.paddleTransactionId,
      at: step.steppedAt.toISOString(),
    })),
  }
}

function adjustmentJson({ adjustment }: Receipt): z.output<typeof adjustmentShape> | null {
  if (adjustment === null) return null
  return {
    id: adjustment.adjustment_id,
    action: adjustment.action,
    status: adjustment.status,
    amount_usd: exactUsd(adjustment.amount_micros),
    paddle_transaction_id: adjustment.paddle_transaction_id,
    applied_at: adjustment.applied_at.toISOString(),
  }
}
