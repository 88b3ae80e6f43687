/**
 * Money. At rest and in the domain it is a bigint count of micro-dollars; a Dinero object (USD, scale 6) does the
 * arithmetic of sums and rounding; decimals exist only in JSON and on the page. Nothing here passes through a float:
 * the one JSON number, `balanceUsd`, is read from a finished decimal string.
 */
import { USD, add, dinero, down, toDecimal, toSnapshot, transformScale, type Dinero } from 'dinero.js/bigint'
import { BillingError } from './billing-error.ts'

declare const microsBrand: unique symbol

/** Micro-dollars: 1_000_000n is one US dollar. Negative means below zero. */
export type Micros = bigint & { readonly [microsBrand]: true }

const dollar = { ...USD, code: 'USD' } as const
const usdScale = 6n
const centScale = 2n
/** Twelve digits of dollars is the most that Postgres' bigint holds in micro-dollars with room to add. */
const usdText = /^-?(?:0|[1-9]\d{0,11})(?:\.\d{1,6})?$/

/** Says that a bigint counts micro-dollars. */
export function micros(count: bigint): Micros {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- this is where the brand is minted
  return count as Micros
}

/** The Dinero object for an amount: USD at scale 6. */
export function usd(amount: Micros): Dinero<bigint, 'USD'> {
  return dinero({ amount, currency: dollar, scale: usdScale })
}

/**
 * An exact decimal string as money.
 *
 * Units:  US dollars in, micro-dollars out.
 * Shape:  optional minus, no leading zeros, up to 12 digits and 6 decimals; no exponent, no plus, no "-0".
 * Rounds: never; a seventh decimal is refused.
 * Throws: BillingError `malformed_money`.
 */
export function parseUsd(text: string): Micros {
  if (typeof text !== 'string' || !usdText.test(text)) throw malformedMoney(text)
  const [whole = '', decimals = ''] = text.split('.')
  const amount = BigInt(whole + decimals.padEnd(Number(usdScale), '0'))
  if (amount === 0n && text.startsWith('-')) throw malformedMoney(text)
  return micros(amount)
}

/** Money for JSON: exactly six decimals, such as "0.101667" or "-0.500000". */
export function formatUsd(amount: Micros): string {
  return toDecimal(usd(amount))
}

/**
 * Money for people, to the cent: "$1,234.56", "-$0.05".
 *
 * Rounds: down (toward minus infinity) to the cent, so that nobody is shown credit that is not there.
 */
export function displayUsd(amount: Micros): string {
  return withDollarSign(toDecimal(floorToCent(amount)))
}

/** Money for people, exact: at least two decimals and as many as it takes, such as "$0.203333" or "$20.00". */
export function displayUsdExact(amount: Micros): string {
  // Dinero's trimScale would do, but leaves zero with all its six decimals.
  return withDollarSign(formatUsd(amount).replace(/0{1,4}$/, ''))
}

/**
 * The number that `balance_usd` carries in JSON.
 *
 * Units:  US dollars.
 * Rounds: down (toward minus infinity) to the cent.
 * Source: `GET /v1/wallet` on the wallet help page.
 */
export function balanceUsd(amount: Micros): number {
  return Number(toDecimal(floorToCent(amount)))
}

/** The sum; of nothing, zero. */
export function sumMicros(amounts: Iterable<Micros>): Micros {
  let sum = usd(micros(0n))
  for (const amount of amounts) sum = add(sum, usd(amount))
  return micros(toSnapshot(sum).amount)
}

function floorToCent(amount: Micros): Dinero<bigint, 'USD'> {
  return transformScale(usd(amount), centScale, down)
}

function withDollarSign(decimal: string): string {
  const [whole = '', decimals = ''] = decimal.replace('-', '').split('.')
  const grouped = whole.replaceAll(/\B(?=(?:\d{3})+$)/g, ',')
  return `${decimal.startsWith('-') ? '-' : ''}$${grouped}.${decimals}`
}

function malformedMoney(text: unknown): BillingError {
  return new BillingError(
    'malformed_money',
    `Expected dollars as a decimal string with at most six decimals, such as "12.50"; got ${JSON.stringify(text)}`,
    { text },
  )
}
