import { describe, expect } from 'vitest'

import type { WorkspaceId } from '../../billing/ids.ts'
import { micros } from '../../billing/money.ts'
import { listAudit } from '../../db/audit-log.ts'
import {
  countDecline,
  findAutoRecharge,
  forgetDeclines,
  resumeAutoRecharge,
  saveAutoRecharge,
  suspendAutoRecharge,
} from '../../db/auto-recharge.ts'
import type { Db } from '../../db/schema.ts'
import { listTopUps } from '../../db/top-up.ts'
import { test } from '../support/fixtures.ts'
import {
  bringSubscription,
  givenAutoRecharge,
  givenCustomer,
  givenPayer,
  givenRecharge,
  getOnlyTopUp,
  settings,
  underLock,
} from '../support/given-money-in.ts'
import { aSubscription, at } from '../support/paddle-news.ts'

const now = new Date('2026-03-10T12:00:00Z')
const inHours = (hours: number) => new Date(now.getTime() + hours * 3_600_000)

async function decline(db: Db, workspaceId: WorkspaceId, code: string): Promise<void> {
  await underLock(db, workspaceId, (trx, wallet) => countDecline(trx, wallet, code, now))
}

async function actionsOf(db: Db, workspaceId: WorkspaceId): Promise<string[]> {
  const entries = await listAudit(db, workspaceId, 100)
  return entries.map((entry) => entry.action).filter((action) => action.startsWith('auto_recharge'))
}

describe('settings', () => {
  test('are saved with who changed them, and charge at once a wallet that is below the threshold already', async ({
    db,
  }) => {
    const { workspaceId } = await givenPayer(db)

    const saved = await underLock(db, workspaceId, (trx, wallet) =>
      saveAutoRecharge(
        trx,
        wallet,
        { ...settings, thresholdMicros: micros(20_000_000n), monthlyCapMicros: micros(500_000_000n) },
        { actor: 'key_1', now },
      ),
    )

    expect(saved).toMatchObject({ outcome: 'saved', decided: { decision: 'recharge' } })
    expect(await getOnlyTopUp(db, workspaceId)).toMatchObject({ state: 'ready', amountMicros: 20_000_000n })
    expect(await findAutoRecharge(db, workspaceId)).toMatchObject({
      enabled: true,
      thresholdMicros: 20_000_000n,
      monthlyCapMicros: 500_000_000n,
      lastDecision: 'recharge',
    })
    expect(await listAudit(db, workspaceId, 1)).toMatchObject([
      {
        actor: 'key_1',
        action: 'auto_recharge.changed',
        detail: {
          enabled: true,
          threshold_usd: '20.000000',
          topup_usd: '20.000000',
          daily_limit: 10,
          monthly_cap_usd: '500.000000',
        },
      },
    ])
  })

  test('that switch it on are refused while no card can be charged, and nothing of them is kept', async ({
    db,
  }) => {
    const none = await givenCustomer(db)
    const paused = await givenPayer(db)
    await bringSubscription(db, aSubscription(paused, { status: 'paused', updatedAt: at(1) }))
    const save = async (workspaceId: WorkspaceId) =>
      await underLock(db, workspaceId, (trx, wallet) =>
        saveAutoRecharge(trx, wallet, settings, { actor: 'test', now }),
      )

    const outcomes = [await save(none.workspaceId), await save(paused.workspaceId)]

    expect(outcomes).toEqual([{ outcome: 'no_card' }, { outcome: 'no_card' }])
    expect(await findAutoRecharge(db, none.workspaceId)).toBeNull()
    expect(await actionsOf(db, paused.workspaceId)).toEqual([])
  })

  test('that switch it off need no card, and posting looks at that wallet no more', async ({ db }) => {
    const payer = await givenPayer(db)
    await givenAutoRecharge(db, payer)
    await bringSubscription(db, aSubscription(payer, { status: 'canceled', updatedAt: at(1) }))

    await givenAutoRecharge(db, payer, { enabled: false })

    const below = await underLock(db, payer.workspaceId, async (_, wallet) => wallet.rechargeBelowMicros)
    expect(below).toBeNull()
    expect(await findAutoRecharge(db, payer.workspaceId)).toMatchObject({ lastDecision: 'not_enabled' })
  })

  test('keep when it was last consented to, also after it was switched off', async ({ db }) => {
    const payer = await givenPayer(db)
    const consentOf = async () => {
      const row = await db
        .selectFrom('auto_recharge')
        .select('consented_at')
        .where('workspace_id', '=', payer.workspaceId)
        .executeTakeFirstOrThrow()
      return row.consented_at
    }
    await givenAutoRecharge(db, payer)
    const consented = await consentOf()

    await givenAutoRecharge(db, payer, { enabled: false })

    expect(consented).toBeInstanceOf(Date)
    expect(await consentOf()).toEqual(consented)
  })

  test('that change leave a suspension where it is', async ({ db }) => {
    const payer = await givenPayer(db)
    await givenAutoRecharge(db, payer)
    await decline(db, payer.workspaceId, 'fraud')

    await givenAutoRecharge(db, payer, { thresholdMicros: micros(15_000_000n) })

    expect(await findAutoRecharge(db, payer.workspaceId)).toMatchObject({
      suspendedReason: 'fraud',
      lastDecision: 'suspended',
    })
  })
})

