/**
 * One chaos run: the load spread over the faults, each fault while the load is under way, then the wait until all has come to rest.
 * A fault that nobody saw, or that met no load, makes the run void: it proves nothing.
 */
import { sql } from 'kysely'

import { pause } from '../../runtime/repeat.ts'
import { converge, type Remains } from './convergence.ts'
import { startDriver, type Counts, type Driver } from './driver.ts'
import type { Sightings } from './evidence.ts'
import { countPosted, type Fault, type FaultFamily, type Scene } from './fault.ts'
import { dice, type LoadPlan } from './load.ts'
import { openWallets } from './open-wallets.ts'
import { expectedOfAll } from './oracle.ts'
import { takeSamples, type Sample } from './samples.ts'
import { holds, type Stage } from './stage.ts'
import { check, count, found, judge, type Check } from './verdict.ts'

type InjectedFault = {
  name: string
  family: FaultFamily
  title: string
  fromMs: number
  untilMs: number
  /** What was seen of it. */
  seen: Record<string, number>
  /** Events that were acknowledged, and ledger transactions that were posted, while it lasted. */
  sentMeanwhile: number
  postedMeanwhile: number
  /** Why it proves nothing; null when it does. */
  voidBecause: string | null
  /** Why the tries before this one proved nothing. */
  triedBefore: string[]
}

export type ChaosResult = {
  seconds: number
  faults: InjectedFault[]
  checks: Check[]
  samples: readonly Sample[]
  counts: Counts
  sightings: Sightings
  loggedErrors: Record<string, number>
  /** Milliseconds from the last fault and the last event until all was at rest; null when it never was. */
  convergedMs: number | null
  remains: Remains
  /** Milliseconds that accepted usage took over HTTP, while no fault was under way and while one was. */
  httpMs: { calm: Quantiles; faulty: Quantiles }
  /** Of the events that Postgres decided, the share that waited for more than two seconds: only a sweep finds those. */
  lateShare: number
}

type Quantiles = { requests: number; p50: number; p99: number }

export type Progress = { sent: number; posted: number; faultsDone: number; fault: string | null }

const rollStream = 3_001
const convergeWithinMs = 60_000
const warmUpMs = 1_500
const mostTries = 3
const tailMs = 1_000
/** Whoever finishes sending later than this is held up by something. */
const sendWithinMs = 120_000
/** A machine that is so much slower than the pace it was told has no saturation to show. */
const mostTimesSlower = 10
/** Events a second of a run in peace, unless it is told otherwise: so few that nothing has to wait for its turn. */
export const gentlePerSecond = 200
/** More of them, in a gentle run without faults, and the sweeps do the work of the doorbell. */
const mostLateShare = 0.05
/** More of them, in a run without faults, and workers do each other's work. */
const mostDuplicatesShare = 0.02

