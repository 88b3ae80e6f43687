/** The ground truth, as a test reads it. */
import type { Journal, RecordedEvent } from './control.ts'
import type { Simulation } from './simulation.ts'

export function readJournal({ world, traffic, webhooks }: Simulation): Journal {
  return {
    captures: world.captures,
    requests: Object.fromEntries(traffic.requests),
    rateLimited: traffic.rateLimited,
    events: world.events.map(({ eventId, eventType, occurredAt }) => ({ eventId, eventType, occurredAt })),
    adjustments: [...world.adjustments.values()].map((adjustment) => ({
      adjustmentId: adjustment.id,
      action: adjustment.action,
      status: adjustment.status,
      transactionId: adjustment.transaction_id,
      net: adjustment.totals.subtotal,
      currency: adjustment.currency_code,
    })),
    deliveries: webhooks
      .attempts()
      .map(({ notificationId, eventId, eventType, url, attemptedAt, status, error }) => ({
        notificationId,
        eventId,
        eventType,
        url,
        attemptedAt,
        status,
        error,
      })),
  }
}

export function readEvents({ world }: Simulation): RecordedEvent[] {
  return world.events.map(({ eventId, eventType, occurredAt, data }) => ({
    eventId,
    eventType,
    occurredAt,
    rawBody: JSON.stringify({
      event_id: eventId,
      event_type: eventType,
      occurred_at: occurredAt,
      notification_id: null,
      data,
    }),
  }))
}
