/**
 * The worker process of the bench. Every contestant runs in a process of its own, set up alike: as many workers with the
 * same concurrency and the same options, on the same queue. It is told when to run (`contestant-process.ts`).
 */
import { Redis } from 'ioredis'
import { sql } from 'kysely'

import { connect } from '../../db/connect.ts'
import { readRateBook } from '../../db/rate-book.ts'
import type { Db } from '../../db/schema.ts'
import { readWorkerConfig, type WorkerConfig } from '../../runtime/config.ts'
import { createLog, type Log } from '../../runtime/log.ts'
import { createPostingBatch, type PostingBatch } from '../../workers/posting-batch.ts'
import { startWorker, type StartedWorker, type WorkerContext } from '../../workers/start-worker.ts'
import { arrivalsOf, startUsageWorkers } from '../../workers/usage-worker.ts'
import { admitInBatches, admitInTransactions, inFlight, type Admit } from './admission-load.ts'
import type { Reply, RunRequest, RunResult } from './contestant-process.ts'
import { handleInOneTransaction } from './single-transaction-worker.ts'
import { callToAdmitAt, monotonicMicros, readEnqueuedAt } from './traffic.ts'
import { startWalletReads } from './wallet-read-load.ts'

/** A contestant, connected. Its workers tell the tally of each event once it is committed. */
type Entrant = {
  /** Opens the connections that a worker which has run for a while has. */
  warmUp: () => Promise<void>
  start: (context: WorkerContext, load: RunRequest['load']) => StartedWorker[]
}

type Tally = {
  done: (key: string) => void
  /** Work that failed: nothing that is measured after it can be believed. */
  failed: (error: unknown) => void
  timed: (latencyMs: number) => void
  batch: (events: number, durationMs: number) => void
}

/** Replaced by every run. */
let tally: Tally = {
  done: () => undefined,
  failed: () => undefined,
  timed: () => undefined,
  batch: () => undefined,
}

async function main(): Promise<void> {
  const config = readWorkerConfig(process.env)
  const log = createLog('fatal', 'bench contestant')
  const [contestant, poolSize] = process.argv.slice(2)
  const entrant = await enter(contestant, { config, log, poolSize: Number(poolSize) })
  const connection = new Redis(config.redisUrl, { maxRetriesPerRequest: null })
  connection.on('error', (error) => log.warn({ err: error }, 'redis connection error'))

  process.on('message', (request: RunRequest) => {
    const context = { connection, prefix: request.prefix, log }
    run(request, { context, entrant, onStarted: () => reply({ kind: 'started' }) }).then(
      (result) => reply({ kind: 'done', result }),
      (error: unknown) => reply({ kind: 'failed', reason: String(error) }),
    )
  })
  // Ctrl-C reaches this process too, but the bench decides when its contestants end.
  process.on('SIGINT', () => undefined)
  process.on('disconnect', () => process.exit(0))
  reply({ kind: 'ready' })
}

function reply(message: Reply): void {
  process.send?.(message)
}

/** From the start of the workers until as many events are done as come. */
async function run(
  { events, timedAfter, load }: RunRequest,
  { context, entrant, onStarted }: { context: WorkerContext; entrant: Entrant; onStarted: () => void },
): Promise<RunResult> {
  const finished = Promise.withResolvers<void>()
  const latenciesMs: number[] = []
  let done = 0
  let batches = 0
  let batchedEvents = 0
  let postingMs = 0
  tally = {
    done: (key) => {
      done += 1
      if (timedAfter !== null && done > timedAfter)
        latenciesMs.push((monotonicMicros() - readEnqueuedAt(key)) / 1_000)
      if (done === events) finished.resolve()
    },
    failed: finished.reject,
    timed: (latencyMs) => latenciesMs.push(latencyMs),
    batch: (events, durationMs) => {
      batches += 1
      batchedEvents += events
      postingMs += durationMs
    },
  }
  await entrant.warmUp()

  const cpuBefore = process.cpuUsage()
  const startedAt = performance.now()
  const workers = entrant.start(context, load)
  onStarted()
  await finished.promise
  const elapsedMs = performance.now() - startedAt
  const { user, system } = process.cpuUsage(cpuBefore)

  await Promise.all(workers.map((worker) => worker.close()))
  return {
    elapsedMs,
    cpuMs: (user + system) / 1_000,
    averageBatch: batches === 0 ? null : batchedEvents / batches,
    postingShare: batches === 0 ? null : postingMs / elapsedMs,
    latenciesMs,
  }
}

