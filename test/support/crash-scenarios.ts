/** What processes are killed in the middle of: every job of the workers, and every request of the API that writes about money. */
import { sql } from 'kysely'
import { expect } from 'vitest'

import type { WorkspaceId } from '../../billing/ids.ts'
import { createApiKey } from '../../db/api-key.ts'
import { receivePaddleEvent } from '../../db/paddle-event.ts'
import { newTopUpId } from '../../db/top-up.ts'
import type { Db } from '../../db/schema.ts'
import { takeInUsage } from '../../db/take-in-usage.ts'
import { jobOf, type Job } from '../../jobs/contract.ts'
import { numberRented, rentalDue } from '../../jobs/rental-jobs.ts'
import { callEnded } from '../../jobs/usage-jobs.ts'
import { workspaceCreated } from '../../jobs/workspace-jobs.ts'
import { openWalletWithCard, switchOn } from '../../scripts/drills/recharging-wallet.ts'
import { addJobs } from '../../workers/add-jobs.ts'
import { micros } from '../../billing/money.ts'
import { scenario, type Scenario, type Stage } from './crash-run.ts'
import { givenRental } from './given-rentals.ts'
import { aCall, callArrival, givenWorkspace, newId, newWorkspaceId } from './given.ts'
import { signatureOf } from './paddle-sender.ts'

/** $0.18: a minute to the United States. */
const callMicros = 180_000n

export const enqueuedCall = scenario({
  name: 'a call that telephony enqueued',
  process: 'workers',
  given: async ({ db }) => aCall(await givenWorkspace(db)),
  names: ({ workspaceId, callId }) => [
    workspaceId,
    callId,
    jobOf(callEnded, aCall(workspaceId, { callId })).jobId,
  ],
  begin: (stage, call) => add(stage, jobOf(callEnded, call)),
  isDone: ({ db }, { workspaceId }) => isBalance(db, workspaceId, 10_000_000n - callMicros),
  check: ({ db }, { workspaceId, callId }) => expectBooked(db, workspaceId, [`call/${callId}`]),
})

