// Admission in transactions: what is held is always there, whoever asks at the same time, and is decided with what was known.
import { sql } from 'kysely'
import { describe, expect } from 'vitest'

import type { CallToAdmit } from '../../billing/admission.ts'
import { campaignId as campaignIdSchema, type WorkspaceId } from '../../billing/ids.ts'
import { micros } from '../../billing/money.ts'
import { connect } from '../../db/connect.ts'
import { admitCalls, type Admission } from '../../db/admission.ts'
import { findCampaign } from '../../db/campaign.ts'
import { freezeWallet } from '../../db/freeze.ts'
import { findHold } from '../../db/hold.ts'
import { agreeWorkspaceRate } from '../../db/rate-book.ts'
import type { CampaignStatus, Db } from '../../db/schema.ts'
import { receiveUsage } from '../../db/usage-event.ts'
import { lockWallet } from '../../db/wallet.ts'
import { findBreaks } from '../support/books.ts'
import { test } from '../support/fixtures.ts'
import { aCall, callArrival, givenWorkspace, newId, newWorkspaceId } from '../support/given.ts'
import {
  aCallToAdmit,
  admit,
  givenWalletWith,
  moneyOf,
  post,
  quarterHour,
  rateBookOf,
} from '../support/given-calls.ts'
import { getOnlyTopUp, givenAutoRecharge, givenPayer, underLock } from '../support/given-money-in.ts'
import { whileHeld } from '../support/held.ts'
import { countLockWaits } from '../support/lock-waits.ts'
import { until } from '../support/until.ts'

describe('a call that the wallet has the buffer for', () => {
  test('is admitted, and holds its first minute until it ends', async ({ db }) => {
    const workspaceId = await givenWorkspace(db)
    const call = aCallToAdmit(workspaceId, { from: '+14155550199', recorded: true })

    const [admission] = await admit(db, call)

    expect(admission).toEqual({
      outcome: 'admitted',
      holdMicros: 200_000n,
      availableMicros: 9_800_000n,
      // $10 at $0.20 a minute.
      affordsSeconds: 3_000,
      startedAt: expect.any(Date),
    })
    expect(await moneyOf(db, workspaceId)).toEqual({
      balance: 10_000_000n,
      held: 200_000n,
      openHolds: 200_000n,
    })
    const hold = await findHold(db, call)
    expect(hold).toMatchObject({ state: 'open', to: '+14155550100', from: '+14155550199', recorded: true })
    expect((hold?.expiresAt.getTime() ?? 0) - (hold?.startedAt.getTime() ?? 0)).toBe(900_000)
  })

  test('holds what its own destination costs', async ({ db }) => {
    const workspaceId = await givenWorkspace(db)
    await agreeRate(db, workspaceId, '88216', '1.50')

    const [admission] = await admit(db, aCallToAdmit(workspaceId, { to: '+88216550100' }))

    expect(admission).toMatchObject({ outcome: 'admitted', holdMicros: 1_600_000n, affordsSeconds: 375 })
  })

  test('is admitted on the last cent, and refused a micro-dollar below it', async ({ db }) => {
    const enough = await givenWalletWith(db, 20)
    const short = await givenWalletWith(db, 20)
    await sql`update wallet set held_micros = 1 where workspace_id = ${short}`.execute(db)

    const [admitted, refused] = await admit(db, aCallToAdmit(enough), aCallToAdmit(short))

    expect(admitted).toMatchObject({ outcome: 'admitted', availableMicros: 0n })
    expect(refused).toEqual({
      outcome: 'insufficient_balance',
      availableMicros: 199_999n,
      requiredMicros: 200_000n,
      rechargeUnderWay: false,
    })
    await sql`update wallet set held_micros = 0 where workspace_id = ${short}`.execute(db)
  })

  test('asked for again while it lives, is admitted as before and holds nothing more', async ({ db }) => {
    const workspaceId = await givenWalletWith(db, 20)
    const call = aCallToAdmit(workspaceId)

    const [first, twin] = await admit(db, call, call)
    const [again] = await admit(db, call)

    expect(first).toMatchObject({ outcome: 'admitted', affordsSeconds: 66 })
    expect([twin, again]).toEqual([first, first])
    expect(await moneyOf(db, workspaceId)).toMatchObject({ held: 200_000n, openHolds: 200_000n })
  })

  test('is held by the role that workers have, over the connection that admission has', async ({
    place,
    db,
  }) => {
    const workspaceId = await givenWorkspace(db)
    const posting = connect(place.databaseUrl, { profile: 'posting', name: 'admission', poolSize: 1 })

    const admissions = await admit(posting, aCallToAdmit(workspaceId), aCallToAdmit(workspaceId))
    await posting.destroy()

    expect(admissions.map((each) => each.outcome)).toEqual(['admitted', 'admitted'])
    expect(await moneyOf(db, workspaceId)).toMatchObject({ held: 400_000n, openHolds: 400_000n })
  })
})

