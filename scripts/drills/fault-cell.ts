/**
 * One cell of the fault matrix: a wallet whose one recharge meets one fault. Afterwards Paddle's own journal of captures, and
 * nothing of ours, says what the truth is.
 */
import { workspaceId as workspaceIdSchema, type WorkspaceId } from '../../billing/ids.ts'
import { listTopUps } from '../../db/top-up.ts'
import { findBalance } from '../../db/wallet.ts'
import type { PaddleGateway } from '../../paddle/gateway.ts'
import type { Journal } from '../../paddle/simulator/control.ts'
import { pause } from '../../runtime/repeat.ts'
import type { DrillStack } from './drill-stack.ts'
import { openWalletWithCard, switchOn } from './recharging-wallet.ts'

export const faultKinds = [
  'hang',
  'reset',
  'http_500',
  'html_502',
  'empty_504',
  'truncated_json',
  'kill -9',
] as const
type FaultKind = (typeof faultKinds)[number]

export type Cell = { kind: FaultKind; when: 'before' | 'after'; visible: 'at once' | 'after a lag' }

export type Prepared = { cell: Cell; workspaceId: WorkspaceId; subscriptionId: string }

export type CellResult = {
  cell: Cell
  captures: number
  capturedCents: bigint
  creditedCents: bigint
  submissions: number
  state: string
  /** From the decision to the credit, in the protocol's time; null when it was never credited. */
  tookMs: number | null
  violations: string[]
}

/** How long after the charge a lagging list shows it: nine of the protocol's fifteen minutes. */
const lagShare = 0.6
/** Restarting a worker, ringing and asking, on a busy machine. */
const ownTimeMs = 10_000
const topUpCents = 10_000n
const grantCents = 1_000n

/** A workspace below its threshold from the start, with a saved card and a fault that waits for its first charge. */
export async function prepareCell(
  { db, control, timing }: DrillStack,
  gateway: Pick<PaddleGateway, 'getSubscription'>,
  cell: Cell,
  name: string,
): Promise<Prepared> {
  const workspaceId = workspaceIdSchema.parse(`ws_${name}`)
  const { subscriptionId } = await openWalletWithCard(db, { control, gateway }, workspaceId)
  await control.fault({
    on: `POST /subscriptions/${subscriptionId}/charge`,
    // A worker is killed while it waits for an answer that does not come.
    kind: cell.kind === 'kill -9' ? 'hang' : cell.kind,
    when: cell.when,
    ...(cell.visible === 'at once' ? {} : { visibleAfterMs: timing.quietPeriodMs * lagShare }),
  })
  return { cell, workspaceId, subscriptionId }
}

/** Enabling auto-recharge below the threshold charges at once. */
export async function startRecharge({ db }: DrillStack, { workspaceId }: Prepared): Promise<void> {
  await switchOn(db, workspaceId, { threshold: '20', topUp: '100' })
}

/** Waits until the cell's top-up has ended, or until the protocol's own deadline for it is well over. */
export async function watchCell(
  stack: DrillStack,
  { workspaceId }: Prepared,
  signal: AbortSignal,
): Promise<void> {
  const { db, timing } = stack
  const deadline = performance.now() + timing.quietPeriodMs * 3 + 10_000
  while (performance.now() < deadline && !signal.aborted) {
    const [topUp] = await listTopUps(db, { workspaceId, limit: 1 })
    if (topUp !== undefined && ['succeeded', 'failed', 'declined', 'canceled'].includes(topUp.state)) return
    await pause(100, signal)
  }
}

/** Shape: every promise that the cell broke; none is what is wanted. */
export async function judgeCell(
  { db, speed, timing }: DrillStack,
  { cell, workspaceId, subscriptionId }: Prepared,
  journal: Journal,
): Promise<CellResult> {
  const captures = journal.captures.filter(
    (capture) => capture.subscriptionId === subscriptionId && capture.net !== '0',
  )
  const capturedCents = captures.reduce((sum, capture) => sum + BigInt(capture.net), 0n)
  const creditedCents = ((await findBalance(db, workspaceId)) ?? 0n) / 10_000n - grantCents
  const topUps = await listTopUps(db, { workspaceId, limit: 10 })
  const [topUp] = topUps
  const tookMs =
    topUp?.state === 'succeeded' ? (topUp.changedAt.getTime() - topUp.createdAt.getTime()) * speed : null
  // A quiet period, and for what was lost before it took effect another try; what this machine needs for them is real time.
  const deadlineMs =
    (timing.quietPeriodMs * (cell.when === 'before' ? 1.5 : 1) + timing.chargeTimeoutMs + ownTimeMs) * speed
  const violations = [
    ...(captures.length > 1 ? [`captured ${captures.length} times`] : []),
    ...(captures.length === 0 ? ['never captured'] : []),
    ...(capturedCents === creditedCents ? [] : [`captured ${capturedCents}, credited ${creditedCents}`]),
    ...(creditedCents === topUpCents ? [] : ['not credited with what was asked for']),
    // A fault that did not bite proves nothing.
    ...(topUp?.submissions === (cell.when === 'before' ? 2 : 1)
      ? []
      : [`sent ${topUp?.submissions ?? 0} times`]),
    ...(topUps.length === 1 ? [] : [`${topUps.length} top-ups for one decision`]),
    ...(tookMs !== null && tookMs > deadlineMs ? ['later than the protocol allows'] : []),
  ]
  return {
    cell,
    captures: captures.length,
    capturedCents,
    creditedCents,
    submissions: topUp?.submissions ?? 0,
    state: topUp?.state ?? 'none',
    tookMs,
    violations,
  }
}
