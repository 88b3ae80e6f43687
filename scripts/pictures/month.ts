/**
 * A month of a dental practice and its wallet, so that pictures show something to believe: lived by the real functions, one moment
 * after the other, on a clock that is moved for this one connection. Chance is seeded and everything is dated from the end
 * backwards, so that every run looks the same but for its dates.
 */

import { sql } from 'kysely'
import { pino } from 'pino'

import { openCheckout } from '../../api/checkout.ts'
import type { WorkspaceId } from '../../billing/ids.ts'
import { parseUsd } from '../../billing/money.ts'
import { readClock } from '../../db/clock.ts'
import { connect } from '../../db/connect.ts'
import { applyPaddleTransaction } from '../../db/paddle-transaction.ts'
import { postUsage } from '../../db/post-usage.ts'
import { readClockAndVersion } from '../../db/price-version.ts'
import { createRateBookCache } from '../../db/rate-book.ts'
import { rentNumber, settleRentals } from '../../db/rental.ts'
import type { Db } from '../../db/schema.ts'
import { listDueTopUps } from '../../db/top-up.ts'
import { withLockedWallet } from '../../db/wallet.ts'
import { openWorkspace } from '../../db/workspace.ts'
import { usageArrival, type UsageArrival } from '../../jobs/usage-arrival.ts'
import type { PaddleGateway } from '../../paddle/gateway.ts'
import type { SimulatorControl } from '../../paddle/simulator/control.ts'
import { advanceTopUp } from '../../workers/charge-worker.ts'
import { openWalletWithCard, switchOn } from '../drills/recharging-wallet.ts'
import { createRandom, type Random } from '../fuzz/random.ts'

export type Paddle = { control: SimulatorControl; gateway: PaddleGateway; productId: string }

const minuteMs = 60_000
const hourMs = 60 * minuteMs
const dayMs = 24 * hourMs
/** A little more than a month, so that the first numbers have been paid for twice. */
const days = 34

/** Opens the workspace and leaves it as a month of business does that ends now, in the afternoon of a weekday. */
export async function liveMonth(
  databaseUrl: string,
  paddle: Paddle,
  { workspaceId, name }: { workspaceId: WorkspaceId; name: string },
): Promise<void> {
  const end = new Date(Math.floor(Date.now() / minuteMs) * minuteMs)
  const db = connect(databaseUrl, { profile: 'operator', name: 'month', poolSize: 1 })
  try {
    const month = createMonth(db, paddle, workspaceId)
    await month.goTo(new Date(end.getTime() - days * dayMs))
    await month.open(name)
    for (const moment of momentsUntil(end, createRandom(7), workspaceId)) {
      await month.goTo(moment.at)
      await month.happen(moment)
    }
    await month.goTo(end)
  } finally {
    await paddle.control.setClockOffset(0)
    await db.destroy()
  }
}

type Moment = {
  at: Date
  usage: readonly UsageArrival[]
  /** Whole days since the beginning, on the first moment of a day. */
  begins: number | null
}

