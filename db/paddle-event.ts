/**
 * News from Paddle, kept as it came before anybody acts on it. An event is told any number of times in any order; its row is
 * written once, and what it says is applied by functions that do not mind repeats.
 */
import { sql } from 'kysely'

import type { WorkspaceId } from '../billing/ids.ts'
import { jobOf } from '../jobs/contract.ts'
import { paddleEventReceived } from '../jobs/top-up-jobs.ts'
import type { Db, PaddleEventState, Tx } from './schema.ts'
import { stageJob } from './staged-job.ts'
import type { LockedWallet } from './wallet.ts'

/** The outbox row of an event that belongs to nobody yet. */
const nobody = 'paddle'

/** Shape: `known`, and nothing written, when the event is there already. One that does not say when it occurred occurred now. */
export async function receivePaddleEvent(
  trx: Tx,
  event: { eventId: string; eventType: string; occurredAt: Date | null; body: string },
): Promise<'received' | 'known'> {
  const row = await trx
    .insertInto('paddle_event')
    .values({
      event_id: event.eventId,
      event_type: event.eventType,
      occurred_at: event.occurredAt ?? sql<Date>`wallet_now()`,
      body: event.body,
    })
    .onConflict((conflict) => conflict.column('event_id').doNothing())
    .returning('event_id')
    .executeTakeFirst()
  if (row === undefined) return 'known'
  await stageJob(trx, nobody, jobOf(paddleEventReceived, { eventId: event.eventId }))
  return 'received'
}

export type ReceivedEvent = { eventId: string; eventType: string; state: PaddleEventState; body: string }

export async function findPaddleEvent(db: Db, eventId: string): Promise<ReceivedEvent | null> {
  const row = await db
    .selectFrom('paddle_event')
    .select(['event_id as eventId', 'event_type as eventType', 'state', 'body'])
    .where('event_id', '=', eventId)
    .executeTakeFirst()
  return row ?? null
}

export type EventDecision = {
  state: Exclude<PaddleEventState, 'received'>
  outcome: string
  detail?: string | null
  workspaceId?: WorkspaceId | null
  waitsForTransaction?: string
}

/** Writes down what an event came to. */
export async function decidePaddleEvent(
  trx: Tx,
  eventId: string,
  decision: EventDecision,
  now: Date,
): Promise<void> {
  await trx
    .updateTable('paddle_event')
    .set({
      state: decision.state,
      outcome: decision.outcome,
      detail: decision.detail ?? null,
      waits_for_transaction: decision.waitsForTransaction ?? null,
      applied_workspace: decision.workspaceId ?? null,
      decided_at: now,
    })
    .where('event_id', '=', eventId)
    // Somebody else may have decided it meanwhile; what is said twice is applied once anyway.
    .where('state', '=', 'received')
    .execute()
}

/** Receives again, with the credit's transaction, what waited for a Paddle transaction to be credited. */
export async function wakeEventsAbout(
  trx: Tx,
  wallet: LockedWallet,
  paddleTransactionId: string,
): Promise<void> {
  const rows = await trx
    .updateTable('paddle_event')
    .set(received)
    .where('state', '=', 'waiting')
    .where('waits_for_transaction', '=', paddleTransactionId)
    .returning('event_id')
    .execute()
  for (const row of rows) {
    await stageJob(trx, wallet.workspaceId, jobOf(paddleEventReceived, { eventId: row.event_id }))
  }
}

/**
 * The same for all that have waited for ten minutes: an event may have begun to wait in the very moment in which its transaction
 * was being credited. What is woken is overdue at once.
 */
export async function wakeEventsOfCredits(db: Db): Promise<void> {
  await db
    .updateTable('paddle_event')
    .set(received)
    .where('state', '=', 'waiting')
    .where('decided_at', '<', sql<Date>`wallet_now() - interval '10 minutes'`)
    .where((where) =>
      where.exists(
        where
          .selectFrom('ledger_transaction')
          .select('workspace_id')
          .where(
            'idempotency_key',
            '=',
            sql<string>`'paddle_transaction/' || paddle_event.waits_for_transaction`,
          ),
      ),
    )
    .execute()
}

const received = {
  state: 'received',
  outcome: null,
  detail: null,
  waits_for_transaction: null,
  decided_at: null,
} as const

/** Those that nobody has applied for a while: their jobs were lost. Oldest first. */
export async function listOverduePaddleEvents(
  db: Db,
  { olderThanMs, limit }: { olderThanMs: number; limit: number },
): Promise<string[]> {
  const rows = await db
    .selectFrom('paddle_event')
    .select('event_id')
    .where('state', '=', 'received')
    .where(
      'received_at',
      '<',
      sql<Date>`clock_timestamp() - make_interval(secs => ${olderThanMs}::float8 / 1000)`,
    )
    .orderBy('received_at')
    .limit(limit)
    .execute()
  return rows.map((row) => row.event_id)
}

/** Counts a webhook that was not let in. Nothing else of it is kept. */
export async function countRefusedWebhooks(db: Db, refusals: ReadonlyMap<string, number>): Promise<void> {
  for (const [reason, count] of refusals) {
    await sql`
      insert into refused_webhook (reason, refused, last_at) values (${reason}, ${count}, clock_timestamp())
      on conflict (reason) do update set refused = refused_webhook.refused + excluded.refused, last_at = excluded.last_at`.execute(
      db,
    )
  }
}
