/**
 * Campaigns, as far as money is concerned: one may be started and resumed while the wallet has the buffer for a call, and says
 * how many of its calls may be live. Its calls are admitted one by one all the same.
 */
import { z } from 'zod'

import { campaignId } from '../billing/ids.ts'
import { isUnderWay } from '../db/admission.ts'
import { actOnCampaign, campaignActions, findCampaignNow, type CampaignNow } from '../db/campaign.ts'
import { readClock } from '../db/clock.ts'
import { decideWalletRecharge } from '../db/recharge.ts'
import { inOneSnapshot } from '../db/snapshot.ts'
import { withLockedWallet } from '../db/wallet.ts'
import { workspaceOf, type Api, type RouteContext } from './api.ts'
import { refusal } from './errors.ts'
import { insufficientBalance, walletFrozen } from './insufficient-balance.ts'
import { noWallet } from './wallet-routes.ts'

const campaignShape = z.object({
  campaign_id: z.string(),
  status: z.enum(['draft', 'running', 'paused', 'completed', 'cancelled']),
  paused_by: z
    .enum(['person', 'funds'])
    .nullable()
    .meta({ description: '`funds`: a call, or the start, was refused with 402.' }),
  resume_when_funded: z
    .boolean()
    .meta({ description: 'Whether it goes on by itself after a top-up, once it was paused by funds.' }),
  live_calls: z.int().meta({ description: 'Its calls that something is held for.' }),
  max_live_calls: z.int().meta({
    description:
      'How many of its calls may be live at once: those that are, and one more for each $0.20 that is available; 100 at most.',
  }),
})

const params = z.object({ campaign_id: campaignId })

export function registerCampaignRoutes(api: Api, { db }: RouteContext): void {
  api.get(
    '/v1/campaigns/:campaign_id',
    {
      config: { scope: 'read' },
      schema: { summary: 'A campaign', tags: ['Campaigns'], params, response: { 200: campaignShape } },
    },
    async (request) => {
      const name = { workspaceId: workspaceOf(request), campaignId: request.params.campaign_id }
      const campaign = await inOneSnapshot(db, (trx) => findCampaignNow(trx, name))
      if (campaign === null) throw noSuchCampaign()
      return campaignOf(campaign)
    },
  )

  api.post(
    '/v1/campaigns/:campaign_id/action',
    {
      config: { scope: 'write' },
      schema: {
        summary: 'Start, pause, resume or cancel a campaign',
        tags: ['Campaigns'],
        description:
          'The first start makes a campaign known here. Start and resume below the buffer of $0.20: 402, and the campaign stays ' +
          'as it was, or, with `resume_when_funded`, is paused until there is money. Live calls go on whatever is done. A ' +
          'running campaign is paused by itself when one of its calls is refused with 402.',
        params,
        body: z.strictObject({
          action: z.enum(campaignActions),
          resume_when_funded: z
            .boolean()
            .optional()
            .meta({ description: 'Left out, it stays as it was; at first false.' }),
        }),
        response: { 200: campaignShape },
      },
    },
    async (request) => {
      const { action, resume_when_funded: resumeWhenFunded } = request.body
      const asked = { campaignId: request.params.campaign_id, action, resumeWhenFunded }
      const done = await withLockedWallet(db, workspaceOf(request), async (trx, wallet) => {
        const now = await readClock(trx)
        const acted = await actOnCampaign(trx, wallet, asked, now)
        if (acted.outcome !== 'insufficient_balance') return acted
        return { ...acted, rechargeUnderWay: isUnderWay(await decideWalletRecharge(trx, wallet, now)) }
      })
      if (done === null) throw noWallet()
      if (done.outcome === 'done') return campaignOf(done.campaign)
      if (done.outcome === 'insufficient_balance') throw insufficientBalance(done)
      if (done.outcome === 'frozen') throw walletFrozen()
      if (done.outcome === 'unknown_campaign') throw noSuchCampaign()
      throw refusal({
        status: 409,
        code: 'campaign_over',
        message: `The campaign is ${done.status}, and stays so: start another one.`,
        more: { campaign_status: done.status },
      })
    },
  )
}

function campaignOf(campaign: CampaignNow): z.output<typeof campaignShape> {
  return {
    campaign_id: campaign.campaignId,
    status: campaign.status,
    paused_by: campaign.pausedBy,
    resume_when_funded: campaign.resumeWhenFunded,
    live_calls: campaign.liveCalls,
    max_live_calls: campaign.mostLiveCalls,
  }
}

function noSuchCampaign() {
  return refusal({
    status: 404,
    code: 'not_found',
    message: 'There is no such campaign in this workspace: start it first, or check the id.',
  })
}
