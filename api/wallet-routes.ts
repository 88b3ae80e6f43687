/** The wallet as its workspace sees it. */
import { z } from 'zod'

import { findAutoRecharge } from '../db/auto-recharge.ts'
import { findBalance } from '../db/wallet.ts'
import { workspaceOf, type Api, type RouteContext } from './api.ts'
import { refusal } from './errors.ts'
import { usdNumber } from './money.ts'

const walletShape = z.object({
  balance_usd: z.number().meta({ description: 'Rounded down to the cent.', examples: [47.23] }),
  currency: z.literal('USD'),
  auto_recharge: z.object({ enabled: z.boolean(), threshold_usd: z.number(), topup_usd: z.number() }),
})

/** What auto-recharge would be if it were set up with nothing said. */
const unsetRecharge = { enabled: false, threshold_usd: 20, topup_usd: 100 }

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
}

/** A key without a wallet: only while a workspace is being opened. */
export function noWallet() {
  return refusal({
    status: 404,
    code: 'no_wallet',
    message: 'This workspace has no wallet yet: it is opened within moments of the workspace.',
  })
}
