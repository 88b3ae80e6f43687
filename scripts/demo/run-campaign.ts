/** The demo: a new workspace with its $10, a campaign replayed through the public producer, and a screen that shows it. */
import { workspaceId as workspaceIdSchema, type WorkspaceId } from '../../billing/ids.ts'
import { displayUsd, displayUsdExact, micros } from '../../billing/money.ts'
import type { Db } from '../../db/schema.ts'
import { findBalance } from '../../db/wallet.ts'
import { createProducer, type Producer } from '../../jobs/producer.ts'
import { pause } from '../../runtime/repeat.ts'
import type { Stack } from '../stack.ts'
import type { PaddlePlace } from '../paddle-place.ts'
import { campaignRecords, type CallRecord } from './campaign-records.ts'
import { saveDemoCard } from './save-demo-card.ts'
import { liveLine, movementHeader, movementLine, type Screen } from './screen.ts'
import { countUsage, listMovementsAfter, type UsageCounts, type WalletMovement } from './watch-wallet.ts'

export type Campaign = { records: number; callsPerSecond: number }

export type DemoContext = { db: Db; stack: Stack; paddle: PaddlePlace; screen: Screen; signal: AbortSignal }

const frameMs = 100

/** Shape: resolves when every record is decided, or when `signal` is aborted. */
export async function runDemoCampaign(
  { db, stack, paddle, screen, signal }: DemoContext,
  campaign: Campaign,
): Promise<void> {
  const workspaceId = await unusedWorkspaceId(db)
  const producer = createProducer(stack.redisUrl, { prefix: stack.queuePrefix, timeoutMs: 10_000 })
  try {
    await producer.workspaceCreated({ workspaceId })
    const grant = await untilOpen(db, workspaceId, signal)
    if (grant === undefined) return
    screen.print(`Workspace ${workspaceId} is open with a signup grant of ${displayUsd(grant.amountMicros)}.`)
    await saveDemoCard({ db, paddle, screen, signal }, workspaceId)
    screen.print(
      `A campaign reports ${campaign.records} call records through the queue:\n\n${movementHeader}`,
    )

    const records = [
      ...campaignRecords({
        records: campaign.records,
        seed: 1,
        workspaceId,
        campaignId: 'campaign_demo',
        endedAt: new Date(Math.floor(Date.now() / 1_000) * 1_000),
      }),
    ]
    const distinct = new Set(records.map((record) => record.callId)).size
    const sending = send(records, { perSecond: campaign.callsPerSecond, producer, signal })
    const movements = await watch({ db, screen, signal, workspaceId, distinct })
    await sending
    screen.end()
    if (!signal.aborted) {
      const counts = await countUsage(db, workspaceId)
      printSummary(screen, { records: records.length, distinct, counts, movements })
    }
  } finally {
    await producer.close()
  }
}

/** `ws_demo`, or the first of `ws_demo_2`, `ws_demo_3` ... that is not there yet, so that each run begins with $10. */
async function unusedWorkspaceId(db: Db): Promise<WorkspaceId> {
  for (let run = 1; ; run += 1) {
    const workspaceId = workspaceIdSchema.parse(run === 1 ? 'ws_demo' : `ws_demo_${run}`)
    if ((await findBalance(db, workspaceId)) === null) return workspaceId
  }
}

async function untilOpen(
  db: Db,
  workspaceId: WorkspaceId,
  signal: AbortSignal,
): Promise<WalletMovement | undefined> {
  while (!signal.aborted) {
    const [grant] = await listMovementsAfter(db, workspaceId, 0n)
    if (grant !== undefined) return grant
    await pause(frameMs, signal)
  }
  return undefined
}

/** At the pace of a dialler, so that it can be followed. */
async function send(
  records: readonly CallRecord[],
  { perSecond, producer, signal }: { perSecond: number; producer: Producer; signal: AbortSignal },
): Promise<void> {
  const startedAt = performance.now()
  for (const [index, { kind: _kind, ...call }] of records.entries()) {
    const dueMs = (index / perSecond) * 1_000 - (performance.now() - startedAt)
    if (dueMs > 1) await pause(dueMs, signal)
    if (signal.aborted) return
    await producer.callEnded(call)
  }
}

async function watch({
  db,
  screen,
  signal,
  workspaceId,
  distinct,
}: {
  db: Db
  screen: Screen
  signal: AbortSignal
  workspaceId: WorkspaceId
  distinct: number
}): Promise<WalletMovement[]> {
  const movements: WalletMovement[] = []
  let sequence = 1n
  let balanceMicros = await findBalance(db, workspaceId)
  let decided = 0
  let recent: { at: number; decided: number }[] = []
  while (!signal.aborted && decided < distinct) {
    // Counted first: what is counted as decided is then among the movements, the last one too.
    const counts = await countUsage(db, workspaceId)
    decided = counts.posted + counts.free + counts.setAside
    const news = await listMovementsAfter(db, workspaceId, sequence)
    for (const movement of news) screen.print(movementLine(movement))
    movements.push(...news)
    sequence = news.at(-1)?.sequence ?? sequence
    balanceMicros = news.at(-1)?.balanceAfterMicros ?? balanceMicros

    const now = performance.now()
    recent = [...recent.filter(({ at }) => now - at < 2_000), { at: now, decided }]
    const oldest = recent[0]
    const elapsedMs = Math.max(now - (oldest?.at ?? now), frameMs)
    screen.live(
      liveLine({
        eventsPerSecond: Math.round((decided - (oldest?.decided ?? 0)) / (elapsedMs / 1_000)),
        p99Ms: percentile(
          movements.slice(-200).map((movement) => movement.tookMs ?? 0),
          0.99,
        ),
        balanceMicros: balanceMicros ?? micros(0n),
        progress: `${decided}/${distinct} calls`,
      }),
    )
    if (decided < distinct) await pause(frameMs, signal)
  }
  return movements
}

function printSummary(
  screen: Screen,
  run: { records: number; distinct: number; counts: UsageCounts; movements: readonly WalletMovement[] },
): void {
  const { records, distinct, counts, movements } = run
  const spent = movements.reduce((sum, movement) => sum - movement.amountMicros, 0n)
  const times = movements.map((movement) => movement.tookMs ?? 0)
  const balance = movements.at(-1)?.balanceAfterMicros
  screen.print(`
The campaign's summary
  records reported   ${records}, repeats that cost nothing: ${records - distinct}
  calls billed       ${counts.posted}
  not answered       ${counts.free}, free
  set aside          ${counts.setAside}
  spent              ${displayUsdExact(micros(spent))}
  balance            ${balance === undefined ? '-' : displayUsdExact(balance)}
  queue to ledger    p50 ${milliseconds(percentile(times, 0.5))}, p99 ${milliseconds(percentile(times, 0.99))}`)
}

function milliseconds(value: number | null): string {
  return value === null ? '-' : `${Math.round(value)} ms`
}

/** The value below which that share of them lies; null of none. */
function percentile(values: readonly number[], share: number): number | null {
  const sorted = values.toSorted((one, other) => one - other)
  return sorted[Math.min(Math.floor(sorted.length * share), sorted.length - 1)] ?? null
}
