/**
 * The simulator's time: the real one, or another clock that whoever starts it runs by, plus an offset that a test moves. Everything that waits waits here, so that advancing
 * the clock makes what is pending due at once.
 */

export type Clock = {
  now: () => Date
  /** The machine's time: webhook signatures are checked against the receiver's, which nobody moved. */
  realNow: () => Date
  /** RFC 3339 in UTC, to the microsecond, with a precision that varies as Paddle's does; each later than the one before. */
  stamp: () => string
  /** How much of this time passes in the machine's. */
  rate: number
  offsetMs: () => number
  setOffset: (offsetMs: number) => void
  advance: (durationMs: number) => void
  /** Runs once, after `delayMs` of simulated time; the answer takes it back. */
  schedule: (delayMs: number, run: () => void) => () => void
  wait: (delayMs: number) => Promise<void>
  /** Takes everything back that is pending. What waits waits for ever. */
  clear: () => void
}

type Pending = { readonly dueMs: number; readonly run: () => void }

/** `setTimeout` holds no more than 2^31 ms; a longer wait looks again. */
const longestTimerMs = 2_000_000_000

/** What the simulator's clock runs by. */
export type BaseClock = { readonly rate: number; now: () => Date }

export const realClock: BaseClock = { rate: 1, now: () => new Date() }

export function createClock(base: BaseClock = realClock): Clock {
  let offsetMs = 0
  let lastMicros = 0
  let pending: Pending[] = []
  let timer: ReturnType<typeof setTimeout> | undefined

  const nowMs = (): number => base.now().getTime() + offsetMs
  const arm = (): void => {
    clearTimeout(timer)
    const next = pending[0]
    if (next === undefined) return
    timer = setTimeout(runDue, Math.min(Math.max((next.dueMs - nowMs()) / base.rate, 0), longestTimerMs))
  }
  const runDue = (): void => {
    for (let next = pending[0]; next !== undefined && next.dueMs <= nowMs(); next = pending[0]) {
      pending.shift()
      next.run()
    }
    arm()
  }
  const schedule = (delayMs: number, run: () => void): (() => void) => {
    const entry = { dueMs: nowMs() + delayMs, run }
    const at = pending.findLastIndex((each) => each.dueMs <= entry.dueMs) + 1
    pending.splice(at, 0, entry)
    if (at === 0) arm()
    return () => {
      pending = pending.filter((each) => each !== entry)
    }
  }
  const setOffset = (newOffsetMs: number): void => {
    if (newOffsetMs < offsetMs) lastMicros = 0
    offsetMs = newOffsetMs
    runDue()
  }
  return {
    now: () => new Date(nowMs()),
    realNow: realClock.now,
    rate: base.rate,
    stamp: () => {
      lastMicros = Math.max(lastMicros + 1, nowMs() * 1000)
      return formatMicros(lastMicros)
    },
    offsetMs: () => offsetMs,
    setOffset,
    advance: (durationMs) => {
      setOffset(offsetMs + durationMs)
    },
    schedule,
    wait: (delayMs) =>
      delayMs <= 0 ? Promise.resolve() : new Promise((resolve) => void schedule(delayMs, resolve)),
    clear: () => {
      clearTimeout(timer)
      pending = []
    },
  }
}

/** A key that sorts instants of any precision as text. */
export function instantKey(instant: string): string {
  const [seconds = '', fraction = ''] = instant.replace(/(?:Z|\+00:00)$/, '').split('.')
  return `${seconds}.${fraction.padEnd(9, '0')}`
}

/** Whole microseconds since 1970 fit a double until the year 2255. */
function formatMicros(micros: number): string {
  const millis = Math.floor(micros / 1000)
  const seconds = new Date(millis).toISOString().slice(0, 19)
  const fraction = String(micros % 1_000_000)
    .padStart(6, '0')
    .replace(/0+$/, '')
  return fraction === '' ? `${seconds}Z` : `${seconds}.${fraction}Z`
}
