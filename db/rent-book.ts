/** Writes down what was planned about rents: payments, periods, states, their steps, and the recharge that they call for. */
import { draftRental, draftReversal, type LedgerTransactionDraft } from '../billing/ledger-draft.ts'
import { formatUsd } from '../billing/money.ts'
import { nextPeriod } from '../billing/rental.ts'
import { hashOfKey, postLedgerTransactions, type LedgerPost } from './ledger.ts'
import { changePhoneNumber, insertRentalPeriod, writeRentalStep } from './phone-number.ts'
import { decideWalletRecharge, type Recharged } from './recharge.ts'
import { feeOf, type Look, type PaidPeriod, type RentalContext, type RentBook } from './rent-plan.ts'
import type { Tx } from './schema.ts'
import type { LockedWallet } from './wallet.ts'

/** Shape: the book, for whoever wants to know what was done. */
export async function bookRents(
  trx: Tx,
  wallet: LockedWallet,
  book: RentBook,
  context: RentalContext,
): Promise<RentBook> {
  const { paid, looked } = book
  const sequences = await postRents(trx, wallet, paid, context.now)
  for (const each of paid) {
    await insertRentalPeriod(trx, each.number, {
      period: each.index,
      ...each.period,
      ...each.fee,
      walletSequence: sequences.get(each) ?? null,
      billedAt: context.now,
    })
  }
  const owed = looked.filter(({ ending }) => ending?.decision === 'owe').length
  const recharged = paid.length + owed === 0 ? null : await decideWalletRecharge(trx, wallet, context.now)
  for (const look of looked) {
    await changePhoneNumber(trx, look.before, look.after)
    await writePayments(trx, look, paid, context.now)
    await writeEnding(trx, look, recharged, context)
  }
  return book
}

/** The first month's payment is part of its renting, and has no step of its own. */
async function writePayments(
  trx: Tx,
  { before }: Look,
  paid: readonly PaidPeriod[],
  now: Date,
): Promise<void> {
  const ours = paid.filter(({ number }) => number.phoneNumberId === before.phoneNumberId)
  for (const [place, { index, period, fee }] of ours.entries()) {
    const wasOwed = place === 0 && before.state !== 'active'
    if (index === 0 && !wasOwed) continue
    const detail = {
      period_start: period.startsAt,
      period_end: period.endsAt,
      fee_usd: formatUsd(fee.amountMicros),
    }
    const reason = wasOwed ? 'reinstated' : 'renewed'
    await writeRentalStep(trx, { ...before, state: 'active' }, { reason, detail }, now)
  }
}

async function writeEnding(
  trx: Tx,
  { after, ending }: Look,
  recharged: Recharged | null,
  { now, prices }: RentalContext,
): Promise<void> {
  if (ending === null || ending.decision === 'rest') return
  if (ending.decision === 'release') {
    const { reason, detail } = ending
    return await writeRentalStep(trx, after, { reason, detail }, now)
  }
  const { startsAt } = nextPeriod(after)
  const fee = feeOf(after.workspaceId, startsAt, prices)
  const detail = {
    period_start: startsAt,
    available_usd: formatUsd(ending.availableMicros),
    required_usd: fee === null ? null : formatUsd(fee.amountMicros),
    recharge: recharged?.decision === 'wait' ? recharged.reason : (recharged?.decision ?? null),
  }
  await writeRentalStep(trx, after, { reason: ending.reason, detail }, now)
}

/** Where in the wallet's chain each payment stands; those that cost nothing are not in it. */
async function postRents(
  trx: Tx,
  wallet: LockedWallet,
  paid: readonly PaidPeriod[],
  now: Date,
): Promise<Map<PaidPeriod, bigint>> {
  const costing = paid.filter(({ fee }) => fee.amountMicros > 0n)
  const posts = costing.map(({ number, period, fee }) =>
    rentalPost({ ...fee, ...number, startsAt: period.startsAt }),
  )
  const [booked = []] = posts.length === 0 ? [] : await postLedgerTransactions(trx, [{ wallet, posts }], now)
  return new Map(
    costing.flatMap((each, index) => {
      const sequence = booked[index]?.walletSequence
      return sequence === undefined ? [] : [[each, sequence] as const]
    }),
  )
}

/** A rental payment as it is booked. Its hash covers its name and its amount. */
export function rentalPost(rental: Parameters<typeof draftRental>[0]): LedgerPost {
  return postOf(draftRental(rental))
}

/** Undoes a payment. */
export function reversalPost(reversed: LedgerTransactionDraft): LedgerPost {
  return postOf(draftReversal(reversed))
}

function postOf(draft: LedgerTransactionDraft): LedgerPost {
  return { draft, payloadHash: hashOfKey(`${draft.idempotencyKey} ${draft.amountMicros}`) }
}
