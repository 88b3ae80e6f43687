/** What happens at Paddle and on the way from there, and deliveries that come twice and in no order. */
import { sql } from 'kysely'

import { readClock } from '../../db/clock.ts'
import { during, seen, sightingsFromNow, type Fault, type Scene } from './fault.ts'
import { holds, lookAgain } from './stage.ts'

/** Each of them once, before or after the charge took effect. None does the work twice: that is money of its own. */
const lostAnswers = ['hang', 'reset', 'http_500', 'html_502', 'empty_504', 'truncated_json'] as const
/** Well within the quiet period: what is sent again must not meet a second fault of the same window. */
const windowMs = 2_500
/** Longer than the quiet period, after which what was not processed is sent again. */
const sentAgainWithinMs = 20_000
/** Until somebody pays. */
const patienceMs = 25_000
const lagMs = 2_000
const lateMs = 1_500

export const paddleFaults: Fault[] = [
  {
    name: 'paddle-answers',
    family: 'paddle',
    title: "Paddle's answers to charges are lost in six ways, before and after they took effect",
    takesMs: 5_000,
    inject: async (scene) => {
      const { control } = scene.stage
      const unknowns = await unknownsFromNow(scene)
      for (const kind of lostAnswers) {
        const when = scene.roll(2) === 0 ? 'before' : 'after'
        await control.fault({
          on: 'charge',
          kind,
          when,
          ...(scene.roll(2) === 0 ? {} : { visibleAfterMs: lagMs }),
        })
      }
      try {
        await seen(patienceMs, unknowns)
        await during(scene, windowMs)
        return { unknownOutcomes: await unknowns() }
      } finally {
        await control.clearFaults()
        await untilSentAgain(scene)
      }
    },
  },
  {
    name: 'webhooks-lost',
    family: 'paddle',
    title: 'Paddle tells nothing for a while, and then all of it',
    takesMs: 5_000,
    inject: async (scene) => {
      const { control } = scene.stage
      const before = (await control.journal()).events.length
      const credits = await creditsFromNow(scene)
      await control.webhooks({ mode: 'drop' })
      await seen(patienceMs, credits)
      await during(scene, windowMs)
      const creditedUntold = await credits()
      // First told again, then counted: what happens between the two would never be told.
      await control.webhooks({ mode: 'deliver' })
      const untold = (await control.journal()).events.slice(before)
      for (const { eventId } of untold) await control.replay(eventId)
      return { untold: untold.length, creditedUntold }
    },
  },
  {
    name: 'webhooks-muddled',
    family: 'paddle',
    title: "Paddle's webhooks come three times, late and in no order",
    takesMs: 5_000,
    inject: async (scene) => {
      const { control } = scene.stage
      const before = (await control.journal()).deliveries.length
      await control.webhooks({
        duplicate: 2,
        order: 'shuffled',
        delayMs: lateMs,
        seed: scene.roll(1_000_000),
      })
      await during(scene, windowMs)
      const again = await seen(patienceMs, async () => {
        const deliveries = (await control.journal()).deliveries.slice(before)
        return deliveries.length - new Set(deliveries.map(({ eventId }) => eventId)).size
      })
      await control.webhooks({ duplicate: 0, order: 'any', delayMs: 0 })
      return { toldAgain: again }
    },
  },
  {
    name: 'deliveries-muddled',
    family: 'deliveries',
    title: 'old events come again in new jobs, and new ones in reverse',
    takesMs: 2_500,
    inject: async (scene) => {
      const { driver, plan } = scene
      const sighted = await sightingsFromNow(scene)
      driver.reverse()
      await driver.redeliver(Math.max(100, plan.eventsPerBatch * 4))
      return { duplicates: await seen(5_000, sighted('duplicates')) }
    },
  },
]

/** Charges since now of which nobody knew what had become of them. */
async function unknownsFromNow({ stage }: Scene): Promise<() => Promise<number>> {
  const count = async (): Promise<number> => {
    const { rows } = await sql<{ unknowns: number }>`
      select count(*)::int as unknowns from top_up_step where state = 'unknown'`.execute(stage.db)
    return rows[0]?.unknowns ?? 0
  }
  const before = await lookAgain(count)
  return async () => (await lookAgain(count)) - before
}

async function creditsFromNow({ stage }: Scene): Promise<() => Promise<number>> {
  const count = async (): Promise<number> => {
    const { rows } = await sql<{ credits: number }>`
      select count(*)::int as credits from ledger_transaction where kind = 'top_up'`.execute(stage.db)
    return rows[0]?.credits ?? 0
  }
  const before = await lookAgain(count)
  return async () => (await lookAgain(count)) - before
}

/**
 * A charge that is lost twice is left to a person, and so it must be; but nobody is here to look. So nothing else breaks before what
 * was lost has been sent again.
 */
async function untilSentAgain({ stage }: Scene): Promise<void> {
  const now = await lookAgain(() => readClock(stage.db))
  const areThrough = async (): Promise<boolean> => {
    const { rows } = await sql`
      select from top_up
      where state in ('unknown', 'ready', 'submitting') and submissions > 0 and created_at < ${now}
      limit 1`.execute(stage.db)
    return rows.length === 0
  }
  await holds(sentAgainWithinMs, areThrough)
}
