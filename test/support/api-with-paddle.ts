/** An API in this process whose Paddle is a simulator of the file's own, and workspaces whose card that keeps. */
import type { WorkspaceId } from '../../billing/ids.ts'
import type { Db } from '../../db/schema.ts'
import { openWalletWithCard } from '../../scripts/drills/recharging-wallet.ts'
import { test as base, type TestApi } from './api-server.ts'
import { startTestPaddle, type TestPaddle } from './paddle.ts'

export const test = base.extend<{
  /** Tells nobody anything: what webhooks would bring is given. */
  paddle: TestPaddle
  /** As `api`, with that Paddle. */
  shop: TestApi
}>({
  paddle: [
    async ({ place: _place }, use) => {
      const paddle = await startTestPaddle()
      await paddle.control.limits({ requestsPerMinute: null })
      await use(paddle)
      await paddle.close()
    },
    { scope: 'file' },
  ],
  shop: async ({ startTestApi, paddle }, use) => {
    await use(await startTestApi({ context: { paddle: paddle.gateway } }))
  },
})

export type GivenCard = {
  /** Our own name for it. */
  savedCardId: string
  subscriptionId: string
  /** Paddle's name for it. */
  paymentMethodId: string
}

/** The workspace's card is saved at Paddle, and known here. */
export async function givenCard(db: Db, paddle: TestPaddle, workspaceId: WorkspaceId): Promise<GivenCard> {
  const { subscriptionId, paymentMethodId } = await openWalletWithCard(db, paddle, workspaceId)
  const { saved_card_id: savedCardId } = await db
    .selectFrom('saved_card')
    .select('saved_card_id')
    .where('workspace_id', '=', workspaceId)
    .where('subscription_id', '=', subscriptionId)
    .executeTakeFirstOrThrow()
  return { savedCardId, subscriptionId, paymentMethodId }
}
