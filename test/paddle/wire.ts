/** Paddle's JSON, as its reference shows it. */

export const ids = {
  transaction: 'txn_01hv8wptq8987qeep44cyrewp9',
  subscription: 'sub_01hv8x29kz0t586xy6zn1a62ny',
  customer: 'ctm_01hv6y1jedq4p1n0yqn5ba3ky4',
  price: 'pri_01hv8x1cq6c1r7gkz3gkx2t9s1',
  product: 'pro_01h7zcgmdc6tmwtjehp3sh7azf',
  adjustment: 'adj_01hvgf2s84dr6reszzg29zbvcm',
  event: 'evt_01hv8wq7q6q0b9c3k0t8t0q6ra',
}

export const noted = { top_up_id: 'top_1', workspace_id: 'ws_1', source: 'auto_recharge' }

/** A paid charge of $100 with 20% tax. */
export function transactionWire(changes: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    id: ids.transaction,
    status: 'completed',
    customer_id: ids.customer,
    address_id: 'add_01hv8gq3318ktkfengj2r75gfx',
    business_id: null,
    custom_data: { workspace_id: 'ws_1' },
    currency_code: 'USD',
    origin: 'subscription_charge',
    subscription_id: ids.subscription,
    invoice_id: null,
    invoice_number: null,
    collection_mode: 'automatic',
    discount_id: null,
    billing_details: null,
    billing_period: null,
    items: [itemWire()],
    details: {
      tax_rates_used: [],
      totals: {
        subtotal: '10000',
        discount: '0',
        tax: '2000',
        total: '12000',
        credit: '0',
        credit_to_balance: '0',
        balance: '0',
        grand_total: '12000',
        fee: '650',
        earnings: '9350',
        currency_code: 'USD',
      },
      adjusted_totals: null,
      payout_totals: null,
      line_items: [lineItemWire()],
    },
    payments: [paymentWire()],
    checkout: { url: null },
    created_at: '2026-04-12T10:18:47.635628Z',
    updated_at: '2026-04-12T10:18:49Z',
    billed_at: '2026-04-12T10:18:48Z',
    revised_at: null,
    ...changes,
  }
}

export function itemWire(
  price: Record<string, unknown> = {},
  { quantity = 1 } = {},
): Record<string, unknown> {
  return {
    quantity,
    proration: null,
    price: {
      id: ids.price,
      product_id: ids.product,
      type: 'custom',
      name: 'Wallet top-up',
      description: 'auto_recharge top_1',
      tax_mode: 'external',
      billing_cycle: null,
      trial_period: null,
      unit_price: { amount: '10000', currency_code: 'USD' },
      unit_price_overrides: [],
      quantity: { minimum: 1, maximum: 1 },
      custom_data: noted,
      status: 'active',
      import_meta: null,
      created_at: '2026-04-12T10:18:47Z',
      updated_at: '2026-04-12T10:18:47Z',
      ...price,
    },
  }
}

export function lineItemWire({ priceId = ids.price, subtotal = '10000', discount = '0' } = {}): Record<
  string,
  unknown
> {
  return {
    id: 'txnitm_01hv8wt98jahpbm1t1tzr06z6n',
    price_id: priceId,
    quantity: 1,
    tax_rate: '0.2',
    unit_totals: null,
    totals: { subtotal, discount, tax: '2000', total: '12000' },
    product: null,
  }
}

export function paymentWire(changes: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    payment_attempt_id: '937640dd-e3dc-40df-a16c-bb75aafd8f71',
    stored_payment_method_id: '281ff2ca-8550-42b9-bf39-15948e7de62d',
    payment_method_id: 'paymtd_01hv8x6vx0y5ms2qj1qrs4ny3v',
    amount: '12000',
    status: 'captured',
    error_code: null,
    method_details: {
      type: 'card',
      card: { type: 'visa', last4: '4242', expiry_month: 5, expiry_year: 2031, cardholder_name: 'Mara' },
    },
    created_at: '2026-04-12T10:18:48.1Z',
    captured_at: '2026-04-12T10:18:49Z',
    ...changes,
  }
}

export function subscriptionWire(changes: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    id: ids.subscription,
    status: 'active',
    customer_id: ids.customer,
    address_id: 'add_01hv8gq3318ktkfengj2r75gfx',
    business_id: null,
    currency_code: 'USD',
    created_at: '2026-04-12T10:18:47Z',
    updated_at: '2026-04-12T10:38:00.761Z',
    started_at: null,
    first_billed_at: null,
    next_billed_at: null,
    paused_at: null,
    canceled_at: null,
    discount: null,
    collection_mode: 'automatic',
    billing_details: null,
    current_billing_period: null,
    billing_cycle: { interval: 'year', frequency: 1 },
    scheduled_change: null,
    management_urls: null,
    items: [],
    custom_data: { workspace_id: 'ws_1' },
    import_meta: null,
    ...changes,
  }
}

export function adjustmentWire(changes: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    id: ids.adjustment,
    action: 'refund',
    type: 'partial',
    transaction_id: ids.transaction,
    subscription_id: ids.subscription,
    customer_id: ids.customer,
    reason: 'requested',
    credit_applied_to_balance: false,
    currency_code: 'USD',
    status: 'approved',
    items: [],
    totals: {
      subtotal: '2500',
      tax: '500',
      total: '3000',
      fee: '0',
      earnings: '2500',
      currency_code: 'USD',
    },
    payout_totals: null,
    created_at: '2026-04-15T08:01:00Z',
    updated_at: '2026-04-15T08:02:00Z',
    ...changes,
  }
}

export function eventWire(
  eventType: string,
  data: unknown,
  changes: Record<string, unknown> = {},
): Record<string, unknown> {
  return {
    event_id: ids.event,
    event_type: eventType,
    occurred_at: '2026-04-12T10:18:49.621022Z',
    notification_id: 'ntf_01hv8wqb0n4b3j0j2n1x0c8y2m',
    data,
    ...changes,
  }
}