function createMonth(db: Db, { control, gateway, productId }: Paddle, workspaceId: WorkspaceId) {
  const rateBookOf = createRateBookCache()
  const charging = { db, gateway, productId, log: pino({ level: 'silent' }) }
  let paymentMethodId = ''

  const goTo = async (at: Date): Promise<void> => {
    await sql`select set_config('wallet.clock', ${`${at.toISOString()}/${new Date().toISOString()}/1`}, false)`.execute(
      db,
    )
    await control.setClockOffset(at.getTime() - Date.now())
  }
  /** What a worker does within seconds of a debit. */
  const charge = async (): Promise<void> => {
    for (;;) {
      const now = await readClock(db)
      const [due] = await listDueTopUps(db, now, 1)
      if (due === undefined) return
      await goTo(new Date(now.getTime() + 3_000))
      await advanceTopUp(due, charging)
    }
  }
  const rent = async (phoneNumber: string): Promise<void> => {
    await withLockedWallet(db, workspaceId, async (trx, wallet) => {
      const { now, version } = await readClockAndVersion(trx)
      await rentNumber(trx, wallet, { phoneNumber }, { now, prices: await rateBookOf(trx, version) })
    })
  }
  const payRents = async (): Promise<void> => {
    await withLockedWallet(db, workspaceId, async (trx, wallet) => {
      const { now, version } = await readClockAndVersion(trx)
      await settleRentals(trx, wallet, { now, prices: await rateBookOf(trx, version) })
    })
  }
  const buy = async (dollars: string): Promise<void> => {
    const payer = { workspaceId, email: undefined, actor: 'pictures' }
    const opened = await openCheckout({ db, gateway }, payer, {
      amountMicros: parseUsd(dollars),
      saveCard: false,
    })
    if (opened.outcome !== 'created') throw new Error(`no checkout: ${opened.outcome}`)
    await control.payCheckout(opened.paddleTransactionId)
    const paid = await gateway.getTransaction(opened.paddleTransactionId)
    if (paid.outcome !== 'found') throw new Error('the simulator forgot a payment')
    await db.transaction().execute(async (trx) => {
      const now = await readClock(trx)
      await applyPaddleTransaction(trx, paid.transaction, { productId, now, nextLookAt: now })
    })
  }
  /** What happens on which day, besides the calls. */
  const events: Partial<Record<number, () => Promise<unknown>>> = {
    1: () => rent('+14155550142'),
    2: () => rent('+14155550187'),
    6: () => buy('50'),
    15: () => control.setCard(paymentMethodId, { decline: 'not_enough_balance' }),
    18: () => control.setCard(paymentMethodId, 'ok'),
    24: () => rent('+442079460321'),
  }
  return {
    goTo,
    open: async (name: string): Promise<void> => {
      await db.transaction().execute((trx) => openWorkspace(trx, { workspaceId, name }))
      const saved = await openWalletWithCard(db, { control, gateway }, workspaceId)
      paymentMethodId = saved.paymentMethodId
      await switchOn(db, workspaceId, { threshold: '25', topUp: '100', dailyLimit: 10 })
      await charge()
    },
    happen: async ({ usage, begins }: Moment): Promise<void> => {
      if (begins !== null) await events[begins]?.()
      await payRents()
      await db.transaction().execute((trx) => postUsage(trx, usage, rateBookOf))
      await charge()
    },
  }
}

/** By the hour of the day, what a practice is called by and calls. The month ends at three in the afternoon. */
const callsByHour = [0, 0, 0, 0, 0, 0, 0, 1, 7, 13, 15, 12, 6, 10, 13, 12, 10, 6, 3, 2, 1, 0, 0, 0]
const lastHour = 15

/** In portions of a quarter of an hour, and one by one in the last two hours. */
function* momentsUntil(end: Date, random: Random, workspaceId: WorkspaceId): Generator<Moment> {
  const portionMs = 15 * minuteMs
  for (let ago = days * 24 * 4; ago > 0; ago -= 1) {
    const at = new Date(end.getTime() - (ago - 1) * portionMs)
    const hoursAgo = Math.ceil(ago / 4)
    const daysAgo = Math.floor((hoursAgo + 23 - lastHour) / 24)
    const hour = (((lastHour - hoursAgo + 1) % 24) + 24) % 24
    // The week is counted from its end too, which is a Thursday.
    const isWeekend = [4, 5].includes(daysAgo % 7)
    const usual = ((callsByHour[hour] ?? 0) / 4) * (isWeekend ? 0.15 : 1)
    const count = Math.floor(usual) + (random.chance(usual % 1) ? 1 : 0)
    const usage = Array.from({ length: count }, () =>
      someUsage({ at, portionMs, hour, random, workspaceId }),
    ).toSorted((one, other) => endOf(one).getTime() - endOf(other).getTime())
    const begins = ago % 96 === 0 ? days - ago / 96 : null
    if (usage.length === 0 && begins === null) continue
    if (hoursAgo > 2) yield { at, usage, begins }
    else for (const arrival of usage) yield { at: endOf(arrival), usage: [arrival], begins: null }
  }
  yield { at: end, usage: [callOfReceipt(end, workspaceId)], begins: null }
}

