import { describe, expect } from 'vitest'

import { postUsage, type UsageOutcome } from '../../db/post-usage.ts'
import { createRateBookCache } from '../../db/rate-book.ts'
import type { Db } from '../../db/schema.ts'
import { receiveUsage } from '../../db/usage-event.ts'
import { findBalance, lockWallet } from '../../db/wallet.ts'
import type { UsageArrival } from '../../jobs/usage-arrival.ts'
import { test } from '../support/fixtures.ts'
import {
  aCall,
  aMessage,
  callArrival,
  givenWorkspace,
  messageArrival,
  newWorkspaceId,
} from '../support/given.ts'

const rateBookOf = createRateBookCache()

async function post(db: Db, ...arrivals: UsageArrival[]): Promise<UsageOutcome[]> {
  return await db.transaction().execute((trx) => postUsage(trx, arrivals, rateBookOf))
}

async function rowsOf(db: Db, workspaceId: string) {
  return await db
    .selectFrom('usage_event')
    .select(['key', 'state', 'reason', 'detail'])
    .where('workspace_id', '=', workspaceId)
    .orderBy('received_at')
    .orderBy('key')
    .execute()
}

describe('posting', () => {
  test('books a call with its voice, telephony and recording lines and moves the balance by their sum', async ({
    db,
  }) => {
    const workspaceId = await givenWorkspace(db)
    const call = aCall(workspaceId, { durationSeconds: 61, recorded: true, agentId: 'agent 7' })

    const [outcome] = await post(db, callArrival(call))

    expect(outcome).toEqual({
      outcome: 'posted',
      amountMicros: -203_333n,
      balanceAfterMicros: 9_796_667n,
      walletSequence: 2n,
    })
    expect(await findBalance(db, workspaceId)).toBe(9_796_667n)
    const postings = await db
      .selectFrom('posting')
      .selectAll()
      .where('workspace_id', '=', workspaceId)
      .where('wallet_sequence', '=', 2n)
      .orderBy('line')
      .execute()
    expect(
      postings.map((line) => [
        line.debit_account,
        line.credit_account,
        line.amount_micros,
        line.quantity,
        line.prefix,
      ]),
    ).toEqual([
      ['wallet', 'voice_revenue', 101_667n, 61, null],
      ['wallet', 'telephony_revenue', 81_333n, 61, '1'],
      ['wallet', 'recording_revenue', 20_333n, 61, null],
    ])
    const transaction = await db
      .selectFrom('ledger_transaction')
      .selectAll()
      .where('workspace_id', '=', workspaceId)
      .where('wallet_sequence', '=', 2n)
      .executeTakeFirstOrThrow()
    expect(transaction).toMatchObject({
      kind: 'call',
      idempotency_key: `call/${call.callId}`,
      reference: call.callId,
      agent_id: 'agent 7',
      rate_card_id: 'standard',
    })
  })

  test('books a fact once, however often it is told: in one batch, in the next, and by another kind of job', async ({
    db,
  }) => {
    const workspaceId = await givenWorkspace(db)
    const call = aCall(workspaceId)

    const first = await post(db, callArrival(call), callArrival(call))
    const second = await post(db, callArrival({ ...call, startedAt: call.startedAt.replace('Z', '+00:00') }))

    expect(first.map((each) => each.outcome)).toEqual(['posted', 'duplicate'])
    expect(second.map((each) => each.outcome)).toEqual(['duplicate'])
    expect(await findBalance(db, workspaceId)).toBe(9_820_000n)
  })

  test('keeps a contradiction of a booked fact beside it, and books nothing', async ({ db }) => {
    const workspaceId = await givenWorkspace(db)
    const call = aCall(workspaceId)
    await post(db, callArrival(call))

    const [outcome] = await post(db, callArrival({ ...call, durationSeconds: 600 }))
    const [repeat] = await post(db, callArrival({ ...call, durationSeconds: 600 }))

    expect(outcome).toEqual({ outcome: 'set_aside', reason: 'conflicting_duplicate' })
    expect(repeat).toEqual(outcome)
    expect(await rowsOf(db, workspaceId)).toMatchObject([
      { key: `call/${call.callId}`, state: 'posted' },
      { key: expect.stringMatching(`^call/${call.callId}#[0-9a-f]{12}$`), reason: 'conflicting_duplicate' },
    ])
    expect(await findBalance(db, workspaceId)).toBe(9_820_000n)
  })

  test('lets a correction of a set-aside event be posted, and keeps what was said first', async ({ db }) => {
    const workspaceId = await givenWorkspace(db)
    const call = aCall(workspaceId)

    const [nonsense] = await post(db, callArrival({ ...call, durationSeconds: -5 }))
    const [again] = await post(db, callArrival({ ...call, durationSeconds: -6 }))
    const [corrected] = await post(db, callArrival(call))

    expect([nonsense, again]).toMatchObject([
      { reason: 'impossible_duration' },
      { reason: 'impossible_duration' },
    ])
    expect(corrected).toMatchObject({ outcome: 'posted' })
    expect((await rowsOf(db, workspaceId)).map((row) => row.state).toSorted()).toEqual([
      'posted',
      'set_aside',
      'set_aside',
    ])
  })

  test('posts the correction also when one batch carries the mistake and the correction', async ({ db }) => {
    const workspaceId = await givenWorkspace(db)
    const call = aCall(workspaceId)
    const mistake = callArrival({ ...call, durationSeconds: 1e9 })

    const first = await post(db, mistake, mistake, callArrival(call))
    const [corrected] = await post(db, callArrival(call))

    expect(first.map((each) => each.outcome)).toEqual(['set_aside', 'deferred', 'deferred'])
    expect(corrected).toMatchObject({ outcome: 'posted' })
  })

  test('books nothing for a call of no seconds, even to nowhere, and keeps the event', async ({ db }) => {
    const workspaceId = await givenWorkspace(db)
    const call = aCall(workspaceId, { durationSeconds: 0, to: '+99955550100' })

    const outcomes = [...(await post(db, callArrival(call))), ...(await post(db, callArrival(call)))]

    expect(outcomes.map((each) => each.outcome)).toEqual(['free', 'duplicate'])
    expect(await findBalance(db, workspaceId)).toBe(10_000_000n)
    expect(await rowsOf(db, workspaceId)).toMatchObject([{ state: 'free' }])
  })

  test('posts usage that takes the balance below zero: it happened', async ({ db }) => {
    const workspaceId = await givenWorkspace(db)

    await post(db, callArrival(aCall(workspaceId, { durationSeconds: 36_000, startedAt: hoursAgo(11) })))

    expect(await findBalance(db, workspaceId)).toBe(10_000_000n - 108_000_000n)
  })

  test('names the chat of a message', async ({ db }) => {
    const workspaceId = await givenWorkspace(db)

    await post(db, messageArrival(aMessage(workspaceId, { chatId: 'chat_9' })))

    const transaction = await db
      .selectFrom('ledger_transaction')
      .selectAll()
      .where('workspace_id', '=', workspaceId)
      .where('kind', '=', 'message')
      .executeTakeFirstOrThrow()
    expect(transaction).toMatchObject({ reference: 'chat_9', amount_micros: -10_000n })
  })
})

