// A hold ends exactly once, and the wallet holds what its open holds are together, whatever ends them.
import { sql } from 'kysely'
import { describe, expect } from 'vitest'

import type { CallToAdmit } from '../../billing/admission.ts'
import type { WorkspaceId } from '../../billing/ids.ts'
import { micros } from '../../billing/money.ts'
import { expireSilentHolds, findCall, findHold, listUnbilledCalls } from '../../db/hold.ts'
import { extendCall, noteHangUp, releaseCall, type Extension } from '../../db/live-call.ts'
import type { Db } from '../../db/schema.ts'
import { takeInUsage } from '../../db/take-in-usage.ts'
import { receiveUsage } from '../../db/usage-event.ts'
import { lockWallet } from '../../db/wallet.ts'
import { createLog } from '../../runtime/log.ts'
import { expireHolds } from '../../workers/hold-expiry.ts'
import { countUsage, findBreaks } from '../support/books.ts'
import { test } from '../support/fixtures.ts'
import { aCall, aMessage, callArrival, givenWorkspace, messageArrival } from '../support/given.ts'
import {
  aCallToAdmit,
  admit,
  givenSilence,
  givenWalletWith,
  moneyOf,
  post,
  quarterHour,
  rateBookOf,
  spend,
} from '../support/given-calls.ts'
import { getOnlyTopUp, givenAutoRecharge, givenPayer, underLock } from '../support/given-money-in.ts'
import { whileHeld } from '../support/held.ts'
import { countLockWaits } from '../support/lock-waits.ts'
import { until } from '../support/until.ts'

const nothingHeld = { held: 0n, openHolds: 0n }

describe('the usage of a call', () => {
  test('settles its hold, and no other', async ({ db }) => {
    const { workspaceId, call } = await givenLiveCall(db)
    const other = aCallToAdmit(workspaceId)
    await admit(db, other)

    await post(db, usageOf(call))

    expect(await findHold(db, call)).toMatchObject({ state: 'settled', endedAt: expect.any(Date) })
    expect(await findHold(db, other)).toMatchObject({ state: 'open', endedAt: null })
    expect(await moneyOf(db, workspaceId)).toEqual({
      balance: 9_820_000n,
      held: 200_000n,
      openHolds: 200_000n,
    })
    expect(await findCall(db, call)).toMatchObject({ costMicros: 180_000n })
    expect(await findCall(db, other)).toMatchObject({ costMicros: null })
  })

  test('settles it once, however often it is told', async ({ db }) => {
    const { workspaceId, call } = await givenLiveCall(db)
    await admit(db, aCallToAdmit(workspaceId))

    await post(db, usageOf(call), usageOf(call))
    await post(db, usageOf(call))

    expect(await moneyOf(db, workspaceId)).toMatchObject({ held: 200_000n, openHolds: 200_000n })
  })

  test('of no seconds settles it too, and costs nothing', async ({ db }) => {
    const { workspaceId, call } = await givenLiveCall(db)

    await post(db, usageOf(call, { durationSeconds: 0 }))

    expect(await moneyOf(db, workspaceId)).toEqual({ balance: 10_000_000n, ...nothingHeld })
    expect(await findCall(db, call)).toMatchObject({ costMicros: 0n })
  })

  test('leaves the hold when it is set aside: nobody has paid for the call yet', async ({ db }) => {
    const { workspaceId, call } = await givenLiveCall(db)

    await post(db, usageOf(call, { durationSeconds: -1 }))

    expect(await moneyOf(db, workspaceId)).toMatchObject({ held: 200_000n, openHolds: 200_000n })
  })

  test('settles the holds of many wallets in one transaction, each its own', async ({ db }) => {
    const calls = await Promise.all(Array.from({ length: 5 }, () => givenLiveCall(db)))

    await post(db, ...calls.map(({ call }) => usageOf(call)))

    for (const { workspaceId } of calls) {
      expect(await moneyOf(db, workspaceId)).toEqual({ balance: 9_820_000n, ...nothingHeld })
    }
  })

  test('posts all the same when the hold has expired meanwhile', async ({ db }) => {
    const { workspaceId, call } = await givenLiveCall(db)
    await givenSilence(db, workspaceId)
    await expire(db)

    const [outcome] = await post(db, usageOf(call))

    expect(outcome).toMatchObject({ outcome: 'posted' })
    expect(await findHold(db, call)).toMatchObject({ state: 'expired' })
    expect(await moneyOf(db, workspaceId)).toEqual({ balance: 9_820_000n, ...nothingHeld })
  })

  test('wakes the recharge when what it takes is more than was held', async ({ db }) => {
    const payer = await givenPayer(db)
    await givenAutoRecharge(db, payer, { thresholdMicros: micros(9_000_000n) })
    const call = aCallToAdmit(payer.workspaceId)
    await admit(db, call)

    await post(db, usageOf(call, { durationSeconds: 600, startedAt: minutesAgo(11) }))

    expect(await getOnlyTopUp(db, payer.workspaceId)).toMatchObject({ state: 'ready' })
  })
})

