/**
 * Two sessions, stepped statement by statement through every order in which their statements can reach Postgres. A session
 * that waits for a lock of the other is found waiting, and the other goes on; two that wait for each other are a deadlock, and
 * are found at once.
 *
 * Two orders that differ only in neighbours which cannot notice each other are one: under read committed a statement sees what
 * is committed, so a read commutes with whatever the other one reads or has not committed yet.
 */
import { sql } from 'kysely'

import { connect } from '../../db/connect.ts'
import { codeOf } from '../../db/errors.ts'
import type { Db } from '../../db/schema.ts'
import { pause } from '../../runtime/repeat.ts'
import { startPostgresWire, type WireStatement } from './postgres-wire.ts'
import { randomNumbers } from './usage-traffic.ts'

/** Two pieces of work that may meet, on something of their own each time. */
export type Pair<Given, One = unknown, Other = unknown> = {
  given: (db: Db) => Promise<Given>
  /** Each gets a session of its own, which is one connection. */
  one: (db: Db, given: Given) => Promise<One>
  other: (db: Db, given: Given) => Promise<Other>
  /** Throws when what the two have left behind is wrong. */
  check: (db: Db, given: Given, ends: Ends<One, Other>) => Promise<void>
}

/** How the two ended. */
export type Ends<One, Other> = readonly [PromiseSettledResult<One>, PromiseSettledResult<Other>]

export type Exploration = {
  schedules: number
  /** Whether these were all that there are. */
  complete: boolean
  /** Schedules in which a session had to wait for a lock of the other. */
  blocked: number
  failures: Failure[]
}

type Failure = {
  /** Who went when there was a choice: `1` and `2`. Given as `only`, it is run again. */
  schedule: string
  what: string
  /** Every statement, in the order in which Postgres heard of it. */
  trace: string[]
}

export type ExploreOptions = {
  /** As many schedules as are run; where there are more, that many are drawn by the seed. */
  most: number
  seed?: number
  only?: string
}

/** Shape: stops at the tenth failure. */
export async function explore<Given, One, Other>(
  databaseUrl: string,
  pair: Pair<Given, One, Other>,
  { most, seed = 1, only }: ExploreOptions,
): Promise<Exploration> {
  const stage = await openStage(databaseUrl)
  const found: Exploration = { schedules: 0, complete: false, blocked: 0, failures: [] }
  const play = async (choose: Chooser): Promise<Choice[]> => {
    const played = await playSchedule(stage, pair, choose)
    found.schedules += 1
    if (played.blocked) found.blocked += 1
    if (played.what !== null) {
      const schedule = played.choices.map(({ taken }) => taken + 1).join('')
      found.failures.push({ schedule, what: played.what, trace: played.trace })
    }
    return played.choices
  }
  try {
    await rehearse(stage, pair)
    if (only !== undefined) await play((index) => Number(only[index] ?? 1) - 1)
    else {
      found.complete = await playAll(play, found, most)
      const random = randomNumbers(seed)
      for (let drawn = 0; !found.complete && drawn < most && found.failures.length < 10; drawn += 1) {
        await play(() => (random() < 0.5 ? 0 : 1))
      }
    }
  } finally {
    await stage.close()
  }
  return found
}

/** One sentence for each failure, for the message of a test. */
export function explainFailures({ failures }: Exploration): string[] {
  return failures.map(
    ({ schedule, what, trace }) => `schedule ${schedule || '(none)'}: ${what}\n${trace.join('\n')}`,
  )
}

/** One after the other: what is prepared and remembered by the first time is the same for all times after it. */
async function rehearse<Given, One, Other>(
  { db, actors }: Stage,
  pair: Pair<Given, One, Other>,
): Promise<void> {
  for (const [work, actor] of [[pair.one, actors[0]] as const, [pair.other, actors[1]] as const]) {
    await work(actor.db, await pair.given(db))
  }
}

type Choice = { taken: number }
type Chooser = (index: number) => number

/**
 * Depth first: the choices of one schedule, less those at its end that have been tried both ways, are the beginning of the next.
 *
 * Shape: whether that ended by itself, before `most`.
 */
