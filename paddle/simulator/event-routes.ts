/** `/events`, `/event-types` and `/notifications`: what happened, and how it was told. */
import type { INotificationLogResponse } from '@paddle/paddle-node-sdk'

import { notFound } from './api-refusal.ts'
import type { SimulatedEvent } from './entities.ts'
import type { ListRules } from './lists.ts'
import { answerList, param, type Answer, type ApiRequest, type Routes } from './routing.ts'
import type { Simulation } from './simulation.ts'
import type { DeliveryAttempt, Notification } from './webhook-sender.ts'

export const eventRoutes: Routes = {
  'GET /events': (simulation, request) =>
    answerList(simulation, request, {
      all: simulation.world.events,
      rules: eventRules,
      present: (event) => ({ ...eventFields(event), notification_id: null }),
    }),
  'GET /event-types': (simulation) => ({
    status: 200,
    data: [...new Set(simulation.world.events.map(({ eventType }) => eventType))].map(eventTypeOf),
  }),
  'GET /notifications': (simulation, request) =>
    answerList(simulation, request, {
      all: simulation.webhooks.notifications().values(),
      rules: notificationRules,
      present: notificationResponse,
    }),
  'GET /notifications/{id}': (simulation, request) => ({
    status: 200,
    data: notificationResponse(getNotification(simulation, request)),
  }),
  'GET /notifications/{id}/logs': (simulation, request) => {
    const { id } = getNotification(simulation, request)
    return answerList(simulation, request, {
      all: simulation.webhooks.attempts().filter(({ notificationId }) => notificationId === id),
      rules: logRules,
      present: logResponse,
    })
  },
  'POST /notifications/{id}/replay': replayNotification,
}

function eventTypeOf(name: string): {
  name: string
  description: string
  group: string
  available_versions: number[]
} {
  const [group = name] = name.split('.')
  return { name, description: `Occurs at ${name}.`, group, available_versions: [1] }
}

const eventRules: ListRules<SimulatedEvent> = {
  idOf: ({ eventId }) => eventId,
  fields: { event_type: ({ eventType }) => eventType },
  instants: { occurred_at: ({ occurredAt }) => occurredAt },
  perPage: 50,
  mostPerPage: 200,
}

const notificationRules: ListRules<Notification> = {
  idOf: ({ id }) => id,
  fields: {
    notification_setting_id: ({ settingId }) => settingId,
    status: (notification) => statusOf(notification),
    filter: ({ event }) => idsIn(event.data),
    search: ({ id, event }) => [id, event.eventType, event.eventId],
  },
  perPage: 50,
  mostPerPage: 200,
}

const logRules: ListRules<DeliveryAttempt> = {
  idOf: ({ id }) => id,
  fields: {},
  perPage: 50,
  mostPerPage: 200,
}

function replayNotification(simulation: Simulation, request: ApiRequest): Answer {
  const notification = getNotification(simulation, request)
  notification.replayedAt = simulation.clock.stamp()
  const [id] = simulation.webhooks.replay(notification.event, notification.settingId)
  return { status: 201, data: { notification_id: id ?? notification.id } }
}

function getNotification({ webhooks }: Simulation, request: ApiRequest): Notification {
  const id = param(request, 'id')
  const notification = webhooks.notifications().get(id)
  if (notification === undefined) throw notFound(id)
  return notification
}

function notificationResponse(notification: Notification): object {
  return {
    id: notification.id,
    type: notification.event.eventType,
    status: statusOf(notification),
    payload: { ...eventFields(notification.event), notification_id: notification.id },
    occurred_at: notification.event.occurredAt,
    delivered_at: notification.deliveredAt,
    replayed_at: notification.replayedAt,
    origin: notification.origin,
    last_attempt_at: notification.lastAttemptAt,
    retry_at: notification.retryAt,
    times_attempted: notification.timesAttempted,
    notification_setting_id: notification.settingId,
  }
}

function statusOf({ state, timesAttempted }: Notification): string {
  if (state === 'delivered') return 'delivered'
  if (state === 'failed') return 'failed'
  return timesAttempted > 0 ? 'needs_retry' : 'not_attempted'
}

function logResponse({ id, status, body, error, attemptedAt }: DeliveryAttempt): INotificationLogResponse {
  return {
    id,
    response_code: status ?? 0,
    response_content_type: null,
    response_body: error ?? body,
    attempted_at: attemptedAt,
  }
}

function eventFields({ eventId, eventType, occurredAt, data }: SimulatedEvent): object {
  return { event_id: eventId, event_type: eventType, occurred_at: occurredAt, data }
}

function idsIn(data: object): string[] {
  return Object.entries(data).flatMap(([key, value]: [string, unknown]) =>
    (key === 'id' || key.endsWith('_id')) && typeof value === 'string' ? [value] : [],
  )
}