export async function runChaos(
  stage: Stage,
  {
    plan,
    faults,
    perSecond,
    signal,
    tell,
    onProgress,
  }: {
    plan: LoadPlan
    faults: readonly Fault[]
    /** Events a second of a run without faults; with faults, these set the pace. */
    perSecond: number
    signal: AbortSignal
    tell: (message: string) => void
    onProgress: (progress: Progress) => void
  },
): Promise<ChaosResult> {
  tell(`opening ${count(plan.wallets)} wallets`)
  const keys = await openWallets(stage, plan)
  const expected = expectedOfAll(plan)
  signal.throwIfAborted()

  const driver = startDriver(stage, plan, keys)
  const startedAt = performance.now()
  const samples = await takeSamples(stage, driver)
  let rolls = 0
  const scene: Scene = {
    stage,
    plan,
    driver,
    signal,
    violations: [],
    roll: (sides) => dice(plan.seed, rollStream, (rolls += 1)) % sides,
  }
  const injected: InjectedFault[] = []
  let current: string | null = null
  const progressing = setInterval(() => {
    const posted = samples.all.findLast((sample) => sample.posted !== null)?.posted ?? 0
    onProgress({ sent: driver.counts.sent, posted, faultsDone: injected.length, fault: current })
  }, 500)
  try {
    const latencies = { calm: [] as number[], faulty: [] as number[] }
    const untilBatch = (part: number): number => Math.ceil((plan.batches * part) / (faults.length + 2))
    driver.release(untilBatch(1), warmUpMs)
    await pause(warmUpMs, signal)
    for (const [place, fault] of faults.entries()) {
      signal.throwIfAborted()
      latencies.calm.push(...driver.takeLatencies())
      current = fault.name
      injected.push(
        await injectUntilSeen(scene, fault, startedAt, (tries) =>
          driver.release(untilBatch(place + 2 + tries / 4), fault.takesMs),
        ),
      )
      latencies.faulty.push(...driver.takeLatencies())
      current = null
    }
    const peaceMs = (plan.events / perSecond) * 1_000
    driver.release(plan.batches, faults.length === 0 ? peaceMs : tailMs)
    if (faults.length === 0) await pause(peaceMs, signal)
    const restedFrom = performance.now()
    // At saturation the load is sent as fast as it is taken, and what was taken waits in line.
    const lineMs = faults.length === 0 && perSecond > gentlePerSecond ? peaceMs * mostTimesSlower : 0
    const isSent = await holds(sendWithinMs + lineMs, () => signal.aborted || !driver.isBusy())
    signal.throwIfAborted()
    latencies.calm.push(...driver.takeLatencies())
    current = 'waiting for all to come to rest'
    const sentMs = performance.now() - restedFrom
    const withinMs = convergeWithinMs + lineMs
    const rest = { withinMs, ...(await converge(stage, expected.totals, { withinMs, signal })) }
    signal.throwIfAborted()
    current = 'judging'
    clearInterval(progressing)
    await samples.stop()
    await stage.evidence.stop()
    const lateShare = await shareOfLate(stage)
    const checks = [
      ...(await judge(stage, plan, expected, tell)),
      ...judgeRun({ scene, isSent, rest, looks: samples.rechargeLooks() }, faults.length),
    ]
    const sightings = await stage.evidence.look()
    if (faults.length === 0) checks.push(...judgePeace({ driver, sightings, lateShare, perSecond }))
    return {
      seconds: (performance.now() - startedAt) / 1_000,
      faults: injected,
      checks,
      samples: samples.all,
      counts: driver.counts,
      sightings,
      loggedErrors: stage.evidence.errors(),
      convergedMs: rest.tookMs === null || !isSent ? null : Math.round(sentMs + rest.tookMs),
      remains: rest.remains,
      httpMs: { calm: quantiles(latencies.calm), faulty: quantiles(latencies.faulty) },
      lateShare,
    }
  } finally {
    clearInterval(progressing)
    await samples.stop()
    await driver.stop()
  }
}

/**
 * What a fault is to show depends on what is under way at its moment. One that showed nothing is made to happen again, with some of
 * the next one's load.
 */
async function injectUntilSeen(
  scene: Scene,
  fault: Fault,
  startedAt: number,
  releaseLoad: (tries: number) => void,
): Promise<InjectedFault> {
  const triedBefore: string[] = []
  for (;;) {
    releaseLoad(triedBefore.length)
    const injected = await injectUnderLoad(scene, fault, startedAt)
    if (injected.voidBecause === null || triedBefore.length + 1 === mostTries)
      return { ...injected, triedBefore }
    triedBefore.push(injected.voidBecause)
  }
}