export const workerScenarios: Scenario<never>[] = [
  // The longest first: the others are done meanwhile.
  scenario({
    name: 'a recharge, from its decision to its credit',
    process: 'workers',
    given: async (stage) => givenCard(stage),
    names: ({ workspaceId, subscriptionId }) => [workspaceId, subscriptionId],
    begin: ({ db }, { workspaceId }) => switchOn(db, workspaceId, { threshold: '15', topUp: '20' }),
    isDone: ({ db }, { workspaceId }) => isBalance(db, workspaceId, 30_000_000n),
    check: expectCaptured,
  }),
  scenario({
    name: 'a recharge that is declined',
    process: 'workers',
    given: async (stage) => {
      const card = await givenCard(stage)
      await stage.paddle.control.setCard(card.paymentMethodId, { decline: 'expired_card' })
      return card
    },
    names: ({ workspaceId, subscriptionId }) => [workspaceId, subscriptionId],
    begin: ({ db }, { workspaceId }) => switchOn(db, workspaceId, { threshold: '15', topUp: '20' }),
    isDone: async ({ db }, { workspaceId }) => (await topUpStates(db, workspaceId)).includes('declined'),
    check: async (stage, card) => {
      expect(await topUpStates(stage.db, card.workspaceId)).toEqual(['declined'])
      await expectBooked(stage.db, card.workspaceId, [])
      await expectCaptured(stage, card)
    },
  }),
  enqueuedCall,
  scenario({
    name: 'a call that was told over HTTP, from the outbox to the ledger',
    process: 'workers',
    given: async ({ db }) => aCall(await givenWorkspace(db)),
    names: ({ workspaceId, callId }) => [workspaceId, callId],
    begin: ({ db }, call) =>
      db.transaction().execute((trx) => takeInUsage(trx, call.workspaceId, [callArrival(call)])),
    isDone: ({ db }, { workspaceId }) => isBalance(db, workspaceId, 10_000_000n - callMicros),
    check: ({ db }, { workspaceId, callId }) => expectBooked(db, workspaceId, [`call/${callId}`]),
  }),
  scenario({
    name: 'a workspace that was created',
    process: 'workers',
    given: async () => newWorkspaceId(),
    names: (workspaceId) => [workspaceId, jobOf(workspaceCreated, { workspaceId }).jobId],
    begin: (stage, workspaceId) => add(stage, jobOf(workspaceCreated, { workspaceId })),
    isDone: ({ db }, workspaceId) => isBalance(db, workspaceId, 10_000_000n),
    check: ({ db }, workspaceId) => expectBooked(db, workspaceId, []),
  }),
  scenario({
    name: 'a number that was rented',
    process: 'workers',
    given: async ({ db }) => ({
      workspaceId: await givenWorkspace(db),
      phoneNumber: '+14155550100',
      rentedAt: new Date(Date.now() - 86_400_000).toISOString(),
    }),
    names: (rented) => [rented.workspaceId, jobOf(numberRented, rented).jobId],
    begin: (stage, rented) => add(stage, jobOf(numberRented, rented)),
    isDone: ({ db }, { workspaceId }) => isBalance(db, workspaceId, 5_000_000n),
    check: ({ db }, { workspaceId }) => expectPeriods(db, workspaceId, 1),
  }),
  scenario({
    name: 'a rent that fell due',
    process: 'workers',
    given: ({ db }) => givenRental(db, { monthsAgo: 1 }),
    names: ({ workspaceId }) => [workspaceId],
    begin: (stage, { workspaceId }) => add(stage, jobOf(rentalDue, { workspaceId, turn: 'test' })),
    isDone: ({ db }, { workspaceId }) => isBalance(db, workspaceId, 0n),
    check: ({ db }, { workspaceId }) => expectPeriods(db, workspaceId, 2),
  }),
  scenario({
    name: 'news of a payment',
    process: 'workers',
    given: async (stage) => {
      const card = await givenCard(stage)
      await capture(stage, card)
      const events = await stage.paddle.control.events()
      const event = events.findLast(
        ({ eventType, rawBody }) =>
          eventType === 'transaction.completed' && rawBody.includes(card.subscriptionId),
      )
      if (event === undefined) throw new Error('Paddle tells of no payment')
      return { ...card, event }
    },
    names: ({ workspaceId, event }) => [workspaceId, event.eventId],
    begin: ({ db }, { event }) =>
      db.transaction().execute((trx) =>
        receivePaddleEvent(trx, {
          eventId: event.eventId,
          eventType: event.eventType,
          occurredAt: new Date(event.occurredAt),
          body: event.rawBody,
        }),
      ),
    isDone: ({ db }, { workspaceId }) => isBalance(db, workspaceId, 30_000_000n),
    check: expectCaptured,
  }),
]

