/** What a fault is, and what all of them need: a moment in which it hurts, and the proof that it did. */
import { sql } from 'kysely'

import { pause } from '../../runtime/repeat.ts'
import type { Driver } from './driver.ts'
import type { Sightings } from './evidence.ts'
import { workspaceAt, type LoadPlan } from './load.ts'
import { holds, lookAgain, queuePrefix, type Stage } from './stage.ts'

export type FaultFamily = 'process' | 'redis' | 'postgres' | 'paddle' | 'deliveries' | 'clock'

export type Fault = {
  name: string
  family: FaultFamily
  /** What happens, for the one who reads the table. */
  title: string
  /** About how long it takes: the load is spread over it. */
  takesMs: number
  /** Makes it happen and mends it. Shape: what was seen of it; nothing in there may be zero. */
  inject: (scene: Scene) => Promise<Record<string, number>>
}

export type Scene = {
  stage: Stage
  plan: LoadPlan
  driver: Driver
  /** A whole number from 0 until before `sides`, from the seed. */
  roll: (sides: number) => number
  /** What broke a promise while it was being looked at. */
  violations: string[]
  signal: AbortSignal
}

const lookEveryMs = 200

/** Waits until it has been seen, and says how often by then: 0 when it never was. */
export async function seen(withinMs: number, count: () => Promise<number> | number): Promise<number> {
  let found = 0
  const isSeen = async (): Promise<boolean> => {
    found = await count()
    return found > 0
  }
  await holds(withinMs, isSeen, lookEveryMs)
  return found
}

/** How often something has been sighted since now. */
export async function sightingsFromNow({
  stage,
}: Scene): Promise<(name: keyof Sightings) => () => Promise<number>> {
  const before = await stage.evidence.look()
  return (name) => async () => (await stage.evidence.look())[name] - before[name]
}

/** Takes every other wallet's lock, so that jobs pile up in the workers' hands, and does the work with them there. */
export async function withJobsInHand<Result>(
  scene: Scene,
  atLeast: number,
  work: (letGo: () => Promise<void>) => Promise<Result>,
): Promise<Result> {
  const { stage, plan, signal } = scene
  const trx = await lookAgain(() => stage.db.startTransaction().execute())
  let isHeld = true
  const letGo = async (): Promise<void> => {
    if (isHeld) await trx.rollback().execute()
    isHeld = false
  }
  try {
    const half = Array.from({ length: Math.ceil(plan.wallets / 2) }, (_, index) => workspaceAt(index * 2))
    await sql`select from wallet where workspace_id = any(${half}::text[])
      order by workspace_id for no key update`.execute(trx)
    await holds(8_000, async () => signal.aborted || (await countActive(stage)) >= atLeast, 20)
    return await work(letGo)
  } finally {
    await letGo()
  }
}

/** Usage jobs that some worker holds. */
export async function countActive({ redis }: Stage): Promise<number> {
  return await redis.llen(`${queuePrefix}:usage:active`)
}

/** Usage jobs that lie in Redis and that nobody holds. */
export async function countWaiting({ redis }: Stage): Promise<number> {
  return await redis.llen(`${queuePrefix}:usage:wait`)
}

/** The ledger transactions of all wallets so far. */
export async function countPosted({ db }: Stage): Promise<number> {
  const { rows } = await lookAgain(() =>
    sql<{ posted: bigint }>`select coalesce(sum(sequence), 0)::bigint as posted from wallet`.execute(db),
  )
  return Number(rows[0]?.posted ?? 0n)
}

/** One of the workers. */
export function anyWorker({ stage, roll }: Scene): Stage['workers'][number] {
  const worker = stage.workers[roll(stage.workers.length)]
  if (worker === undefined) throw new Error('there is no worker')
  return worker
}

/** Longer than a job's lock and two looks for jobs whose lock is over. */
export function pastTheLock({ lockMs, stalledMs }: Stage): number {
  return lockMs + 2 * stalledMs + 500
}

/** As long as a fault is to last, unless the run ends. */
export async function during({ signal }: Scene, durationMs: number): Promise<void> {
  await pause(durationMs, signal)
}