describe('a call that goes on', () => {
  test('holds all of it so far and a minute more, and is heard of', async ({ db }) => {
    const { workspaceId, call } = await givenLiveCall(db)
    await givenSilence(db, workspaceId)

    const extension = await extend(db, call, 120)
    await expire(db)

    expect(extension).toMatchObject({
      outcome: 'extended',
      hold: { amountMicros: 540_000n },
      availableMicros: 9_460_000n,
      affordsSeconds: 3_333,
    })
    expect(await moneyOf(db, workspaceId)).toMatchObject({ held: 540_000n, openHolds: 540_000n })
  })

  test('never holds less than before, in whatever order its seconds are told', async ({ db }) => {
    const { workspaceId, call } = await givenLiveCall(db)

    await extend(db, call, 120)
    await extend(db, call, 30)
    await extend(db, call, 120)

    expect(await moneyOf(db, workspaceId)).toMatchObject({ held: 540_000n, openHolds: 540_000n })
  })

  test('keeps its hold as it was when the wallet has no more, and hears how long it may last', async ({
    db,
  }) => {
    const { workspaceId, call } = await givenLiveCall(db, 50)
    await givenSilence(db, workspaceId)

    const extension = await extend(db, call, 120)
    await expire(db)

    expect(extension).toEqual({
      outcome: 'insufficient_balance',
      availableMicros: 300_000n,
      // $0.54 in all.
      requiredMicros: 340_000n,
      // On $0.50 in all.
      affordsSeconds: 166,
      rechargeUnderWay: false,
    })
    expect(await findHold(db, call)).toMatchObject({ state: 'open', amountMicros: 200_000n })
    expect(await moneyOf(db, workspaceId)).toMatchObject({ held: 200_000n, openHolds: 200_000n })
  })

  test('goes on within what is held already, even when the wallet has fallen below zero', async ({ db }) => {
    const { workspaceId, call } = await givenLiveCall(db)
    await extend(db, call, 120)
    await spend(db, workspaceId, 1_200)

    const within = await extend(db, call, 110)
    const beyond = await extend(db, call, 130)

    expect(within).toMatchObject({
      outcome: 'extended',
      hold: { amountMicros: 540_000n },
      affordsSeconds: 180,
    })
    expect(beyond).toMatchObject({ outcome: 'insufficient_balance', affordsSeconds: 180 })
  })

  test('recharges the wallet when its hold takes it below the threshold', async ({ db }) => {
    const payer = await givenPayer(db)
    await givenAutoRecharge(db, payer, { thresholdMicros: micros(9_500_000n) })
    const call = aCallToAdmit(payer.workspaceId)
    await admit(db, call)

    await extend(db, call, 120)
    const beyond = await extend(db, call, 36_000)

    expect(await getOnlyTopUp(db, payer.workspaceId)).toMatchObject({ state: 'ready' })
    expect(beyond).toMatchObject({ outcome: 'insufficient_balance', rechargeUnderWay: true })
  })

  test('is over once it was hung up, released, settled or given up', async ({ db }) => {
    const hungUp = await givenLiveCall(db)
    const released = await givenLiveCall(db)
    const settled = await givenLiveCall(db)
    const expired = await givenLiveCall(db)
    await db.transaction().execute((trx) => noteHangUp(trx, hungUp.call, quarterHour))
    await release(db, released.call)
    await post(db, usageOf(settled.call))
    await givenSilence(db, expired.workspaceId)
    await expire(db)

    const ended = [hungUp, released, settled, expired]
    const extensions = await Promise.all(ended.map(({ call }) => extend(db, call, 60)))

    expect(extensions).toMatchObject([
      { outcome: 'over', hold: { state: 'open' } },
      { outcome: 'over', hold: { state: 'released' } },
      { outcome: 'over', hold: { state: 'settled' } },
      { outcome: 'over', hold: { state: 'expired' } },
    ])
    expect(await extend(db, aCallToAdmit(hungUp.workspaceId), 60)).toEqual({ outcome: 'unknown_call' })
  })
})

describe('a call that never happened', () => {
  test('frees what was held for it, once', async ({ db }) => {
    const { workspaceId, call } = await givenLiveCall(db)

    const first = await release(db, call)
    const again = await release(db, call)

    expect([first, again]).toMatchObject([{ outcome: 'released' }, { outcome: 'released' }])
    expect(await moneyOf(db, workspaceId)).toEqual({ balance: 10_000_000n, ...nothingHeld })
  })

  test('is not one that was billed', async ({ db }) => {
    const { call } = await givenLiveCall(db)
    await post(db, usageOf(call))

    expect(await release(db, call)).toMatchObject({ outcome: 'billed', hold: { state: 'settled' } })
  })

  test('is billed nevertheless when its usage comes: it happened', async ({ db }) => {
    const { workspaceId, call } = await givenLiveCall(db)
    await release(db, call)

    const [outcome] = await post(db, usageOf(call))

    expect(outcome).toMatchObject({ outcome: 'posted' })
    expect(await moneyOf(db, workspaceId)).toEqual({ balance: 9_820_000n, ...nothingHeld })
  })
})

