/**
 * The demo of rents: numbers that were rented on the 31st, on a clock that shows a day each second, and a customer whose bank stops paying for
 * some months. Everything goes through the API, the queues, the workers and Paddle's simulator, which all run by that clock.
 */
import { sql } from 'kysely'
import { z } from 'zod'

import { openCheckout } from '../../api/checkout.ts'
import { workspaceId as workspaceIdSchema, type WorkspaceId } from '../../billing/ids.ts'
import { displayUsd, micros, parseUsd } from '../../billing/money.ts'
import { createApiKey } from '../../db/api-key.ts'
import type { SavedCard } from '../../db/saved-card.ts'
import type { Db } from '../../db/schema.ts'
import { createProducer, type Producer } from '../../jobs/producer.ts'
import { controlSimulator, type SimulatorControl } from '../../paddle/simulator/control.ts'
import { startClock, type BusinessClock } from '../../runtime/clock.ts'
import { pause } from '../../runtime/repeat.ts'
import { nameCard } from '../money-in/wording.ts'
import { withGateway, type PaddlePlace } from '../paddle-place.ts'
import type { Stack } from '../stack.ts'
import { actLine, createRentStory, dayOf, rentHeader, type RentStory } from './rent-story.ts'
import { saveDemoCard } from './save-demo-card.ts'
import { rentLiveLine, type Screen } from './screen.ts'
import { readRentFrame, type RentFrame } from './watch-rents.ts'
import type { RentYear } from './rent-summary.ts'

/** Seconds in one: a day each. */
const rate = 86_400
const dayMs = 86_400_000
/** A day that February does not have. */
const rentedOn = new Date('2027-01-31T09:00:00.000Z')
/** Who tells of a rental later than this has it set aside as too old; far from it. */
const latestMs = 14 * dayMs

/** Shape: a clock that comes to the day of the renting in so many real seconds. */
export function startDemoClock(inSeconds: number): BusinessClock {
  return startClock(new Date(rentedOn.getTime() - inSeconds * 1_000 * rate), { rate })
}

/** Whether the story can still be told. On a slow machine the servers may take longer to start than was given them. */
export function isInTime(clock: BusinessClock): boolean {
  return clock.now().getTime() < rentedOn.getTime() + latestMs
}

/** Whoever connects to this database from now on sees the clock of `db`: scripts in a second terminal, psql. */
export async function moveEverybodysClock(db: Db): Promise<void> {
  await sql`
    do $$ begin
      execute format('alter database %I set wallet.clock = %L', current_database(), current_setting('wallet.clock'));
    end $$`.execute(db)
}

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

const numbers = { kept: '+14155550101', cancelled: '+12125550142', lost: '+442079460958' } as const

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
    const call = await callApi(demo, workspaceId)
    const acts = actsOf(demo, { workspaceId, saved, call, producer })
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

type Act = {
  at: Date
  /** What has to be so before. */
  once?: (frame: RentFrame) => boolean
  /** Where nothing else tells it. */
  says?: string
  act: () => Promise<unknown>
}

/** The card's first money may be under way still. */
function isFunded({ movements }: RentFrame): boolean {
  return (movements.at(-1)?.balanceAfterMicros ?? 0n) >= parseUsd('5') && movements.length > 1
}

/** What the customer and their bank do, and when. */
function actsOf(
  demo: RentDemo,
  {
    workspaceId,
    saved,
    call,
    producer,
  }: { workspaceId: WorkspaceId; saved: SavedCard; call: ApiCall; producer: Producer },
): Act[] {
  const simulator = controlSimulator(demo.paddle.simulatorUrl ?? '')
  const cardPays = async (behaviour: Parameters<SimulatorControl['setCard']>[1]): Promise<void> => {
    const { payment_method_id: method } = await demo.db
      .selectFrom('saved_card')
      .select('payment_method_id')
      .where('saved_card_id', '=', saved.savedCardId)
      .executeTakeFirstOrThrow()
    await simulator.setCard(method ?? '', behaviour)
  }
  return [
    ...Object.values(numbers).map((phoneNumber, index) => {
      const rentedAt = new Date(rentedOn.getTime() + index * 600_000)
      return {
        at: rentedAt,
        once: isFunded,
        act: () => producer.numberRented({ workspaceId, phoneNumber, rentedAt }),
      }
    }),
    { at: new Date('2027-04-12T10:00:00Z'), act: () => cancel(call, numbers.cancelled) },
    {
      at: new Date('2027-06-10T10:00:00Z'),
      says: "the customer's card has no money from here on",
      act: () => cardPays({ decline: 'not_enough_balance' }),
    },
    { at: new Date('2027-09-05T10:00:00Z'), act: () => payIn(demo, workspaceId, simulator) },
    { at: new Date('2027-10-06T10:00:00Z'), act: () => payIn(demo, workspaceId, simulator) },
    {
      at: new Date('2027-11-02T10:00:00Z'),
      says: 'the card has money again, and the customer resumes auto-recharge',
      act: async () => {
        await cardPays('ok')
        await call('POST', '/v1/wallet/auto-recharge/resume', {})
      },
    },
  ]
}

const numberList = z.object({
  phone_numbers: z.array(z.object({ id: z.string(), phone_number: z.string() })),
})

async function cancel(call: ApiCall, phoneNumber: string): Promise<void> {
  const listed = numberList.parse(await call('GET', '/v1/phone-numbers')).phone_numbers
  const found = listed.find((each) => each.phone_number === phoneNumber)
  if (found !== undefined) await call('DELETE', `/v1/phone-numbers/${found.id}`)
}

/** A month of one number, by another card than the one that is saved. */
async function payIn({ db, paddle }: RentDemo, workspaceId: WorkspaceId, simulator: SimulatorControl) {
  const amountMicros = micros(parseUsd('5'))
  const opened = await withGateway(paddle, (gateway) =>
    openCheckout({ db, gateway }, { workspaceId, actor: 'demo' }, { amountMicros, saveCard: false }),
  )
  if (opened.outcome !== 'created') throw new Error(`no checkout was opened: ${opened.outcome}`)
  await simulator.payCheckout(opened.paddleTransactionId, { card: '5555555555554444' })
}

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

type ApiCall = (method: 'GET' | 'POST' | 'DELETE', path: string, body?: object) => Promise<unknown>

/** Throws: what the API answered, when it refuses. */
async function callApi({ db, apiUrl }: RentDemo, workspaceId: WorkspaceId): Promise<ApiCall> {
  const { secret } = await db
    .transaction()
    .execute((trx) => createApiKey(trx, { workspaceId, scope: 'admin', label: 'demo', createdBy: 'demo' }))
  return async (method, path, body) => {
    const response = await fetch(`${apiUrl}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${secret}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    const answer: unknown = await response.json()
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${JSON.stringify(answer)}`)
    return answer
  }
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
