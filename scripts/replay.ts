/** Replays a file of call records through the public producer, and says what became of them. */
import { stat } from 'node:fs/promises'

import { Queue } from 'bullmq'
import { SingleBar } from 'cli-progress'
import { Redis } from 'ioredis'
import { sql } from 'kysely'

import { displayUsdExact, micros } from '../billing/money.ts'
import { workspaceId as workspaceIdSchema } from '../billing/ids.ts'
import { connect } from '../db/connect.ts'
import type { Db } from '../db/schema.ts'
import { stageJob } from '../db/staged-job.ts'
import { receiveUsage } from '../db/usage-event.ts'
import { openWorkspace } from '../db/workspace.ts'
import { jobOf } from '../jobs/contract.ts'
import { createProducer, type Producer } from '../jobs/producer.ts'
import { usageReceived } from '../jobs/usage-jobs.ts'
import { pause } from '../runtime/repeat.ts'
import { Misuse, runScript, wholeNumber } from './command-line.ts'
import { readRecords, type FileRecord } from './demo/record-file.ts'
import { countWorkers } from './running-workers.ts'
import { startWorkerProcess, withStack, type Stack } from './stack.ts'

type ReadRecord = Extract<FileRecord, { outcome: 'read' }>

await runScript({
  name: 'replay',
  usage: `usage: npm run -s replay -- <file.jsonl | file.csv> [--through queue|postgres] [--in-flight <n>]
                            [--open-workspaces] [--no-wait]

Enqueues every record of the file, waits until all of them are decided, and says what became of them. Replaying a file
again posts nothing. Works on DATABASE_URL and REDIS_URL, else on this checkout's embedded servers; starts workers for as
long as it runs when there are none.

  --through queue     through the producer and BullMQ (default)
  --through postgres  into usage_event, and only rings the queue: what is accepted survives the loss of Redis
  --in-flight <n>     how many records are on their way to Redis at once (default 64)
  --open-workspaces   open workspaces that do not exist yet, each with its signup grant (always on embedded servers)
  --no-wait           end when everything is enqueued
  --help              this text

A record is what call-ended takes: callId, workspaceId, startedAt, durationSeconds, to, recorded, and optionally direction,
from, agentId, campaignId; or, with "kind":"message", what message-sent takes. In CSV these are the column names.`,
  options: {
    through: { type: 'string', default: 'queue' },
    'in-flight': { type: 'string', default: '64' },
    'open-workspaces': { type: 'boolean' },
    'no-wait': { type: 'boolean' },
  },
  run: async (options, [file, ...rest]) => {
    if (file === undefined || rest.length > 0) throw new Misuse('name one file of call records')
    if (options.through !== 'queue' && options.through !== 'postgres') {
      throw new Misuse('--through: expected queue or postgres')
    }
    const { through } = options
    const inFlight = wholeNumber('--in-flight', options['in-flight'], { least: 1, most: 10_000 })
    const { records, refused } = await readFile(file)
    return await withStack({ log }, async (stack, interrupted) => {
      log(`on ${stack.description}`)
      const db = connect(stack.databaseUrl, { profile: 'operator', name: 'replay', poolSize: 4 })
      try {
        if (stack.ours || options['open-workspaces'] === true) await openWorkspaces(db, records)
        const before = await countFacts(db, records)
        const wait = options['no-wait'] !== true
        const needsWorkers = wait && (await countWorkers(stack, 'usage')) === 0
        const workers = needsWorkers ? await startWorkerProcess(stack, log) : null
        try {
          const startedAt = performance.now()
          await send(db, stack, records, { through, inFlight, interrupted })
          const sentMs = performance.now() - startedAt
          if (wait) await untilDecided(db, stack, records, interrupted)
          const decidedMs = performance.now() - startedAt
          const after = await countFacts(db, records)
          process.stdout.write(summary({ records, refused, before, after, sentMs, decidedMs, wait }))
        } finally {
          await workers?.stop()
        }
      } finally {
        await db.destroy()
      }
      return refused.length > 0 || interrupted.aborted ? 1 : 0
    })
  },
})

async function readFile(path: string): Promise<{ records: ReadRecord[]; refused: FileRecord[] }> {
  if (!(await stat(path).catch(() => null))?.isFile()) throw new Misuse(`there is no file ${path}`)
  const records: ReadRecord[] = []
  const refused: FileRecord[] = []
  for await (const record of readRecords(path)) {
    if (record.outcome === 'read') records.push(record)
    else refused.push(record)
  }
  for (const record of refused.slice(0, 10)) {
    if (record.outcome === 'refused') log(`line ${record.line} was refused: ${record.reason}`)
  }
  if (refused.length > 10) log(`and ${refused.length - 10} more lines were refused`)
  if (records.length === 0) throw new Misuse(`${path} has no record that could be replayed`)
  return { records, refused }
}

async function openWorkspaces(db: Db, records: readonly ReadRecord[]): Promise<void> {
  for (const name of new Set(records.map((record) => record.arrival.workspaceId))) {
    const workspaceId = workspaceIdSchema.parse(name)
    const opening = await db.transaction().execute((trx) => openWorkspace(trx, { workspaceId }))
    if (opening.outcome === 'opened') log(`opened ${workspaceId} with its signup grant`)
  }
}

type SendOptions = { through: 'queue' | 'postgres'; inFlight: number; interrupted: AbortSignal }

