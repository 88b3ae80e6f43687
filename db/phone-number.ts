/** Rented numbers as rows: what each is, the periods that were billed for it, and every step that it took. */
import { sql } from 'kysely'

import type { PhoneNumberId, WorkspaceId } from '../billing/ids.ts'
import type { Micros } from '../billing/money.ts'
import type { PhoneNumberState, RentalReason } from '../billing/rental.ts'
import type { Db, Tx } from './schema.ts'
import type { LockedWallet } from './wallet.ts'

export type PhoneNumber = {
  workspaceId: WorkspaceId
  phoneNumberId: PhoneNumberId
  /** E.164. */
  phoneNumber: string
  state: PhoneNumberState
  /** When it was rented: every due date is computed from here. */
  anchorAt: Date
  periodsBilled: number
  /** The end of the last period that was billed; the anchor while none was. */
  paidUntil: Date
  nextLookAt: Date | null
  /** When it ends because somebody cancelled it. */
  cancelAt: Date | null
  pastDueAt: Date | null
  suspendedAt: Date | null
  releasedAt: Date | null
}

/** What becomes of a number. What it is stays. */
export type PhoneNumberChange = Omit<
  PhoneNumber,
  'workspaceId' | 'phoneNumberId' | 'phoneNumber' | 'anchorAt'
>

export type RentalPeriodRow = {
  period: number
  startsAt: Date
  endsAt: Date
  amountMicros: Micros
  rateCardId: string
  /** The ledger transaction's place in the wallet; null for a period that cost nothing. */
  walletSequence: bigint | null
  billedAt: Date
}

/** `reversalSequence`: where it was given back; null when it was not. */
export type RentalPeriod = RentalPeriodRow & { reversalSequence: bigint | null }

export type RentalStep = {
  step: number
  state: PhoneNumberState
  reason: RentalReason
  /** Facts of the step; amounts in it are decimal strings. */
  detail: unknown
  steppedAt: Date
}

/** By its id, or the one that has the phone number now. */
export async function findPhoneNumber(
  db: Db,
  workspaceId: WorkspaceId,
  name: { phoneNumberId: string } | { phoneNumber: string },
): Promise<PhoneNumber | null> {
  const query = selectPhoneNumbers(db).where('workspace_id', '=', workspaceId)
  const row = await (
    'phoneNumberId' in name
      ? query.where(sql<boolean>`phone_number_id = ${name.phoneNumberId}`)
      : query.where('phone_number', '=', name.phoneNumber).where('state', '<>', 'released')
  ).executeTakeFirst()
  return row ?? null
}

/** Newest first, and how many there are in all. */
export async function listPhoneNumbers(
  db: Db,
  {
    workspaceId,
    states,
    limit,
    offset = 0,
  }: {
    workspaceId: WorkspaceId
    states?: readonly PhoneNumberState[] | undefined
    limit: number
    offset?: number
  },
): Promise<{ numbers: PhoneNumber[]; total: number }> {
  const numbers = await selectPhoneNumbers(db)
    .where('workspace_id', '=', workspaceId)
    .$if(states !== undefined, (query) => query.where('state', 'in', states ?? []))
    .orderBy('anchor_at', 'desc')
    .orderBy('phone_number_id')
    .limit(limit)
    .offset(offset)
    .execute()
  const { total } = await db
    .selectFrom('phone_number')
    .select(sql<number>`count(*)::int`.as('total'))
    .where('workspace_id', '=', workspaceId)
    .$if(states !== undefined, (query) => query.where('state', 'in', states ?? []))
    .executeTakeFirstOrThrow()
  return { numbers, total }
}

/** Those that go on and are paid, the one that falls due first first. */
export async function listNextRentals(
  db: Db,
  workspaceId: WorkspaceId,
  limit: number,
): Promise<PhoneNumber[]> {
  return await selectPhoneNumbers(db)
    .where('workspace_id', '=', workspaceId)
    .where('state', '=', 'active')
    .where('cancel_at', 'is', null)
    .orderBy('paid_until')
    .orderBy('phone_number_id')
    .limit(limit)
    .execute()
}

