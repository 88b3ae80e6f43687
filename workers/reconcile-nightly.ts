/** Every night Paddle's last days against ours. What is missing here is adopted; what does not fit is for a person. */
import { readClock } from '../db/clock.ts'
import type { RoundOutcome } from '../db/schedule.ts'
import type { Log } from '../runtime/log.ts'
import { reconcile, type Reconciling } from './reconcile.ts'

/** Paddle tells a webhook again for three days; what it could not deliver by then is found here. */
const lookBackMs = 4 * 86_400_000

/** Throws: when Paddle cannot be asked, so that the round is overdue. */
export async function reconcileNightly({
  log,
  ...reconciling
}: Reconciling & { log: Log }): Promise<RoundOutcome> {
  const since = new Date((await readClock(reconciling.db)).getTime() - lookBackMs)
  const result = await reconcile(reconciling, { since })
  if (result.outcome !== 'reconciled') throw new Error(`Paddle could not be asked: ${JSON.stringify(result)}`)
  const { transactions, adjustments, adopted, misfits } = result
  const fields = { transactions, adjustments, adopted, misfits: misfits.slice(0, 20) }
  if (misfits.length > 0) log.error(fields, "Paddle and the ledger do not fit: run 'npm run -s reconcile'")
  else log.info(fields, 'Paddle and the ledger fit')
  return {
    did: { transactions, adjustments, adopted: adopted.length },
    found: misfits.map(({ what, paddleId, why }) => `${paddleId}: ${what}, ${why}`),
  }
}
