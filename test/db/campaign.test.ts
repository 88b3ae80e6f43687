import { describe, expect } from 'vitest'

import { campaignId as campaignIdSchema, type CampaignId, type WorkspaceId } from '../../billing/ids.ts'
import { actOnCampaign, findCampaign, type ActedOn, type CampaignAction } from '../../db/campaign.ts'
import { freezeWallet } from '../../db/freeze.ts'
import type { Db } from '../../db/schema.ts'
import { test } from '../support/fixtures.ts'
import { givenWorkspace, newId } from '../support/given.ts'
import { aCallToAdmit, admit, givenWalletWith, spend, topUp } from '../support/given-calls.ts'
import { givenCustomer, underLock } from '../support/given-money-in.ts'

describe('a campaign', () => {
  test('is known from its first start on, runs, is paused, resumes, and ends for good', async ({ db }) => {
    const workspaceId = await givenWorkspace(db)
    const campaignId = newCampaignId()
    const steps: CampaignAction[] = [
      'start',
      'start',
      'pause',
      'pause',
      'resume',
      'resume',
      'cancel',
      'cancel',
    ]

    const unknown = await Promise.all(
      (['pause', 'resume', 'cancel'] as const).map((action) => act(db, workspaceId, campaignId, action)),
    )
    const statuses: string[] = []
    for (const action of steps) statuses.push(statusOf(await act(db, workspaceId, campaignId, action)))
    const over = await Promise.all(
      (['start', 'resume', 'pause'] as const).map((action) => act(db, workspaceId, campaignId, action)),
    )

    expect(unknown).toEqual(Array.from({ length: 3 }, () => ({ outcome: 'unknown_campaign' })))
    expect(statuses).toEqual([
      'running',
      'running',
      'paused',
      'paused',
      'running',
      'running',
      'cancelled',
      'cancelled',
    ])
    expect(over).toEqual(Array.from({ length: 3 }, () => ({ outcome: 'over', status: 'cancelled' })))
  })

  test('may have as many live calls as there are buffers, besides those that live', async ({ db }) => {
    const workspaceId = await givenWalletWith(db, 100)
    const campaignId = newCampaignId()
    const started = await act(db, workspaceId, campaignId, 'start')
    await admit(db, aCallToAdmit(workspaceId, { campaignId }), aCallToAdmit(workspaceId))

    const resumed = await act(db, workspaceId, campaignId, 'resume')
    const paused = await act(db, workspaceId, campaignId, 'pause')

    expect(started).toMatchObject({ campaign: { liveCalls: 0, mostLiveCalls: 5 } })
    expect(resumed).toMatchObject({ campaign: { liveCalls: 1, mostLiveCalls: 4 } })
    expect(paused).toMatchObject({ campaign: { liveCalls: 1, mostLiveCalls: 1 } })
  })

  test('is neither started nor resumed below the buffer, and stays as it was', async ({ db }) => {
    const workspaceId = await givenWalletWith(db, 19)
    const campaignId = newCampaignId()
    const running = await givenWalletWith(db, 40)
    await act(db, running, campaignId, 'start')
    await act(db, running, campaignId, 'pause')
    await spend(db, running, 30)

    const refused = await act(db, workspaceId, campaignId, 'start')
    const notResumed = await act(db, running, campaignId, 'resume')

    expect(refused).toEqual({
      outcome: 'insufficient_balance',
      availableMicros: 190_000n,
      requiredMicros: 200_000n,
    })
    expect(await findCampaign(db, { workspaceId, campaignId })).toBeNull()
    expect(notResumed).toMatchObject({ outcome: 'insufficient_balance', availableMicros: 100_000n })
    expect(await findCampaign(db, { workspaceId: running, campaignId })).toMatchObject({
      status: 'paused',
      pausedBy: 'person',
    })
  })

  test('is not started on a frozen wallet, and can be paused there', async ({ db }) => {
    const workspaceId = await givenWorkspace(db)
    const campaignId = newCampaignId()
    await act(db, workspaceId, campaignId, 'start')
    await underLock(db, workspaceId, (trx, wallet) =>
      freezeWallet(trx, wallet, { actor: 'test', reason: 'chargeback', now: new Date() }),
    )

    const resumed = await act(db, workspaceId, campaignId, 'resume')
    const paused = await act(db, workspaceId, campaignId, 'pause')

    expect(resumed).toEqual({ outcome: 'frozen' })
    expect(statusOf(paused)).toBe('paused')
  })
})