/**
 * The rental that news of that time are about: the newest that had begun by then, even if it has ended. `givenBackAt`: since when
 * the telephony service has it back, where it said so.
 */
export async function findRentalAt(
  db: Db,
  workspaceId: WorkspaceId,
  { phoneNumber, at }: { phoneNumber: string; at: Date },
): Promise<{ number: PhoneNumber; givenBackAt: Date | null } | null> {
  const number = await selectPhoneNumbers(db)
    .where('workspace_id', '=', workspaceId)
    .where('phone_number', '=', phoneNumber)
    .where('anchor_at', '<=', at)
    .orderBy('anchor_at', 'desc')
    .limit(1)
    .executeTakeFirst()
  if (number === undefined) return null
  const step = await db
    .selectFrom('phone_number_step')
    .select(sql<Date>`(detail->>'released_at')::timestamptz`.as('givenBackAt'))
    .where('workspace_id', '=', workspaceId)
    .where('phone_number_id', '=', number.phoneNumberId)
    .where('reason', '=', 'given_back')
    .executeTakeFirst()
  return { number, givenBackAt: step?.givenBackAt ?? null }
}

/** Those whose turn has come, the one whose next month starts first first. */
export async function lockDuePhoneNumbers(
  trx: Tx,
  wallet: LockedWallet,
  now: Date,
  limit: number,
): Promise<PhoneNumber[]> {
  return await selectPhoneNumbers(trx)
    .where('workspace_id', '=', wallet.workspaceId)
    .where('next_look_at', '<=', now)
    .orderBy('paid_until')
    .orderBy('phone_number_id')
    .limit(limit)
    .forUpdate()
    .execute()
}

/** Workspaces with a number whose turn has come. */
export async function listWorkspacesWithDueNumbers(
  db: Db,
  now: Date,
  { after, limit }: { after: WorkspaceId | null; limit: number },
): Promise<WorkspaceId[]> {
  const rows = await db
    .selectFrom('phone_number')
    .select('workspace_id')
    .distinct()
    .where('next_look_at', '<=', now)
    .$if(after !== null, (query) => query.where(sql`workspace_id`, '>', after))
    .orderBy('workspace_id')
    .limit(limit)
    .execute()
  return rows.map((row) => row.workspace_id)
}

/** Shape: false when this rental is known, or another one has the phone number now. */
export async function insertPhoneNumber(
  trx: Tx,
  wallet: LockedWallet,
  number: Pick<PhoneNumber, 'phoneNumberId' | 'phoneNumber' | 'anchorAt'>,
  now: Date,
): Promise<boolean> {
  const { numInsertedOrUpdatedRows } = await trx
    .insertInto('phone_number')
    .values({
      workspace_id: wallet.workspaceId,
      phone_number_id: number.phoneNumberId,
      phone_number: number.phoneNumber,
      state: 'active',
      anchor_at: number.anchorAt,
      paid_until: number.anchorAt,
      next_look_at: number.anchorAt,
      created_at: now,
    })
    .onConflict((conflict) => conflict.doNothing())
    .executeTakeFirst()
  return numInsertedOrUpdatedRows === 1n
}

/** `number` was read under the wallet's lock. */
export async function changePhoneNumber(
  trx: Tx,
  number: PhoneNumber,
  change: Partial<PhoneNumberChange>,
): Promise<PhoneNumber> {
  const changed = { ...number, ...change }
  await trx
    .updateTable('phone_number')
    .set({
      state: changed.state,
      periods_billed: changed.periodsBilled,
      paid_until: changed.paidUntil,
      next_look_at: changed.nextLookAt,
      cancel_at: changed.cancelAt,
      past_due_at: changed.pastDueAt,
      suspended_at: changed.suspendedAt,
      released_at: changed.releasedAt,
    })
    .where('workspace_id', '=', number.workspaceId)
    .where('phone_number_id', '=', number.phoneNumberId)
    .execute()
  return changed
}

