/** The pages of the wallet, in the product's own words, and where they are. */

export const placeNames = [
  'wallet',
  'add-funds',
  'auto-recharge',
  'transactions',
  'spend',
  'numbers',
] as const

export type PlaceName = (typeof placeNames)[number]

export const places: Record<PlaceName, { title: string; path: `/wallet${string}` }> = {
  wallet: { title: 'Wallet', path: '/wallet' },
  'add-funds': { title: 'Add Funds', path: '/wallet/add-funds' },
  'auto-recharge': { title: 'Auto-recharge', path: '/wallet/auto-recharge' },
  transactions: { title: 'Transactions', path: '/wallet/transactions' },
  spend: { title: 'Spend', path: '/wallet/spend' },
  numbers: { title: 'Numbers', path: '/wallet/numbers' },
}

/** Where else a page may lead. */
export const paths = {
  signIn: '/wallet/sign-in',
  link: '/wallet/sign-in/link',
  signOut: '/wallet/sign-out',
  theme: '/wallet/theme',
  events: '/wallet/events',
  preview: '/wallet/add-funds/preview',
  switchOff: '/wallet/auto-recharge/off',
  resume: '/wallet/auto-recharge/resume',
  saveCard: '/wallet/card',
  changeCard: '/wallet/card/change',
  removeCard: '/wallet/card/remove',
  csv: '/wallet/transactions.csv',
} as const

export function topUpPath(topUpId: string): `/wallet${string}` {
  return `/wallet/add-funds/${encodeURIComponent(topUpId)}`
}

export function receiptPath(transactionId: string): `/wallet${string}` {
  return `/wallet/transactions/${encodeURIComponent(transactionId)}`
}