describe('what cannot be posted', () => {
  test('is set aside with its reason and stops no neighbour', async ({ db }) => {
    const workspaceId = await givenWorkspace(db)
    const nowhere = newWorkspaceId()
    const bad: [UsageArrival, string][] = [
      [callArrival(aCall(workspaceId, { to: '+99955550100' })), 'unknown_destination'],
      [callArrival(aCall(workspaceId, { durationSeconds: 90_000 })), 'impossible_duration'],
      [callArrival(aCall(workspaceId, { startedAt: hoursAgo(-1) })), 'from_the_future'],
      [callArrival(aCall(workspaceId, { startedAt: hoursAgo(24 * 36) })), 'too_old'],
      [callArrival(aCall(workspaceId, { to: '415 555' })), 'malformed_payload'],
      [callArrival({ anything: true }), 'malformed_payload'],
      [callArrival(aCall(nowhere)), 'unknown_workspace'],
    ]
    const good = callArrival(aCall(workspaceId))

    const outcomes = await post(db, ...bad.map(([arrival]) => arrival), good)

    expect(outcomes).toMatchObject([
      ...bad.map(([, reason]) => ({ outcome: 'set_aside', reason })),
      { outcome: 'posted' },
    ])
    expect(await rowsOf(db, nowhere)).toMatchObject([{ state: 'set_aside', reason: 'unknown_workspace' }])
    expect(await rowsOf(db, 'unassigned')).toMatchObject([{ key: expect.stringMatching('^malformed/') }])
  })

  test('is posted by itself once its workspace is there', async ({ db }) => {
    const workspaceId = newWorkspaceId()
    await post(db, callArrival(aCall(workspaceId)))

    await givenWorkspace(db, workspaceId)

    expect(await rowsOf(db, workspaceId)).toMatchObject([{ state: 'received' }])
    const staged = await db
      .selectFrom('staged_job')
      .select('name')
      .where('workspace_id', '=', workspaceId)
      .execute()
    expect(staged).toEqual([{ name: 'usage-received' }])
  })
})