describe('a silent call', () => {
  test('gives its hold back, is listed as unbilled, and is no longer once its usage or its release comes', async ({
    ownPlace,
    ownDb: db,
  }) => {
    const workspaceId = await givenWorkspace(db)
    const calls = Array.from({ length: 3 }, () => aCallToAdmit(workspaceId))
    const [late, never, lost] = calls
    if (late === undefined || never === undefined || lost === undefined) throw new Error('three calls')
    await admit(db, ...calls)
    await givenSilence(db, workspaceId)

    expect(await expire(db)).toEqual({ expired: 3, more: false })
    expect(await moneyOf(db, workspaceId)).toEqual({ balance: 10_000_000n, ...nothingHeld })
    expect(await unbilled(db, workspaceId)).toEqual({ total: 3, callIds: idsOf(calls) })

    await receiveUsage(db, [usageOf(late)])
    await release(db, never)
    // What cannot be priced is not billed.
    await post(db, usageOf(lost, { durationSeconds: -1 }))

    expect(await unbilled(db, workspaceId)).toEqual({ total: 1, callIds: [lost.callId] })
    expect((await listUnbilledCalls(db, { limit: 10 })).total).toBe(1)
    expect((await listUnbilledCalls(db, { workspaceId, limit: 1, offset: 1 })).calls).toEqual([])
    expect(await findBreaks(ownPlace.databaseUrl)).toEqual([])
  })

  test('is left alone when it was heard of after the sweep had seen it', async ({ db }) => {
    const { workspaceId, call } = await givenLiveCall(db)
    await givenSilence(db, workspaceId)
    const heard = await db.startTransaction().execute()
    await noteHangUp(heard, call, quarterHour)

    // The sweep has seen it silent, and waits for the row.
    const sweeping = expire(db)
    await until('the sweep waits', async () => (await countLockWaits(db, 'end-holds')) > 0)
    await heard.commit().execute()

    expect(await sweeping).toMatchObject({ expired: 0 })
    expect(await findHold(db, call)).toMatchObject({ state: 'open', hungUpAt: expect.any(Date) })
    expect(await moneyOf(db, workspaceId)).toMatchObject({ held: 200_000n, openHolds: 200_000n })
  })

  test('waits for the next sweep while its wallet is in use, and holds up no other', async ({ db }) => {
    const busy = await givenLiveCall(db)
    const free = await givenLiveCall(db)
    await givenSilence(db, busy.workspaceId)
    await givenSilence(db, free.workspaceId)

    await whileHeld(
      db,
      (trx) => lockWallet(trx, busy.workspaceId),
      () => expire(db),
    )

    expect(await findHold(db, busy.call)).toMatchObject({ state: 'open' })
    expect(await findHold(db, free.call)).toMatchObject({ state: 'expired' })
    await expire(db)
    expect(await findHold(db, busy.call)).toMatchObject({ state: 'expired' })
  })

  test('is found by the round that workers run', async ({ ownDb: db }) => {
    const { workspaceId, call } = await givenLiveCall(db)
    await givenSilence(db, workspaceId)

    const { did } = await expireHolds(db, createLog('silent', 'test'))

    expect(did).toEqual({ expired: 1 })
    expect((await findHold(db, call))?.state).toBe('expired')
    expect(await moneyOf(db, workspaceId)).toMatchObject(nothingHeld)
  })
})

test('the verifier says so when a wallet does not hold what its live calls hold', async ({
  ownPlace,
  ownDb: db,
}) => {
  const { workspaceId } = await givenLiveCall(db)
  const other = await givenWorkspace(db)
  expect(await findBreaks(ownPlace.databaseUrl)).toEqual([])

  await sql`update wallet set held_micros = held_micros + 1 where workspace_id in (${workspaceId}, ${other})`.execute(
    db,
  )

  expect((await findBreaks(ownPlace.databaseUrl)).toSorted(byWhat)).toEqual([
    { workspaceId: other, where: 'wallet', what: 'says it holds 1; its live calls hold 0' },
    { workspaceId, where: 'wallet', what: 'says it holds 200001; its live calls hold 200000' },
  ])
})

