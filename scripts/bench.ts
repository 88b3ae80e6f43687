/**
 * How fast usage is posted, against two workers that everybody knows: one that does nothing, and one that takes a
 * transaction for each job; how fast calls are admitted, against one transaction for each request; and how long a balance takes
 * to read. All run on one Redis and one Postgres in turn, round after round, and the ratios count.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { availableParallelism, cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'

import { Queue } from 'bullmq'
import { Redis } from 'ioredis'
import { sql } from 'kysely'

import type { Db } from '../db/schema.ts'
import { readWorkerConfig } from '../runtime/config.ts'
import {
  assertBalanced,
  assertBooked,
  assertHeld,
  createBenchDatabase,
  fundWallets,
} from './bench/bench-database.ts'
import { startContestant, type ContestantProcess } from './bench/contestant-process.ts'
import { cpuTimeMs } from './bench/cpu-time.ts'
import { formatReport, quantile, summarize, type Figures, type Results } from './bench/report.ts'
import {
  fullSize,
  isOfQueue,
  quickSize,
  scenariosOf,
  type Contestant,
  type Scenario,
} from './bench/scenario.ts'
import { expectedOf, fillQueue, removeQueue, sendSteadily, workspaceIds } from './bench/traffic.ts'
import { startEmbeddedServers, type EmbeddedServers } from './embedded/embedded-servers.ts'

const usage = `usage: npm run bench -- [options]

Measures the posting batch against a worker that does nothing and a worker with one Postgres transaction per job: how many
events a second from a full queue, and how long from enqueue to commit at a steady rate. Calls are admitted 64 at a time, by the
API's admission batch and by one transaction for each; balances are read over HTTP, 8 at a time, by a client in the API's own
process. Takes about four minutes.
Its Postgres and Redis are started for it, durable, in a temporary directory; DATABASE_URL and REDIS_URL replace either
(it makes a database of its own there and drops it). USAGE_WORKERS, USAGE_CONCURRENCY and POSTING_BATCH_SIZE count here too.

  --json             one JSON object on standard output: ratios, latency_ms, events_per_s and more
  --rounds <n>       how often each scenario runs, in turn with the others; the median counts (3)
  --quick            a small run that shows that everything works; its figures mean little
  --only <names>     only these scenarios, such as noop,batch_many
  --pool <n>         connections of the worker with one transaction per job (32, its best)
  --cpu-prof <dir>   writes a CPU profile of each worker process there
  --help             this text

Exits 0 when it has measured, whatever came out; 1 when it failed, which includes one lost or doubled event.
`

type Options = {
  json: boolean
  rounds: number
  quick: boolean
  only: string[] | null
  pool: number
  profileDirectory: string | undefined
}

/** What a run needs. */
type Stage = {
  servers: EmbeddedServers
  databaseUrl: string
  db: Db
  connection: Redis
  walletCount: number
  contestants: ReadonlyMap<Contestant, ContestantProcess>
  signal: AbortSignal
}

const runDeadlineMs = 120_000
const warmUpInFlight = 64
/** The first moments of a steady rate are not timed. */
const leadInSeconds = 0.5

process.exitCode = await main(process.argv.slice(2))

async function main(args: string[]): Promise<number> {
  const options = readOptions(args)
  if (typeof options === 'string') {
    process.stderr.write(`bench: ${options}\nTry: npm run bench -- --help\n`)
    return 2
  }
  if (options === null) {
    process.stdout.write(usage)
    return 0
  }
  const interruption = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => interruption.abort(new Error('interrupted')))
  }
  // Whoever read our output is gone: that is an interruption too, and no reason to leave anything behind.
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', () => interruption.abort(new Error('nobody listens')))
  }
  try {
    process.stdout.write(await bench(options, interruption.signal))
    return 0
  } catch (error) {
    if (interruption.signal.aborted) return 130
    process.stderr.write(`bench: ${error instanceof Error ? error.stack : String(error)}\n`)
    return 1
  }
}

