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
import type { CheckoutCreated } from '../paddle/checkout.ts'
import type { PaddleGateway } from '../paddle/gateway.ts'
import type { PaddleRefusal } from '../paddle/outcome.ts'

export type Checkouts = {
  db: Db
  gateway: Pick<PaddleGateway, 'openCustomer' | 'createCheckout' | 'createCardSetup'>
}

/** Whose checkout it is. The e-mail address is needed once; after that the customer at Paddle is known, and stays. */
export type Payer = { workspaceId: WorkspaceId; email?: string | undefined; actor: string }

/** Why there is no checkout. */
export type NoCheckout =
  | { outcome: 'no_wallet' }
  | { outcome: 'email_needed' }
  /** Paddle takes no customer of this address. */
  | { outcome: 'email_refused' }
  | PaddleRefusal

/** Shape: the page at Paddle where `amountMicros` and tax are paid, and the card is kept if `saveCard`. */
export async function openCheckout(
  { db, gateway }: Checkouts,
  payer: Payer,
  { amountMicros, saveCard }: { amountMicros: Micros; saveCard: boolean },
): Promise<
  | { outcome: 'created'; topUpId: TopUpId; paddleTransactionId: string; checkoutUrl: string }
  /** No money is taken while the wallet is frozen. */
  | { outcome: 'frozen' }
  | NoCheckout
> {
  const customer = await openCustomer({ db, gateway }, payer)
  if (customer.outcome !== 'known') return customer
  const { workspaceId } = payer
  const topUp = await withLockedWallet(db, workspaceId, async (trx, wallet) => {
    if (wallet.frozen) return 'frozen'
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
  if (topUp === 'frozen') return { outcome: 'frozen' }
  const { topUpId } = topUp
  const { customerId } = customer
  const created = addressed(
    await gateway.createCheckout({ customerId, workspaceId, topUpId, amountMicros, saveCard }),
  )
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
): Promise<{ outcome: 'created'; paddleTransactionId: string; checkoutUrl: string } | NoCheckout> {
  const customer = await openCustomer({ db, gateway }, payer)
  if (customer.outcome !== 'known') return customer
  const { customerId } = customer
  const created = addressed(await gateway.createCardSetup({ customerId, workspaceId: payer.workspaceId }))
  if (created.outcome !== 'created') return created
  const { transactionId: paddleTransactionId, checkoutUrl } = created
  return { outcome: 'created', paddleTransactionId, checkoutUrl }
}

/** When a checkout whose news never came is asked for. */
const firstLookMs = giveUpAfterMs / 96

/** Without a default payment link Paddle makes a transaction that nobody can pay. */
export function addressed(
  created: CheckoutCreated | PaddleRefusal,
): (CheckoutCreated & { checkoutUrl: string }) | PaddleRefusal {
  if (created.outcome !== 'created') return created
  const { checkoutUrl } = created
  return checkoutUrl === null
    ? { outcome: 'rejected', code: 'transaction_default_checkout_url_not_set' }
    : { ...created, checkoutUrl }
}

async function openCustomer(
  { db, gateway }: Checkouts,
  { workspaceId, email, actor }: Payer,
): Promise<{ outcome: 'known'; customerId: string } | NoCheckout> {
  const known = await findPaddleCustomer(db, workspaceId)
  if (known !== null) return { outcome: 'known', customerId: known.customerId }
  if (email === undefined) return { outcome: 'email_needed' }
  const opened = await gateway.openCustomer({ workspaceId, email })
  if (opened.outcome === 'rejected' && aboutEmail.has(opened.code)) return { outcome: 'email_refused' }
  if (opened.outcome !== 'opened') return opened
  const { customerId } = opened.customer
  const bound = await withLockedWallet(db, workspaceId, async (trx, wallet) => {
    await bindPaddleCustomer(trx, wallet, { customerId, email }, actor)
    // Where two were opened at once, with two addresses, the first one stays.
    return await findPaddleCustomer(trx, workspaceId)
  })
  return bound === null ? { outcome: 'no_wallet' } : { outcome: 'known', customerId: bound.customerId }
}

/** An archived customer has it, or it is none to Paddle. */
const aboutEmail = new Set(['customer_already_exists', 'customer_email_domain_not_allowed', 'invalid_field'])