/** The last call of the month, whose receipt is worth a look: recorded, abroad, and no whole minutes. */
function callOfReceipt(end: Date, workspaceId: WorkspaceId): UsageArrival {
  const call = {
    callId: receiptCallId,
    workspaceId,
    startedAt: new Date(end.getTime() - 187_000).toISOString(),
    durationSeconds: 187,
    to: '+442079460118',
    recorded: true,
    agentId: 'front_desk',
  }
  return usageArrival('call', call, end)
}

export const receiptCallId = 'call_7f3a9c02d1e4'

function endOf({ event, ...arrival }: UsageArrival): Date {
  if (event === null) throw new Error(`not understood: ${JSON.stringify(arrival)}`)
  return event.kind === 'call'
    ? new Date(event.startedAt.getTime() + Math.ceil(event.durationSeconds) * 1_000)
    : event.sentAt
}

const destinations = [
  '+14155550',
  '+14155550',
  '+14155550',
  '+12125550',
  '+12125550',
  '+442079460',
  '+4930123450',
  '+61291234',
] as const

function someUsage(scene: {
  at: Date
  portionMs: number
  hour: number
  random: Random
  workspaceId: WorkspaceId
}): UsageArrival {
  const { at, portionMs, hour, random, workspaceId } = scene
  const name = (): string =>
    Array.from({ length: 3 }, () => random.below(65_536).toString(16).padStart(4, '0')).join('')
  if (random.chance(0.18)) {
    return usageArrival(
      'message',
      {
        messageId: `msg_${name()}`,
        chatId: `chat_${name().slice(0, 8)}`,
        workspaceId,
        sentAt: new Date(at.getTime() - random.below(portionMs)).toISOString(),
        agentId: 'web_chat',
      },
      at,
    )
  }
  const durationSeconds = 20 + random.below(60) + (random.chance(0.3) ? random.below(420) : 0)
  const endedAt = at.getTime() - random.below(portionMs - 1_000)
  const isLate = hour < 8 || hour > 17
  const isCampaign = !isLate && random.chance(0.45)
  return usageArrival(
    'call',
    {
      callId: `call_${name()}`,
      workspaceId,
      startedAt: new Date(endedAt - durationSeconds * 1_000).toISOString(),
      durationSeconds,
      to: `${random.pick(destinations)}${String(100 + random.below(90))}`,
      recorded: random.chance(0.35),
      agentId: isLate ? 'after_hours' : isCampaign ? 'reminders' : 'front_desk',
      ...(isCampaign ? { campaignId: random.chance(0.6) ? 'recall_autumn' : 'confirm_visits' } : {}),
    },
    at,
  )
}

/** Opens a workspace whose card was refused and whose money is used up: what a page has to say then. */
export async function liveTrouble(
  databaseUrl: string,
  paddle: Paddle,
  { workspaceId, name }: { workspaceId: WorkspaceId; name: string },
): Promise<void> {
  const { control, gateway } = paddle
  const db = connect(databaseUrl, { profile: 'operator', name: 'trouble', poolSize: 1 })
  const charging = { db, ...paddle, log: pino({ level: 'silent' }) }
  const rateBookOf = createRateBookCache()
  try {
    await db.transaction().execute((trx) => openWorkspace(trx, { workspaceId, name }))
    await openWalletWithCard(db, { control, gateway }, workspaceId, '4000002760003184')
    await switchOn(db, workspaceId, { threshold: '5', topUp: '50', dailyLimit: 10 })
    const calls = Array.from({ length: 9 }, (_, index) =>
      usageArrival(
        'call',
        {
          callId: `call_lakeside_${index}`,
          workspaceId,
          startedAt: new Date(Date.now() - (12 - index) * 6 * minuteMs).toISOString(),
          durationSeconds: 367,
          to: `+1415555012${index}`,
          recorded: false,
          agentId: 'open_house',
          campaignId: 'weekend_viewings',
        },
        new Date(),
      ),
    )
    await db.transaction().execute((trx) => postUsage(trx, calls, rateBookOf))
    for (const due of await listDueTopUps(db, await readClock(db), 10)) await advanceTopUp(due, charging)
  } finally {
    await db.destroy()
  }
}
