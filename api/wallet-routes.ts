/** The wallet as its workspace sees it: what it has, what came and went, and what it can afford. */
import { z } from 'zod'

import { leastBufferMicros } from '../billing/admission.ts'
import type { WorkspaceId } from '../billing/ids.ts'
import { parseUsd, sumMicros } from '../billing/money.ts'
import { findAutoRecharge } from '../db/auto-recharge.ts'
import { findBalance } from '../db/wallet.ts'
import type { Db } from '../db/schema.ts'
import { findWalletState, summarizeWallet, type WalletState } from '../db/wallet-summary.ts'
import { workspaceOf, type Api, type RouteContext } from './api.ts'
import { refusal } from './errors.ts'
import { usdNumber } from './money.ts'
import { exactUsd, exactUsdShape } from './wallet-transaction-shape.ts'

const toTheCent = z.number().meta({ description: 'US dollars, rounded down to the cent.', examples: [47.23] })

const walletShape = z.object({
  balance_usd: z.number().meta({ description: 'Rounded down to the cent.', examples: [47.23] }),
  currency: z.literal('USD'),
  auto_recharge: z.object({ enabled: z.boolean(), threshold_usd: z.number(), topup_usd: z.number() }),
})

/** What auto-recharge would be if it were set up with nothing said. */
const unsetRecharge = { enabled: false, threshold_usd: 20, topup_usd: 100 }

const balanceShape = z.object({
  balance_usd: toTheCent,
  held_usd: toTheCent.meta({ description: 'Set aside for calls in progress.', examples: [0.2] }),
  available_usd: toTheCent.meta({ description: 'The balance without what is held.', examples: [47.03] }),
  has_balance: z.boolean().meta({ description: 'Whether the balance is above zero.' }),
  can_proceed: z.boolean().meta({
    description: 'Whether the cheapest call could start: enough is available, and the wallet is not frozen.',
  }),
  min_balance: z.number().meta({ description: 'The least that must be available.', examples: [0.2] }),
  margin_percent: z.literal(0),
})

const moment = z.string().nullable()

const summaryShape = z.object({
  current_balance: exactUsdShape('', 47.236667),
  total_topup: exactUsdShape('All credit that came: bought and given.', 60),
  total_usage: exactUsdShape('What usage took: zero or above.', 12.763333),
  total_refund: exactUsdShape('What refunds, disputes and corrections did to the balance.', -10),
  total_granted: exactUsdShape('Of the credit, what was given.', 10),
  topup_count: z.int().meta({ description: 'Top-ups, without grants.' }),
  usage_count: z.int(),
  transaction_count: z.int(),
  last_topup_at: moment,
  last_usage_at: moment,
})

const affordQuery = z.strictObject({
  estimated_cost: z
    .string()
    .regex(/^(?:0|[1-9]\d{0,8})(?:\.\d{1,6})?$/, 'expected dollars with up to six decimals, such as 0.25')
    .transform(parseUsd)
    .meta({ type: 'number', examples: [0.25] }),
})

const affordShape = z.object({
  can_afford: z.boolean(),
  estimated_cost: exactUsdShape('As asked.', 0.25),
  balance_usd: toTheCent,
  available_usd: toTheCent,
})

export function registerWalletRoutes(api: Api, { db }: RouteContext): void {
  api.get(
    '/v1/wallet',
    {
      config: { scope: 'read' },
      schema: { summary: 'The wallet', tags: ['Wallet'], response: { 200: walletShape } },
    },
    async (request) => {
      const workspaceId = workspaceOf(request)
      const [balanceMicros, settings] = await Promise.all([
        findBalance(db, workspaceId),
        findAutoRecharge(db, workspaceId),
      ])
      if (balanceMicros === null) throw noWallet()
      return {
        balance_usd: usdNumber(balanceMicros),
        currency: 'USD' as const,
        auto_recharge:
          settings === null
            ? unsetRecharge
            : {
                enabled: settings.enabled,
                threshold_usd: usdNumber(settings.thresholdMicros),
                topup_usd: usdNumber(settings.topUpMicros),
              },
      }
    },
  )
  api.get(
    '/v1/wallet/balance',
    {
      config: { scope: 'read' },
      schema: {
        summary: 'What is there and what is free',
        tags: ['Wallet'],
        response: { 200: balanceShape },
      },
    },
    async (request) => {
      const wallet = await getWallet(db, workspaceOf(request))
      return {
        balance_usd: usdNumber(wallet.balanceMicros),
        held_usd: usdNumber(wallet.heldMicros),
        available_usd: usdNumber(wallet.availableMicros),
        has_balance: wallet.balanceMicros > 0n,
        can_proceed: wallet.availableMicros >= leastBufferMicros && !wallet.frozen,
        min_balance: usdNumber(leastBufferMicros),
        margin_percent: 0 as const,
      }
    },
  )
  api.get(
    '/v1/wallet/summary',
    {
      config: { scope: 'read' },
      schema: { summary: 'What came and went so far', tags: ['Wallet'], response: { 200: summaryShape } },
    },
    async (request) => {
      const workspaceId = workspaceOf(request)
      const wallet = await getWallet(db, workspaceId)
      const summary = await summarizeWallet(db, workspaceId, wallet)
      return {
        current_balance: exactUsd(wallet.balanceMicros),
        total_topup: exactUsd(sumMicros([summary.toppedUpMicros, summary.grantedMicros])),
        total_usage: exactUsd(summary.usedMicros),
        total_refund: exactUsd(summary.refundedMicros),
        total_granted: exactUsd(summary.grantedMicros),
        topup_count: Number(summary.topUps),
        usage_count: Number(summary.usages),
        transaction_count: Number(wallet.newest),
        last_topup_at: summary.lastTopUpAt?.toISOString() ?? null,
        last_usage_at: summary.lastUsageAt?.toISOString() ?? null,
      }
    },
  )
  api.get(
    '/v1/wallet/can-afford',
    {
      config: { scope: 'read' },
      schema: {
        summary: 'Whether so much is available',
        tags: ['Wallet'],
        querystring: affordQuery,
        response: { 200: affordShape },
      },
    },
    async (request) => {
      const wallet = await getWallet(db, workspaceOf(request))
      const costMicros = request.query.estimated_cost
      return {
        can_afford: canAfford(wallet, costMicros),
        estimated_cost: exactUsd(costMicros),
        balance_usd: usdNumber(wallet.balanceMicros),
        available_usd: usdNumber(wallet.availableMicros),
      }
    },
  )
}

/** A frozen wallet affords nothing: no call may start. */
export function canAfford({ availableMicros, frozen }: WalletState, costMicros: bigint): boolean {
  return availableMicros >= costMicros && !frozen
}

/** Throws the refusal where there is none. */
export async function getWallet(db: Db, workspaceId: WorkspaceId): Promise<WalletState> {
  const wallet = await findWalletState(db, workspaceId)
  if (wallet === null) throw noWallet()
  return wallet
}

/** A key without a wallet: only while a workspace is being opened. */
export function noWallet() {
  return refusal({
    status: 404,
    code: 'no_wallet',
    message: 'This workspace has no wallet yet: it is opened within moments of the workspace.',
  })
}