export async function insertRentalPeriod(
  trx: Tx,
  { workspaceId, phoneNumberId }: Pick<PhoneNumber, 'workspaceId' | 'phoneNumberId'>,
  period: RentalPeriodRow,
): Promise<void> {
  await trx
    .insertInto('rental_period')
    .values({
      workspace_id: workspaceId,
      phone_number_id: phoneNumberId,
      period: period.period,
      starts_at: period.startsAt,
      ends_at: period.endsAt,
      amount_micros: period.amountMicros,
      rate_card_id: period.rateCardId,
      wallet_sequence: period.walletSequence,
      billed_at: period.billedAt,
    })
    .execute()
}

/** Newest first; those that start then or later, when that is given. */
export async function listRentalPeriods(
  db: Db,
  { workspaceId, phoneNumberId }: Pick<PhoneNumber, 'workspaceId' | 'phoneNumberId'>,
  { startingFrom, limit }: { startingFrom?: Date; limit?: number },
): Promise<RentalPeriod[]> {
  return await db
    .selectFrom('rental_period as p')
    .leftJoin('ledger_transaction as paid', (join) =>
      join
        .onRef('paid.workspace_id', '=', 'p.workspace_id')
        .onRef('paid.wallet_sequence', '=', 'p.wallet_sequence'),
    )
    .leftJoin('ledger_transaction as reversal', (join) =>
      join
        .onRef('reversal.workspace_id', '=', 'paid.workspace_id')
        .onRef('reversal.reverses', '=', 'paid.idempotency_key'),
    )
    .select([
      'p.period',
      'p.starts_at as startsAt',
      'p.ends_at as endsAt',
      'p.amount_micros as amountMicros',
      'p.rate_card_id as rateCardId',
      'p.wallet_sequence as walletSequence',
      'p.billed_at as billedAt',
      'reversal.wallet_sequence as reversalSequence',
    ])
    .where('p.workspace_id', '=', workspaceId)
    .where('p.phone_number_id', '=', phoneNumberId)
    .$if(startingFrom !== undefined, (query) => query.where('p.starts_at', '>=', startingFrom ?? new Date(0)))
    .orderBy('p.period', 'desc')
    .$if(limit !== undefined, (query) => query.limit(limit ?? 0))
    .execute()
}

/** Writes down a step of a number, whose wallet is locked. Appended; never changed. */
export async function writeRentalStep(
  trx: Tx,
  { workspaceId, phoneNumberId, state }: Pick<PhoneNumber, 'workspaceId' | 'phoneNumberId' | 'state'>,
  { reason, detail = {} }: { reason: RentalReason; detail?: Record<string, unknown> | undefined },
  now: Date,
): Promise<void> {
  await sql`
    insert into phone_number_step (workspace_id, phone_number_id, step, state, reason, detail, stepped_at)
    select ${workspaceId}, ${phoneNumberId}, coalesce(max(step), 0) + 1, ${state}, ${reason},
      ${JSON.stringify(detail)}::jsonb, ${now}
    from phone_number_step where workspace_id = ${workspaceId} and phone_number_id = ${phoneNumberId}`.execute(
    trx,
  )
}

/** Newest first. */
export async function listRentalSteps(
  db: Db,
  { workspaceId, phoneNumberId }: Pick<PhoneNumber, 'workspaceId' | 'phoneNumberId'>,
  limit: number,
): Promise<RentalStep[]> {
  return await db
    .selectFrom('phone_number_step')
    .select(['step', 'state', 'reason', 'detail', 'stepped_at as steppedAt'])
    .where('workspace_id', '=', workspaceId)
    .where('phone_number_id', '=', phoneNumberId)
    .orderBy('step', 'desc')
    .limit(limit)
    .execute()
}

function selectPhoneNumbers(db: Db) {
  return db
    .selectFrom('phone_number')
    .select([
      'workspace_id as workspaceId',
      'phone_number_id as phoneNumberId',
      'phone_number as phoneNumber',
      'state',
      'anchor_at as anchorAt',
      'periods_billed as periodsBilled',
      'paid_until as paidUntil',
      'next_look_at as nextLookAt',
      'cancel_at as cancelAt',
      'past_due_at as pastDueAt',
      'suspended_at as suspendedAt',
      'released_at as releasedAt',
    ])
}
