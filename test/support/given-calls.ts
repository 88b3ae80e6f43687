/** Given: wallets with as much as a test needs, calls that ask to be admitted, and what is held for them. */
import { expect } from 'vitest'

import type { CallToAdmit } from '../../billing/admission.ts'
import type { WorkspaceId } from '../../billing/ids.ts'
import { admitCalls, type Admission } from '../../db/admission.ts'
import { createApiKey } from '../../db/api-key.ts'
import { postUsage, type UsageOutcome } from '../../db/post-usage.ts'
import { createRateBookCache } from '../../db/rate-book.ts'
import type { Db } from '../../db/schema.ts'
import type { UsageArrival } from '../../jobs/usage-arrival.ts'
import { aCall, callArrival, givenWorkspace, newId } from './given.ts'
import { bringTransaction, givenCustomer, type GivenPayer } from './given-money-in.ts'
import { aLine, aTransaction, cents } from './paddle-news.ts'

export const rateBookOf = createRateBookCache()

export const quarterHour = { silentAfterMs: 900_000 }

/** An outbound call to the United States: $0.18 a minute, so the buffer is $0.20. */
export function aCallToAdmit(workspaceId: WorkspaceId, call: Partial<CallToAdmit> = {}): CallToAdmit {
  return {
    workspaceId,
    callId: newId('call'),
    direction: 'outbound',
    to: '+14155550100',
    recorded: false,
    ...call,
  }
}

/** In one transaction. */
export async function admit(db: Db, ...calls: CallToAdmit[]): Promise<Admission[]> {
  return await db.transaction().execute((trx) => admitCalls(trx, calls, rateBookOf, quarterHour))
}

export async function post(db: Db, ...arrivals: UsageArrival[]): Promise<UsageOutcome[]> {
  return await db.transaction().execute((trx) => postUsage(trx, arrivals, rateBookOf))
}

/** A wallet with `cents`, of which $10 is its grant: more is topped up, less is spent on a web call at $0.10 a minute. */
export async function givenWalletWith(db: Db, balanceCents: number): Promise<WorkspaceId> {
  if (balanceCents > 1_000) {
    const payer = await givenCustomer(db)
    await topUp(db, payer, balanceCents - 1_000)
    return payer.workspaceId
  }
  const workspaceId = await givenWorkspace(db)
  await spend(db, workspaceId, 1_000 - balanceCents)
  return workspaceId
}

export async function givenWriteKey(db: Db, workspaceId: WorkspaceId): Promise<string> {
  const { secret } = await db
    .transaction()
    .execute((trx) => createApiKey(trx, { workspaceId, scope: 'write', createdBy: 'test' }))
  return secret
}

/** In cents, paid at Paddle. */
export async function topUp(db: Db, payer: GivenPayer, amountCents: number): Promise<void> {
  const { workspaceId } = payer
  const lines = [aLine({ net: cents(BigInt(amountCents)), workspaceId })]
  const applied = await bringTransaction(db, aTransaction(payer, { lines }))
  expect(applied).toMatchObject({ outcome: 'credited' })
}

/** In cents, by a web call of as many tenths of a minute. */
export async function spend(db: Db, workspaceId: WorkspaceId, amountCents: number): Promise<void> {
  if (amountCents === 0) return
  const durationSeconds = amountCents * 6
  const startedAt = new Date(Date.now() - durationSeconds * 1_000).toISOString()
  const call = aCall(workspaceId, { direction: 'web', to: undefined, startedAt, durationSeconds })
  const [outcome] = await post(db, callArrival(call))
  expect(outcome).toMatchObject({ outcome: 'posted', amountMicros: -10_000n * BigInt(amountCents) })
}

export type Money = { balance: bigint; held: bigint; openHolds: bigint }

/** Micro-dollars, in one look. `held` and `openHolds` are always equal. */
export async function moneyOf(db: Db, workspaceId: WorkspaceId): Promise<Money> {
  const row = await db
    .selectFrom('wallet')
    .select(['balance_micros as balance', 'held_micros as held'])
    .select((eb) =>
      eb
        .selectFrom('hold')
        .select((hold) => hold.fn.coalesce(hold.fn.sum<string>('amount_micros'), hold.lit(0)).as('sum'))
        .whereRef('hold.workspace_id', '=', 'wallet.workspace_id')
        .where('state', '=', 'open')
        .as('openHolds'),
    )
    .where('workspace_id', '=', workspaceId)
    .executeTakeFirstOrThrow()
  return { ...row, openHolds: BigInt(row.openHolds ?? 0n) }
}

/** Calls that a test has gone without hearing of for a quarter of an hour. */
export async function givenSilence(db: Db, workspaceId: WorkspaceId): Promise<void> {
  await db
    .updateTable('hold')
    .set({ expires_at: new Date(Date.now() - 1_000) })
    .where('workspace_id', '=', workspaceId)
    .where('state', '=', 'open')
    .execute()
}
