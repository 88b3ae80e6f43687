/** The tables, as Kysely sees them. What each means is said in its migration. */
import type { ColumnType, Generated, Kysely, Transaction } from 'kysely'

import type { Account, LedgerTransactionKind } from '../billing/ledger-draft.ts'
import type { WorkspaceId } from '../billing/ids.ts'
import type { Micros } from '../billing/money.ts'
import type { WorkspaceRate } from '../billing/rate-card.ts'
import type { SetAsideReason } from '../billing/usage-event.ts'
import type { JobOptions } from '../jobs/contract.ts'
import type { UsageKind } from '../jobs/usage-arrival.ts'

export type Schema = {
  workspace: { workspace_id: WorkspaceId; name: string | null; created_at: Generated<Date> }
  wallet: {
    workspace_id: WorkspaceId
    balance_micros: ColumnType<Micros, Micros | undefined, Micros>
    sequence: ColumnType<bigint, bigint | undefined, bigint>
    head_hash: Buffer
  }
  account: { account: Account; title: string; normal_side: 'debit' | 'credit' }
  ledger_transaction: {
    workspace_id: WorkspaceId
    wallet_sequence: bigint
    idempotency_key: string
    kind: LedgerTransactionKind
    reference: string
    agent_id: string | null
    campaign_id: string | null
    amount_micros: Micros
    balance_after_micros: Micros
    rate_card_id: string | null
    reverses: string | null
    occurred_at: Date
    posted_at: Date
    payload_hash: Buffer
    hash: Buffer
  }
  posting: {
    workspace_id: WorkspaceId
    wallet_sequence: bigint
    line: number
    debit_account: Account
    credit_account: Account
    amount_micros: Micros
    quantity: number | null
    prefix: string | null
  }
  account_entry: {
    workspace_id: WorkspaceId
    wallet_sequence: bigint
    line: number
    account: Account
    amount_micros: Micros
  }
  usage_event: {
    workspace_id: string
    key: string
    kind: UsageKind
    payload: unknown
    payload_hash: Buffer
    state: UsageEventState
    reason: SetAsideReason | null
    detail: string | null
    received_at: Date
    decided_at: Date | null
  }
  price_list: { only_row: Generated<boolean>; version: bigint }
  rate_card: {
    rate_card_id: string
    effective_from: Date
    voice: unknown
    recording: unknown
    inbound: unknown
    message_usd: string
    created_at: Generated<Date>
  }
  telephony_rate: { rate_card_id: string; prefix: string; place: string; rate: unknown }
  workspace_rate: {
    workspace_id: WorkspaceId
    meter: WorkspaceRate['meter']
    prefix: ColumnType<string, string | undefined, never>
    effective_from: Date
    rate: unknown
    created_at: Generated<Date>
  }
  staged_job: {
    workspace_id: string
    id: Generated<bigint>
    queue: string
    name: string
    job_id: string
    data: unknown
    options: ColumnType<JobOptions, string, never>
    staged_at: Generated<Date>
  }
  heartbeat: { name: string; beat_at: Date }
}

export type UsageEventState = 'received' | 'posted' | 'free' | 'set_aside'

/** Reads. A function that takes one opens no transaction. */
export type Db = Kysely<Schema>

/** What must be atomic takes one of these; a plain `Db` is not assignable to it. */
export type Tx = Transaction<Schema>
