/** A wallet's burn rate: what usage took in the last hour, day and week, exact to the instant. */
import { burnRate, burnSpans, type BurnSpan, type Pace } from '../billing/burn-rate.ts'
import type { WorkspaceId } from '../billing/ids.ts'
import type { Db } from './schema.ts'
import { readUsed } from './usage-stats.ts'
import type { WalletState } from './wallet-summary.ts'

const hourMs = 3_600_000

/** Shape: as `wallet` was; `now` is the database's. */
export async function readBurnRate(
  db: Db,
  workspaceId: WorkspaceId,
  { newest, availableMicros }: Pick<WalletState, 'newest' | 'availableMicros'>,
  now: Date,
): Promise<Record<BurnSpan, Pace>> {
  const usedIn = (span: BurnSpan) =>
    readUsed(db, { workspaceId, newest, from: new Date(now.getTime() - burnSpans[span] * hourMs) })
  const [workspace, hour, day, week] = await Promise.all([
    db
      .selectFrom('workspace')
      .select('created_at')
      .where('workspace_id', '=', workspaceId)
      .executeTakeFirstOrThrow(),
    usedIn('hour'),
    usedIn('day'),
    usedIn('week'),
  ])
  const ageHours = (now.getTime() - workspace.created_at.getTime()) / hourMs
  return burnRate({ usedMicros: { hour, day, week }, availableMicros, ageHours })
}
