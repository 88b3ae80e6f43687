/** The demo: a new workspace with its $10, a campaign replayed through the public producer, and a screen that shows it. */
import { workspaceId as workspaceIdSchema, type WorkspaceId } from '../../billing/ids.ts'
import { displayUsd } from '../../billing/money.ts'
import { readClock } from '../../db/clock.ts'
import type { Db } from '../../db/schema.ts'
import type { TopUp } from '../../db/top-up.ts'
import { findBalance } from '../../db/wallet.ts'
import { createProducer, type Producer } from '../../jobs/producer.ts'
import { pause } from '../../runtime/repeat.ts'
import { nameCard } from '../money-in/wording.ts'
import type { PaddlePlace } from '../paddle-place.ts'
import type { Stack } from '../stack.ts'
import { campaignRecords, type CallRecord } from './campaign-records.ts'
import { createStory, type Story } from './recharge-story.ts'
import { demoAutoRecharge, saveDemoCard } from './save-demo-card.ts'
import { liveLine, movementHeader, type Screen } from './screen.ts'
import { percentile, printSummary } from './summary.ts'
import { countUsage, listMovementsAfter, readFrame, type WalletMovement } from './watch-wallet.ts'

export type Campaign = { records: number; callsPerSecond: number }

export type DemoContext = { db: Db; stack: Stack; paddle: PaddlePlace; screen: Screen; signal: AbortSignal }

const frameMs = 100

/** Shape: the demo's workspace, when every record is decided or `signal` is aborted. */
export async function runDemoCampaign(
  { db, stack, paddle, screen, signal }: DemoContext,
  campaign: Campaign,
): Promise<WorkspaceId> {
  const workspaceId = await unusedWorkspaceId(db)
  const startedAt = await readClock(db)
  const producer = createProducer(stack.redisUrl, { prefix: stack.queuePrefix, timeoutMs: 10_000 })
  try {
    await producer.workspaceCreated({ workspaceId })
    const grant = await untilOpen(db, workspaceId, signal)
    if (grant === undefined) return workspaceId
    screen.print(`Workspace ${workspaceId} is open with a signup grant of ${displayUsd(grant.amountMicros)}.`)
    const saved = await saveDemoCard({ db, paddle, screen, signal }, workspaceId)
    const card = saved === null ? null : nameCard(saved)
    if (saved === null && paddle.simulatorUrl !== null)
      screen.print('The campaign runs without auto-recharge.')
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
    const { thresholdMicros } = demoAutoRecharge
    const story = createStory({
      card: card ?? 'the card',
      thresholdMicros,
      balanceMicros: grant.balanceAfterMicros,
    })
    const news = await watch({ db, screen, signal, story }, { workspaceId, distinct, grant })
    await sending
    screen.end()
    if (signal.aborted) return workspaceId
    const counts = await countUsage(db, workspaceId)
    const movements = [grant, ...news]
    const run = { workspaceId, startedAt, records: records.length, distinct, counts, movements, card }
    await printSummary(screen, run, paddle)
    return workspaceId
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

/** Shows what happens until every record is decided and no recharge is under way any more. */
async function watch(
  { db, screen, signal, story }: { db: Db; screen: Screen; signal: AbortSignal; story: Story },
  { workspaceId, distinct, grant }: { workspaceId: WorkspaceId; distinct: number; grant: WalletMovement },
): Promise<WalletMovement[]> {
  const movements: WalletMovement[] = []
  let sequence = grant.sequence
  let balanceMicros = grant.balanceAfterMicros
  let recent: { at: number; decided: number }[] = []
  let decidedAt: number | null = null
  while (!signal.aborted) {
    const { counts, movements: news, topUps } = await readFrame(db, workspaceId, sequence)
    for (const line of story(news, topUps)) screen.print(line)
    movements.push(...news)
    sequence = news.at(-1)?.sequence ?? sequence
    balanceMicros = news.at(-1)?.balanceAfterMicros ?? balanceMicros

    const now = performance.now()
    const decided = counts.posted + counts.free + counts.setAside
    recent = [...recent.filter(({ at }) => now - at < 2_000), { at: now, decided }]
    const oldest = recent[0]
    const elapsedMs = Math.max(now - (oldest?.at ?? now), frameMs)
    const times = movements.flatMap(({ tookMs }) => (tookMs === null ? [] : [tookMs]))
    screen.live(
      liveLine({
        eventsPerSecond: Math.round((decided - (oldest?.decided ?? 0)) / (elapsedMs / 1_000)),
        p99Ms: percentile(times.slice(-200), 0.99),
        balanceMicros,
        progress: `${decided}/${distinct} calls`,
      }),
    )
    if (decided >= distinct) decidedAt ??= now
    const waitedMs = decidedAt === null ? 0 : now - decidedAt
    if (decidedAt !== null && (!topUps.some(isUnderWay) || waitedMs > rechargeWithinMs)) break
    await pause(frameMs, signal)
  }
  return movements
}

/** How long the end waits for a recharge that the last calls caused. */
const rechargeWithinMs = 10_000

function isUnderWay({ state }: TopUp): boolean {
  return state === 'ready' || state === 'submitting' || state === 'unknown' || state === 'processing'
}
