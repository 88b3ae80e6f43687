/**
 * Checkouts: a customer pays at Paddle, to add funds or to have a card kept. The top-up's row is there before Paddle knows of
 * it, so money that comes finds its name; a checkout that nobody pays is abandoned after a day.
 */
import type { TopUpId, WorkspaceId } from '../billing/ids.ts'
import type { Micros } from '../billing/money.ts'
import { giveUpAfterMs } from '../billing/top-up.ts'
import { readClock } from '../db/clock.ts'
import { bindPaddleCustomer, findPaddleCustomer } from '../db/paddle-customer.ts'
import type { Db } from '../db/schema.ts'
import { moveTopUp, newTopUpId, openTopUp } from '../db/top-up.ts'
import { withLockedWallet } from '../db/wallet.ts'
import type { PaddleGateway } from '../paddle/gateway.ts'
import type { PaddleRefusal } from '../paddle/outcome.ts'

export type Checkouts = {
  db: Db
  gateway: Pick<PaddleGateway, 'openCustomer' | 'createCheckout' | 'createCardSetup'>
}

/** Whose checkout it is. The e-mail address is asked for once; after that the customer at Paddle is known. */
export type Payer = { workspaceId: WorkspaceId; email: string; actor: string }

type NoCustomer = { outcome: 'no_wallet' } | { outcome: 'customer_differs' } | PaddleRefusal

/** Shape: the page at Paddle where `amountMicros` and tax are paid, and the card is kept if `saveCard`. */
export async function openCheckout(
  { db, gateway }: Checkouts,
  payer: Payer,
  { amountMicros, saveCard }: { amountMicros: Micros; saveCard: boolean },
): Promise<
  | { outcome: 'created'; topUpId: TopUpId; paddleTransactionId: string; checkoutUrl: string | null }
  | NoCustomer
> {
  const customer = await openCustomer({ db, gateway }, payer)
  if (customer.outcome !== 'known') return customer
  const { workspaceId } = payer
  const topUp = await withLockedWallet(db, workspaceId, async (trx, wallet) => {
    const now = await readClock(trx)
    const dueAt = new Date(now.getTime() + firstLookMs)
    const topUpId = newTopUpId(now)
    const fields = {
      topUpId,
      source: 'checkout',
      state: 'awaiting_customer',
      amountMicros,
      subscriptionId: null,
    } as const
    return await openTopUp(trx, wallet, { ...fields, dueAt }, now)
  })
  if (topUp === null) return { outcome: 'no_wallet' }
  const { topUpId } = topUp
  const { customerId } = customer
  const created = await gateway.createCheckout({ customerId, workspaceId, topUpId, amountMicros, saveCard })
  await withLockedWallet(db, workspaceId, async (trx, wallet) => {
    const states = ['awaiting_customer'] as const
    const change =
      created.outcome === 'created'
        ? ({
            state: 'awaiting_customer',
            paddleTransactionId: created.transactionId,
            checkoutUrl: created.checkoutUrl,
          } as const)
        : // Nobody has seen the page, so nobody can pay on it.
          ({ state: 'failed', reason: `checkout_${created.outcome}`, dueAt: null } as const)
    await moveTopUp(trx, wallet, topUpId, { states }, change, await readClock(trx))
  })
  if (created.outcome !== 'created') return created
  const { transactionId: paddleTransactionId, checkoutUrl } = created
  return { outcome: 'created', topUpId, paddleTransactionId, checkoutUrl }
}

/** Shape: the page at Paddle where a card is kept and nothing is paid. */
export async function openCardSetup(
  { db, gateway }: Checkouts,
  payer: Payer,
): Promise<{ outcome: 'created'; paddleTransactionId: string; checkoutUrl: string | null } | NoCustomer> {
  const customer = await openCustomer({ db, gateway }, payer)
  if (customer.outcome !== 'known') return customer
  const { customerId } = customer
  const created = await gateway.createCardSetup({ customerId, workspaceId: payer.workspaceId })
  if (created.outcome !== 'created') return created
  const { transactionId: paddleTransactionId, checkoutUrl } = created
  return { outcome: 'created', paddleTransactionId, checkoutUrl }
}

/** When a checkout whose news never came is asked for. */
const firstLookMs = giveUpAfterMs / 96

async function openCustomer(
  { db, gateway }: Checkouts,
  { workspaceId, email, actor }: Payer,
): Promise<{ outcome: 'known'; customerId: string } | NoCustomer> {
  const known = await findPaddleCustomer(db, workspaceId)
  if (known !== null) return { outcome: 'known', customerId: known.customerId }
  const opened = await gateway.openCustomer({ workspaceId, email })
  if (opened.outcome !== 'opened') return opened
  const { customerId } = opened.customer
  const bound = await withLockedWallet(db, workspaceId, (trx, wallet) =>
    bindPaddleCustomer(trx, wallet, { customerId, email }, actor),
  )
  if (bound === null) return { outcome: 'no_wallet' }
  return bound === 'bound_to_another' ? { outcome: 'customer_differs' } : { outcome: 'known', customerId }
}