/** Shape: void when it was not seen, or when there was no load for it to meet. */
async function injectUnderLoad(
  scene: Scene,
  fault: Fault,
  startedAt: number,
): Promise<Omit<InjectedFault, 'triedBefore'>> {
  const { driver, stage } = scene
  await holds(5_000, () => scene.signal.aborted || driver.isBusy(), 10)
  const wasUnderWay = driver.isBusy()
  const sentBefore = driver.counts.sent
  const triedBefore = driver.counts.httpFailures + driver.counts.queueFailures
  const postedBefore = await countPosted(stage)
  const fromMs = performance.now() - startedAt
  // What kept it from happening makes it void; that the rest goes on after it is judged in the end.
  const seen = await fault.inject(scene).catch((error: unknown) => `it could not be done: ${String(error)}`)
  const untilMs = performance.now() - startedAt
  const unseen = typeof seen === 'string' ? [] : Object.entries(seen).filter(([, times]) => !(times > 0))
  const sentMeanwhile = driver.counts.sent - sentBefore
  const tried = driver.counts.httpFailures + driver.counts.queueFailures - triedBefore
  const voidBecause =
    typeof seen === 'string'
      ? seen
      : unseen.length > 0
        ? `never seen: ${unseen.map(([name]) => name).join(', ')}`
        : wasUnderWay && sentMeanwhile + tried > 0
          ? null
          : 'no load was under way'
  const { name, family, title } = fault
  return {
    name,
    family,
    title,
    fromMs,
    untilMs,
    seen: typeof seen === 'string' ? {} : seen,
    sentMeanwhile,
    postedMeanwhile: (await countPosted(stage)) - postedBefore,
    voidBecause,
  }
}

/** What can be judged only while it happens. */
function judgeRun(
  run: {
    scene: Scene
    isSent: boolean
    rest: { withinMs: number; tookMs: number | null; remains: Remains }
    looks: { looks: number; mostOpen: number }
  },
  faults: number,
): Check[] {
  const { scene, isSent, rest, looks } = run
  const open = check('recharges open at once, more than one of a wallet', `${count(looks.looks)} looks`)
  if (looks.mostOpen > 1) found(open, `one wallet had ${looks.mostOpen} recharges open at once`)
  const answers = check(
    'answers that no promise allows',
    `${count(sum(scene.driver.counts.answers))} answers`,
  )
  for (const each of scene.driver.wrongAnswers) found(answers, each)
  const promises = check('promises broken while a fault lasted', `${count(faults)} faults`)
  for (const each of scene.violations) found(promises, each)
  const ends = check('processes that ended by themselves', 'all processes')
  for (const each of scene.stage.endedByThemselves) found(ends, each)
  const late = check(
    `at rest within ${count(Math.round(rest.withinMs / 1_000))} s`,
    faults === 0 ? 'after the last event' : 'after the last fault',
  )
  if (!isSent) found(late, 'the load could not be sent to its end')
  if (rest.tookMs === null) {
    const left = Object.entries(rest.remains).filter(([, each]) => each !== 0 && each !== 0n)
    found(late, `still to come: ${left.map(([name, each]) => `${name} ${each}`).join(', ')}`)
  }
  return [open, answers, promises, ends, late]
}

/** What faults would excuse. */
function judgePeace({
  driver,
  sightings,
  lateShare,
  perSecond,
}: {
  driver: Driver
  sightings: Sightings
  lateShare: number
  perSecond: number
}): Check[] {
  const again = check('shares of the work that was done twice', `${count(driver.counts.sent)} events`)
  const share = sightings.duplicates / Math.max(1, driver.counts.sent)
  if (share > mostDuplicatesShare) found(again, `${percent(share)} of the events were known already`)
  const swept = check('events that only a sweep found', `${count(perSecond)} events a second`)
  if (perSecond <= gentlePerSecond && lateShare > mostLateShare)
    found(swept, `${percent(lateShare)} waited for more than 2 s`)
  return [again, swept]
}

function percent(share: number): string {
  return `${(share * 100).toFixed(1)} %`
}

async function shareOfLate({ db }: Stage): Promise<number> {
  const { rows } = await sql<{ late: number }>`
    select (count(*) filter (where decided_at - received_at > interval '2 seconds'))::float8
      / greatest(count(*), 1) as late from usage_event`.execute(db)
  return rows[0]?.late ?? 0
}

function quantiles(times: number[]): Quantiles {
  const sorted = times.toSorted((one, other) => one - other)
  const at = (share: number): number =>
    Math.round((sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0) * 10) / 10
  return { requests: sorted.length, p50: at(0.5), p99: at(0.99) }
}

function sum(counts: Record<string, number>): number {
  return Object.values(counts).reduce((total, each) => total + each, 0)
}
