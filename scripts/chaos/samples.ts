/** Looks at the run twice a second, from the first event to the last: how much was sent and posted, and whether a card is charged twice. */
import { sql } from 'kysely'

import { pause } from '../../runtime/repeat.ts'
import type { Driver } from './driver.ts'
import { lookAgain, type Stage } from './stage.ts'

export type Sample = {
  /** Since the run began. */
  atMs: number
  sent: number
  /** Ledger transactions since the run began; null when Postgres did not answer. */
  posted: number | null
}

export type Samples = {
  all: readonly Sample[]
  /** How many times recharges were counted, and the most that one wallet had open at once. */
  rechargeLooks: () => { looks: number; mostOpen: number }
  stop: () => Promise<void>
}

const everyMs = 500

export async function takeSamples(stage: Stage, driver: Driver): Promise<Samples> {
  const startedAt = performance.now()
  const first = (await lookAgain(() => look(stage))).posted
  const all: Sample[] = []
  const stopping = new AbortController()
  let looks = 0
  let mostOpen = 0
  const sampling = (async () => {
    while (!stopping.signal.aborted) {
      const atMs = performance.now() - startedAt
      const { sent } = driver.counts
      const seen = await look(stage).catch(() => null)
      if (seen !== null) {
        looks += 1
        mostOpen = Math.max(mostOpen, seen.mostOpen)
      }
      all.push({ atMs, sent, posted: seen === null ? null : seen.posted - first })
      await pause(everyMs, stopping.signal)
    }
  })()
  return {
    all,
    rechargeLooks: () => ({ looks, mostOpen }),
    stop: async () => {
      stopping.abort()
      await sampling
    },
  }
}

async function look({ db }: Stage): Promise<{ posted: number; mostOpen: number }> {
  const { rows } = await sql<{ posted: number; most_open: number }>`
    select
      (select coalesce(sum(sequence), 0)::float8 from wallet) as posted,
      (select coalesce(max(open), 0)::int from (
        select count(*) as open from top_up
        where source = 'auto_recharge' and state in ('ready', 'submitting', 'unknown', 'processing', 'needs_review')
        group by workspace_id) as by_wallet) as most_open`.execute(db)
  return { posted: rows[0]?.posted ?? 0, mostOpen: rows[0]?.most_open ?? 0 }
}