describe('declines', () => {
  test('cool it down for an hour, then for six, and suspend it at the third, once', async ({ db }) => {
    const payer = await givenPayer(db)
    const { workspaceId } = payer
    await givenAutoRecharge(db, payer)
    const seen = []

    for (const code of ['declined', 'not_enough_balance', 'issuer_unavailable', 'declined']) {
      await decline(db, workspaceId, code)
      seen.push(await findAutoRecharge(db, workspaceId))
    }

    expect(seen).toMatchObject([
      { declinesInARow: 1, coolingUntil: inHours(1), suspendedAt: null },
      { declinesInARow: 2, coolingUntil: inHours(6), suspendedAt: null },
      { declinesInARow: 3, coolingUntil: null, suspendedAt: now, suspendedReason: 'issuer_unavailable' },
      { declinesInARow: 4, coolingUntil: null, suspendedAt: now, suspendedReason: 'issuer_unavailable' },
    ])
    expect(await actionsOf(db, workspaceId)).toEqual(['auto_recharge.suspended', 'auto_recharge.changed'])
  })

  test('suspend it at the first when the card said never again', async ({ db }) => {
    const payer = await givenPayer(db)
    await givenAutoRecharge(db, payer)

    await decline(db, payer.workspaceId, 'expired_card')

    expect(await findAutoRecharge(db, payer.workspaceId)).toMatchObject({
      declinesInARow: 1,
      coolingUntil: null,
      suspendedReason: 'expired_card',
    })
  })

  test('are forgotten when a charge goes through, so that the next one begins a new row', async ({ db }) => {
    const payer = await givenPayer(db)
    await givenAutoRecharge(db, payer)
    await decline(db, payer.workspaceId, 'declined')
    await decline(db, payer.workspaceId, 'declined')

    await underLock(db, payer.workspaceId, forgetDeclines)
    const after = await findAutoRecharge(db, payer.workspaceId)
    await decline(db, payer.workspaceId, 'declined')

    expect(after).toMatchObject({ declinesInARow: 0, coolingUntil: null })
    expect(await findAutoRecharge(db, payer.workspaceId)).toMatchObject({
      declinesInARow: 1,
      coolingUntil: inHours(1),
    })
  })

  test('that suspended it are not forgotten by a charge that goes through', async ({ db }) => {
    const payer = await givenPayer(db)
    await givenAutoRecharge(db, payer)
    await decline(db, payer.workspaceId, 'fraud')

    await underLock(db, payer.workspaceId, forgetDeclines)

    expect(await findAutoRecharge(db, payer.workspaceId)).toMatchObject({
      declinesInARow: 1,
      suspendedReason: 'fraud',
    })
  })

  test('of a workspace that never set it up are nobody’s concern', async ({ db }) => {
    const { workspaceId } = await givenPayer(db)

    await decline(db, workspaceId, 'fraud')

    expect(await findAutoRecharge(db, workspaceId)).toBeNull()
    expect(await actionsOf(db, workspaceId)).toEqual([])
  })
})

describe('resuming', () => {
  test('lifts a suspension, says who did it and why, and charges at once if the wallet is low', async ({
    db,
  }) => {
    const { payer, topUp } = await givenRecharge(db)
    const { workspaceId } = payer
    await decline(db, workspaceId, 'fraud')
    await db
      .updateTable('top_up')
      .set({ state: 'declined', due_at: null })
      .where('top_up_id', '=', topUp.topUpId)
      .execute()

    const decided = await underLock(db, workspaceId, (trx, wallet) =>
      resumeAutoRecharge(trx, wallet, { actor: 'key_1', cause: 'a person', now }),
    )

    expect(decided).toMatchObject({ decision: 'recharge' })
    expect(await listTopUps(db, { workspaceId, states: ['ready'], limit: 9 })).toHaveLength(1)
    expect(await findAutoRecharge(db, workspaceId)).toMatchObject({
      declinesInARow: 0,
      suspendedAt: null,
      suspendedReason: null,
    })
    expect(await listAudit(db, workspaceId, 1)).toMatchObject([
      { actor: 'key_1', action: 'auto_recharge.resumed', detail: { cause: 'a person' } },
    ])
  })

  test('ends a cooling down, too', async ({ db }) => {
    const payer = await givenPayer(db)
    await givenAutoRecharge(db, payer)
    await decline(db, payer.workspaceId, 'declined')

    await underLock(db, payer.workspaceId, (trx, wallet) =>
      resumeAutoRecharge(trx, wallet, { actor: 'test', cause: 'a person', now }),
    )

    expect(await findAutoRecharge(db, payer.workspaceId)).toMatchObject({
      declinesInARow: 0,
      coolingUntil: null,
    })
  })

  test('what was not held up is no event', async ({ db }) => {
    const payer = await givenPayer(db)
    await givenAutoRecharge(db, payer)

    const decided = await underLock(db, payer.workspaceId, (trx, wallet) =>
      resumeAutoRecharge(trx, wallet, { actor: 'test', cause: 'a person', now }),
    )

    expect(decided).toEqual({ decision: 'wait', reason: 'above_threshold' })
    expect(await actionsOf(db, payer.workspaceId)).toEqual(['auto_recharge.changed'])
  })
})

test('a suspension keeps its first reason and time', async ({ db }) => {
  const payer = await givenPayer(db)
  await givenAutoRecharge(db, payer)
  const suspend = async (reason: string, at: Date) => {
    await underLock(db, payer.workspaceId, (trx, wallet) => suspendAutoRecharge(trx, wallet, reason, at))
  }

  await suspend('subscription_not_active', now)
  await suspend('fraud', inHours(1))

  expect(await findAutoRecharge(db, payer.workspaceId)).toMatchObject({
    suspendedAt: now,
    suspendedReason: 'subscription_not_active',
  })
})