describe('a campaign that money stopped', () => {
  test('goes on by itself after a top-up when it was asked to, and not when it was not', async ({ db }) => {
    const payer = await givenCustomer(db)
    const { workspaceId } = payer
    const asked = newCampaignId()
    const notAsked = newCampaignId()
    await act(db, workspaceId, asked, 'start', true)
    await act(db, workspaceId, notAsked, 'start')
    await spend(db, workspaceId, 990)
    await admit(
      db,
      aCallToAdmit(workspaceId, { campaignId: asked }),
      aCallToAdmit(workspaceId, { campaignId: notAsked }),
    )
    expect(await statusesOf(db, workspaceId, [asked, notAsked])).toEqual(['paused', 'paused'])

    await topUp(db, payer, 500)

    expect(await statusesOf(db, workspaceId, [asked, notAsked])).toEqual(['running', 'paused'])
    const [admission] = await admit(db, aCallToAdmit(workspaceId, { campaignId: asked }))
    expect(admission).toMatchObject({ outcome: 'admitted' })
  })

  test('waits when it could not even start, and goes on by itself', async ({ db }) => {
    const payer = await givenCustomer(db)
    const { workspaceId } = payer
    const campaignId = newCampaignId()
    await spend(db, workspaceId, 1_000)

    const refused = await act(db, workspaceId, campaignId, 'start', true)
    const waiting = await findCampaign(db, { workspaceId, campaignId })
    await topUp(db, payer, 500)

    expect(refused).toMatchObject({ outcome: 'insufficient_balance' })
    expect(waiting).toMatchObject({ status: 'paused', pausedBy: 'funds', resumeWhenFunded: true })
    expect(await statusesOf(db, workspaceId, [campaignId])).toEqual(['running'])
  })

  test('stays paused when a person has paused it meanwhile, when the top-up is too small, and on a frozen wallet', async ({
    db,
  }) => {
    const byPerson = await givenStopped(db)
    await act(db, byPerson.workspaceId, byPerson.campaignId, 'pause')
    const tooSmall = await givenStopped(db)
    await spend(db, tooSmall.workspaceId, 700)
    const frozen = await givenStopped(db)
    await underLock(db, frozen.workspaceId, (trx, wallet) =>
      freezeWallet(trx, wallet, { actor: 'test', reason: 'chargeback', now: new Date() }),
    )

    for (const { payer } of [byPerson, tooSmall, frozen]) await topUp(db, payer, 500)

    for (const { workspaceId, campaignId } of [byPerson, tooSmall, frozen]) {
      expect(await statusesOf(db, workspaceId, [campaignId])).toEqual(['paused'])
    }
  })
})

/** One that is to go on by itself, and waits for money. */
async function givenStopped(db: Db) {
  const payer = await givenCustomer(db)
  const { workspaceId } = payer
  const campaignId = newCampaignId()
  await spend(db, workspaceId, 1_000)
  await act(db, workspaceId, campaignId, 'start', true)
  expect(await statusesOf(db, workspaceId, [campaignId])).toEqual(['paused'])
  return { payer, workspaceId, campaignId }
}

function newCampaignId(): CampaignId {
  return campaignIdSchema.parse(newId('camp'))
}

async function act(
  db: Db,
  workspaceId: WorkspaceId,
  campaignId: CampaignId,
  action: CampaignAction,
  resumeWhenFunded?: boolean,
): Promise<ActedOn> {
  return await underLock(db, workspaceId, (trx, wallet) =>
    actOnCampaign(trx, wallet, { campaignId, action, resumeWhenFunded }, new Date()),
  )
}

function statusOf(acted: ActedOn): string {
  return acted.outcome === 'done' ? acted.campaign.status : acted.outcome
}

async function statusesOf(db: Db, workspaceId: WorkspaceId, campaignIds: readonly CampaignId[]) {
  const campaigns = await Promise.all(
    campaignIds.map((campaignId) => findCampaign(db, { workspaceId, campaignId })),
  )
  return campaigns.map((campaign) => campaign?.status)
}
