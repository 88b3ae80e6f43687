/** The tables, as Kysely sees them. What each means is said in its migration. */
import type { ColumnType, Generated, Kysely, Transaction } from 'kysely'

import type { Account, LedgerTransactionKind } from '../billing/ledger-draft.ts'
import type { PhoneNumberId, TopUpId, WorkspaceId } from '../billing/ids.ts'
import type { Micros } from '../billing/money.ts'
import type { WorkspaceRate } from '../billing/rate-card.ts'
import type { RechargeReason } from '../billing/recharge.ts'
import type { PhoneNumberState, RentalReason } from '../billing/rental.ts'
import type { TopUpSource, TopUpState } from '../billing/top-up.ts'
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
    held_micros: ColumnType<Micros, Micros | undefined, Micros>
    /** The threshold of its auto-recharge while that is switched on. */
    recharge_below_micros: ColumnType<Micros | null, Micros | null | undefined, Micros | null>
    frozen_at: ColumnType<Date | null, Date | null | undefined, Date | null>
    frozen_reason: ColumnType<string | null, string | null | undefined, string | null>
  }
  paddle_customer: {
    workspace_id: WorkspaceId
    customer_id: string
    email: string
    created_at: Generated<Date>
  }
  saved_card: {
    workspace_id: WorkspaceId
    saved_card_id: string
    subscription_id: string
    customer_id: string
    state: SavedCardState
    state_at: Date
    payment_method_id: string | null
    brand: string | null
    last4: string | null
    expiry_month: number | null
    expiry_year: number | null
    card_at: Date | null
    created_at: Generated<Date>
  }
  auto_recharge: {
    workspace_id: WorkspaceId
    enabled: boolean
    threshold_micros: Micros
    top_up_micros: Micros
    daily_limit: Generated<number>
    monthly_cap_micros: Micros | null
    consented_at: Date | null
    declines_in_a_row: Generated<number>
    cooling_until: Date | null
    suspended_at: Date | null
    suspended_reason: string | null
    last_decision: RechargeReason | 'recharge' | null
    last_decision_at: Date | null
    changed_at: Generated<Date>
  }
  top_up: {
    workspace_id: WorkspaceId
    top_up_id: TopUpId
    source: TopUpSource
    state: TopUpState
    amount_micros: Micros
    credited_micros: ColumnType<Micros, Micros | undefined, Micros>
    subscription_id: string | null
    paddle_transaction_id: string | null
    checkout_url: string | null
    submissions: Generated<number>
    tries: Generated<number>
    searches: Generated<number>
    first_sent_at: Date | null
    sent_at: Date | null
    due_at: Date | null
    reason: string | null
    created_at: Date
    changed_at: Date
  }
  top_up_step: {
    workspace_id: WorkspaceId
    top_up_id: TopUpId
    step: number
    state: TopUpState
    reason: string | null
    paddle_transaction_id: string | null
    stepped_at: Date
  }
  paddle_adjustment: {
    workspace_id: WorkspaceId
    adjustment_id: string
    paddle_transaction_id: string
    action: string
    status: string
    amount_micros: Micros
    applied_at: Date
  }
  paddle_event: {
    event_id: string
    event_type: string
    occurred_at: Date
    body: string
    received_at: Generated<Date>
    state: Generated<PaddleEventState>
    outcome: string | null
    detail: string | null
    waits_for_transaction: string | null
    applied_workspace: string | null
    decided_at: Date | null
  }
  refused_webhook: { reason: string; refused: bigint; last_at: Date }
  audit_log: {
    workspace_id: WorkspaceId
    entry: Generated<bigint>
    actor: string
    action: string
    detail: unknown
    happened_at: Generated<Date>
  }
  hold: {
    workspace_id: WorkspaceId
    call_id: string
    state: Generated<HoldState>
    amount_micros: Micros
    direction: 'outbound' | 'inbound' | 'web'
    to_number: string | null
    from_number: string | null
    recorded: boolean
    agent_id: string | null
    campaign_id: string | null
    started_at: Date
    heard_at: Date
    expires_at: Date
    /** The call is over; the hold waits for its usage. */
    hung_up_at: Date | null
    ended_at: Date | null
  }
  campaign: {
    workspace_id: WorkspaceId
    campaign_id: string
    status: CampaignStatus
    paused_by: 'person' | 'funds' | null
    resume_when_funded: Generated<boolean>
    changed_at: Date
  }
  api_key: {
    workspace_id: WorkspaceId
    key_id: string
    hash: Buffer
    scope: ApiKeyScope
    label: string | null
    last4: string
    created_at: Generated<Date>
    created_by: string
    revoked_at: Date | null
  }
  dashboard_session: {
    workspace_id: WorkspaceId
    token_hash: Buffer
    key_id: string
    created_at: Date
    seen_at: Date
    ends_at: Date
  }
  sign_in_link: { workspace_id: WorkspaceId; token_hash: Buffer; key_id: string; expires_at: Date }
  idempotent_request: {
    /** Or `operator`, for what no workspace asks. */
    workspace_id: string
    route: string
    idempotency_key: string
    body_hash: Buffer
    claim: string
    claimed_at: Generated<Date>
    status: number | null
    body: string | null
    sealed: Generated<boolean>
    location: string | null
    created_at: Generated<Date>
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
  ledger_block: { workspace_id: WorkspaceId; block: bigint; earliest_posted_at: Date; latest_posted_at: Date }
  ledger_block_facet: {
    workspace_id: WorkspaceId
    facet: 'kind' | 'agent' | 'campaign'
    value: string
    block: bigint
    /** A bit for each transaction of the block, as text of 0 and 1. */
    transactions: string
    usages: number
    used_micros: Micros
  }
  ledger_block_hour: {
    workspace_id: WorkspaceId
    block: bigint
    hour: Date
    usages: number
    used_micros: Micros
    topped_up_micros: Micros
  }
  ledger_block_line: {
    workspace_id: WorkspaceId
    block: bigint
    account: Account
    prefix: string
    lines: number
    quantity: bigint
    amount_micros: Micros
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
    number_month_usd: Generated<string>
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
  phone_number: {
    workspace_id: WorkspaceId
    phone_number_id: PhoneNumberId
    /** E.164. */
    phone_number: string
    state: PhoneNumberState
    anchor_at: Date
    periods_billed: Generated<number>
    /** The end of the last period that was billed; the anchor while none was. */
    paid_until: Date
    /** When a sweep has to look again; null once it is released. */
    next_look_at: Date | null
    cancel_at: Date | null
    past_due_at: Date | null
    suspended_at: Date | null
    released_at: Date | null
    created_at: Date
  }
  rental_period: {
    workspace_id: WorkspaceId
    phone_number_id: PhoneNumberId
    period: number
    starts_at: Date
    ends_at: Date
    amount_micros: Micros
    rate_card_id: string
    /** Null for a period that cost nothing. */
    wallet_sequence: bigint | null
    billed_at: Date
  }
  phone_number_step: {
    workspace_id: WorkspaceId
    phone_number_id: PhoneNumberId
    step: number
    state: PhoneNumberState
    reason: RentalReason
    detail: unknown
    stepped_at: Date
  }
  heartbeat: { name: string; beat_at: Date }
  schedule: {
    name: string
    due_at: Date
    asked_at: Date | null
    started_at: Date | null
    claimed_until: Date | null
    done_at: Date | null
    found: number
    rounds: bigint
    failures: bigint
  }
  schedule_round: {
    schedule: string
    round: bigint
    rung_by: 'scheduler' | 'fallback' | 'person'
    started_at: Date
    finished_at: Date | null
    did: Record<string, number> | null
    found: string[] | null
    error: string | null
  }
}

export type UsageEventState = 'received' | 'posted' | 'free' | 'set_aside'

/** Of a subscription that keeps a card: `pending` until Paddle says it is active. */
export type SavedCardState = 'pending' | 'active' | 'paused' | 'past_due' | 'removed' | 'replaced'

/** `expired`: nobody heard of the call for a while. A late `call-ended` is posted all the same. */
export type HoldState = 'open' | 'settled' | 'released' | 'expired'

export type CampaignStatus = 'draft' | 'running' | 'paused' | 'completed' | 'cancelled'

/** Each may do what the one before it may: read, start calls and tell usage, move money and change settings. */
export type ApiKeyScope = 'read' | 'write' | 'admin'

/** `waiting`: about a transaction that is not credited yet. */
export type PaddleEventState = 'received' | 'applied' | 'ignored' | 'waiting' | 'needs_review'

/** Reads. A function that takes one opens no transaction. */
export type Db = Kysely<Schema>

/** What must be atomic takes one of these; a plain `Db` is not assignable to it. */
export type Tx = Transaction<Schema>
