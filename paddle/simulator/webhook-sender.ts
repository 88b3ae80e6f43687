/**
 * Notifications and their delivery: an event becomes one notification per destination, which is sent until the receiver
 * answers 2xx. Everything that goes wrong with webhooks in the world goes wrong here on command.
 */
import type { WebhookPolicy } from './control-commands.ts'
import type { Clock } from './clock.ts'
import type { NotificationSetting, SimulatedEvent } from './entities.ts'
import { inOrder } from './delivery-order.ts'
import type { IdMaker } from './paddle-ids.ts'
import { createWebhookPost, signWebhook } from './webhook-post.ts'

export type Notification = {
  readonly id: string
  readonly event: SimulatedEvent
  readonly settingId: string
  readonly origin: 'event' | 'replay'
  state: 'held' | 'dropped' | 'queued' | 'sending' | 'waiting' | 'delivered' | 'failed'
  timesAttempted: number
  lastAttemptAt: string | null
  deliveredAt: string | null
  retryAt: string | null
  replayedAt: string | null
}

export type DeliveryAttempt = {
  readonly id: string
  readonly notificationId: string
  readonly eventId: string
  readonly eventType: string
  readonly url: string
  readonly attemptedAt: string
  /** Null when there was no answer. */
  readonly status: number | null
  readonly error: string | null
  readonly body: string
}

export type WebhookSender = {
  policy: () => WebhookPolicy
  setPolicy: (changes: WebhookPolicy) => void
  /** Makes the event's notifications and does with them as the policy says. */
  announce: (event: SimulatedEvent) => void
  /** Shape: the ids of the new notifications. */
  replay: (event: SimulatedEvent, settingId?: string) => string[]
  release: () => number
  notifications: () => ReadonlyMap<string, Notification>
  attempts: () => readonly DeliveryAttempt[]
  /** Ends when nothing is queued or under way; what is held, delayed or waits for a retry is not waited for. */
  settled: () => Promise<void>
  reset: () => void
  close: () => void
}

type Destination = Pick<NotificationSetting, 'destination' | 'endpoint_secret_key'>

/** A few quick tries, then slower ones. */
const defaultRetryDelaysMs = [50, 200, 1_000, 5_000, 15_000, 60_000, 300_000]

const concurrency = 8

