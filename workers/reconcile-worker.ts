/** The reconcile worker: every night Paddle's last days against ours. What it finds missing it adopts; what does not fit it says. */
import { readClock } from '../db/clock.ts'
import type { Log } from '../runtime/log.ts'
import { reconcile, type Reconciling } from './reconcile.ts'
import { startWorker, type StartedWorker, type WorkerContext } from './start-worker.ts'

/** Paddle tells a webhook again for three days; what it could not deliver by then is found here. */
const lookBackMs = 4 * 86_400_000

export function startReconcileWorker(
  context: WorkerContext,
  reconciling: Reconciling & { log: Log },
): StartedWorker {
  return startWorker(context, 'reconcile', { concurrency: 1, handle: () => reconcileNightly(reconciling) })
}

/** Throws: when Paddle cannot be asked, so that the job is tried again. */
async function reconcileNightly({ log, ...reconciling }: Reconciling & { log: Log }): Promise<unknown> {
  const since = new Date((await readClock(reconciling.db)).getTime() - lookBackMs)
  const result = await reconcile(reconciling, { since })
  if (result.outcome !== 'reconciled') throw new Error(`Paddle could not be asked: ${JSON.stringify(result)}`)
  const { transactions, adjustments, adopted, misfits } = result
  const fields = { transactions, adjustments, adopted, misfits: misfits.slice(0, 20) }
  if (misfits.length > 0) log.error(fields, "Paddle and the ledger do not fit: run 'npm run -s reconcile'")
  else log.info(fields, 'Paddle and the ledger fit')
  return { transactions, adopted: adopted.length, misfits: misfits.length }
}