async function playAll(
  play: (choose: Chooser) => Promise<Choice[]>,
  found: Exploration,
  most: number,
): Promise<boolean> {
  let prefix: number[] = []
  while (found.schedules < most && found.failures.length < 10) {
    const beginning = prefix
    const choices = (await play((index) => beginning[index] ?? 0)).map(({ taken }) => taken)
    while (choices.at(-1) === 1) choices.pop()
    if (choices.length === 0) return true
    prefix = [...choices.slice(0, -1), 1]
  }
  return false
}

/** One of the two. */
type Actor = {
  db: Db
  /** At the gate, with a statement that nobody has let go. */
  atGate: { statement: WireStatement; letGo: () => void } | null
  /** At Postgres. */
  underWay: WireStatement | null
  isBlocked: boolean
  isDone: boolean
  inTransaction: boolean
}

type Stage = {
  /** Sets the scene, looks afterwards, and watches who waits for whom. */
  db: Db
  actors: [Actor, Actor]
  /** While it is false, statements pass. */
  curtain: { up: boolean }
  changed: () => Promise<void>
  notify: () => void
  close: () => Promise<void>
}

async function openStage(databaseUrl: string): Promise<Stage> {
  const db = connect(databaseUrl, { profile: 'operator', name: 'stage', poolSize: 2 })
  const curtain = { up: false }
  let wake: () => void = idle
  const notify = (): void => wake()
  const open = async (name: string) => {
    const actor: Omit<Actor, 'db'> = {
      atGate: null,
      underWay: null,
      isBlocked: false,
      isDone: false,
      inTransaction: false,
    }
    const wire = await startPostgresWire(databaseUrl, {
      before: (statement) => {
        if (!curtain.up) return undefined
        return new Promise((letGo) => {
          Object.assign(actor, { atGate: { statement, letGo } })
          notify()
        })
      },
      after: () => {
        Object.assign(actor, { underWay: null, isBlocked: false })
        notify()
      },
    })
    const session = connect(wire.url, { profile: 'operator', name, poolSize: 1 })
    // Its connection is there before anybody counts.
    await sql`select 1`.execute(session)
    return { actor: Object.assign(actor, { db: session }), wire }
  }
  const one = await open('session 1')
  const other = await open('session 2')
  return {
    db,
    curtain,
    actors: [one.actor, other.actor],
    notify,
    changed: async () => {
      await new Promise<void>((resolve) => {
        wake = resolve
        setTimeout(resolve, 2).unref()
      })
    },
    close: async () => {
      await Promise.all([one.actor.db.destroy(), other.actor.db.destroy()])
      await Promise.all([one.wire.close(), other.wire.close(), db.destroy()])
    },
  }
}

const idle = () => undefined

type Played = { choices: Choice[]; trace: string[]; blocked: boolean; what: string | null }

async function playSchedule<Given, One, Other>(
  stage: Stage,
  pair: Pair<Given, One, Other>,
  choose: Chooser,
): Promise<Played> {
  const given = await pair.given(stage.db)
  const { actors, curtain } = stage
  curtain.up = true
  const perform = async <Result>(actor: Actor, work: (db: Db, given: Given) => Promise<Result>) => {
    actor.isDone = false
    try {
      return await work(actor.db, given)
    } finally {
      actor.isDone = true
      stage.notify()
    }
  }
  const settled = Promise.allSettled([perform(actors[0], pair.one), perform(actors[1], pair.other)])
  // The second one's last step that the first one, ready as it still is, could as well have come before.
  let passed: WireStatement | null = null
  const played: Played = { choices: [], trace: [], blocked: false, what: null }
  while (!actors.every((actor) => actor.isDone)) {
    await untilNothingMoves(stage)
    const ready: Actor[] = actors.filter((actor) => actor.atGate !== null)
    const [only] = ready
    if (only === undefined) {
      if (!actors.every((actor) => actor.isDone || actor.isBlocked)) continue
      if (actors.some((actor) => actor.isDone)) continue
      played.what = 'a deadlock'
      await endSessions(stage)
      break
    }
    if (actors.some((actor) => actor.isBlocked)) played.blocked = true
    const isFree: boolean = ready.length === 2 && passed !== actors[0].atGate?.statement
    const taken: number = isFree ? choose(played.choices.length) : ready.length - 1
    if (isFree) played.choices.push({ taken })
    const next: Actor = ready[taken] ?? only
    passed = next === actors[1] && commute(actors) ? (actors[0].atGate?.statement ?? null) : null
    played.trace.push(`  ${next === actors[0] ? 1 : 2}: ${shortened(next.atGate?.statement.text ?? '')}`)
    letGo(next)
  }
  const results = await settled
  curtain.up = false
  const failed = results.find((each) => each.status === 'rejected' && isDeadlock(each.reason))
  if (failed !== undefined) played.what ??= 'a deadlock that reached the caller'
  try {
    if (played.what === null) await pair.check(stage.db, given, results)
  } catch (error) {
    played.what = error instanceof Error ? error.message : String(error)
  }
  return played
}

