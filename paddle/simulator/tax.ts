/**
 * The taxes and totals of a transaction, in whole minor units.
 *
 * Rounds: half-up, once per line; a line's tax is what its totals differ by.
 */
import type { CurrencyCode, ITotals } from '@paddle/paddle-node-sdk'

import type { Address, LineItem, Price, Product, TransactionDetails } from './entities.ts'

/** Parts of 100,000. The rest of the world pays none here. */
const taxRates: Record<string, bigint> = {
  AT: 20_000n,
  AU: 10_000n,
  BE: 21_000n,
  CH: 8_100n,
  DE: 19_000n,
  DK: 25_000n,
  ES: 21_000n,
  FR: 20_000n,
  GB: 20_000n,
  IE: 23_000n,
  IN: 18_000n,
  IT: 22_000n,
  NL: 21_000n,
  PL: 23_000n,
  SE: 25_000n,
  'US/NY': 8_875n,
}

const whole = 100_000n

/** Shape: parts of 100,000. New York is known by its region or by its postal codes. */
export function taxRateOf(address: Pick<Address, 'country_code' | 'postal_code' | 'region'> | null): bigint {
  if (address === null) return 0n
  const inNewYork =
    address.country_code === 'US' && (address.region === 'NY' || /^1[0-4]/.test(address.postal_code ?? ''))
  return taxRates[inNewYork ? 'US/NY' : address.country_code] ?? 0n
}

export type OrderedLine = { id: string; price: Price; product: Product; quantity: number }

/**
 * What an order comes to.
 *
 * Shape: `credit` is what Paddle owes the customer; as much of it as there is to pay is used.
 */
export function totalOrder({
  lines,
  taxRate,
  currency,
  credit = 0n,
}: {
  lines: readonly OrderedLine[]
  taxRate: bigint
  currency: CurrencyCode
  credit?: bigint
}): TransactionDetails {
  const lineItems = lines.map((line) => totalLine(line, taxRate))
  const sum = sumTotals(lineItems.map(({ totals }) => totals))
  const used = credit < sum.total ? credit : sum.total
  const totals = textTotals(sum)
  const grandTotal = String(sum.total - used)
  const grandTotalTax = sum.total === 0n ? 0n : divideHalfUp(sum.tax * (sum.total - used), sum.total)
  return {
    tax_rates_used: [{ tax_rate: rateText(taxRate), totals }],
    totals: {
      ...totals,
      credit: String(used),
      credit_to_balance: '0',
      balance: grandTotal,
      grand_total: grandTotal,
      grand_total_tax: String(grandTotalTax),
      fee: null,
      earnings: null,
      currency_code: currency,
    },
    adjusted_totals: {
      subtotal: totals.subtotal,
      tax: totals.tax,
      total: totals.total,
      grand_total: grandTotal,
      grand_total_tax: String(grandTotalTax),
      fee: null,
      earnings: null,
      currency_code: currency,
      retained_fee: '0',
    },
    payout_totals: null,
    adjusted_payout_totals: null,
    line_items: lineItems,
  }
}

/** Paddle's fee, which is known once a transaction is completed: 5 % of what was paid and 50 cents; of nothing, nothing. */
export function withFee(details: TransactionDetails): TransactionDetails {
  const { totals, adjusted_totals: adjusted } = details
  const grandTotal = BigInt(totals.grand_total)
  const fee = grandTotal === 0n ? 0n : divideHalfUp(grandTotal * 5n, 100n) + 50n
  const earnings = String(BigInt(totals.total) - BigInt(totals.tax) - fee)
  const paid = { fee: String(fee), earnings }
  return {
    ...details,
    totals: { ...totals, ...paid, balance: '0' },
    adjusted_totals: { ...adjusted, ...paid },
    payout_totals:
      totals.currency_code === 'USD'
        ? {
            ...totals,
            ...paid,
            balance: '0',
            currency_code: 'USD',
            exchange_rate: '1',
            fee_rate: '0.05',
          }
        : null,
  }
}

/** A net amount at a tax rate: what is taken or given back before and with tax. */
export function taxed(net: bigint, taxRate: bigint): { subtotal: bigint; tax: bigint; total: bigint } {
  const tax = divideHalfUp(net * taxRate, whole)
  return { subtotal: net, tax, total: net + tax }
}

/** What is left of an amount that includes its tax. */
export function netOf(total: bigint, taxRate: bigint): bigint {
  return divideHalfUp(total * whole, whole + taxRate)
}

/** A tax rate as Paddle writes it: "0.08875". Shape: and back. */
function rateText(taxRate: bigint): string {
  const digits = String(taxRate).padStart(6, '0')
  return `${digits.slice(0, -5)}.${digits.slice(-5)}`.replace(/\.?0+$/, '')
}

export function rateFromText(text: string): bigint {
  const [units = '0', fraction = ''] = text.split('.')
  return BigInt(units) * whole + BigInt(fraction.padEnd(5, '0'))
}

function totalLine({ id, price, product, quantity }: OrderedLine, taxRate: bigint): LineItem {
  const unit = priceTotals(price, BigInt(price.unit_price.amount), taxRate)
  const line = priceTotals(price, BigInt(price.unit_price.amount) * BigInt(quantity), taxRate)
  return {
    id,
    price_id: price.id,
    quantity,
    proration: null,
    tax_rate: rateText(taxRate),
    unit_totals: textTotals(unit),
    totals: textTotals(line),
    product,
  }
}

type Totals = { subtotal: bigint; discount: bigint; tax: bigint; total: bigint }

function priceTotals(price: Price, amount: bigint, taxRate: bigint): Totals {
  const discount = 0n
  if (price.tax_mode === 'internal') {
    const subtotal = netOf(amount, taxRate)
    return { subtotal, discount, tax: amount - subtotal, total: amount }
  }
  const { tax, total } = taxed(amount, taxRate)
  return { subtotal: amount, discount, tax, total }
}

function sumTotals(totals: readonly ITotals[]): Totals {
  const sum = (field: keyof ITotals): bigint =>
    totals.reduce((soFar, each) => soFar + BigInt(each[field]), 0n)
  return { subtotal: sum('subtotal'), discount: sum('discount'), tax: sum('tax'), total: sum('total') }
}

function textTotals({ subtotal, discount, tax, total }: Totals): ITotals {
  return {
    subtotal: String(subtotal),
    discount: String(discount),
    tax: String(tax),
    total: String(total),
  }
}

/** Of amounts that are not below zero. */
function divideHalfUp(dividend: bigint, divisor: bigint): bigint {
  return (dividend * 2n + divisor) / (divisor * 2n)
}
