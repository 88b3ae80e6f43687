/**
 * Every point at which a process can die while it works on something: before each message that it sends about it, and after each
 * answer that it has not heard yet. The messages are found on the wires to Postgres, Redis and Paddle, so no point depends on what
 * the code says about itself, and what is written tomorrow has its points as well.
 *
 * Inside a transaction only its commit has a point after it: a process that dies before the next statement, or after this one,
 * leaves the same behind, a transaction that Postgres rolls back.
 */
import { startHttpWire } from './http-wire.ts'
import { startPostgresWire, type WireStatement } from './postgres-wire.ts'
import { startRedisWire } from './redis-wire.ts'

export type CrashWires = {
  databaseUrl: string
  redisUrl: string
  paddleUrl: string
  /**
   * Counts the points of work that names one of `subjects`, from now on, and kills at the one that is asked for; at none where it is null.
   */
  arm: (subjects: readonly string[], options: { at: number | null; kill: () => Promise<void> }) => Armed
  disarm: () => void
  close: () => Promise<void>
}

export type Armed = {
  /** What each point was, in their order: `before commit`. */
  points: string[]
  /** Resolves when the process is dead, with the point at which it died. */
  died: Promise<string>
}

export async function startCrashWires(place: {
  databaseUrl: string
  redisUrl: string
  paddleUrl: string
}): Promise<CrashWires> {
  let fuse: Fuse | null = null
  const transactions = new Map<number, { isOpen: boolean; isOurs: boolean }>()
  const stateOf = ({ connection }: WireStatement) => {
    const state = transactions.get(connection) ?? { isOpen: false, isOurs: false }
    transactions.set(connection, state)
    return state
  }

  const postgres = await startPostgresWire(place.databaseUrl, {
    before: async (statement) => {
      const state = stateOf(statement)
      if (/^(?:begin|start transaction)/.test(statement.text))
        Object.assign(state, { isOpen: true, isOurs: false })
      const isOurs = fuse?.concerns(statement.bytes) === true || isOfRelay(statement.text)
      if (isOurs) state.isOurs = state.isOpen
      if (isOurs || state.isOurs) await fuse?.reach(`before postgres ${shortened(statement.text)}`)
    },
    after: async (statement, answer) => {
      const state = stateOf(statement)
      const isOurs = state.isOurs || fuse?.concerns(statement.bytes) === true || isOfRelay(statement.text)
      const isNews = !state.isOpen && fuse?.concerns(answer) === true
      if (isNews || (isOurs && (ends(statement.text) || !state.isOpen))) {
        await fuse?.reach(`after postgres ${shortened(statement.text)}`)
      }
      if (state.isOpen && fuse?.concerns(answer) === true) state.isOurs = true
      if (ends(statement.text)) Object.assign(state, { isOpen: false, isOurs: false })
    },
  })
  const redis = await startRedisWire(place.redisUrl, {
    before: async (command) => {
      if (fuse?.concerns(command) === true) await fuse.reach(`before redis ${nameOf(command)}`)
    },
    after: async (command, answer) => {
      if (fuse?.concerns(command) === true || fuse?.concerns(answer) === true) {
        await fuse.reach(`after redis ${nameOf(command)}`)
      }
    },
  })
  const paddle = await startHttpWire(place.paddleUrl, {
    before: async (asked) => {
      if (fuse?.concerns(Buffer.from(asked)) === true) await fuse.reach(`before paddle ${lineOf(asked)}`)
    },
    after: async (asked, answer) => {
      if (fuse?.concerns(Buffer.from(asked)) === true || fuse?.concerns(answer) === true) {
        await fuse.reach(`after paddle ${lineOf(asked)}`)
      }
    },
  })
  return {
    databaseUrl: postgres.url,
    redisUrl: redis.url,
    paddleUrl: paddle.url,
    arm: (subjects, { at, kill }) => {
      const armed = createFuse(subjects, {
        at,
        kill: async () => {
          await kill()
          // Whoever takes its place takes up what it left, and is not to die of it.
          fuse = null
        },
      })
      fuse = armed
      return armed
    },
    disarm: () => {
      fuse = null
    },
    close: async () => {
      await Promise.all([postgres.close(), redis.close(), paddle.close()])
    },
  }
}

type Fuse = Armed & {
  concerns: (bytes: Buffer) => boolean
  reach: (point: string) => Promise<void>
}

function createFuse(
  subjects: readonly string[],
  { at, kill }: { at: number | null; kill: () => Promise<void> },
): Fuse {
  const names = new Set(subjects)
  const points: string[] = []
  let isBurnt = false
  let tell: (point: string) => void = () => undefined
  const died = new Promise<string>((resolve) => {
    tell = resolve
  })
  return {
    points,
    died,
    concerns: (bytes) => {
      const text = bytes.toString('latin1')
      if (![...names].some((name) => text.includes(name))) return false
      // What is made on the way has names of its own, and is part of it.
      for (const [name] of text.matchAll(/topup_[0-9a-z]{20,}/g)) names.add(name)
      return true
    },
    reach: async (point) => {
      if (isBurnt) return await never
      points.push(point)
      if (points.length !== at) return undefined
      isBurnt = true
      await kill()
      tell(point)
      return await never
    },
  }
}

const never = new Promise<never>(() => undefined)

/** What the relay takes off the outbox it names by number. */
function isOfRelay(text: string): boolean {
  return text.startsWith('delete from "staged_job"')
}

function ends(text: string): boolean {
  return /^(?:commit|rollback)/.test(text)
}

function shortened(text: string): string {
  return text.replaceAll(/\s+/g, ' ').slice(0, 60)
}

function nameOf(command: Buffer): string {
  const parts = command.toString('latin1').split('\r\n')
  const name = (parts[2] ?? '').toLowerCase()
  const queue = /\{[^}]*\}:([a-z-]+)/.exec(parts.join(' '))?.[1] ?? ''
  return `${name} ${queue}`.trim()
}

function lineOf(asked: string): string {
  return asked
    .replaceAll(/\?.*/g, '')
    .replaceAll(/[a-z]+_[0-9a-z]{10,}/g, '{id}')
    .split(' ')
    .slice(0, 2)
    .join(' ')
}
