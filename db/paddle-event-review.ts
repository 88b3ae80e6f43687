/** What a person has to look at of Paddle's news: events that could not be applied, and how many webhooks were turned away. */
import type { Db } from './schema.ts'

export type EventToReview = {
  eventId: string
  eventType: string
  occurredAt: Date
  /** Why it could not be applied. */
  outcome: string | null
  detail: string | null
  workspaceId: string | null
  /** As it came; not for showing. */
  body: string
}

/** Newest first. */
export async function listEventsToReview(db: Db, limit: number): Promise<EventToReview[]> {
  return await db
    .selectFrom('paddle_event')
    .select([
      'event_id as eventId',
      'event_type as eventType',
      'occurred_at as occurredAt',
      'outcome',
      'detail',
      'applied_workspace as workspaceId',
      'body',
    ])
    .where('state', '=', 'needs_review')
    .orderBy('decided_at', 'desc')
    .limit(limit)
    .execute()
}

/** Events that are not applied yet: just received, or waiting for a transaction of Paddle's to be credited. */
export async function countUnappliedEvents(db: Db): Promise<{ received: bigint; waiting: bigint }> {
  const rows = await db
    .selectFrom('paddle_event')
    .select(['state', (expression) => expression.fn.countAll<bigint>().as('count')])
    .where('state', 'in', ['received', 'waiting'])
    .groupBy('state')
    .execute()
  const count = (state: string): bigint => rows.find((row) => row.state === state)?.count ?? 0n
  return { received: count('received'), waiting: count('waiting') }
}

/** By reason, since the database was made. */
export async function listRefusedWebhooks(
  db: Db,
): Promise<{ reason: string; refused: bigint; lastAt: Date }[]> {
  return await db
    .selectFrom('refused_webhook')
    .select(['reason', 'refused', 'last_at as lastAt'])
    .orderBy('reason')
    .execute()
}