describe('usage that is taken in', () => {
  test('is accepted once, known after that, and refused where it contradicts', async ({ db }) => {
    const workspaceId = await givenWorkspace(db)
    const call = aCall(workspaceId)
    const message = messageArrival(aMessage(workspaceId))
    const told = callArrival(call)
    const other = callArrival({ ...call, durationSeconds: 61 })

    const first = await takeIn(db, workspaceId, [told, told, message, other])
    const second = await takeIn(db, workspaceId, [other, message, told])

    expect(first).toEqual(['accepted', 'duplicate', 'accepted', 'contradicts'])
    expect(second).toEqual(['contradicts', 'duplicate', 'duplicate'])
    expect(await countUsage(db, workspaceId)).toEqual({ received: 2 })
    expect(await stagedFor(db, workspaceId)).toEqual(['usage-received'])
  })

  test('is known when it was posted by another road', async ({ db }) => {
    const workspaceId = await givenWorkspace(db)
    const call = aCall(workspaceId)
    await post(db, callArrival(call))

    expect(await takeIn(db, workspaceId, [callArrival(call)])).toEqual(['duplicate'])
    expect(await takeIn(db, workspaceId, [callArrival({ ...call, recorded: true })])).toEqual(['contradicts'])
    expect(await stagedFor(db, workspaceId)).toEqual([])
  })

  test('lets what was set aside try again, and a correction take its place', async ({ db }) => {
    const workspaceId = await givenWorkspace(db)
    const nowhere = callArrival(aCall(workspaceId, { to: '+99955550100' }))
    const call = aCall(workspaceId, { to: '+99955550100' })
    await post(db, nowhere, callArrival(call))

    const taken = await takeIn(db, workspaceId, [nowhere, callArrival({ ...call, to: '+14155550100' })])

    expect(taken).toEqual(['duplicate', 'accepted'])
    expect(await countUsage(db, workspaceId)).toEqual({ received: 2, set_aside: 1 })
    expect((await stagedFor(db, workspaceId)).length).toBeGreaterThan(0)
  })

  test('is one fact when twenty tell it at once', async ({ db }) => {
    const workspaceId = await givenWorkspace(db)
    const arrivals = Array.from({ length: 20 }, () => callArrival(aCall(workspaceId)))

    const taken = await Promise.all(
      Array.from({ length: 20 }, (_, index) =>
        takeIn(db, workspaceId, index % 2 === 0 ? arrivals : arrivals.toReversed()),
      ),
    )

    expect(taken.flat().filter((each) => each === 'contradicts')).toEqual([])
    expect(await countUsage(db, workspaceId)).toEqual({ received: 20 })
  })
})

async function givenLiveCall(db: Db, balanceCents = 1_000) {
  const workspaceId = await givenWalletWith(db, balanceCents)
  const call = aCallToAdmit(workspaceId)
  const [admission] = await admit(db, call)
  expect(admission).toMatchObject({ outcome: 'admitted' })
  return { workspaceId, call }
}

function usageOf(call: CallToAdmit, changes: Record<string, unknown> = {}) {
  const { workspaceId, callId, to, recorded } = call
  // The same words each time that it is told.
  return callArrival(aCall(workspaceId, { callId, to, recorded, startedAt: told, ...changes }))
}

const told = minutesAgo(2)

function minutesAgo(minutes: number): string {
  return new Date(Date.now() - minutes * 60_000).toISOString()
}

async function extend(db: Db, call: CallToAdmit, lastedSeconds: number): Promise<Extension> {
  const { workspaceId, callId } = call
  return await underLock(db, workspaceId, (trx, wallet) =>
    extendCall(trx, wallet, { callId, lastedSeconds }, rateBookOf, quarterHour),
  )
}

async function release(db: Db, { workspaceId, callId }: CallToAdmit) {
  return await underLock(db, workspaceId, (trx, wallet) => releaseCall(trx, wallet, callId))
}

async function expire(db: Db) {
  return await db.transaction().execute((trx) => expireSilentHolds(trx, 500))
}

async function takeIn(db: Db, workspaceId: WorkspaceId, arrivals: Parameters<typeof takeInUsage>[2]) {
  return await db.transaction().execute((trx) => takeInUsage(trx, workspaceId, arrivals))
}

async function unbilled(db: Db, workspaceId: WorkspaceId): Promise<{ total: number; callIds: string[] }> {
  const { calls, total } = await listUnbilledCalls(db, { workspaceId, limit: 10 })
  return { total, callIds: idsOf(calls) }
}

function idsOf(calls: readonly { callId: string }[]): string[] {
  return calls.map((call) => call.callId).toSorted()
}

async function stagedFor(db: Db, workspaceId: WorkspaceId): Promise<string[]> {
  const rows = await db
    .selectFrom('staged_job')
    .select('name')
    .where('workspace_id', '=', workspaceId)
    .execute()
  return rows.map((row) => row.name)
}

function byWhat(one: { what: string }, other: { what: string }): number {
  return one.what.length - other.what.length
}
