/** A wallet that pays rents, as it is at one moment: every ledger transaction, every step of its numbers, every attempt to charge. */
import { sql } from 'kysely'

import type { WorkspaceId } from '../../billing/ids.ts'
import type { LedgerTransactionKind } from '../../billing/ledger-draft.ts'
import type { Micros } from '../../billing/money.ts'
import type { PhoneNumberState, RentalReason } from '../../billing/rental.ts'
import { findAutoRecharge } from '../../db/auto-recharge.ts'
import { listPhoneNumbers, type PhoneNumber } from '../../db/phone-number.ts'
import type { Db } from '../../db/schema.ts'
import { listTopUps, type TopUp } from '../../db/top-up.ts'

export type RentMovement = {
  sequence: bigint
  kind: LedgerTransactionKind
  reference: string
  amountMicros: Micros
  balanceAfterMicros: Micros
  postedAt: Date
  /** Of a rent: which month, and the end of what it paid for. */
  period: number | null
  endsAt: Date | null
}

export type NumberStep = {
  phoneNumber: string
  step: number
  state: PhoneNumberState
  reason: RentalReason
  /** What was there and what was asked for, of a month that could not be paid. */
  availableUsd: string | null
  requiredUsd: string | null
  /** When it ends, of a cancellation. */
  endsAt: Date | null
  at: Date
}

export type RentFrame = {
  movements: RentMovement[]
  steps: NumberStep[]
  /** The newest first. */
  topUps: TopUp[]
  /** Since when auto-recharge is suspended, and why; null while it is not. */
  suspended: { at: Date; reason: string } | null
  numbers: PhoneNumber[]
}

export async function readRentFrame(db: Db, workspaceId: WorkspaceId): Promise<RentFrame> {
  return await db
    .transaction()
    .setIsolationLevel('repeatable read')
    .execute(async (trx) => {
      const settings = await findAutoRecharge(trx, workspaceId)
      const { suspendedAt: at = null, suspendedReason: reason = null } = settings ?? {}
      return {
        movements: await listRentMovements(trx, workspaceId),
        steps: await listNumberSteps(trx, workspaceId),
        topUps: await listTopUps(trx, { workspaceId, limit: 100 }),
        suspended: at === null ? null : { at, reason: reason ?? '' },
        numbers: (await listPhoneNumbers(trx, { workspaceId, limit: 100 })).numbers,
      }
    })
}

async function listRentMovements(db: Db, workspaceId: WorkspaceId): Promise<RentMovement[]> {
  const { rows } = await sql<RentMovement>`
    select t.wallet_sequence as sequence, t.kind, t.reference, t.amount_micros as "amountMicros",
      t.balance_after_micros as "balanceAfterMicros", t.posted_at as "postedAt", p.period, p.ends_at as "endsAt"
    from ledger_transaction t
    left join rental_period p on p.workspace_id = t.workspace_id and p.wallet_sequence = t.wallet_sequence
    where t.workspace_id = ${workspaceId}
    order by t.wallet_sequence`.execute(db)
  return rows
}

async function listNumberSteps(db: Db, workspaceId: WorkspaceId): Promise<NumberStep[]> {
  const { rows } = await sql<NumberStep>`
    select n.phone_number as "phoneNumber", s.step, s.state, s.reason, s.detail ->> 'available_usd' as "availableUsd",
      s.detail ->> 'required_usd' as "requiredUsd", (s.detail ->> 'ends_at')::timestamptz as "endsAt", s.stepped_at as at
    from phone_number_step s join phone_number n using (workspace_id, phone_number_id)
    where s.workspace_id = ${workspaceId}
    order by s.stepped_at, n.anchor_at, s.step`.execute(db)
  return rows
}