describe('under concurrency', () => {
  test('a wallet in use elsewhere delays only its own events', async ({ db }) => {
    const held = await givenWorkspace(db)
    const free = await givenWorkspace(db)

    const outcomes = await db.transaction().execute(async (trx) => {
      await lockWallet(trx, held)
      return await post(db, callArrival(aCall(held)), callArrival(aCall(free)))
    })

    expect(outcomes.map((each) => each.outcome)).toEqual(['deferred', 'posted'])
  })

  test('racing transactions book each event once and leave an unbroken chain', async ({ db }) => {
    const workspaceId = await givenWorkspace(db)
    const calls = Array.from({ length: 40 }, () => aCall(workspaceId))
    const untilDecided = async (arrival: UsageArrival): Promise<UsageOutcome> => {
      for (;;) {
        const [outcome] = await post(db, arrival)
        if (outcome !== undefined && outcome.outcome !== 'deferred') return outcome
      }
    }

    const ends = await Promise.allSettled([...calls, ...calls].map((call) => untilDecided(callArrival(call))))

    expect(ends.filter((end) => end.status === 'rejected')).toEqual([])
    const outcomes = ends.filter((end) => end.status === 'fulfilled').map((end) => end.value.outcome)
    const count = (name: string) => outcomes.filter((each) => each === name).length
    expect({ posted: count('posted'), duplicate: count('duplicate') }).toEqual({ posted: 40, duplicate: 40 })
    const transactions = await db
      .selectFrom('ledger_transaction')
      .select('wallet_sequence')
      .where('workspace_id', '=', workspaceId)
      .orderBy('wallet_sequence')
      .execute()
    expect(transactions.map((row) => row.wallet_sequence)).toEqual(
      Array.from({ length: 41 }, (_, index) => BigInt(index + 1)),
    )
  })

  test('an event that is received while it is being posted is claimed by one of the two', async ({ db }) => {
    const workspaceId = await givenWorkspace(db)
    const arrival = callArrival(aCall(workspaceId))
    await receiveUsage(db, [arrival, arrival])

    const [first] = await post(db, arrival)
    const received = await receiveUsage(db, [arrival])
    const [second] = await post(db, arrival)

    expect([first?.outcome, received, second?.outcome]).toEqual(['posted', 0, 'duplicate'])
  })
})

function hoursAgo(hours: number): string {
  return new Date(Date.now() - hours * 3_600_000).toISOString()
}
