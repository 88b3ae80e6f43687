/** What the campaign came to: what was spent and what came in, the balance that follows, and Paddle's side of it. */
import { styleText } from 'node:util'

import { centsToMicros, isCaptured } from '../../billing/credit.ts'
import type { WorkspaceId } from '../../billing/ids.ts'
import { displayUsdExact, micros, sumMicros, type Micros } from '../../billing/money.ts'
import { withGateway, type PaddlePlace } from '../paddle-place.ts'
import type { Screen } from './screen.ts'
import type { UsageCounts, WalletMovement } from './watch-wallet.ts'

export type CampaignRun = {
  workspaceId: WorkspaceId
  startedAt: Date
  records: number
  distinct: number
  counts: UsageCounts
  /** From the signup grant on. */
  movements: readonly WalletMovement[]
  /** How the card is called; null when none was saved. */
  card: string | null
}

export async function printSummary(screen: Screen, run: CampaignRun, paddle: PaddlePlace): Promise<void> {
  const { records, distinct, counts, movements, card } = run
  const spent = sumOf(movements.filter(({ amountMicros }) => amountMicros < 0n))
  const topUps = movements.filter(({ kind }) => kind === 'top_up')
  const recharged = sumOf(topUps)
  const granted = sumOf(movements.filter(({ kind }) => kind === 'grant'))
  const times = movements.flatMap(({ tookMs }) => (tookMs === null ? [] : [tookMs]))
  const balance = movements.at(-1)?.balanceAfterMicros
  screen.print(`
The campaign's summary
  records reported   ${records}, repeats that cost nothing: ${records - distinct}
  calls billed       ${counts.posted}
  not answered       ${counts.free}, free
  set aside          ${counts.setAside}
  granted            ${displayUsdExact(granted)} at signup
  recharged          ${displayUsdExact(recharged)}${card === null ? ', no card is saved' : `, ${topUps.length} x ${card}`}
  spent              ${displayUsdExact(micros(0n - spent))}
  balance            ${balance === undefined ? '-' : displayUsdExact(balance)}
  queue to ledger    p50 ${milliseconds(percentile(times, 0.5))}, p99 ${milliseconds(percentile(times, 0.99))}`)
  if (card !== null) screen.print(`  Paddle             ${await comparePaddle(run, recharged, paddle)}`)
}

/** Whether Paddle captured for this workspace what the wallet was credited with. */
export async function comparePaddle(
  { workspaceId, startedAt }: Pick<CampaignRun, 'workspaceId' | 'startedAt'>,
  creditedMicros: Micros,
  paddle: PaddlePlace,
): Promise<string> {
  const updatedSince = new Date(startedAt.getTime() - clockDifferenceMs)
  const listed = await withGateway(paddle, (gateway) => gateway.listTransactions({ updatedSince }))
  if (listed.outcome !== 'listed') return 'could not be asked: npm run -s reconcile'
  const lines = listed.transactions.filter(isCaptured).flatMap((transaction) => transaction.lines)
  const captured = lines
    .filter((line) => line.workspaceId === workspaceId)
    .reduce((sum, line) => sum + line.net.amount, 0n)
  const said = `captured ${displayUsdExact(centsToMicros(captured))}, credited ${displayUsdExact(creditedMicros)}`
  return centsToMicros(captured) === creditedMicros
    ? styleText('green', said)
    : `${styleText('red', said)}: npm run -s reconcile`
}

/** Paddle's clock and ours may differ. */
const clockDifferenceMs = 120_000

function sumOf(movements: readonly WalletMovement[]): Micros {
  return sumMicros(movements.map(({ amountMicros }) => amountMicros))
}

function milliseconds(value: number | null): string {
  return value === null ? '-' : `${Math.round(value)} ms`
}

/** The value below which that share of them lies; null of none. */
export function percentile(values: readonly number[], share: number): number | null {
  const sorted = values.toSorted((one, other) => one - other)
  return sorted[Math.min(Math.floor(sorted.length * share), sorted.length - 1)] ?? null
}