export function createWebhookSender({
  clock,
  newId,
  log,
  settings,
}: {
  clock: Clock
  newId: IdMaker
  log: (message: string) => void
  settings: () => readonly NotificationSetting[]
}): WebhookSender {
  const wire = createWebhookPost()
  let policy: WebhookPolicy = {}
  let notifications = new Map<string, Notification>()
  let attempts: DeliveryAttempt[] = []
  let batch: Notification[] = []
  let queue: Notification[] = []
  let underWay = 0
  let shuffles = 0
  let isClosed = false
  let settledListeners: (() => void)[] = []

  const destinationOf = ({ settingId }: Notification): Destination | undefined =>
    settings().find(({ id, active }) => id === settingId && active)

  /** What was caused together is put in order together, once the request that caused it has been answered. */
  const enqueue = (notification: Notification, copies: number): void => {
    notification.state = 'queued'
    if (batch.length === 0) setImmediate(flush)
    for (let copy = 0; copy <= copies; copy += 1) batch.push(notification)
  }
  const flush = (): void => {
    queue.push(...inOrder(batch, policy, (shuffles += 1)))
    batch = []
    pump()
  }
  const pump = (): void => {
    const most = (policy.order ?? 'any') === 'any' ? concurrency : 1
    while (underWay < most) {
      const next = queue.shift()
      if (next === undefined) break
      underWay += 1
      void send(next).finally(() => {
        underWay -= 1
        pump()
      })
    }
    if (underWay === 0 && queue.length === 0 && batch.length === 0) {
      const listeners = settledListeners
      settledListeners = []
      for (const listener of listeners) listener()
    }
  }
  const send = async (notification: Notification): Promise<void> => {
    const destination = destinationOf(notification)
    if (isClosed) return
    if (destination === undefined) {
      notification.state = 'dropped'
      return
    }
    const known = notifications
    notification.state = 'sending'
    const body = webhookBody(notification)
    const attemptedAt = clock.stamp()
    const outcome = await wire.post({
      url: destination.destination,
      body,
      signature: signWebhook(body, {
        secret: destination.endpoint_secret_key,
        now: clock.realNow(),
        policy,
      }),
      timeoutMs: policy.timeoutMs ?? 5_000,
    })
    if (isClosed || known !== notifications) return
    attempts.push({
      id: newId('ntflog'),
      notificationId: notification.id,
      eventId: notification.event.eventId,
      eventType: notification.event.eventType,
      url: destination.destination,
      attemptedAt,
      status: outcome.status,
      error: outcome.error,
      body: outcome.body,
    })
    notification.timesAttempted += 1
    notification.lastAttemptAt = attemptedAt
    settle(notification, outcome.status)
  }
  const settle = (notification: Notification, status: number | null): void => {
    if (status !== null && status >= 200 && status < 300) {
      notification.state = 'delivered'
      notification.deliveredAt = clock.stamp()
      notification.retryAt = null
      return
    }
    // A copy of one that has arrived already is not sent again.
    if (notification.deliveredAt !== null) {
      notification.state = 'delivered'
      return
    }
    const delayMs = (policy.retryDelaysMs ?? defaultRetryDelaysMs)[notification.timesAttempted - 1]
    log(
      `webhook ${notification.event.eventType} ${notification.event.eventId} was answered with ${status ?? 'nothing'}` +
        (delayMs === undefined ? '; giving up' : `; again in ${delayMs} ms`),
    )
    if (delayMs === undefined) {
      notification.state = 'failed'
      notification.retryAt = null
      return
    }
    notification.state = 'waiting'
    // Who is down is down in real time, however fast the clock runs.
    notification.retryAt = new Date(clock.now().getTime() + delayMs * clock.rate).toISOString()
    clock.schedule(delayMs * clock.rate, () => {
      if (notification.state === 'waiting') enqueue(notification, 0)
    })
  }
  const create = (event: SimulatedEvent, settingId: string, origin: Notification['origin']): Notification => {
    const notification: Notification = {
      id: newId('ntf'),
      event,
      settingId,
      origin,
      state: 'held',
      timesAttempted: 0,
      lastAttemptAt: null,
      deliveredAt: null,
      retryAt: null,
      replayedAt: null,
    }
    notifications.set(notification.id, notification)
    return notification
  }
  return {
    policy: () => policy,
    setPolicy: (changes) => {
      policy = { ...policy, ...changes }
    },
    announce: (event) => {
      for (const setting of settings()) {
        if (!wants(setting, event)) continue
        const notification = create(event, setting.id, 'event')
        const { mode = 'deliver', delayMs = 0, duplicate = 0 } = policy
        if (mode === 'drop') notification.state = 'dropped'
        else if (mode === 'deliver' && delayMs > 0) {
          notification.state = 'waiting'
          clock.schedule(delayMs, () => {
            enqueue(notification, duplicate)
          })
        } else if (mode === 'deliver') enqueue(notification, duplicate)
      }
    },
    replay: (event, settingId) =>
      settings()
        .filter(({ id, active }) => active && (settingId === undefined || id === settingId))
        .map(({ id }) => {
          const notification = create(event, id, 'replay')
          enqueue(notification, 0)
          return notification.id
        }),
    release: () => {
      const held = [...notifications.values()].filter(({ state }) => state === 'held')
      for (const notification of held) enqueue(notification, policy.duplicate ?? 0)
      return held.length
    },
    notifications: () => notifications,
    attempts: () => attempts,
    settled: () =>
      new Promise((resolve) => {
        settledListeners.push(resolve)
        if (batch.length === 0) setImmediate(flush)
      }),
    reset: () => {
      policy = {}
      notifications = new Map()
      attempts = []
      batch = []
      queue = []
    },
    close: () => {
      isClosed = true
      queue = []
      batch = []
      wire.close()
      for (const listener of settledListeners) listener()
    },
  }
}

/** The body as it is sent; a replay differs in nothing but the notification's id. */
function webhookBody({ event, id }: Notification): string {
  return JSON.stringify({
    event_id: event.eventId,
    event_type: event.eventType,
    occurred_at: event.occurredAt,
    notification_id: id,
    data: event.data,
  })
}

/** A destination that names no events wants all of them: only the simulator's own does. */
function wants(setting: NotificationSetting, event: SimulatedEvent): boolean {
  if (!setting.active || setting.type !== 'url') return false
  const names = setting.subscribed_events
  return names.length === 0 || names.some(({ name }) => name === event.eventType)
}