export const apiScenarios: Scenario<never>[] = [
  scenario({
    name: 'POST /v1/usage',
    process: 'api',
    given: async (stage) => {
      const caller = await givenCaller(stage, await givenWorkspace(stage.db))
      const { workspaceId: _key, ...call } = aCall(caller.workspaceId)
      return { ...caller, call, answers: [] as unknown[] }
    },
    names: ({ workspaceId }) => [workspaceId],
    begin: async (stage, { call, ...caller }) => {
      caller.answers.push(await ask(stage, caller, '/v1/usage', { events: [{ kind: 'call', ...call }] }))
    },
    isDone: async (_stage, { answers }) => answers.length > 0,
    check: async ({ db }, { workspaceId, call }) => {
      const { rows } = await sql<{ key: string; state: string }>`
        select key, state from usage_event where workspace_id = ${workspaceId}`.execute(db)
      expect(rows).toEqual([{ key: `call/${call.callId}`, state: 'received' }])
    },
  }),
  scenario({
    name: 'POST /v1/calls',
    process: 'api',
    given: async (stage) => ({
      ...(await givenCaller(stage, await givenWorkspace(stage.db))),
      // The caller names the call, and that name is what makes a second telling harmless.
      call: { call_id: newId('call'), to_number: '+14155550100' },
      answers: [] as unknown[],
    }),
    names: ({ workspaceId }) => [workspaceId],
    begin: async (stage, { call, ...caller }) => {
      caller.answers.push(await ask(stage, caller, '/v1/calls', call))
    },
    isDone: async (_stage, { answers }) => answers.length > 0,
    check: async ({ db }, { workspaceId }) => {
      const { rows } = await sql<{ held: bigint; holds: number }>`
        select held_micros as held, (select count(*)::int from hold where hold.workspace_id = wallet.workspace_id) as holds
        from wallet where workspace_id = ${workspaceId}`.execute(db)
      expect(rows).toEqual([{ held: 200_000n, holds: 1 }])
    },
  }),
  scenario({
    name: 'POST /v1/wallet/topup',
    process: 'api',
    given: async (stage) => {
      const card = await givenCard(stage)
      const { saved_card_id: savedCardId } = await stage.db
        .selectFrom('saved_card')
        .select('saved_card_id')
        .where('subscription_id', '=', card.subscriptionId)
        .executeTakeFirstOrThrow()
      return { ...(await givenCaller(stage, card.workspaceId)), savedCardId, answers: [] as unknown[] }
    },
    names: ({ workspaceId }) => [workspaceId],
    begin: async (stage, caller) => {
      const body = { amount_usd: 20, payment_method_id: caller.savedCardId }
      caller.answers.push(await ask(stage, caller, '/v1/wallet/topup', body))
    },
    isDone: async (_stage, { answers }) => answers.length > 0,
    check: async ({ db }, { workspaceId }) => {
      expect(await topUpStates(db, workspaceId)).toEqual(['ready'])
    },
  }),
  scenario({
    name: 'POST /v1/phone-numbers',
    process: 'api',
    given: async (stage) => ({
      ...(await givenCaller(stage, await givenWorkspace(stage.db))),
      answers: [] as unknown[],
    }),
    names: ({ workspaceId }) => [workspaceId],
    begin: async (stage, caller) => {
      caller.answers.push(await ask(stage, caller, '/v1/phone-numbers', { phone_number: '+14155550100' }))
    },
    isDone: async (_stage, { answers }) => answers.length > 0,
    check: ({ db }, { workspaceId }) => expectPeriods(db, workspaceId, 1),
  }),
  scenario({
    name: "Paddle's webhook",
    process: 'api',
    given: async () => {
      const eventId = newId('evt')
      const body = JSON.stringify({
        event_id: eventId,
        event_type: 'address.updated',
        occurred_at: new Date().toISOString(),
        notification_id: newId('ntf'),
        data: { id: newId('add') },
      })
      return { eventId, body, answers: [] as unknown[] }
    },
    names: ({ eventId }) => [eventId],
    begin: async (stage, { body, answers }) => {
      const secret = stage.paddle.environment['PADDLE_WEBHOOK_SECRET'] ?? ''
      const response = await fetch(`${stage.apiUrl()}/webhooks/paddle`, {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          'paddle-signature': signatureOf(body, { secrets: [secret] }),
        },
        body,
      })
      answers.push(await response.text())
      expect(response.status).toBe(200)
    },
    isDone: async (_stage, { answers }) => answers.length > 0,
    check: async ({ db }, { eventId }) => {
      const { rows } = await sql<{ events: number; jobs: number }>`
        select count(*)::int as events,
          (select count(*)::int from staged_job where data->>'eventId' = ${eventId}) as jobs
        from paddle_event where event_id = ${eventId}`.execute(db)
      expect(rows).toEqual([{ events: 1, jobs: 1 }])
    },
  }),
]

type Caller = { workspaceId: WorkspaceId; key: string; idempotencyKey: string }

async function givenCaller({ db }: Stage, workspaceId: WorkspaceId): Promise<Caller> {
  const { secret: key } = await db
    .transaction()
    .execute((trx) => createApiKey(trx, { workspaceId, scope: 'admin', createdBy: 'test' }))
  return { workspaceId, key, idempotencyKey: newId('key') }
}

