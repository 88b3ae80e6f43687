/** Checkouts that an operator opens for a customer, to be paid on Paddle's page or the simulator's. */
import { openCardSetup, openCheckout, type Payer } from '../../api/checkout.ts'
import type { WorkspaceId } from '../../billing/ids.ts'
import { displayUsdExact, type Micros } from '../../billing/money.ts'
import { findPaddleCustomer } from '../../db/paddle-customer.ts'
import { findBalance } from '../../db/wallet.ts'
import { Misuse } from '../command-line.ts'
import { findPaddle, withGateway } from '../paddle-place.ts'
import { actor, note, print, unknownWorkspace, type Books } from './operator-books.ts'
import { fold } from './text.ts'
import { explainRefusal } from './wording.ts'

/** `email` may be missing when the workspace is known at Paddle already. */
export type AskedPayer = { workspaceId: WorkspaceId; email: string | undefined }

/** Throws: Misuse. */
export function readPayer(workspaceId: WorkspaceId, email: string | undefined): AskedPayer {
  if (email === undefined || /^[^\s@]+@[^\s@]+\.[^\s@]+$/.test(email)) return { workspaceId, email }
  throw new Misuse(`--email: expected an address such as accounts@example.com, got "${email}"`)
}

/** Shape: the exit code. */
export async function printCheckout(
  books: Books,
  asked: AskedPayer,
  { amountMicros, saveCard }: { amountMicros: Micros; saveCard: boolean },
): Promise<number> {
  const payer = await getPayer(books, asked)
  const created = await withGateway(await findPaddle(books.stack), (gateway) =>
    openCheckout({ db: books.db, gateway }, payer, { amountMicros, saveCard }),
  )
  if (created.outcome !== 'created') return refuse(created)
  const kept = saveCard ? ', and the card is kept' : ''
  print(`${created.topUpId}  ${displayUsdExact(amountMicros)} before tax for ${payer.workspaceId}${kept}`)
  printAddress(created)
  print(`The wallet is credited once it is paid there: npm run -s top-ups -- ${created.topUpId}`)
  return 0
}

/** Shape: the exit code. */
export async function printCardSetup(books: Books, asked: AskedPayer): Promise<number> {
  const payer = await getPayer(books, asked)
  const created = await withGateway(await findPaddle(books.stack), (gateway) =>
    openCardSetup({ db: books.db, gateway }, payer),
  )
  if (created.outcome !== 'created') return refuse(created)
  print(`A checkout of $0.00 that keeps a card for ${payer.workspaceId}`)
  printAddress(created)
  print(
    `Once it is confirmed there, the card can be charged: npm run -s auto-recharge -- ${payer.workspaceId}`,
  )
  return 0
}

async function getPayer({ db }: Books, { workspaceId, email }: AskedPayer): Promise<Payer> {
  if ((await findBalance(db, workspaceId)) === null) throw unknownWorkspace(workspaceId)
  const known = await findPaddleCustomer(db, workspaceId)
  const used = known?.email ?? email
  if (used === undefined) {
    throw new Misuse(`--email: is missing; Paddle asks for the payer's address once for each workspace`)
  }
  if (known !== null && email !== undefined && email !== known.email) {
    note(
      fold(
        `${workspaceId} is ${known.customerId} at Paddle, with another address than ${email}: that one pays`,
      ),
    )
  }
  return { workspaceId, email: used, actor }
}

function printAddress(created: { paddleTransactionId: string; checkoutUrl: string | null }): void {
  const { paddleTransactionId, checkoutUrl } = created
  print(
    checkoutUrl === null
      ? fold(
          `Paddle gave no address for ${paddleTransactionId}: set a default payment link in Paddle > Checkout > Checkout settings.`,
          '  ',
        )
      : `  ${checkoutUrl}`,
  )
}

type Refused = Exclude<Awaited<ReturnType<typeof openCheckout>>, { outcome: 'created' }>

function refuse(refused: Refused): number {
  note(fold(`top-ups: ${reasonOf(refused)}`))
  return 1
}

function reasonOf(refused: Refused): string {
  if (refused.outcome === 'no_wallet') return 'the workspace has no wallet'
  if (refused.outcome === 'email_needed') return 'Paddle needs an e-mail address: give one with --email'
  if (refused.outcome === 'email_refused')
    return 'Paddle does not take this e-mail address: give another with --email'
  if (refused.outcome === 'frozen') return 'the wallet is frozen: clear the dispute, then unfreeze it'
  return explainRefusal(refused)
}
