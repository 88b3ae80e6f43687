/** A wallet transaction as it is told to its workspace, in lists, in receipts and in CSV. */
import { z } from 'zod'

import { ledgerTransactionKinds } from '../billing/ledger-draft.ts'
import { formatUsd, micros, type Micros } from '../billing/money.ts'
import {
  describeWalletTransaction,
  subjectOf,
  typeOfKind,
  walletTransactionId,
  walletTransactionTypes,
} from '../billing/wallet-transaction.ts'
import type { WalletTransaction } from '../db/wallet-transaction.ts'

/**
 * Dollars as a JSON number that adds up: read from a finished decimal text of six places, so it prints as that text does.
 *
 * Rounds: never, up to 999,999,999.999999 either way, which is what a double holds of six decimals.
 */
export function exactUsd(amount: Micros): number {
  return Number(formatUsd(amount))
}

/** How `exactUsd` is described. */
export function exactUsdShape(description: string, example: number) {
  const exactly = 'US dollars, exact, with up to six decimals.'
  return z.number().meta({ description: `${description} ${exactly}`, examples: [example] })
}

export const walletTransactionShape = z.object({
  id: z.string().meta({ examples: ['txn_0000001a9f86d081'] }),
  type: z.enum(walletTransactionTypes).meta({
    description:
      'topup: credit that came. usage: what happened and cost. refund: what went back or was put right, either way.',
  }),
  kind: z.enum(ledgerTransactionKinds),
  amount_usd: exactUsdShape('What it did to the balance: below zero is a debit.', -0.203333),
  balance_before: exactUsdShape('', 10),
  balance_after: exactUsdShape('', 9.796667),
  created_at: z.string().meta({ description: 'When it was booked.', examples: ['2026-11-01T10:02:11.120Z'] }),
  description: z.string().meta({ examples: ['Call call_1a2b'] }),
  endpoint_type: z.enum(['call', 'chat', 'number']).optional(),
  call_id: z.string().optional(),
  chat_id: z.string().optional(),
  message_id: z.string().optional(),
  number: z.string().optional(),
  phone_number_id: z.string().optional(),
  period_start: z
    .string()
    .optional()
    .meta({ description: 'Of a rental: the day on which the month starts.', examples: ['2026-02-28'] }),
  topup_id: z.string().optional(),
  agent_id: z.string().optional(),
  campaign_id: z.string().optional(),
})

export type WalletTransactionJson = z.output<typeof walletTransactionShape>

export function walletTransactionJson(transaction: WalletTransaction): WalletTransactionJson {
  const { workspaceId, sequence, kind, amountMicros, balanceAfterMicros, agentId, campaignId } = transaction
  return {
    id: walletTransactionId(workspaceId, sequence),
    type: typeOfKind(kind),
    kind,
    amount_usd: exactUsd(amountMicros),
    balance_before: exactUsd(micros(balanceAfterMicros - amountMicros)),
    balance_after: exactUsd(balanceAfterMicros),
    created_at: transaction.postedAt.toISOString(),
    description: describeWalletTransaction(transaction),
    ...subjectJson(transaction),
    ...(agentId === null ? {} : { agent_id: agentId }),
    ...(campaignId === null ? {} : { campaign_id: campaignId }),
  }
}

function subjectJson(transaction: WalletTransaction): Partial<WalletTransactionJson> {
  const subject = subjectOf(transaction)
  if (subject.of === 'call') return { endpoint_type: 'call', call_id: subject.callId }
  if (subject.of === 'number') {
    const { number, phoneNumberId, periodStart } = subject
    return { endpoint_type: 'number', number, phone_number_id: phoneNumberId, period_start: periodStart }
  }
  if (subject.of === 'top_up') return { topup_id: subject.topUpId }
  if (subject.of === 'wallet') return {}
  const { messageId, chatId } = subject
  return { endpoint_type: 'chat', message_id: messageId, ...(chatId === null ? {} : { chat_id: chatId }) }
}