/** Whether neither of the two at the gates can notice if the other goes first. */
function commute(actors: readonly [Actor, Actor]): boolean {
  const [one, other] = actors.map(effectOf)
  if (one === 'ends' || other === 'ends') return one === other
  return one === 'reads' || other === 'reads'
}

/** A write outside a transaction is seen at once, as what a commit ends. */
function effectOf({ atGate, inTransaction }: Actor): 'reads' | 'writes' | 'ends' | 'nothing' {
  if (atGate === null) return 'nothing'
  const { text } = atGate.statement
  if (/^(?:commit|rollback)/.test(text)) return 'ends'
  const takesLocks = /\b(?:insert|update|delete|for no key|for share|pg_advisory)/i.test(text)
  return takesLocks ? (inTransaction ? 'writes' : 'ends') : 'reads'
}

function letGo(actor: Actor): void {
  const { atGate } = actor
  if (atGate === null) return
  const { text } = atGate.statement
  if (/^(?:begin|start transaction)/.test(text)) actor.inTransaction = true
  if (/^(?:commit|rollback)/.test(text)) actor.inTransaction = false
  actor.underWay = atGate.statement
  actor.atGate = null
  atGate.letGo()
}

/** Until each is at its gate, done, or waiting for the other. `begin` goes by itself: it reads nothing and locks nothing. */
async function untilNothingMoves(stage: Stage): Promise<void> {
  const { actors } = stage
  // What was blocked a statement ago may have been let go by it.
  for (const actor of actors) actor.isBlocked = false
  const since = performance.now()
  for (;;) {
    if (performance.now() - since > 60_000) throw new Error('two sessions stand still, and no lock says why')
    for (const actor of actors) if (actor.atGate?.statement.text === 'begin') letGo(actor)
    if (actors.every(isStill)) return
    await stage.changed()
    if (actors.every(isStill)) return
    for (const actor of actors) {
      if (actor.underWay !== null && (await isBlocked(stage.db, actor.underWay))) {
        actor.isBlocked = actor.underWay !== null
      }
    }
  }
}

function isStill(actor: Actor): boolean {
  return actor.isDone || actor.isBlocked || (actor.atGate !== null && actor.atGate.statement.text !== 'begin')
}

async function isBlocked(db: Db, { backendPid }: WireStatement): Promise<boolean> {
  const { rows } = await sql<{ blocked: boolean }>`
    select cardinality(pg_blocking_pids(${backendPid}::int)) > 0 as blocked`.execute(db)
  return rows[0]?.blocked === true
}

async function endSessions({ db, actors, curtain }: Stage): Promise<void> {
  curtain.up = false
  for (const { underWay } of actors) {
    if (underWay !== null) await sql`select pg_terminate_backend(${underWay.backendPid}::int)`.execute(db)
  }
  for (const actor of actors) letGo(actor)
  await pause(1)
}

function isDeadlock(error: unknown): boolean {
  return codeOf(error) === '40P01'
}

function shortened(text: string): string {
  return text.replaceAll(/\s+/g, ' ').slice(0, 90)
}
