/**
 * A campaign's call records as a dialler would report them: most people do not answer, some calls reach a voicemail, the
 * others talk for a log-normal while. The same seed and settings give the same records, byte for byte.
 */
import { createHash } from 'node:crypto'

import type { z } from 'zod'

import type { usageBatch } from '../../jobs/usage-jobs.ts'

type BatchedEvent = z.input<typeof usageBatch.schema>['events'][number]

/** A call record: what `replay` reads, one JSON object a line. */
export type CallRecord = Extract<BatchedEvent, { kind: 'call' }>

export type CampaignSettings = {
  records: number
  seed: number
  workspaceId: string
  campaignId: string
  /** When the campaign ended; every call lies before it. */
  endedAt: Date
}

/** Where the campaign calls, how often in a hundred, and a number there that belongs to nobody. */
const destinations = [
  { share: 62, number: (digits: string) => `+141555501${digits.slice(0, 2)}` },
  { share: 13, number: (digits: string) => `+447700900${digits.slice(0, 3)}` },
  { share: 8, number: (digits: string) => `+49301234${digits.slice(0, 4)}` },
  { share: 6, number: (digits: string) => `+61491570${digits.slice(0, 3)}` },
  { share: 5, number: (digits: string) => `+5511912345${digits.slice(0, 3)}` },
  { share: 4, number: (digits: string) => `+9198765${digits.slice(0, 5)}` },
  { share: 2, number: (digits: string) => `+81901234${digits.slice(0, 4)}` },
] as const

const agents = ['agent_ada', 'agent_grace', 'agent_edsger'] as const

const medianTalkSeconds = 48
const talkSpread = 0.9
const secondsBetweenCalls = 2

/** Shape: `records` of them, about one in fifty a repeat of an earlier one, in the order in which they were reported. */
export function* campaignRecords(settings: CampaignSettings): Generator<CallRecord> {
  const random = randomNumbers(settings)
  const recent: CallRecord[] = []
  const startedMs = settings.endedAt.getTime() - (settings.records * secondsBetweenCalls + 3_600) * 1_000
  for (let index = 0; index < settings.records; index += 1) {
    const repeated = random() < 0.02 ? recent[Math.floor(random() * recent.length)] : undefined
    if (repeated !== undefined) {
      yield repeated
      continue
    }
    const record = callRecord(
      settings,
      index,
      new Date(startedMs + index * secondsBetweenCalls * 1_000),
      random,
    )
    recent.push(record)
    if (recent.length > 50) recent.shift()
    yield record
  }
}

function callRecord(
  settings: CampaignSettings,
  index: number,
  startedAt: Date,
  random: () => number,
): CallRecord {
  const digits = String(Math.floor(random() * 1e5)).padStart(5, '0')
  return {
    kind: 'call',
    callId: `call_${fingerprint(settings, `call ${index}`).slice(0, 16)}`,
    workspaceId: settings.workspaceId,
    startedAt: startedAt.toISOString(),
    durationSeconds: talkSeconds(random),
    to: destinationAt(random()).number(digits),
    recorded: random() < 0.25,
    agentId: agents[Math.floor(random() * agents.length)],
    campaignId: settings.campaignId,
  }
}

/** A third of the calls are not answered, a sixth reach a voicemail. */
function talkSeconds(random: () => number): number {
  const luck = random()
  if (luck < 0.34) return 0
  if (luck < 0.5) return 12 + Math.floor(random() * 18)
  const seconds = medianTalkSeconds * Math.exp(talkSpread * normal(random))
  return Math.min(Math.max(Math.round(seconds * 10) / 10, 1), 3_500)
}

function destinationAt(point: number): (typeof destinations)[number] {
  let share = 0
  for (const destination of destinations) {
    share += destination.share / 100
    if (point < share) return destination
  }
  return destinations[0]
}

/** A standard normal variable (Box and Muller). */
function normal(random: () => number): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random())
}

/** Mulberry32: small, fast, the same everywhere; the numbers lie in 0..1. */
function randomNumbers(settings: CampaignSettings): () => number {
  let state = Number.parseInt(fingerprint(settings, 'random numbers').slice(0, 8), 16)
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

function fingerprint({ seed, workspaceId, campaignId, endedAt }: CampaignSettings, what: string): string {
  return createHash('sha256')
    .update(JSON.stringify([seed, workspaceId, campaignId, endedAt, what]))
    .digest('hex')
}