describe('a batch of calls', () => {
  test('is decided in order, each on what the ones before it left', async ({ db }) => {
    const rich = await givenWorkspace(db)
    const poor = await givenWalletWith(db, 50)
    const calls = [poor, rich, poor, poor, rich].map((workspaceId) => aCallToAdmit(workspaceId))

    const admissions = await admit(db, ...calls)

    expect(admissions).toMatchObject([
      { outcome: 'admitted', availableMicros: 300_000n },
      { outcome: 'admitted', availableMicros: 9_800_000n },
      { outcome: 'admitted', availableMicros: 100_000n },
      { outcome: 'insufficient_balance', availableMicros: 100_000n, requiredMicros: 200_000n },
      { outcome: 'admitted', availableMicros: 9_600_000n },
    ])
    expect(await moneyOf(db, poor)).toMatchObject({ held: 400_000n, openHolds: 400_000n })
    expect(await moneyOf(db, rich)).toMatchObject({ held: 400_000n, openHolds: 400_000n })
  })

  test('refuses what it must with the reason, and none of it stops another', async ({ db }) => {
    const workspaceId = await givenWorkspace(db)
    const frozen = await givenWorkspace(db)
    await freeze(db, frozen)
    const live = aCallToAdmit(workspaceId)
    await admit(db, live)

    const admissions = await admit(
      db,
      aCallToAdmit(workspaceId, { to: '+99955550100' }),
      aCallToAdmit(frozen),
      aCallToAdmit(frozen, { to: '+99955550100' }),
      aCallToAdmit(newWorkspaceId()),
      { ...live, to: '+442071838750' },
      { ...live, recorded: true },
      aCallToAdmit(workspaceId),
    )

    expect(admissions).toMatchObject([
      { outcome: 'no_price', reason: 'unknown_destination' },
      { outcome: 'frozen' },
      { outcome: 'no_price', reason: 'unknown_destination' },
      { outcome: 'unknown_workspace' },
      { outcome: 'known_call', state: 'open' },
      { outcome: 'known_call', state: 'open' },
      { outcome: 'admitted' },
    ])
    expect(await moneyOf(db, frozen)).toMatchObject({ held: 0n, openHolds: 0n })
  })

  test('gives one id to one call in each workspace', async ({ db }) => {
    const workspaceIds = [await givenWorkspace(db), await givenWorkspace(db)]
    const callId = newId('call')

    const admissions = await admit(
      db,
      ...workspaceIds.map((workspaceId) => aCallToAdmit(workspaceId, { callId })),
    )

    expect(admissions.map((each) => each.outcome)).toEqual(['admitted', 'admitted'])
  })
})

describe('an id whose call is over', () => {
  test('is not admitted again, whether it was settled, released or told as usage without admission', async ({
    db,
  }) => {
    const workspaceId = await givenWorkspace(db)
    const settled = aCallToAdmit(workspaceId)
    const posted = aCallToAdmit(workspaceId)
    const received = aCallToAdmit(workspaceId)
    const setAside = aCallToAdmit(workspaceId)
    await admit(db, settled)
    await post(db, usageOf(settled), usageOf(posted), usageOf(setAside, { durationSeconds: -1 }))
    await receiveUsage(db, [usageOf(received)])

    const admissions = await admit(db, settled, posted, received, setAside)

    expect(admissions).toMatchObject([
      { outcome: 'known_call', state: 'settled' },
      { outcome: 'known_call', state: 'settled' },
      { outcome: 'known_call', state: 'settled' },
      { outcome: 'admitted' },
    ])
  })
})

