/**
 * The platform that uses the wallet: telephony and chat that tell what happened on both roads, calls that ask whether they may
 * begin, customers who pay. It sends what the load says, at the pace that it is told, and again until it is answered: an answer is
 * a promise, and no answer is none. What Redis lost after it had taken it, telephony finds by its own records and tells again.
 */
import { sql } from 'kysely'

import { pause } from '../../runtime/repeat.ts'
import { ask, fieldOf, type Answer, type Asked } from './client.ts'
import {
  contradictedOf,
  dice,
  eventAt,
  eventsOf,
  keyOf,
  paymentOf,
  phantomOf,
  rentalOf,
  roadOf,
  wireOf,
  type CallEvent,
  type LoadEvent,
  type LoadPlan,
  type Payment,
  type Rental,
} from './load.ts'
import { lookAgain, type Stage } from './stage.ts'

export type Counts = {
  /** Events that Postgres or Redis has said to have. */
  sent: number
  released: number
  /** Tries on each road that came to nothing. */
  httpFailures: number
  queueFailures: number
  /** Of those, because Redis was full. */
  outOfMemory: number
  admitted: number
  refused: number
  contradicted: number
  paid: number
  rented: number
  /** Events that telephony missed and told again. */
  retold: number
  /** Events told again for no reason. */
  redelivered: number
  /** HTTP answers by status. */
  answers: Record<string, number>
}

export type Driver = {
  counts: Counts
  /** Answers that no promise allows; empty is what is wanted. */
  wrongAnswers: string[]
  /** Milliseconds that accepted usage took over HTTP, since this was last asked. */
  takeLatencies: () => number[]
  /** Sends all batches before this one, evenly over the time. */
  release: (untilBatch: number, overMs: number) => void
  /** Whether something is on its way or waits for its turn. */
  isBusy: () => boolean
  /** Turns what waits for its turn upside down. */
  reverse: () => void
  /** So many random events once more, in jobs that Redis has never seen. */
  redeliver: (events: number) => Promise<void>
  /** Compares what the queue was given before that moment with what Postgres knows, and tells the rest again. */
  retell: (givenBefore: number) => Promise<number>
  stop: () => Promise<void>
}

/** Something that the queue took. */
type Given = { batch: number; at: number; what: 'events' | 'contradiction' | 'rental' }

const tickMs = 20
const inFlight = { http: 4, queue: 6, payments: 4 }
const retryMs = 100
const retellAtOnce = 2_000

