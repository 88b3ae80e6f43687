/** What others do in the demo of rents, and when: telephony rents, the customer cancels and pays, the customer's bank declines. */
import { z } from 'zod'

import { openCheckout } from '../../api/checkout.ts'
import type { WorkspaceId } from '../../billing/ids.ts'
import { micros, parseUsd } from '../../billing/money.ts'
import { createApiKey } from '../../db/api-key.ts'
import type { SavedCard } from '../../db/saved-card.ts'
import type { Db } from '../../db/schema.ts'
import type { Producer } from '../../jobs/producer.ts'
import { controlSimulator, type SimulatorControl } from '../../paddle/simulator/control.ts'
import { withGateway, type PaddlePlace } from '../paddle-place.ts'
import { rentedOn } from './rent-clock.ts'
import type { RentFrame } from './watch-rents.ts'

export type Act = {
  at: Date
  /** What has to be so before. */
  once?: (frame: RentFrame) => boolean
  /** Where nothing else tells it. */
  says?: string
  act: () => Promise<unknown>
}

const numbers = { kept: '+14155550101', cancelled: '+12125550142', lost: '+442079460958' } as const

export type Stage = {
  db: Db
  paddle: PaddlePlace
  apiUrl: string
  workspaceId: WorkspaceId
  saved: SavedCard
  producer: Producer
}

/** In their order. */
export async function planActs(stage: Stage): Promise<Act[]> {
  const { workspaceId, producer } = stage
  const simulator = controlSimulator(stage.paddle.simulatorUrl ?? '')
  const call = await callApi(stage)
  const rent = (phoneNumber: string, index: number): Act => {
    const rentedAt = new Date(rentedOn.getTime() + index * 600_000)
    const act = () => producer.numberRented({ workspaceId, phoneNumber, rentedAt })
    return { at: rentedAt, once: isFunded, act }
  }
  return [
    ...Object.values(numbers).map(rent),
    { at: new Date('2027-04-12T10:00:00Z'), act: () => cancel(call, numbers.cancelled) },
    {
      at: new Date('2027-06-10T10:00:00Z'),
      says: "the customer's card has no money from here on",
      act: () => haveCardSay(stage, simulator, { decline: 'not_enough_balance' }),
    },
    { at: new Date('2027-09-05T10:00:00Z'), act: () => payIn(stage, simulator) },
    { at: new Date('2027-10-06T10:00:00Z'), act: () => payIn(stage, simulator) },
    {
      at: new Date('2027-11-02T10:00:00Z'),
      says: 'the card has money again, and the customer resumes auto-recharge',
      act: async () => {
        await haveCardSay(stage, simulator, 'ok')
        await call('POST', '/v1/wallet/auto-recharge/resume', {})
      },
    },
  ]
}

/** The card's first money may be under way still. */
function isFunded({ movements }: RentFrame): boolean {
  return movements.some(({ kind }) => kind === 'top_up')
}

async function haveCardSay(
  { db, saved }: Stage,
  simulator: SimulatorControl,
  behaviour: Parameters<SimulatorControl['setCard']>[1],
): Promise<void> {
  const { payment_method_id: method } = await db
    .selectFrom('saved_card')
    .select('payment_method_id')
    .where('saved_card_id', '=', saved.savedCardId)
    .executeTakeFirstOrThrow()
  await simulator.setCard(method ?? '', behaviour)
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
async function payIn({ db, paddle, workspaceId }: Stage, simulator: SimulatorControl): Promise<void> {
  const amountMicros = micros(parseUsd('5'))
  const opened = await withGateway(paddle, (gateway) =>
    openCheckout({ db, gateway }, { workspaceId, actor: 'demo' }, { amountMicros, saveCard: false }),
  )
  if (opened.outcome !== 'created') throw new Error(`no checkout was opened: ${opened.outcome}`)
  await simulator.payCheckout(opened.paddleTransactionId, { card: '5555555555554444' })
}

type ApiCall = (method: 'GET' | 'POST' | 'DELETE', path: string, body?: object) => Promise<unknown>

/** Throws: what the API answered, when it refuses. */
async function callApi({ db, apiUrl, workspaceId }: Stage): Promise<ApiCall> {
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
