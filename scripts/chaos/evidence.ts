/**
 * What can be seen of a fault from outside: the numbers that the workers count about themselves, and what the processes log. A
 * process that is killed takes its numbers with it, so they are read often and summed up over all that ever ran.
 */
import { open, stat } from 'node:fs/promises'

import { pause } from '../../runtime/repeat.ts'

export type Sightings = {
  /** Usage events that were found to be known already. */
  duplicates: number
  /** Jobs whose worker was not heard of any more. */
  stalled: number
  /** Events that a process decided on whose clock had them lie there for more than five minutes. */
  lagging: number
  /** Lines about a connection to Postgres that broke or could not be made. */
  postgresLost: number
  /** Lines about Redis. */
  redisLost: number
}

export type Evidence = {
  /** What has been seen so far, in all. */
  look: () => Promise<Sightings>
  /** Messages of level error and fatal, and how often each was logged. */
  errors: () => Record<string, number>
  stop: () => Promise<void>
}

export type Watched = {
  name: string
  logPath: string
  /** Null for a process that serves none. */
  metricsUrl: string | null
  pid: () => number | undefined
}

const everyMs = 500

const counters = [
  ['duplicates', /^wallet_usage_decided_total\{[^}]*outcome="duplicate"[^}]*\} (\d+)/gm],
  ['stalled', /^wallet_jobs_total\{[^}]*outcome="stalled"[^}]*\} (\d+)/gm],
  ['lagging', /^wallet_posting_lag_seconds_(?:count|bucket\{le="300"[^}]*\})(?:\{[^}]*\})? (\d+)/gm],
] as const

const lines = [
  [
    'postgresLost',
    /"code":"(?:57P0\d|08\d\d\d|25P0\d|ECONNRESET|ECONNREFUSED|EPIPE)"|connection terminated|lost a connection to Postgres|Postgres is away/i,
  ],
  ['redisLost', /lost its queue|redis connection error|waiting for Redis|"queue":"/i],
] as const

export function watchEvidence(processes: readonly Watched[]): Evidence {
  const seen: Sightings = { duplicates: 0, stalled: 0, lagging: 0, postgresLost: 0, redisLost: 0 }
  const errors = new Map<string, number>()
  const logs = processes.map(({ logPath }) => followLog(logPath, (line) => noteLine(line, seen, errors)))
  const meters = processes.flatMap((each) => (each.metricsUrl === null ? [] : [followMeters(each, seen)]))
  const stopping = new AbortController()

  let underWay: Promise<unknown> = Promise.resolve()
  const look = async (): Promise<Sightings> => {
    // One after the other: two at once would count the same news twice.
    const looked = underWay.then(() => Promise.all([...logs, ...meters].map((follow) => follow())))
    underWay = looked
    await looked
    return { ...seen }
  }
  const watching = (async () => {
    while (!stopping.signal.aborted) {
      await look()
      await pause(everyMs, stopping.signal)
    }
  })()
  return {
    look,
    errors: () => Object.fromEntries([...errors].toSorted(([, one], [, other]) => other - one)),
    stop: async () => {
      stopping.abort()
      await watching
    },
  }
}

/** Shape: each call adds what the process has counted since the one before; a process that does not answer adds nothing. */
function followMeters({ metricsUrl, pid }: Watched, seen: Sightings): () => Promise<void> {
  const last = new Map<string, { pid: number | undefined; count: number }>()
  return async () => {
    const asked = pid()
    const text = await fetch(metricsUrl ?? '', { signal: AbortSignal.timeout(400) }).then(
      (answer) => answer.text(),
      () => null,
    )
    // Whose numbers these are is certain only if it is the same process before and after.
    if (text === null || asked !== pid()) return
    for (const [name, pattern] of counters) {
      const found = [...text.matchAll(pattern)].map(([, digits]) => Number.parseInt(digits ?? '0', 10))
      const count = name === 'lagging' ? Math.abs((found[0] ?? 0) - (found[1] ?? 0)) : sum(found)
      const before = last.get(name)
      const already = before !== undefined && before.pid === asked ? before.count : 0
      seen[name] += Math.max(0, count - already)
      last.set(name, { pid: asked, count })
    }
  }
}

/** Shape: each call tells of every line that has been written since the one before. */
function followLog(path: string, onLine: (line: string) => void): () => Promise<void> {
  let read = 0
  let rest = ''
  return async () => {
    const size = await stat(path).then(
      (found) => found.size,
      () => 0,
    )
    if (size <= read) return
    const file = await open(path, 'r')
    try {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(size - read), 0, size - read, read)
      read += bytesRead
      const whole = (rest + buffer.subarray(0, bytesRead).toString('utf8')).split('\n')
      rest = whole.pop() ?? ''
      for (const line of whole) onLine(line)
    } finally {
      await file.close()
    }
  }
}

function noteLine(line: string, seen: Sightings, errors: Map<string, number>): void {
  for (const [name, pattern] of lines) if (pattern.test(line)) seen[name] += 1
  if (!/"level":"(?:error|fatal)"/.test(line)) return
  const message = /"msg":"([^"]*)"/.exec(line)?.[1] ?? line.slice(0, 80)
  errors.set(message, (errors.get(message) ?? 0) + 1)
}

function sum(counts: readonly number[]): number {
  return counts.reduce((total, count) => total + count, 0)
}
