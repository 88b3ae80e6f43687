/** The bench's side of a contestant: starts its process, lets it run on a queue, and ends it. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

import type { Contestant } from './scenario.ts'
import type { Traffic } from './traffic.ts'

export type RunRequest = {
  prefix: string
  /** How many will come. */
  events: number
  /** Events after this many are timed from enqueue to commit; null for none. */
  timedAfter: number | null
  /** For what comes from no queue: what it is about, and how much of it is under way at once. */
  load: { traffic: Traffic; inFlight: number } | null
}

export type RunResult = {
  /** From the start of the workers until all events were committed. */
  elapsedMs: number
  /** Of the worker's process. */
  cpuMs: number
  /** Events in one Postgres transaction; null where there are no batches. */
  averageBatch: number | null
  /** The part of the time in which a batch was in Postgres. */
  postingShare: number | null
  latenciesMs: number[]
}

export type Reply =
  | { kind: 'ready' }
  | { kind: 'started' }
  | { kind: 'done'; result: RunResult }
  | { kind: 'failed'; reason: string }

export type ContestantProcess = {
  pid: number
  /**
   * Runs until all events are done. `onStarted` is called once the workers take jobs.
   *
   * Throws: when the process ends, fails, or is not done within the deadline: events were lost, or it is much too slow.
   */
  run: (
    request: RunRequest,
    options: { signal: AbortSignal; deadlineMs: number; onStarted?: () => Promise<void> },
  ) => Promise<RunResult>
  stop: () => Promise<void>
}

export type ContestantOptions = {
  databaseUrl: string
  redisUrl: string
  /** Connections to Postgres, where the contestant uses a pool. */
  poolSize: number
  /** Where its CPU profile goes when it ends. */
  profileDirectory: string | undefined
}

export async function startContestant(
  contestant: Contestant,
  { databaseUrl, redisUrl, poolSize, profileDirectory }: ContestantOptions,
): Promise<ContestantProcess> {
  const profiling =
    profileDirectory === undefined
      ? []
      : ['--cpu-prof', `--cpu-prof-dir=${profileDirectory}`, `--cpu-prof-name=${contestant}.cpuprofile`]
  const file = fileURLToPath(new URL('contestant.ts', import.meta.url))
  const child = spawn(process.execPath, [...profiling, file, contestant, String(poolSize)], {
    env: { ...process.env, DATABASE_URL: databaseUrl, REDIS_URL: redisUrl },
    // Standard output is the bench's alone: whatever the child logs is told on standard error.
    stdio: ['ignore', process.stderr, process.stderr, 'ipc'],
  })
  await nextReply(child, 'ready')
  return {
    pid: child.pid ?? 0,
    run: async (request, { signal, deadlineMs, onStarted }) => {
      const limits = AbortSignal.any([signal, AbortSignal.timeout(deadlineMs)])
      const started = nextReply(child, 'started', limits)
      const done = nextReply(child, 'done', limits)
      child.send(request)
      const [, { result }] = await Promise.all([started.then(onStarted), done])
      return result
    },
    stop: async () => {
      if (child.exitCode !== null || child.signalCode !== null) return
      child.disconnect()
      const patience = setTimeout(() => child.kill('SIGKILL'), 5_000)
      await once(child, 'exit')
      clearTimeout(patience)
    },
  }
}

function nextReply<Kind extends Reply['kind']>(
  child: ChildProcess,
  kind: Kind,
  signal?: AbortSignal,
): Promise<Extract<Reply, { kind: Kind }>> {
  return new Promise((resolve, reject) => {
    const settle = (act: () => void): void => {
      child.off('message', onMessage)
      child.off('exit', onExit)
      signal?.removeEventListener('abort', onAbort)
      act()
    }
    const onMessage = (reply: Reply): void => {
      if (isOfKind(reply, kind)) settle(() => resolve(reply))
      else if (reply.kind === 'failed') settle(() => reject(new Error(reply.reason)))
    }
    const onExit = (code: number | null): void =>
      settle(() => reject(new Error(`the worker process ended early, with code ${code}`)))
    const onAbort = (): void =>
      settle(() => reject(new Error('the worker process was not done in time', { cause: signal?.reason })))
    child.on('message', onMessage)
    child.on('exit', onExit)
    signal?.addEventListener('abort', onAbort)
  })
}

function isOfKind<Kind extends Reply['kind']>(
  reply: Reply,
  kind: Kind,
): reply is Extract<Reply, { kind: Kind }> {
  return reply.kind === kind
}