function readOptions(args: string[]): Options | string | null {
  try {
    const { values } = parseArgs({
      args,
      options: {
        json: { type: 'boolean', default: false },
        rounds: { type: 'string' },
        quick: { type: 'boolean', default: false },
        only: { type: 'string' },
        pool: { type: 'string', default: '32' },
        'cpu-prof': { type: 'string' },
        help: { type: 'boolean', default: false },
      },
    })
    if (values.help) return null
    const { json, quick } = values
    const rounds = Number(values.rounds ?? (quick ? 1 : 3))
    const pool = Number(values.pool)
    if (!Number.isInteger(rounds) || rounds < 1) return '--rounds takes a whole number from 1'
    if (!Number.isInteger(pool) || pool < 1 || pool > 100) return '--pool takes a whole number from 1 to 100'
    const only = values.only?.split(',') ?? null
    const names = scenariosOf(fullSize).map((scenario): string => scenario.name)
    const unknown = only?.find((name) => !names.includes(name))
    if (unknown !== undefined) return `there is no scenario ${unknown}; there are ${names.join(', ')}`
    return { json, rounds, quick, only, pool, profileDirectory: values['cpu-prof'] }
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

/** Sets the stage, measures, and takes everything down again, in reverse, whatever happened. */
async function bench(options: Options, signal: AbortSignal): Promise<string> {
  const size = options.quick ? quickSize : fullSize
  const scenarios = scenariosOf(size).filter(({ name }) => options.only?.includes(name) ?? true)
  const undo: (() => Promise<unknown>)[] = []
  try {
    progress('starting Postgres and Redis')
    const directory = await mkdtemp(join(tmpdir(), 'voice-wallet-bench-'))
    undo.push(() => rm(directory, { recursive: true, force: true }))
    const servers = await startEmbeddedServers({
      dataDirectory: directory,
      durability: 'durable',
      log: progress,
      databaseUrl: process.env['DATABASE_URL'],
      redisUrl: process.env['REDIS_URL'],
    })
    undo.push(() => servers.stop())
    signal.throwIfAborted()

    progress(`opening ${size.wallets.toLocaleString('en-US')} wallets`)
    const database = await createBenchDatabase(servers.databaseUrl, workspaceIds(size.wallets))
    undo.push(() => database.drop())
    if (scenarios.some((scenario) => !isOfQueue(scenario))) {
      await fundWallets(database.db, workspaceIds(size.wallets))
    }
    const connection = new Redis(servers.redisUrl, { maxRetriesPerRequest: null })
    undo.push(async () => connection.disconnect())

    const contestants = new Map<Contestant, ContestantProcess>()
    for (const contestant of new Set(scenarios.map((scenario) => scenario.contestant))) {
      signal.throwIfAborted()
      const process = await startContestant(contestant, {
        databaseUrl: database.url,
        redisUrl: servers.redisUrl,
        poolSize: options.pool,
        profileDirectory: options.profileDirectory,
      })
      undo.push(() => process.stop())
      contestants.set(contestant, process)
    }
    const stage: Stage = {
      servers,
      databaseUrl: database.url,
      db: database.db,
      connection,
      walletCount: size.wallets,
      contestants,
      signal,
    }
    for (const contestant of contestants.keys())
      await warmUp(stage, contestant, size.warmUpEvents[contestant])
    const notes: string[] = []
    const results = await runRounds(stage, { scenarios, rounds: options.rounds, notes })
    await assertBalanced(database.db)
    const summary = summarize(results, await settingsOf(stage, options))
    return options.json ? `${JSON.stringify(summary)}\n` : formatReport(summary, { scenarios, notes })
  } finally {
    for (const step of undo.toReversed())
      await step().catch((error: unknown) => progress(`while cleaning up: ${String(error)}`))
  }
}

/** Every other round runs backwards, so that no scenario always has the same one before it. */
async function runRounds(
  stage: Stage,
  { scenarios, rounds, notes }: { scenarios: readonly Scenario[]; rounds: number; notes: string[] },
): Promise<Results> {
  const results: Results = new Map(scenarios.map(({ name }) => [name, []]))
  for (let round = 1; round <= rounds; round += 1) {
    for (const scenario of round % 2 === 1 ? scenarios : scenarios.toReversed()) {
      const kept = keepsUp(scenario, results)
      if (!kept && round === 1)
        notes.push(`${scenario.title}: left out, that worker cannot keep up with ${scenario.perSecond}/s`)
      const figures = kept ? await runScenario(stage, scenario, round) : null
      results.get(scenario.name)?.push(figures)
      if (figures !== null) progress(`round ${round}/${rounds}  ${progressOf(scenario, figures)}`)
    }
  }
  return results
}

/** A worker that is slower than the events come would only show how long the queue had grown by then. */
function keepsUp(scenario: Scenario, results: Results): boolean {
  if (scenario.contestant !== 'single' || scenario.perSecond === undefined) return true
  const measured = results.get('single_many')?.find((figures) => figures !== null)
  return measured === undefined || measured === null || measured.eventsPerSecond > scenario.perSecond * 1.1
}

async function warmUp(stage: Stage, contestant: Contestant, events: number): Promise<void> {
  await runScenario(
    stage,
    {
      name: 'noop',
      title: '',
      contestant,
      wallets: 'many',
      events,
      eventsPerJob: 1,
      badOneIn: 0,
      ...(isOfContestantsOwn(contestant) ? { inFlight: warmUpInFlight } : {}),
    },
    0,
  )
}

function isOfContestantsOwn(contestant: Contestant): boolean {
  return contestant === 'admission_batch' || contestant === 'admission_single' || contestant === 'wallet_read'
}

/** Throws: when the ledger does not hold exactly what was sent. */
async function runScenario(stage: Stage, scenario: Scenario, round: number): Promise<Figures> {
  const { servers, connection, signal } = stage
  const { contestant, perSecond, inFlight } = scenario
  const process = stage.contestants.get(contestant)
  if (process === undefined) throw new Error(`no worker process for ${contestant}`)
  const name = `${scenario.name}-${contestant}-${round}`.replaceAll('_', '-')
  const traffic = { ...scenario, name, walletCount: stage.walletCount }
  const prefix = `{bench-${name}}`

  if (perSecond === undefined && inFlight === undefined) {
    const queue = new Queue('usage', { connection, prefix })
    await fillQueue(queue, traffic, signal)
    await queue.close()
  }
  const before = await cpuOfServers(servers)
  const result = await process.run(
    {
      prefix,
      events: scenario.events / (contestant === 'noop' ? scenario.eventsPerJob : 1),
      timedAfter: perSecond === undefined ? null : perSecond * leadInSeconds,
      load: inFlight === undefined ? null : { traffic, inFlight },
    },
    {
      signal,
      deadlineMs: runDeadlineMs,
      onStarted: async () => {
        if (perSecond === undefined) return
        await sendSteadily(traffic, { redisUrl: servers.redisUrl, prefix, perSecond, signal })
      },
    },
  )
  const after = await cpuOfServers(servers)
  if (inFlight === undefined) await removeQueue(connection, prefix)
  if (contestant === 'single' || contestant === 'batch') {
    await assertBooked(stage.db, { name, ...expectedOf(traffic) })
  } else if (inFlight !== undefined && contestant !== 'wallet_read') {
    await assertHeld(stage.db, { name, calls: scenario.events })
  }

  const { latenciesMs } = result
  const microsEach = (milliseconds: number): number => (milliseconds * 1_000) / scenario.events
  return {
    eventsPerSecond: (scenario.events * 1_000) / result.elapsedMs,
    latencyMs:
      latenciesMs.length === 0 ? null : { p50: quantile(latenciesMs, 0.5), p99: quantile(latenciesMs, 0.99) },
    averageBatch: result.averageBatch,
    postingShare: result.postingShare,
    cpuMicros: {
      worker: microsEach(result.cpuMs),
      redis: before.redis === null ? null : microsEach((after.redis ?? 0) - before.redis),
      postgres: before.postgres === null ? null : microsEach((after.postgres ?? 0) - before.postgres),
    },
  }
}

async function cpuOfServers({ postgres, redis }: EmbeddedServers) {
  const [postgresMs, redisMs] = await Promise.all([cpuTimeMs(postgres.pid), cpuTimeMs(redis.pid)])
  return { postgres: postgresMs, redis: redisMs }
}

async function settingsOf(stage: Stage, options: Options): Promise<Record<string, unknown>> {
  const config = readWorkerConfig({
    ...process.env,
    DATABASE_URL: stage.databaseUrl,
    REDIS_URL: stage.servers.redisUrl,
  })
  const { rows } = await sql<{ version: string; fsync: string; commit: string }>`
    select current_setting('server_version') as version, current_setting('fsync') as fsync,
      current_setting('synchronous_commit') as commit`.execute(stage.db)
  const redisVersion = /redis_version:(\S+)/.exec(await stage.connection.info('server'))?.[1]
  const appendOnly = /aof_enabled:(\d)/.exec(await stage.connection.info('persistence'))?.[1]
  return {
    machine: `${availableParallelism()} x ${cpus()[0]?.model.trim() ?? 'unknown'}, Node ${process.versions.node}`,
    postgres: `${rows[0]?.version}, fsync ${rows[0]?.fsync}, synchronous_commit ${rows[0]?.commit}`,
    redis: `${redisVersion}, append-only file ${appendOnly === '1' ? 'on' : 'off'}`,
    workers: `${config.usageWorkers} x ${config.usageConcurrency} jobs in one process, batches of up to ${config.postingBatchSize}`,
    wallets: stage.walletCount,
    single_pool: options.pool,
    rounds: options.rounds,
  }
}

function progressOf({ name, perSecond }: Scenario, figures: Figures): string {
  const { latencyMs, eventsPerSecond, averageBatch, postingShare, cpuMicros } = figures
  const rate =
    latencyMs === null || perSecond === undefined
      ? `${Math.round(eventsPerSecond).toLocaleString('en-US')}/s`
      : `p50 ${latencyMs.p50.toFixed(1)} p99 ${latencyMs.p99.toFixed(1)} ms`
  const batches =
    averageBatch === null || postingShare === null
      ? ''
      : `batch ${averageBatch.toFixed(0)}, ${(postingShare * 100).toFixed(0)} % of the time in Postgres`
  const cpu = [cpuMicros.worker, cpuMicros.redis, cpuMicros.postgres]
    .map((micros) => micros?.toFixed(0) ?? '?')
    .join('/')
  return `${name.padEnd(15)} ${rate.padStart(24)}  cpu ${cpu.padStart(12)} us  ${batches}`.trimEnd()
}

function progress(message: string): void {
  process.stderr.write(`${message}\n`)
}