describe('under concurrency', () => {
  test('a wallet in use elsewhere delays only its own calls', async ({ db }) => {
    const held = await givenWorkspace(db)
    const free = await givenWorkspace(db)

    const admissions = await whileHeld(
      db,
      (trx) => lockWallet(trx, held),
      () => admit(db, aCallToAdmit(held), aCallToAdmit(free)),
    )

    expect(admissions.map((each) => each.outcome)).toEqual(['deferred', 'admitted'])
    expect(await moneyOf(db, held)).toMatchObject({ held: 0n, openHolds: 0n })
  })

  test('a call is not admitted on what another transaction is about to hold', async ({ db }) => {
    // One call's buffer of $0.20, and not two.
    const workspaceId = await givenWalletWith(db, 30)
    const first = await db.startTransaction().execute()
    await admitCalls(first, [aCallToAdmit(workspaceId)], rateBookOf, quarterHour)

    let isDecided = false
    const second = admit(db, aCallToAdmit(workspaceId)).finally(() => {
      isDecided = true
    })
    await until('the other is decided, or waits', async () => isDecided || (await countLockWaits(db)) > 0)
    await first.commit().execute()

    expect(await second).toMatchObject([{ outcome: 'deferred' }])
    expect(await moneyOf(db, workspaceId)).toMatchObject({ held: 200_000n, openHolds: 200_000n })
  })

  test('racing transactions never hold more than is there, with usage and repeats among them', async ({
    place,
    db,
  }) => {
    const workspaceId = await givenWalletWith(db, 400)
    const live = Array.from({ length: 10 }, () => aCallToAdmit(workspaceId))
    await admit(db, ...live)
    const calls = Array.from({ length: 30 }, () => aCallToAdmit(workspaceId))

    const racing = [...calls, ...calls].map((call) => untilDecided(db, call))
    const settling = live.map((call) => untilPosted(db, usageOf(call, { durationSeconds: 60 })))
    await Promise.all([...racing, ...settling])

    const { balance, held, openHolds } = await moneyOf(db, workspaceId)
    expect(balance).toBe(4_000_000n - 10n * 180_000n)
    expect(held).toBe(openHolds)
    expect(held).toBeLessThanOrEqual(balance)
    expect(held).toBeGreaterThanOrEqual(2_000_000n)
    expect(await findBreaks(place.databaseUrl)).toEqual([])
  })
})

describe('a wallet with auto-recharge', () => {
  test('is recharged when holds take it below the threshold, and the refused hear that money is on its way', async ({
    db,
  }) => {
    const payer = await givenPayer(db)
    await givenAutoRecharge(db, payer, { thresholdMicros: micros(9_900_000n) })

    const [admission] = await admit(db, aCallToAdmit(payer.workspaceId))

    expect(admission).toMatchObject({ outcome: 'admitted', availableMicros: 9_800_000n })
    expect(await getOnlyTopUp(db, payer.workspaceId)).toMatchObject({
      source: 'auto_recharge',
      state: 'ready',
    })

    await agreeRate(db, payer.workspaceId, '88216', '20')
    const [refused] = await admit(db, aCallToAdmit(payer.workspaceId, { to: '+88216550100' }))

    expect(refused).toMatchObject({ outcome: 'insufficient_balance', rechargeUnderWay: true })
  })
})

