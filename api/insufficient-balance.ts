/** The 402 that says how much is there and how much it takes, with the numbers read under the wallet's lock. */
import { micros, type Micros } from '../billing/money.ts'
import { refusal } from './errors.ts'
import { usdNumber } from './money.ts'

/** When to ask again while the card is being charged. */
const rechargeSeconds = '10'

/** Shape: `available_usd` rounded down to the cent and what is required rounded up, so that the first is always the less. */
export function insufficientBalance(
  {
    availableMicros,
    requiredMicros,
    rechargeUnderWay,
  }: { availableMicros: Micros; requiredMicros: Micros; rechargeUnderWay: boolean },
  {
    message = 'Wallet balance below minimum to start call',
    ...more
  }: Record<string, unknown> & {
    message?: string
  } = {},
) {
  return refusal({
    status: 402,
    code: 'insufficient_balance',
    message,
    more: { balance_usd: usdNumber(availableMicros), required_usd: usdNumberUp(requiredMicros), ...more },
    ...(rechargeUnderWay ? { headers: { 'retry-after': rechargeSeconds } } : {}),
  })
}

/** `what` is it that cannot be done on it. */
export function walletFrozen(what = 'no call may start') {
  return refusal({
    status: 403,
    code: 'wallet_frozen',
    message: `The wallet is frozen after a chargeback, and ${what} on it: settle it with whoever runs this service.`,
  })
}

/**
 * Dollars as a JSON number, for what is required and what is held.
 *
 * Rounds: up to the cent.
 */
export function usdNumberUp(amount: Micros): number {
  return usdNumber(micros(amount + 9_999n))
}