type EntrantOptions = { config: WorkerConfig; log: Log; poolSize: number }

async function enter(contestant: string | undefined, options: EntrantOptions): Promise<Entrant> {
  if (contestant === 'noop') return enterNoop(options)
  if (contestant === 'single') return await enterSingle(options)
  if (contestant === 'batch') return enterBatch(options)
  if (contestant === 'admission_batch') return enterAdmissionBatch(options)
  if (contestant === 'admission_single') return await enterAdmissionSingle(options)
  if (contestant === 'wallet_read') return enterWalletRead(options)
  throw new Error(`there is no contestant ${contestant}`)
}

function enterNoop({ config }: EntrantOptions): Entrant {
  return {
    warmUp: () => Promise.resolve(),
    start: (context) =>
      Array.from({ length: config.usageWorkers }, () =>
        startWorker(context, 'usage', {
          concurrency: config.usageConcurrency,
          handle: async () => tally.done(''),
        }),
      ),
  }
}

async function enterSingle({ config, poolSize }: EntrantOptions): Promise<Entrant> {
  const db = connect(config.databaseUrl, { profile: 'worker', name: 'bench single', poolSize })
  const prices = await readRateBook(db)
  return {
    warmUp: () => openConnections(db, poolSize),
    start: (context) =>
      Array.from({ length: config.usageWorkers }, () =>
        startWorker(context, 'usage', {
          concurrency: config.usageConcurrency,
          handle: async (job) => {
            await handleInOneTransaction(job, { db, prices })
            for (const arrival of arrivalsOf(job)) tally.done(arrival.key)
          },
        }),
      ),
  }
}

function enterBatch({ config, log }: EntrantOptions): Entrant {
  const postingDb = connect(config.databaseUrl, { profile: 'posting', name: 'bench posting', poolSize: 1 })
  const db = connect(config.databaseUrl, { profile: 'worker', name: 'bench worker', poolSize: 1 })
  const batch = createPostingBatch({
    db: postingDb,
    log,
    most: config.postingBatchSize,
    onBatch: ({ events, durationMs }) => tally.batch(events, durationMs),
  })
  const tallied: PostingBatch = {
    ...batch,
    post: async (arrival) => {
      const outcome = await batch.post(arrival)
      tally.done(arrival.key)
      return outcome
    },
  }
  return {
    warmUp: () => openConnections(postingDb, 1),
    start: (context) =>
      startUsageWorkers(context, {
        db,
        batch: tallied,
        workers: config.usageWorkers,
        concurrency: config.usageConcurrency,
      }),
  }
}

function enterAdmissionBatch({ config, log }: EntrantOptions): Entrant {
  const db = connect(config.databaseUrl, { profile: 'posting', name: 'bench admission', poolSize: 3 })
  return { warmUp: () => openConnections(db, 1), start: admitting(admitInBatches(db, log)) }
}

async function enterAdmissionSingle({ config, poolSize }: EntrantOptions): Promise<Entrant> {
  const db = connect(config.databaseUrl, { profile: 'worker', name: 'bench admission', poolSize })
  return { warmUp: () => openConnections(db, poolSize), start: admitting(await admitInTransactions(db)) }
}

function admitting(admit: Admit): Entrant['start'] {
  return (_context, load) => {
    if (load === null) throw new Error('admissions come from no queue')
    const { traffic, inFlight: atOnce } = load
    inFlight(traffic.events, atOnce, async (index) => {
      const call = callToAdmitAt(traffic, index)
      await admit(call)
      tally.done(call.callId)
    }).catch(tally.failed)
    return []
  }
}

function enterWalletRead({ config, log }: EntrantOptions): Entrant {
  return {
    warmUp: () => Promise.resolve(),
    start: (_context, load) => {
      if (load === null) throw new Error('requests come from no queue')
      const { traffic, inFlight: atOnce } = load
      const { workspaceId } = callToAdmitAt(traffic, 0)
      const reading = async (): Promise<void> => {
        const { read, close } = await startWalletReads(config.databaseUrl, { workspaceId, log })
        await inFlight(traffic.events, atOnce, async () => {
          const startedAt = performance.now()
          await read()
          tally.timed(performance.now() - startedAt)
          tally.done('')
        })
        await close()
      }
      reading().catch(tally.failed)
      return []
    },
  }
}

/** The pool lets idle connections go, so it is filled anew before each run. */
async function openConnections(db: Db, count: number): Promise<void> {
  await Promise.all(Array.from({ length: count }, () => sql`select pg_sleep(0.1)`.execute(db)))
}

await main()
