/** The demo's customer: saves a test card in the simulator's checkout, as a person would, and switches auto-recharge on. */
import type { WorkspaceId } from '../../billing/ids.ts'
import { displayUsd, parseUsd } from '../../billing/money.ts'
import { openCardSetup } from '../../api/checkout.ts'
import type { AutoRechargeSettings } from '../../billing/recharge.ts'
import { saveAutoRecharge } from '../../db/auto-recharge.ts'
import { readClock } from '../../db/clock.ts'
import { findUsableCard, type SavedCard } from '../../db/saved-card.ts'
import type { Db } from '../../db/schema.ts'
import { withLockedWallet } from '../../db/wallet.ts'
import { controlSimulator } from '../../paddle/simulator/control.ts'
import { pause } from '../../runtime/repeat.ts'
import { withGateway, type PaddlePlace } from '../paddle-place.ts'
import type { Screen } from './screen.ts'

/** The demo's auto-recharge: small enough that a short campaign crosses the threshold. */
export const demoAutoRecharge = {
  enabled: true,
  thresholdMicros: parseUsd('5'),
  topUpMicros: parseUsd('20'),
  dailyLimit: 10,
  monthlyCapMicros: null,
} as const

/** Shape: null, and nothing done, where Paddle is the real one, whose cards are not ours to save; null too when it fails. */
export async function saveDemoCard(
  { db, paddle, screen, signal }: { db: Db; paddle: PaddlePlace; screen: Screen; signal: AbortSignal },
  workspaceId: WorkspaceId,
  settings: AutoRechargeSettings = demoAutoRecharge,
): Promise<SavedCard | null> {
  const { simulatorUrl } = paddle
  if (simulatorUrl === null) return null
  const payer = { workspaceId, email: `${workspaceId}@example.com`, actor: 'demo' }
  const setup = await withGateway(paddle, (gateway) => openCardSetup({ db, gateway }, payer))
  if (setup.outcome !== 'created') {
    screen.print(notSaved(setup.outcome))
    return null
  }
  await controlSimulator(simulatorUrl).payCheckout(setup.paddleTransactionId, { saveCard: true })
  const saved = await untilSaved(db, workspaceId, signal)
  if (saved === null) {
    screen.print(notSaved('no webhook said so; see the logs of the API and the workers'))
    return null
  }
  await withLockedWallet(db, workspaceId, async (trx, wallet) =>
    saveAutoRecharge(trx, wallet, settings, { actor: 'demo', now: await readClock(trx) }),
  )
  const { card } = saved
  screen.print(
    `Its card${card === null ? '' : `, ${card.brand} ending in ${card.last4},`} is saved at Paddle's simulator. Auto-recharge: below ` +
      `${displayUsd(settings.thresholdMicros)} it brings ${displayUsd(settings.topUpMicros)}.`,
  )
  return saved
}

function notSaved(why: string): string {
  return `The demo's card could not be saved: ${why}.`
}

const webhookWithinMs = 15_000

/** The webhook brings it. */
async function untilSaved(db: Db, workspaceId: WorkspaceId, signal: AbortSignal): Promise<SavedCard | null> {
  const startedAt = performance.now()
  while (!signal.aborted && performance.now() - startedAt < webhookWithinMs) {
    const saved = await findUsableCard(db, workspaceId)
    if (saved !== null && saved.card !== null) return saved
    await pause(50, signal)
  }
  return null
}
