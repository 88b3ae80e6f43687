/**
 * The demo of rents: numbers that were rented on the 31st, and a customer whose card is declined for some months, on a clock that
 * shows a day each second. Everything goes through the queues, the API, the workers and Paddle's simulator, which all run by it.
 */
import { workspaceId as workspaceIdSchema, type WorkspaceId } from '../../billing/ids.ts'
import { displayUsd, micros, parseUsd } from '../../billing/money.ts'
import type { Db } from '../../db/schema.ts'
import { createProducer, type Producer } from '../../jobs/producer.ts'
import type { BusinessClock } from '../../runtime/clock.ts'
import { pause } from '../../runtime/repeat.ts'
import { nameCard } from '../money-in/wording.ts'
import type { PaddlePlace } from '../paddle-place.ts'
import type { Stack } from '../stack.ts'
import { planActs, type Act } from './rent-acts.ts'
import { rentedOn } from './rent-clock.ts'
import { actLine, createRentStory, dayOf, rentHeader, type RentStory } from './rent-story.ts'
import { saveDemoCard } from './save-demo-card.ts'
import { rentLiveLine, type Screen } from './screen.ts'
import { readRentFrame, type RentFrame } from './watch-rents.ts'
import type { RentYear } from './rent-summary.ts'

const dayMs = 86_400_000

export type RentDemo = {
  db: Db
  stack: Stack
  paddle: PaddlePlace
  apiUrl: string
  clock: BusinessClock
  screen: Screen
  signal: AbortSignal
}

/** A month's rent of all three is always there, as long as the card pays. */
const autoRecharge = {
  enabled: true,
  thresholdMicros: parseUsd('15'),
  topUpMicros: parseUsd('20'),
  dailyLimit: 10,
  monthlyCapMicros: null,
} as const

/** Shape: how it all stood after so many days; null when `signal` was aborted before. */
export async function runRents(demo: RentDemo, { days }: { days: number }): Promise<RentYear | null> {
  const { stack, clock, screen } = demo
  const startedAt = clock.now()
  const producer = createProducer(stack.redisUrl, { prefix: stack.queuePrefix, timeoutMs: 10_000 })
  try {
    const workspaceId = await openDemoWorkspace(demo, producer)
    const saved = await saveDemoCard(demo, workspaceId, autoRecharge)
    if (saved === null) return null
    screen.print(
      `Telephony rents three numbers at ${displayUsd(parseUsd('5'))} a month on the 31st.\n\n${rentHeader}`,
    )
    const acts = await planActs({ ...demo, workspaceId, saved, producer })
    const card = nameCard(saved)
    const frame = await watch(demo, { workspaceId, days, acts, story: createRentStory({ card }) })
    return frame === null ? null : { workspaceId, startedAt, days, frame, card }
  } finally {
    await producer.close()
  }
}

/** Tells what happens, and has others act in their time, until so many days are over and no charge is under way. */
async function watch(
  { db, screen, clock, signal }: RentDemo,
  {
    workspaceId,
    days,
    acts,
    story,
  }: { workspaceId: WorkspaceId; days: number; acts: Act[]; story: RentStory },
): Promise<RentFrame | null> {
  const endsAt = new Date(rentedOn.getTime() + days * dayMs)
  while (!signal.aborted) {
    const frame = await readRentFrame(db, workspaceId)
    for (const line of story(frame)) screen.print(line)
    const now = clock.now()
    const [next] = acts
    if (next !== undefined && next.at <= now && now < endsAt && (next.once?.(frame) ?? true)) {
      acts.shift()
      if (next.says !== undefined) screen.print(actLine(now, next.says))
      await next.act()
      continue
    }
    screen.live(liveLineOf(frame, { now, days }))
    if (now >= endsAt && !frame.topUps.some(({ state }) => underWay.has(state))) {
      screen.end()
      return frame
    }
    await pause(frameMs, signal)
  }
  screen.end()
  return null
}

const frameMs = 100

const underWay = new Set(['ready', 'submitting', 'unknown', 'processing'])

async function openDemoWorkspace({ db, signal, screen }: RentDemo, producer: Producer): Promise<WorkspaceId> {
  const workspaceId = workspaceIdSchema.parse('ws_demo')
  await producer.workspaceCreated({ workspaceId })
  while (!signal.aborted) {
    const [grant] = (await readRentFrame(db, workspaceId)).movements
    if (grant !== undefined) {
      screen.print(
        `Workspace ${workspaceId} is open with a signup grant of ${displayUsd(grant.amountMicros)}.`,
      )
      break
    }
    await pause(frameMs, signal)
  }
  return workspaceId
}

function liveLineOf(frame: RentFrame, { now, days }: { now: Date; days: number }): string {
  const states = frame.numbers.filter(({ state }) => state !== 'released').map(({ state }) => state)
  const counts = Map.groupBy(states, (state) => state)
  const said = [...counts].map(([state, all]) => `${all.length} ${state.replace('_', ' ')}`).join(', ')
  return rentLiveLine({
    date: dayOf(now),
    balanceMicros: frame.movements.at(-1)?.balanceAfterMicros ?? micros(0n),
    day: Math.min(Math.max(0, Math.floor((now.getTime() - rentedOn.getTime()) / dayMs)), days),
    days,
    numbers: said === '' ? 'no numbers' : `numbers: ${said}`,
  })
}
