/**
 * Every point at which a process can die while it works on something: before each message that it sends about it, and after each
 * answer that it has not heard yet. The messages are found on the wires to Postgres, Redis and Paddle, so no point depends on what
 * the code says about itself, and what is written tomorrow has its points as well.
 *
 * Points are one death where nothing outside the process tells them apart: an answer that nobody hears and the next message; and
 * everything in a transaction before its commit, because Postgres rolls back whatever of it there was.
 */
import { startHttpWire } from './http-wire.ts'
import { startPostgresWire, type WireStatement } from './postgres-wire.ts'
import { startRedisWire } from './redis-wire.ts'

export type CrashWires = {
  databaseUrl: string
  redisUrl: string
  paddleUrl: string
  /**
   * From now on: names the points of work in whose messages one of `subjects` is, and kills at the one that is named `at`; at none
   * where it is null.
   */
  arm: (subjects: readonly string[], options: { at: string | null; kill: () => Promise<void> }) => Fuse
  disarm: () => void
  close: () => Promise<void>
}

/** `isApart`: a death of its own, and not the same as the one before it or as the one before the commit. */
export type CrashPoint = { name: string; isApart: boolean }

type Fuse = {
  /** In their order: `before commit`, `after moveToActive (2)`. */
  points: readonly CrashPoint[]
  /** Resolves when the process is dead. */
  died: Promise<void>
}

/** `scripts`: the names of Redis scripts by their digest. */
export async function startCrashWires(
  place: { databaseUrl: string; redisUrl: string; paddleUrl: string },
  scripts: ReadonlyMap<string, string>,
): Promise<CrashWires> {
  let fuse: LiveFuse | null = null
  const isAbout = (message: Buffer | string): boolean => fuse?.isAbout(message) === true
  const before = async (what: string, isUndone = false): Promise<void> => {
    const isApart = !isUndone && fuse?.points.at(-1)?.name.startsWith('after ') !== true
    await fuse?.reach(`before ${what}`, isApart)
  }
  const after = async (what: string): Promise<void> => {
    await fuse?.reach(`after ${what}`, true)
  }

  const sessions = new Map<number, { isOpen: boolean; isOurs: boolean }>()
  const sessionOf = ({ connection }: WireStatement) => {
    const session = sessions.get(connection) ?? { isOpen: false, isOurs: false }
    sessions.set(connection, session)
    return session
  }
  const postgres = await startPostgresWire(place.databaseUrl, {
    before: async (statement) => {
      const session = sessionOf(statement)
      if (/^(?:begin|start transaction)/.test(statement.text)) session.isOpen = true
      session.isOurs ||= isAbout(statement.bytes) || isOfRelay(statement.text)
      const isUndone = session.isOpen && !ends(statement)
      if (session.isOurs) await before(statementName(statement.text), isUndone)
    },
    after: async (statement, answer) => {
      const session = sessionOf(statement)
      if (ends(statement)) session.isOpen = false
      session.isOurs ||= isAbout(answer)
      const { isOurs } = session
      if (!session.isOpen) session.isOurs = false
      if (isOurs && !session.isOpen) await after(statementName(statement.text))
    },
  })
  const redis = await startRedisWire(place.redisUrl, {
    before: async (command) => {
      const name = commandName(command, scripts)
      if (name !== null && isAbout(command)) await before(name)
    },
    after: async (command, answer) => {
      const name = commandName(command, scripts)
      if (name !== null && (isAbout(command) || isAbout(answer))) await after(name)
    },
  })
  const paddle = await startHttpWire(place.paddleUrl, {
    before: async (asked) => {
      if (isAbout(asked)) await before(requestName(asked))
    },
    after: async (asked, answer) => {
      if (isAbout(asked) || isAbout(answer)) await after(requestName(asked))
    },
  })
  const disarm = (): void => {
    fuse = null
  }
  return {
    databaseUrl: postgres.url,
    redisUrl: redis.url,
    paddleUrl: paddle.url,
    arm: (subjects, { at, kill }) => {
      fuse = createFuse(subjects, at, async () => {
        await kill()
        // Whoever takes its place takes up what it left, and is not to die of it.
        disarm()
      })
      return fuse
    },
    disarm,
    close: async () => {
      await Promise.all([postgres.close(), redis.close(), paddle.close()])
    },
  }
}

type LiveFuse = Fuse & {
  isAbout: (message: Buffer | string) => boolean
  reach: (point: string, isApart: boolean) => Promise<void>
}

function createFuse(subjects: readonly string[], at: string | null, kill: () => Promise<void>): LiveFuse {
  const names = new Set(subjects)
  const times = new Map<string, number>()
  const points: CrashPoint[] = []
  const { promise: died, resolve: hasDied } = Promise.withResolvers<void>()
  let isBurnt = false
  return {
    points,
    died,
    isAbout: (message) => {
      const text = typeof message === 'string' ? message : message.toString('latin1')
      if (![...names].some((name) => text.includes(name))) return false
      // A top-up that is made on the way has a name of its own, and is part of it.
      for (const [name] of text.matchAll(/topup_[0-9a-z]{20,}/g)) names.add(name)
      return true
    },
    reach: async (what, isApart) => {
      if (isBurnt) return await never
      const time = (times.get(what) ?? 0) + 1
      times.set(what, time)
      const name = time === 1 ? what : `${what} (${time})`
      points.push({ name, isApart })
      if (name !== at) return undefined
      isBurnt = true
      await kill()
      hasDied()
      return await never
    },
  }
}

const never = new Promise<never>(() => undefined)

function ends({ text }: WireStatement): boolean {
  return /^(?:commit|rollback)/.test(text)
}

/** What the relay takes off the outbox it names by number. */
function isOfRelay(text: string): boolean {
  return text.startsWith('delete from "staged_job"')
}

/** The name that a statement has in a comment, or what it does to its first table: `insert top_up`. */
function statementName(text: string): string {
  const named = /^\s*\/\* ([a-z-]+) \*\//.exec(text)
  const [, verb, table] = /^\s*(\w+)(?:[^]*?\b(?:from|into|update)\s+"?(\w+))?/.exec(text) ?? []
  return named?.[1] ?? [verb, table].filter(Boolean).join(' ')
}

/** Sent by the clock, whatever the handler does: a lock is renewed, lost jobs are looked for. */
const sentByTheClock = new Set(['extendLock', 'extendLocks', 'moveStalledJobsToWait'])

function commandName(command: Buffer, scripts: ReadonlyMap<string, string>): string | null {
  const [, , verb = '', , digest = ''] = command.toString('latin1').split('\r\n', 5)
  const name = verb.startsWith('eval') ? (scripts.get(digest) ?? verb) : verb
  return sentByTheClock.has(name) ? null : name
}

/** `POST /subscriptions/{id}/charge` */
function requestName(asked: string): string {
  const [method, path = ''] = asked.split(' ', 2)
  return `${method} ${path.replace(/\?.*/, '').replaceAll(/[a-z]+_[0-9a-z]{10,}/g, '{id}')}`
}
