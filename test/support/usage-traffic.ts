/**
 * Traffic whose price the test knows by itself: records of calls and messages, and what they cost in plain arithmetic.
 * What they cost may come from nothing of ours: an error that both sides share would be found by neither.
 */
import type { Producer } from '../../jobs/producer.ts'

type TrafficCall = {
  callId: string
  workspaceId: string
  startedAt: string
  durationSeconds: number
  to: string
  recorded: boolean
}

type TrafficMessage = { messageId: string; workspaceId: string; sentAt: string }

export type TrafficRecord = { kind: 'call'; call: TrafficCall } | { kind: 'message'; message: TrafficMessage }

/** List prices, in micro-dollars: a minute of each meter, and a message. */
const voiceMinute = 100_000n
const recordingMinute = 20_000n
const messagePrice = 10_000n
const destinations = [
  { to: '+14155550100', minute: 80_000n },
  { to: '+442079460000', minute: 90_000n },
  { to: '+61491570006', minute: 120_000n },
] as const

/** Each workspace's $10 to begin with. */
const signupGrant = 10_000_000n

/**
 * Shape: `records` of them, the same for the same seed; about one in fifty repeats an earlier one, one in five calls is not
 *        answered, some durations have a fraction.
 */
export function givenTraffic(options: {
  records: number
  workspaceIds: readonly string[]
  seed: number
  now: Date
}): TrafficRecord[] {
  const { records, workspaceIds, seed, now } = options
  const random = randomNumbers(seed)
  const upTo = (most: number): number => Math.floor(random() * most)
  const traffic: TrafficRecord[] = []
  for (let index = 0; index < records; index += 1) {
    const earlier = random() < 0.02 ? traffic[upTo(traffic.length)] : undefined
    const workspaceId = workspaceIds[upTo(workspaceIds.length)] ?? ''
    const at = new Date(now.getTime() - 86_400_000 + index * 1_000).toISOString()
    if (earlier !== undefined) traffic.push(earlier)
    else if (random() < 0.1) {
      const message = { messageId: `msg_${seed}_${index}`, workspaceId, sentAt: at }
      traffic.push({ kind: 'message', message })
    } else {
      const durationSeconds = random() < 0.2 ? 0 : upTo(3_000) / 10
      const { to } = destinations[upTo(destinations.length)] ?? destinations[0]
      const recorded = random() < 0.3
      const callId = `call_${seed}_${index}`
      traffic.push({
        kind: 'call',
        call: { callId, workspaceId, startedAt: at, durationSeconds, to, recorded },
      })
    }
  }
  return traffic
}

export type Oracle = {
  /** Distinct events that cost something. */
  billable: number
  /** Distinct events. */
  distinct: number
  /** What each workspace has left of its $10. */
  balances: ReadonlyMap<string, bigint>
}

/** What the books must say when all of it has been posted, once. */
export function oracleOf(traffic: readonly TrafficRecord[], workspaceIds: readonly string[]): Oracle {
  const balances = new Map(workspaceIds.map((workspaceId) => [workspaceId, signupGrant]))
  const distinct = new Set(traffic)
  let billable = 0
  for (const record of distinct) {
    const { workspaceId } = record.kind === 'call' ? record.call : record.message
    const price = record.kind === 'call' ? priceOf(record.call) : messagePrice
    if (price > 0n) billable += 1
    balances.set(workspaceId, (balances.get(workspaceId) ?? 0n) - price)
  }
  return { billable, distinct: distinct.size, balances }
}

export function workspaceOf(record: TrafficRecord): string {
  return record.kind === 'call' ? record.call.workspaceId : record.message.workspaceId
}

/** As `POST /v1/usage` takes it, and as a line of a file of call records. */
export function eventOf(record: TrafficRecord): Record<string, unknown> {
  return record.kind === 'call' ? { kind: 'call', ...record.call } : { kind: 'message', ...record.message }
}

/** Through the producer, many at a time, as a busy service would. */
export async function sendTraffic(producer: Producer, traffic: readonly TrafficRecord[]): Promise<void> {
  let next = 0
  const lane = async (): Promise<void> => {
    for (let record = traffic[next++]; record !== undefined; record = traffic[next++]) {
      if (record.kind === 'call') await producer.callEnded(record.call)
      else await producer.messageSent(record.message)
    }
  }
  await Promise.all(Array.from({ length: 64 }, lane))
}

/** Every started second of every meter, each meter rounded half-up to the micro-dollar. */
function priceOf({ to, durationSeconds, recorded }: TrafficCall): bigint {
  const seconds = BigInt(Math.ceil(durationSeconds))
  const telephonyMinute = destinations.find((each) => each.to === to)?.minute ?? 0n
  return [voiceMinute, telephonyMinute, recorded ? recordingMinute : 0n]
    .map((minute) => (seconds * minute * 2n + 60n) / 120n)
    .reduce((sum, amount) => sum + amount)
}

/** Shape: between 0 and 1, the same for the same seed everywhere. A linear congruential generator: good enough to mix. */
export function randomNumbers(seed: number): () => number {
  let state = BigInt(seed)
  return () => {
    state = (state * 6_364_136_223_846_793_005n + 1_442_695_040_888_963_407n) % 2n ** 64n
    return Number(state >> 11n) / 2 ** 53
  }
}