async function send(
  db: Db,
  stack: Stack,
  records: readonly ReadRecord[],
  { through, inFlight, interrupted }: SendOptions,
): Promise<void> {
  const bar = progressBar('enqueued', records.length)
  if (through === 'postgres') {
    for (let start = 0; start < records.length && !interrupted.aborted; start += 500) {
      const page = records.slice(start, start + 500)
      await db.transaction().execute(async (trx) => {
        await receiveUsage(
          trx,
          page.map((record) => record.arrival),
        )
        await stageJob(trx, page[0]?.arrival.workspaceId ?? '', jobOf(usageReceived, {}))
      })
      bar.update(start + page.length)
    }
  } else {
    const producer = createProducer(stack.redisUrl, { prefix: stack.queuePrefix, timeoutMs: 10_000 })
    let next = 0
    const lane = async (): Promise<void> => {
      for (let record = records[next++]; record !== undefined; record = records[next++]) {
        if (interrupted.aborted) return
        await enqueue(producer, record)
        bar.increment()
      }
    }
    try {
      await Promise.all(Array.from({ length: inFlight }, lane))
    } finally {
      await producer.close()
    }
  }
  bar.stop()
}

async function enqueue(producer: Producer, { event }: ReadRecord): Promise<void> {
  if (event.kind === 'call') await producer.callEnded(event.payload)
  else await producer.messageSent(event.payload)
}

/** Every fact of the file is decided, and no job of ours is on its way any more. */
async function untilDecided(
  db: Db,
  stack: Stack,
  records: readonly ReadRecord[],
  interrupted: AbortSignal,
): Promise<void> {
  const facts = distinctFacts(records)
  const bar = progressBar('decided ', facts.length)
  const connection = new Redis(stack.redisUrl, { maxRetriesPerRequest: null })
  connection.on('error', () => undefined)
  const queue = new Queue('usage', { connection, prefix: stack.queuePrefix })
  queue.on('error', () => undefined)
  try {
    while (!interrupted.aborted) {
      const { decided } = await countFacts(db, records).catch(() => ({ decided: 0 }))
      bar.update(decided)
      if (decided >= facts.length && (await isQuiet(queue))) return
      await pause(decided >= facts.length ? 100 : 300, interrupted)
    }
  } finally {
    bar.stop()
    await queue.close()
    connection.disconnect()
  }
}

async function isQuiet(queue: Queue): Promise<boolean> {
  const { waiting, active, delayed } = await queue.getJobCounts('waiting', 'active', 'delayed')
  return (waiting ?? 0) + (active ?? 0) + (delayed ?? 0) === 0
}

function distinctFacts(records: readonly ReadRecord[]): { workspaceId: string; key: string }[] {
  return [
    ...new Map(records.map(({ arrival }) => [`${arrival.workspaceId}\n${arrival.key}`, arrival])).values(),
  ]
}

type Facts = {
  decided: number
  posted: number
  free: number
  setAside: number
  contradictions: number
  micros: bigint
}

async function countFacts(db: Db, records: readonly ReadRecord[]): Promise<Facts> {
  const facts = distinctFacts(records)
  const { rows } = await sql<Facts>`
    with fact as (
      select * from unnest(
        ${facts.map((fact) => fact.workspaceId)}::text[], ${facts.map((fact) => fact.key)}::text[]
      ) as fact (workspace_id, key)
    )
    select
      count(*) filter (where e.state <> 'received')::int as decided,
      count(*) filter (where e.state = 'posted')::int as posted,
      count(*) filter (where e.state = 'free')::int as free,
      count(*) filter (where e.state = 'set_aside')::int as "setAside",
      (select count(*) from usage_event c
        where c.state = 'set_aside' and c.key like '%#%'
          and (c.workspace_id, split_part(c.key, '#', 1)) in (select workspace_id, key from fact))::int as contradictions,
      coalesce(sum(t.amount_micros), 0)::bigint as micros
    from fact
    join usage_event e using (workspace_id, key)
    left join ledger_transaction t on t.workspace_id = fact.workspace_id and t.idempotency_key = fact.key`.execute(
    db,
  )
  return rows[0] ?? { decided: 0, posted: 0, free: 0, setAside: 0, contradictions: 0, micros: 0n }
}

function summary(run: {
  records: readonly ReadRecord[]
  refused: readonly FileRecord[]
  before: Facts
  after: Facts
  sentMs: number
  decidedMs: number
  wait: boolean
}): string {
  const { records, refused, before, after } = run
  const distinct = distinctFacts(records).length
  const lines: [string, string][] = [
    ['records', `${records.length}${refused.length > 0 ? `, and ${refused.length} refused` : ''}`],
    ['distinct', `${distinct}, repeats: ${records.length - distinct}`],
    ['posted', `${after.posted - before.posted} since this replay began, before it: ${before.posted}`],
    ['free', `${after.free}, not answered`],
    [
      'set aside',
      `${after.setAside}${after.contradictions > 0 ? `, and ${after.contradictions} contradictions` : ''}`,
    ],
    ['charged', displayUsdExact(micros(before.micros - after.micros))],
    ['enqueued', `in ${(run.sentMs / 1000).toFixed(1)} s, ${perSecond(records.length, run.sentMs)}`],
  ]
  if (run.wait)
    lines.push([
      'decided',
      `in ${(run.decidedMs / 1000).toFixed(1)} s, ${perSecond(records.length, run.decidedMs)}`,
    ])
  return `${lines.map(([name, value]) => `  ${name.padEnd(12)}${value}`).join('\n')}\n`
}

function perSecond(count: number, durationMs: number): string {
  return `${Math.round(count / (durationMs / 1000)).toLocaleString('en')}/s`
}

function progressBar(name: string, total: number): SingleBar {
  const bar = new SingleBar({
    format: `  ${name} [{bar}] {percentage}% {value}/{total}`,
    stream: process.stderr,
    noTTYOutput: false,
    clearOnComplete: true,
    hideCursor: true,
  })
  bar.start(total, 0)
  return bar
}

function log(message: string): void {
  process.stderr.write(`${message}\n`)
}