/** Throws: where no answer came, and where it was an error. */
async function ask(
  stage: Stage,
  { key, idempotencyKey }: Caller,
  path: string,
  body: unknown,
): Promise<unknown> {
  const response = await fetch(`${stage.apiUrl()}${path}`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${key}`,
      'content-type': 'application/json',
      'idempotency-key': idempotencyKey,
    },
    body: JSON.stringify(body),
  })
  const answer: unknown = await response.json()
  if (!response.ok) throw new Error(`${path} answered ${response.status}: ${JSON.stringify(answer)}`)
  return answer
}

type Card = { workspaceId: WorkspaceId; customerId: string; subscriptionId: string; paymentMethodId: string }

async function givenCard({ db, paddle }: Stage): Promise<Card> {
  const workspaceId = newWorkspaceId()
  return { workspaceId, ...(await openWalletWithCard(db, paddle, workspaceId)) }
}

/** The card is charged $20, and nobody here knows. */
async function capture({ paddle }: Stage, { workspaceId, subscriptionId }: Card): Promise<void> {
  const answer = await paddle.gateway.charge({
    workspaceId,
    topUpId: newTopUpId(new Date()),
    subscriptionId,
    source: 'api',
    amountMicros: micros(20_000_000n),
    sendBefore: performance.now() + 10_000,
  })
  expect(answer).toMatchObject({ outcome: 'accepted' })
}

async function add({ queueNamed }: Stage, job: Job): Promise<void> {
  await addJobs(queueNamed, [job])
}

async function isBalance(db: Db, workspaceId: WorkspaceId, balanceMicros: bigint): Promise<boolean> {
  const row = await db
    .selectFrom('wallet')
    .select('balance_micros')
    .where('workspace_id', '=', workspaceId)
    .executeTakeFirst()
  return row?.balance_micros === balanceMicros
}

/** These facts, each once, besides the grant. */
async function expectBooked(db: Db, workspaceId: WorkspaceId, keys: readonly string[]): Promise<void> {
  const rows = await db
    .selectFrom('ledger_transaction')
    .select('idempotency_key')
    .where('workspace_id', '=', workspaceId)
    .where('kind', '<>', 'grant')
    .execute()
  expect(rows.map((row) => row.idempotency_key).toSorted()).toEqual(keys.toSorted())
}

async function expectPeriods(db: Db, workspaceId: WorkspaceId, periods: number): Promise<void> {
  const { rows } = await sql<{ booked: number; periods: number; numbers: number }>`
    select (select count(*)::int from ledger_transaction where workspace_id = ${workspaceId} and kind = 'number_rental') as booked,
      (select count(*)::int from rental_period where workspace_id = ${workspaceId}) as periods,
      (select count(*)::int from phone_number where workspace_id = ${workspaceId}) as numbers`.execute(db)
  expect(rows).toEqual([{ booked: periods, periods, numbers: 1 }])
}

/** What left the card is in the wallet, to the cent, and the card was charged once at most. */
async function expectCaptured({ db, paddle }: Stage, { workspaceId, subscriptionId }: Card): Promise<void> {
  const { captures } = await paddle.control.journal()
  const ours = captures.filter((each) => each.subscriptionId === subscriptionId && each.net !== '0')
  const { rows } = await sql<{ key: string }>`
    select idempotency_key as key from ledger_transaction
    where workspace_id = ${workspaceId} and kind = 'top_up'`.execute(db)
  expect(rows.map(({ key }) => key)).toEqual(ours.map((each) => `paddle_transaction/${each.transactionId}`))
  expect(ours.length).toBeLessThanOrEqual(1)
}

async function topUpStates(db: Db, workspaceId: WorkspaceId): Promise<string[]> {
  const rows = await db.selectFrom('top_up').select('state').where('workspace_id', '=', workspaceId).execute()
  return rows.map(({ state }) => state)
}