export function startDriver(stage: Stage, plan: LoadPlan, keys: ReadonlyMap<string, string>): Driver {
  const counts: Counts = {
    sent: 0,
    released: 0,
    httpFailures: 0,
    queueFailures: 0,
    outOfMemory: 0,
    admitted: 0,
    refused: 0,
    contradicted: 0,
    paid: 0,
    rented: 0,
    retold: 0,
    redelivered: 0,
    answers: {},
  }
  const wrongAnswers: string[] = []
  const stopping = new AbortController()
  let given: Given[] = []
  let latencies: number[] = []
  let pace = { from: 0, until: 0, startedAt: performance.now(), overMs: 1 }

  const http = createLane(inFlight.http, (batch) => sendByHttp(batch))
  const queue = createLane(inFlight.queue, (batch) => sendByQueue(batch))
  const payments = createLane(inFlight.payments, async (batch) => {
    await pay(paymentOf(plan, batch))
    await rent(batch)
  })
  const lanes = [http, queue, payments]

  const letGo = (): void => {
    const share = Math.min(1, (performance.now() - pace.startedAt) / pace.overMs)
    const due = pace.from + Math.floor((pace.until - pace.from) * share)
    for (; counts.released < due; counts.released += 1) {
      const batch = counts.released
      ;(roadOf(plan, batch) === 'http' ? http : queue).add(batch)
      if (paymentOf(plan, batch) !== null || rentalOf(plan, batch) !== null) payments.add(batch)
    }
  }
  const ticking = setInterval(letGo, tickMs)

  /** Until there is an answer that `isFinal`; null when the run ends before. */
  const askUntil = async (asked: Asked, isFinal: (answer: Answer) => boolean): Promise<Answer | null> => {
    while (!stopping.signal.aborted) {
      try {
        const answer = await ask(stage.apiUrl, asked)
        counts.answers[answer.status] = (counts.answers[answer.status] ?? 0) + 1
        if (isFinal(answer)) return answer
        counts.httpFailures += 1
        if (answer.status < 500 && answer.status !== 409) wrong(asked, answer)
      } catch {
        counts.httpFailures += 1
      }
      await pause(retryMs, stopping.signal)
    }
    return null
  }
  const wrong = (asked: Asked, answer: Answer): void => {
    if (wrongAnswers.length >= 20) return
    wrongAnswers.push(
      `${asked.method} ${asked.path}: ${answer.status} ${JSON.stringify(answer.body).slice(0, 300)}`,
    )
  }
  const keyFor = (workspaceId: string): string => keys.get(workspaceId) ?? ''

  const enqueue = async (add: () => Promise<unknown>): Promise<void> => {
    while (!stopping.signal.aborted) {
      try {
        await add()
        return
      } catch (error) {
        counts.queueFailures += 1
        if (/OOM/.test(`${String(error)} ${error instanceof Error ? String(error.cause) : ''}`)) {
          counts.outOfMemory += 1
        }
      }
      await pause(retryMs, stopping.signal)
    }
  }
  const enqueueAll = async (events: readonly LoadEvent[]): Promise<void> => {
    if (events.length > 0) await enqueue(() => stage.producer.usageBatch(events.map(wireOf)))
  }

  const sendByHttp = async (batch: number): Promise<void> => {
    const events = batchOf(plan, batch)
    const [first] = events
    if (first === undefined) return
    await admitCallsOf(batch, events)
    const key = keyFor(first.workspaceId)
    const asked: Asked = { method: 'POST', path: '/v1/usage', key, body: { events: events.map(wireOf) } }
    const answer = await askUntil(asked, ({ status }) => status === 202)
    if (answer === null) return
    latencies.push(answer.tookMs)
    if (fieldOf(answer.body, 'refused') !== 0) wrong(asked, answer)
    counts.sent += events.length
    const contradicted = contradictedOf(plan, batch)
    if (contradicted !== null) await contradict(batch, contradicted, key)
  }

  /** The same call with another duration, on both roads: HTTP refuses it, the queue keeps it aside. */
  const contradict = async (batch: number, call: CallEvent, key: string): Promise<void> => {
    const other = { ...call, tenths: call.tenths + 10 }
    const asked: Asked = { method: 'POST', path: '/v1/usage', key, body: { events: [wireOf(other)] } }
    const answer = await askUntil(asked, ({ status }) => status === 409 || status === 202)
    if (answer?.status === 202) wrong(asked, answer)
    await enqueueContradiction(other)
    given.push({ batch, at: performance.now(), what: 'contradiction' })
    counts.contradicted += 1
  }
  const enqueueContradiction = async (call: CallEvent): Promise<void> => {
    await enqueue(() => stage.producer.callEnded(jobDataOf(call)))
  }

  const sendByQueue = async (batch: number): Promise<void> => {
    const events = batchOf(plan, batch)
    await admitCallsOf(batch, events)
    if (roadOf(plan, batch) === 'queue') await enqueueAll(events)
    else await Promise.all(events.map((event) => enqueue(() => enqueueSingly(stage, event))))
    given.push({ batch, at: performance.now(), what: 'events' })
    counts.sent += events.length
  }

  const admitCallsOf = async (batch: number, events: readonly LoadEvent[]): Promise<void> => {
    const phantom = phantomOf(plan, batch)
    await Promise.all([
      ...events.map(async (event) => {
        if (event.kind === 'call' && event.admitted) {
          await admit(event.workspaceId, event.id, event.to ?? '', event.recorded)
        }
      }),
      phantom === null ? null : haunt(phantom),
    ])
  }
  const admit = async (workspaceId: string, callId: string, to: string, recorded: boolean): Promise<void> => {
    const answer = await askUntil(
      {
        method: 'POST',
        path: '/v1/calls',
        key: keyFor(workspaceId),
        body: { call_id: callId, to_number: to, recorded },
      },
      // That the id is known: an answer was lost, and the call has ended meanwhile by its silence.
      ({ status }) => status === 201 || status === 402 || status === 409,
    )
    if (answer?.status === 201) counts.admitted += 1
    else counts.refused += 1
  }
  const haunt = async (phantom: NonNullable<ReturnType<typeof phantomOf>>): Promise<void> => {
    const { workspaceId, callId, to, end } = phantom
    await admit(workspaceId, callId, to, false)
    if (end === 'silent') return
    const path = `/v1/calls/${callId}/release`
    // 404 where it was refused.
    await askUntil(
      { method: 'POST', path, key: keyFor(workspaceId), body: {} },
      ({ status }) => status === 200 || status === 404,
    )
  }

  const pay = async (payment: Payment | null): Promise<void> => {
    if (payment === null) return
    const { number, kind, workspaceId, dollars } = payment
    const answer = await askUntil(
      {
        method: 'POST',
        path: '/v1/wallet/topup',
        key: keyFor(workspaceId),
        idempotencyKey: `chaos-payment-${number}`,
        body: { amount_usd: dollars, email: `${workspaceId}@example.com` },
      },
      ({ status }) => status === 202,
    )
    if (answer === null) return
    const transactionId = fieldOf(answer.body, 'paddle_transaction_id')
    if (kind === 'checkout') {
      const paid =
        typeof transactionId === 'string'
          ? await stage.control.payCheckout(transactionId)
          : { outcome: 'nothing' }
      if (paid.outcome !== 'paid')
        wrongAnswers.push(`checkout ${number} was not paid: ${JSON.stringify(answer.body)}`)
    }
    counts.paid += 1
  }

  const rent = async (batch: number): Promise<void> => {
    const rental = rentalOf(plan, batch)
    if (rental === null) return
    const { told, rentedNow } = rental
    // Twice, as whoever is not sure does.
    await enqueueRental(told)
    await enqueueRental(told)
    given.push({ batch, at: performance.now(), what: 'rental' })
    if (rentedNow !== null) {
      await askUntil(
        {
          method: 'POST',
          path: '/v1/phone-numbers',
          key: keyFor(told.workspaceId),
          body: { phone_number: rentedNow },
        },
        ({ status }) => status === 200 || status === 201,
      )
    }
    counts.rented += 1
  }
  const enqueueRental = async ({ workspaceId, phoneNumber, rentedAt }: Rental): Promise<void> => {
    await enqueue(() => stage.producer.numberRented({ workspaceId, phoneNumber, rentedAt }))
  }

  const retell = async (givenBefore: number): Promise<number> => {
    const doubtful = given.filter(({ at }) => at < givenBefore)
    given = given.filter(({ at }) => at >= givenBefore)
    let retold = 0
    for (const group of chunksOf(doubtful, Math.max(1, Math.floor(retellAtOnce / plan.eventsPerBatch)))) {
      const missing = await lookAgain(() => missingOf(stage, plan, group))
      for (const { events, contradiction, rental, of } of missing) {
        if (contradiction !== null) await enqueueContradiction(contradiction)
        if (rental !== null) await enqueueRental(rental)
        await enqueueAll(events)
        retold += Math.max(1, events.length)
        given.push({ ...of, at: performance.now() })
      }
    }
    counts.retold += retold
    return retold
  }

  let redeliveries = 0
  return {
    counts,
    wrongAnswers,
    takeLatencies: () => {
      const taken = latencies
      latencies = []
      return taken
    },
    release: (until, overMs) => {
      pace = {
        from: counts.released,
        until: Math.min(until, plan.batches),
        startedAt: performance.now(),
        overMs,
      }
    },
    isBusy: () => lanes.some((lane) => lane.isBusy()) || counts.released < pace.until,
    reverse: () => {
      for (const lane of lanes) lane.reverse()
    },
    redeliver: async (events) => {
      const [, known] = eventsOf(plan, Math.max(0, counts.released - 1))
      for (let done = 0; done < events && !stopping.signal.aborted;) {
        redeliveries += 1
        const numbers = Array.from(
          { length: Math.min(50, events - done) },
          (_, place) => dice(plan.seed, 1_000 + redeliveries, place) % known,
        )
        await enqueueAll(numbers.map((number) => eventAt(plan, number)))
        done += numbers.length
        counts.redelivered += numbers.length
      }
    },
    retell,
    stop: async () => {
      clearInterval(ticking)
      stopping.abort()
      await Promise.all(lanes.map((lane) => lane.close()))
    },
  }
}

