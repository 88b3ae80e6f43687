/** Opens the wallets of a run as a platform would: by HTTP and by Paddle's webhooks, before anything goes wrong. */
import { sql } from 'kysely'

import { ask, fieldOf, inParallel } from './client.ts'
import { roleOf, workspaceAt, type LoadPlan } from './load.ts'
import { holds, type Stage } from './stage.ts'

/** Cards of the simulator. */
const declinedLater = '4000002760003184'
const atOnce = 8
const cardsWithinMs = 300_000

/** Shape: each workspace's key. */
export async function openWallets(stage: Stage, plan: LoadPlan): Promise<Map<string, string>> {
  const keys = new Map<string, string>()
  const wallets = Array.from({ length: plan.wallets }, (_, wallet) => wallet)
  await inParallel(wallets, atOnce, async (wallet) => {
    const workspaceId = workspaceAt(wallet)
    const opened = await ask(stage.apiUrl, {
      method: 'POST',
      path: '/v1/workspaces',
      key: stage.operatorKey,
      body: { workspace_id: workspaceId },
    })
    const key = fieldOf(opened.body, 'key', 'key')
    if (opened.status !== 201 || typeof key !== 'string')
      throw new Error(`${workspaceId} was not opened: ${JSON.stringify(opened)}`)
    keys.set(workspaceId, key)
  })
  const withCard = wallets.filter((wallet) => ['recharging', 'declined', 'paying'].includes(roleOf(wallet)))
  await inParallel(withCard, atOnce, async (wallet) => {
    const workspaceId = workspaceAt(wallet)
    const setup = await ask(stage.apiUrl, {
      method: 'POST',
      path: '/v1/payments/methods',
      key: keys.get(workspaceId) ?? '',
      body: { email: `${workspaceId}@example.com` },
    })
    const transactionId = fieldOf(setup.body, 'session_id')
    if (typeof transactionId !== 'string') throw new Error(`no card can be saved: ${JSON.stringify(setup)}`)
    const card = roleOf(wallet) === 'declined' ? { card: declinedLater } : {}
    await stage.control.payCheckout(transactionId, { ...card, saveCard: true })
  })
  const areSaved = async (): Promise<boolean> => (await countCards(stage)) === withCard.length
  // Paddle tells nine things of each card, and each is stored, applied and done before the first event is sent.
  if (!(await holds(cardsWithinMs, areSaved))) throw new Error('the saved cards did not arrive')
  const recharging = withCard.filter((wallet) => roleOf(wallet) !== 'paying')
  await inParallel(recharging, atOnce, async (wallet) => {
    const settings = await ask(stage.apiUrl, {
      method: 'PUT',
      path: '/v1/wallet/auto-recharge',
      key: keys.get(workspaceAt(wallet)) ?? '',
      body: {
        enabled: true,
        threshold_usd: plan.thresholdUsd,
        topup_usd: plan.rechargeUsd,
        daily_limit: 20,
      },
    })
    if (settings.status !== 200) throw new Error(`auto-recharge is off: ${JSON.stringify(settings)}`)
  })
  return keys
}

async function countCards({ db }: Stage): Promise<number> {
  const { rows } = await sql<{ cards: number }>`
    select count(*)::int as cards from saved_card where state = 'active' and payment_method_id is not null`.execute(
    db,
  )
  return rows[0]?.cards ?? 0
}