describe('the calls of a campaign', () => {
  const stopped: [CampaignStatus, 'person' | null][] = [
    ['draft', null],
    ['paused', 'person'],
    ['completed', null],
    ['cancelled', null],
  ]

  test.for(stopped)('are refused while it is %s', async ([status, pausedBy], { db }) => {
    const workspaceId = await givenWorkspace(db)
    const campaignId = await givenCampaign(db, workspaceId, { status, pausedBy })

    const [admission] = await admit(db, aCallToAdmit(workspaceId, { campaignId }))

    expect(admission).toEqual({ outcome: 'campaign_stopped', status, pausedBy })
    expect(await moneyOf(db, workspaceId)).toMatchObject({ held: 0n })
  })

  test('are admitted while it runs, and when nobody has ever spoken of it here', async ({ db }) => {
    const workspaceId = await givenWorkspace(db)
    const campaignId = await givenCampaign(db, workspaceId, { status: 'running', pausedBy: null })
    const unknown = campaignIdSchema.parse(newId('camp'))

    const admissions = await admit(
      db,
      aCallToAdmit(workspaceId, { campaignId }),
      aCallToAdmit(workspaceId, { campaignId: unknown }),
    )

    expect(admissions.map((each) => each.outcome)).toEqual(['admitted', 'admitted'])
    expect(await findCampaign(db, { workspaceId, campaignId: unknown })).toBeNull()
  })

  test('pause it when one of them is refused for want of money; the live ones go on', async ({ db }) => {
    const workspaceId = await givenWalletWith(db, 50)
    await agreeRate(db, workspaceId, '88216', '20')
    const campaignId = await givenCampaign(db, workspaceId, { status: 'running', pausedBy: null })
    const cheap = (): CallToAdmit => aCallToAdmit(workspaceId, { campaignId })
    const dear = (): CallToAdmit => aCallToAdmit(workspaceId, { campaignId, to: '+88216550100' })

    const first = await admit(db, cheap(), dear(), cheap(), dear())
    const later = await admit(db, cheap(), dear())

    // There would be enough for the cheap ones, and yet the campaign is paused.
    expect(outcomesOf(first)).toEqual([
      'admitted',
      'insufficient_balance',
      'campaign_stopped',
      'insufficient_balance',
    ])
    expect(outcomesOf(later)).toEqual(['campaign_stopped', 'insufficient_balance'])
    expect(await findCampaign(db, { workspaceId, campaignId })).toMatchObject({
      status: 'paused',
      pausedBy: 'funds',
    })
    expect(await moneyOf(db, workspaceId)).toMatchObject({ held: 200_000n, openHolds: 200_000n })
  })

  test('leave the campaign of the same name in another workspace alone', async ({ db }) => {
    const poor = await givenWalletWith(db, 0)
    const rich = await givenWorkspace(db)
    const campaignId = await givenCampaign(db, poor, { status: 'running', pausedBy: null })
    await givenCampaign(db, rich, { status: 'running', pausedBy: null, campaignId })

    await admit(db, aCallToAdmit(poor, { campaignId }), aCallToAdmit(rich, { campaignId }))

    expect(await findCampaign(db, { workspaceId: rich, campaignId })).toMatchObject({ status: 'running' })
  })
})

function outcomesOf(admissions: readonly Admission[]): string[] {
  return admissions.map((each) => each.outcome)
}

function usageOf(call: CallToAdmit, changes: Record<string, unknown> = {}) {
  const { workspaceId, callId, to, recorded } = call
  return callArrival(aCall(workspaceId, { callId, to, recorded, ...changes }))
}

async function untilDecided(db: Db, call: CallToAdmit): Promise<Admission> {
  for (;;) {
    const [admission] = await db
      .transaction()
      .execute((trx) => admitCalls(trx, [call], rateBookOf, quarterHour))
    if (admission !== undefined && admission.outcome !== 'deferred') return admission
  }
}

async function untilPosted(db: Db, arrival: ReturnType<typeof callArrival>): Promise<void> {
  for (;;) {
    const [outcome] = await post(db, arrival)
    if (outcome?.outcome === 'posted') return
  }
}

async function agreeRate(
  db: Db,
  workspaceId: WorkspaceId,
  prefix: string,
  perMinuteUsd: string,
): Promise<void> {
  const rate = {
    connection_fee_usd: '0',
    intervals: [{ from_second: 0, per_minute_usd: perMinuteUsd, increment_seconds: 1 }],
  }
  await db
    .transaction()
    .execute((trx) =>
      agreeWorkspaceRate(trx, { workspaceId, meter: 'telephony', prefix, rate, effectiveFrom: null }),
    )
}

async function freeze(db: Db, workspaceId: WorkspaceId): Promise<void> {
  await underLock(db, workspaceId, (trx, wallet) =>
    freezeWallet(trx, wallet, { actor: 'test', reason: 'chargeback', now: new Date() }),
  )
}

async function givenCampaign(
  db: Db,
  workspaceId: WorkspaceId,
  {
    status,
    pausedBy,
    campaignId = campaignIdSchema.parse(newId('camp')),
  }: {
    status: CampaignStatus
    pausedBy: 'person' | 'funds' | null
    campaignId?: ReturnType<typeof campaignIdSchema.parse>
  },
) {
  await db
    .insertInto('campaign')
    .values({
      workspace_id: workspaceId,
      campaign_id: campaignId,
      status,
      paused_by: pausedBy,
      changed_at: new Date(),
    })
    .execute()
  return campaignId
}