type Lane = {
  add: (batch: number) => void
  isBusy: () => boolean
  reverse: () => void
  close: () => Promise<void>
}

/** So many batches at a time; the others wait for their turn. */
function createLane(most: number, work: (batch: number) => Promise<void>): Lane {
  let waiting: number[] = []
  const underWay = new Set<Promise<void>>()
  const pump = (): void => {
    while (underWay.size < most) {
      const batch = waiting.shift()
      if (batch === undefined) return
      const done = work(batch).finally(() => {
        underWay.delete(done)
        pump()
      })
      underWay.add(done)
    }
  }
  return {
    add: (batch) => {
      waiting.push(batch)
      pump()
    },
    isBusy: () => underWay.size + waiting.length > 0,
    reverse: () => {
      waiting = waiting.toReversed()
    },
    close: async () => {
      waiting = []
      await Promise.allSettled(underWay)
    },
  }
}

function batchOf(plan: LoadPlan, batch: number): LoadEvent[] {
  const [from, to] = eventsOf(plan, batch)
  return Array.from({ length: to - from }, (_, place) => eventAt(plan, from + place))
}

/** A job names its kind itself. */
function jobDataOf(call: CallEvent) {
  const { kind: _, ...data } = wireOf(call)
  if (!('callId' in data)) throw new Error('a call has an id')
  return data
}

