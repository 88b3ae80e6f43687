/** Credit as an item that Paddle sells: the one shape in which it is charged, previewed and checked out. */
import { BillingError } from '../billing/billing-error.ts'
import { micros, type Micros } from '../billing/money.ts'

/** Whose credit it is. Paddle keeps it on the price, from where no other transaction can inherit it. */
export type TopUpNote = {
  readonly topUpId: string
  readonly workspaceId: string
  readonly source: 'auto_recharge' | 'api' | 'checkout'
}

const microsPerCent = 10_000n

/**
 * The item, tax-exclusive: the customer pays the amount and the tax on it.
 *
 * Shape:  custom data has snake_case keys because the SDK would rewrite others. A preview has no note.
 * Throws: BillingError `malformed_top_up_amount` unless the amount is whole cents above zero; `malformed_top_up_note` for an
 *         id that Paddle or we could not read back.
 */
export function topUpItem(productId: string, amountMicros: Micros, note: TopUpNote | null) {
  return {
    quantity: 1,
    price: {
      productId,
      name: 'Wallet top-up',
      description: note === null ? 'preview' : `${note.source} ${note.topUpId}`,
      taxMode: 'external' as const,
      unitPrice: { amount: centsOf(amountMicros), currencyCode: 'USD' as const },
      quantity: { minimum: 1, maximum: 1 },
      ...(note === null ? {} : { customData: noteData(note) }),
    },
  }
}

/** Whole cents as Paddle writes them, such as "10000" for $100. */
function centsOf(amountMicros: Micros): string {
  if (amountMicros > 0n && amountMicros % microsPerCent === 0n) return String(amountMicros / microsPerCent)
  throw new BillingError(
    'malformed_top_up_amount',
    `A top-up must be whole cents above zero; got ${amountMicros} micro-dollars`,
    { amountMicros: String(amountMicros) },
  )
}

/** Paddle's cents as micro-dollars. */
export function microsOfCents(cents: bigint): Micros {
  return micros(cents * microsPerCent)
}

function noteData({ topUpId, workspaceId, source }: TopUpNote): Record<string, string> {
  for (const id of [topUpId, workspaceId]) {
    if (!/^[!-~]{1,128}$/.test(id)) {
      throw new BillingError('malformed_top_up_note', `Expected an id of 1 to 128 printable characters`, {
        id,
      })
    }
  }
  return { top_up_id: topUpId, workspace_id: workspaceId, source }
}
