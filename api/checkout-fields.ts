/** The fields that everything has in common which sends a customer to a checkout, and what it answers. */
import { z } from 'zod'

import { BillingError } from '../billing/billing-error.ts'

/** Where a customer comes back to. Only for coming back: what was paid is known from Paddle alone. */
const backUrl = z
  .url({ protocol: /^https?$/, error: 'expected a URL that begins with https:// or http://' })
  .max(2_000)

export const returnFields = {
  success_url: backUrl.optional().meta({
    description:
      'Where the checkout leads back to once it is paid. That somebody comes there says nothing of the payment.',
    examples: ['https://example.com/wallet?paid'],
  }),
  cancel_url: backUrl.optional().meta({
    description: 'Where the checkout leads back to when nothing is paid.',
    examples: ['https://example.com/wallet'],
  }),
}

export const payerFields = {
  email: z
    .email('expected an e-mail address')
    .max(254)
    .optional()
    .meta({
      description:
        'To whom Paddle sends receipts. Needed the first time; the customer at Paddle that it makes stays that of the workspace.',
      examples: ['billing@example.com'],
    }),
  ...returnFields,
}

export const checkoutShape = z.object({
  session_id: z.string().meta({
    description: 'The top-up that it pays, or what Paddle calls a checkout that only saves a card.',
    examples: ['topup_0mg3yq2p15f0c1d2e3a4b5c6d'],
  }),
  provider: z.literal('paddle'),
  checkout_url: z.url().meta({
    description: 'Send the customer here.',
    examples: ['https://pay.example.com/?_ptxn=txn_01hv8wptq8987qeep44cyrewp9'],
  }),
})

type Returning = { success_url?: string | undefined; cancel_url?: string | undefined }

/** The page of the account's default payment link reads these two; nothing else does. */
export function withReturn(checkoutUrl: string, { success_url, cancel_url }: Returning): string {
  if (!URL.canParse(checkoutUrl)) {
    throw new BillingError('unreadable_checkout_url', 'Paddle gave a checkout whose address is none')
  }
  const url = new URL(checkoutUrl)
  if (success_url !== undefined) url.searchParams.set('return_url', success_url)
  if (cancel_url !== undefined) url.searchParams.set('cancel_url', cancel_url)
  return url.href
}