async function enqueueSingly({ producer }: Stage, event: LoadEvent): Promise<unknown> {
  if (event.kind === 'call') return await producer.callEnded(jobDataOf(event))
  const { id: messageId, workspaceId, sentAt } = event
  return await producer.messageSent({ messageId, workspaceId, sentAt })
}

type Missing = { of: Given; events: LoadEvent[]; contradiction: CallEvent | null; rental: Rental | null }

/** What Postgres has not heard of. */
async function missingOf({ db }: Stage, plan: LoadPlan, group: readonly Given[]): Promise<Missing[]> {
  const events = group.flatMap(({ batch, what }) => (what === 'events' ? batchOf(plan, batch) : []))
  const known = new Set<string>()
  if (events.length > 0) {
    const { rows } = await sql<{ key: string }>`
      select key from unnest(
        ${events.map((event) => event.workspaceId)}::text[], ${events.map(keyOf)}::text[]
      ) as told (workspace_id, key) join usage_event using (workspace_id, key)`.execute(db)
    for (const { key } of rows) known.add(key)
  }
  const missing: Missing[] = []
  for (const of of group) {
    if (of.what === 'events') {
      const lost = batchOf(plan, of.batch).filter((event) => !known.has(keyOf(event)))
      if (lost.length > 0) missing.push({ of, events: lost, contradiction: null, rental: null })
      continue
    }
    const rental = of.what === 'rental' ? (rentalOf(plan, of.batch)?.told ?? null) : null
    if (rental !== null) {
      const { workspaceId, phoneNumber } = rental
      const { rows } = await sql`
        select from phone_number where workspace_id = ${workspaceId} and phone_number = ${phoneNumber}`.execute(
        db,
      )
      if (rows.length === 0) missing.push({ of, events: [], contradiction: null, rental })
      continue
    }
    const call = contradictedOf(plan, of.batch)
    if (call === null) continue
    const { rows } = await sql`
      select from usage_event where workspace_id = ${call.workspaceId}
        and key > ${`${keyOf(call)}#`} and key < ${`${keyOf(call)}$`}`.execute(db)
    if (rows.length === 0) {
      missing.push({ of, events: [], contradiction: { ...call, tenths: call.tenths + 10 }, rental: null })
    }
  }
  return missing
}

function chunksOf<Item>(items: readonly Item[], size: number): Item[][] {
  return Array.from({ length: Math.ceil(items.length / size) }, (_, chunk) =>
    items.slice(chunk * size, (chunk + 1) * size),
  )
}
